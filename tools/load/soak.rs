//! A long run under a load that grows and then stays: rate, latency and memory over time, as a plot.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use plotters::prelude::*;
use prost::bytes::{Buf as _, Bytes};

use crate::appends::{CONNECTIONS, STREAMS};
use crate::drive;
use crate::ledger::{Server, Trade};
use crate::raw;
use crate::workload;

/// How long the load stays the same before it is looked at; then streams end, and new ones are opened.
const SEGMENT: Duration = Duration::from_secs(5);
/// Parts of the sustainable rate at the beginning and at the end of the growth.
const GROWTH: (f64, f64) = (0.1, 0.8);

/// What was seen in one segment.
struct Seen {
    /// Seconds since the load began.
    time: f64,
    offered: f64,
    reached: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    /// MiB.
    resident: f64,
}

/// Runs for so many minutes: the load grows for the first half and then stays.
pub async fn run(folder: &Path, minutes: f64, scanners: usize, plot: &Path) {
    let server = Server::new(folder);
    let trade = Trade::found(&server, scanners).await;
    let founded = server.entries();
    let channels = server.channels(CONNECTIONS).await;
    let mut next = 1;
    let mut sign = |records: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // thousands
        let units = (records / workload::STEPS as f64 / STREAMS as f64).ceil() as u64;
        let units = units.max(1) * STREAMS as u64;
        let streams = workload::ways(&trade, next, units, STREAMS);
        next += units;
        drive::requests(&streams)
    };
    let warm = drive::streams(&channels, &raw::SUBMIT_STREAM, sign(200_000.0)).await;
    let warm = warm.all_acknowledged("the first burst");
    let sustainable = warm.rate();
    println!("sustainable: {sustainable:.0} records/s; the load grows to 0.8 of it, then stays");
    let all = minutes * 60.0;
    let mut segments = Vec::new();
    let mut time = 0.0;
    while time < all {
        let grown = (time / (all / 2.0)).min(1.0);
        let offered = sustainable * (GROWTH.0 + (GROWTH.1 - GROWTH.0) * grown);
        let path = folder.join(format!("segment-{}", segments.len()));
        write(&path, &sign(offered * SEGMENT.as_secs_f64()));
        time += SEGMENT.as_secs_f64();
        if segments.len() % 12 == 0 {
            println!("signing ahead: {time:.0} of {all:.0} s of load");
        }
        segments.push((offered, path));
    }
    let mut acknowledged = warm.acknowledged;
    let mut seen: Vec<Seen> = Vec::new();
    let mut ahead = segments.iter().map(|(_, path)| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || read(&path))
    });
    let mut following = ahead.next();
    let start = Instant::now();
    for (offered, _) in &segments {
        let Some(requests) = following.take() else {
            break;
        };
        let requests = requests.await.expect("read");
        following = ahead.next();
        let method = &raw::SUBMIT_STREAM;
        let driven = drive::paced_streams(&channels, method, requests, Some(*offered)).await;
        let driven = driven.all_acknowledged("the soak");
        acknowledged += driven.acknowledged;
        #[allow(clippy::cast_precision_loss)] // milliseconds
        let quantile = |q: f64| driven.latency.value_at_quantile(q) as f64 / 1e3;
        #[allow(clippy::cast_precision_loss)] // bytes of memory
        let resident = server.resident() as f64 / f64::from(1 << 20);
        let one = Seen {
            time: start.elapsed().as_secs_f64(),
            offered: *offered,
            reached: driven.rate(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            resident,
        };
        println!(
            "{:6.0} s  offered {:8.0}/s  reached {:8.0}/s  p50 {:8.1} ms  p99 {:8.1} ms  p999 \
             {:8.1} ms  {:6.0} MiB",
            one.time, one.offered, one.reached, one.p50, one.p99, one.p999, one.resident
        );
        seen.push(one);
    }
    drop(channels);
    draw(&seen, plot).expect("the plot is drawn");
    println!("written: {}", plot.display());
    let data = server.stop();
    let (entries, seconds) = crate::ledger::audit(&data);
    assert_eq!(entries, founded + acknowledged);
    println!(
        "audited: {entries} entries hold, {acknowledged} of them acknowledged ({seconds:.0} s)"
    );
}

/// Keeps the requests of each stream on the disk: those of minutes don't fit the memory, and to sign them meanwhile would
/// take the processor from the server.
fn write(path: &Path, streams: &[Vec<Bytes>]) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let mut number = |number: usize| {
        let number = u32::try_from(number).expect("less than 4 GB");
        file.write_all(&number.to_le_bytes()).expect("written");
    };
    number(streams.len());
    for stream in streams {
        number(stream.len());
        stream.iter().for_each(|request| number(request.len()));
    }
    for request in streams.iter().flatten() {
        file.write_all(request).expect("written");
    }
    let file = file.into_inner().expect("written");
    file.sync_all().expect("synced");
}

/// Reads what was written, and deletes it.
fn read(path: &Path) -> Vec<Vec<Bytes>> {
    let mut bytes = Bytes::from(std::fs::read(path).expect("the file"));
    std::fs::remove_file(path).expect("deleted");
    let mut number = || bytes.get_u32_le() as usize;
    let streams: Vec<Vec<usize>> = (0..number())
        .map(|_| (0..number()).map(|_| number()).collect())
        .collect();
    streams
        .into_iter()
        .map(|stream| {
            let requests = stream.into_iter();
            requests.map(|length| bytes.split_to(length)).collect()
        })
        .collect()
}

type Line<'a> = (&'a str, RGBColor, &'a dyn Fn(&Seen) -> f64);

fn draw(seen: &[Seen], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (900, 900)).into_drawing_area();
    area.fill(&WHITE)?;
    let areas = area.split_evenly((3, 1));
    let charts: [(&str, &[Line<'_>]); 3] = [
        (
            "records a second",
            &[
                ("offered", RGBColor(160, 160, 160), &|s| s.offered),
                ("reached", BLUE, &|s| s.reached),
            ],
        ),
        (
            "latency, milliseconds",
            &[
                ("p50", GREEN, &|s| s.p50),
                ("p99", BLUE, &|s| s.p99),
                ("p99.9", RED, &|s| s.p999),
            ],
        ),
        (
            "memory of the server, MiB",
            &[("resident", BLUE, &|s| s.resident)],
        ),
    ];
    let end = seen.last().map_or(1.0, |last| last.time);
    for (area, (title, lines)) in areas.iter().zip(charts) {
        let values = seen
            .iter()
            .flat_map(|s| lines.iter().map(move |(_, _, of)| of(s)));
        let top = values.fold(1.0, f64::max) * 1.05;
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart.configure_mesh().x_desc("seconds").draw()?;
        for (name, color, of) in lines {
            let points = seen.iter().map(|s| (s.time, of(s)));
            let color = *color;
            chart
                .draw_series(LineSeries::new(points, &color))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
    }
    area.present()?;
    Ok(())
}
