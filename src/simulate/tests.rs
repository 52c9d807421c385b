//! What holds without a ledger. That every planted break is found is shown against a real one.

use super::*;

fn chapters(options: &Options) -> Vec<Chapter> {
    let random = SplitMix64::new(options.seed);
    let mut world = World::new(&random, options.parties).unwrap();
    let plots: Vec<Plot> = Plots::new(&world, &random, options).unwrap().collect();
    plots
        .into_iter()
        .map(|plot| story::tell(&mut world, &random, plot))
        .collect()
}

fn steps(chapter: &Chapter) -> impl Iterator<Item = &Step> {
    let follow = chapter.returns.iter().flat_map(|back| &back.follow);
    chapter.trade.iter().chain(&chapter.aftermath).chain(follow)
}

#[test]
fn given_one_seed_when_told_twice_then_the_records_are_the_same() {
    let options = Options::new(1, 600, 20);
    let tell = || -> Vec<wire::Record> {
        chapters(&options)
            .iter()
            .flat_map(steps)
            .map(|step| step.record.clone())
            .collect()
    };
    assert_eq!(tell(), tell());
}

#[test]
fn given_a_story_when_told_then_no_time_lies_outside_of_it_but_the_planted_future() {
    const LAST: u64 = 1_782_864_000_000; // 2026-07-01
    for chapter in &chapters(&Options::new(2, 2000, 40)) {
        for step in steps(chapter) {
            let time = step.record.claimed_time_ms;
            let future = step.planted.iter().any(|p| p.kind == "TIME_IN_FUTURE");
            assert!((BASE..LAST).contains(&time) != future, "{time}");
        }
    }
}

#[test]
fn given_plants_when_told_then_each_is_there_as_often_as_stated_and_at_units_of_its_own() {
    let options = Options::new(3, 4000, 40).planting(5);
    let told = chapters(&options);
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    let mut units = std::collections::BTreeSet::new();
    for planted in told.iter().flat_map(steps).flat_map(|step| &step.planted) {
        *by_kind.entry(&planted.kind).or_default() += 1;
        assert!(units.insert(&planted.unit), "{} twice", planted.unit);
    }
    for kind in fraud::AT_UNITS.into_iter().chain(fraud::AT_CLONES) {
        // An equivocation is reported once its first half is in the log.
        let marks = told.iter().flat_map(steps).filter(|step| {
            kind == FindingKind::Equivocation
                && matches!(step.mark, Some(Mark::Equivocation { .. }))
        });
        let corrected = usize::from(kind == FindingKind::NotHolder);
        let count = by_kind.get(kind.as_str_name()).copied().unwrap_or(0) + marks.count();
        assert_eq!(count, 5 + corrected, "{}", kind.as_str_name());
    }
}

#[test]
fn given_too_little_room_when_planned_then_refused_with_what_would_do() {
    let random = SplitMix64::new(1);
    let world = World::new(&random, 20).unwrap();
    let Err(SimulateError::Units { needed, .. }) =
        Plots::new(&world, &random, &Options::new(1, 300, 20).planting(50))
    else {
        panic!("fifty of each don't fit in three hundred");
    };
    assert!(Plots::new(&world, &random, &Options::new(1, needed, 20).planting(50)).is_ok());
}

#[test]
fn given_the_sources_when_read_then_none_looks_at_the_rules_or_at_apply() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulate");
    // Put together here, so that this file passes its own test.
    let forbidden = [concat!("ru", "les"), concat!("app", "ly")];
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let words = text
            .lines()
            .filter(is_code)
            .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
        for word in words {
            assert!(
                !forbidden.contains(&word),
                "{} names {word}",
                path.display()
            );
        }
    }
}
