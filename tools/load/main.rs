//! `tools/bench`: measures a real server process over gRPC on this machine, with the bare limits
//! beside it in the same run. The program that offers the load shares the cores with the server.
#![forbid(unsafe_code)]

mod appends;
mod cluster;
mod disk;
mod drive;
mod echo;
mod large;
mod ledger;
mod limits;
mod pages;
mod postgres;
mod raw;
mod report;
mod soak;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use appends::{Appends, Scale};
use clap::Parser as _;
use large::Size;
use report::Row;

/// Measures the ledger.
#[derive(clap::Parser)]
struct Arguments {
    /// Small amounts: under two minutes.
    #[arg(long)]
    quick: bool,
    /// Folder for the ledgers that are made and thrown away; not on tmpfs.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the JSON goes.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only rows whose name contains this, or one of these with commas between; some need others in the same run.
    #[arg(long)]
    only: Option<String>,
    /// Records of each measured row.
    #[arg(long)]
    records: Option<u64>,
    /// Records of the ledger that holds much.
    #[arg(long)]
    large: Option<u64>,
    /// Leave the ledger that holds much, and say where it is.
    #[arg(long)]
    keep: bool,
    /// Only the look-ups, on a ledger that --keep left; --large says how many records it has.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Instead of the rows: a load that grows and stays, for so many minutes, and a plot of it.
    #[arg(long)]
    soak: Option<f64>,
    /// Where the plot of --soak goes.
    #[arg(long, default_value = "soak.svg")]
    plot: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(echo::ARGUMENT) {
        let bytes = arguments.next().and_then(|bytes| bytes.parse().ok());
        let folder = arguments.next().map(PathBuf::from);
        runtime.block_on(echo::serve(bytes.unwrap_or(0), folder.as_deref()));
        return;
    }
    if std::env::args().nth(1).as_deref() == Some(pages::ARGUMENT) {
        runtime.block_on(pages::serve());
        return;
    }
    let arguments = Arguments::parse();
    let scale = if !arguments.bench {
        // `cargo test` runs it: every row once, on next to nothing.
        Scale {
            records: 2_000,
            scanners: 4,
            limit_time: Duration::from_millis(100),
        }
    } else if arguments.quick {
        Scale {
            records: 120_000,
            scanners: 700,
            limit_time: Duration::from_secs(1),
        }
    } else {
        Scale {
            records: 1_000_000,
            scanners: 1_400,
            limit_time: Duration::from_secs(4),
        }
    };
    let scale = Scale {
        records: arguments.records.unwrap_or(scale.records),
        ..scale
    };
    let size = if !arguments.bench {
        Size {
            small: 1_000,
            large: 3_000,
            more_units: 1,
            sample: 640,
            join: 3_000,
            ..Size::of(scale)
        }
    } else if arguments.quick {
        Size {
            small: 50_000,
            large: 150_000,
            more_units: 240_000,
            sample: 40_000,
            join: 30_000,
            ..Size::of(scale)
        }
    } else {
        Size {
            small: 1_000_000,
            large: arguments.large.unwrap_or(20_000_000),
            more_units: 8_000_000,
            sample: 500_000,
            join: 10_000_000,
            ..Size::of(scale)
        }
    };
    let folder = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("custody-bench-")
        .tempdir_in(&folder)
        .expect("a folder for the ledgers");
    let file_system = file_system(folder.path());
    assert!(
        file_system != "tmpfs" && file_system != "ramfs",
        "{} is on {file_system}: a sync costs nothing there; name another folder with --folder",
        folder.path().display()
    );
    println!(
        "{} cores, {file_system}; {:.0} x (4 KiB + fdatasync) a second",
        std::thread::available_parallelism().map_or(1, usize::from),
        limits::sync_rate(folder.path(), 4096, scale.limit_time)
    );
    if let Some(minutes) = arguments.soak {
        let soak = soak::run(folder.path(), minutes, scale.scanners, &arguments.plot);
        runtime.block_on(soak);
        return;
    }
    let rows = runtime.block_on(run(&arguments, folder.path(), scale, size));
    let machine = serde_json::json!({
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "file_system": file_system,
    });
    report::finish(&rows, &machine, arguments.json.as_deref());
}

async fn run(arguments: &Arguments, folder: &Path, scale: Scale, size: Size) -> Vec<Row> {
    let wanted = |name: &str| {
        arguments
            .only
            .as_ref()
            .is_none_or(|only| only.split(',').any(|only| name.contains(only)))
    };
    let mut rows = Vec::new();
    let mut push = |row: Row| {
        row.print();
        rows.push(row);
    };
    if let Some(ledger) = &arguments.ledger {
        large::look_ups(ledger, size, &mut push).await;
        return rows;
    }
    let postgres = if wanted("postgres") || arguments.only.is_none() {
        postgres::rates(folder, scale.limit_time)
    } else {
        None
    };
    match postgres {
        Some((single, hundred)) => {
            println!("PostgreSQL: {single:.0} rows/s one by one, {hundred:.0} in hundreds");
        }
        None => println!("PostgreSQL: not installed or not asked for; its rows are left out"),
    }
    let mut appends = Appends::start(folder, scale, postgres).await;
    let mut append = f64::NAN;
    if wanted("distinct") {
        let row = appends.distinct_keys().await;
        append = row.figure;
        push(row);
    }
    if wanted("same") {
        push(appends.same_key().await);
    }
    if wanted("unary") {
        push(appends.unary().await);
    }
    if wanted("units") {
        push(appends.units().await);
    }
    if wanted("latency") && append.is_finite() {
        push(appends.latency(append).await);
    }
    if wanted("overload") && append.is_finite() {
        let (again, rows) = appends.overload(append).await;
        appends = again;
        rows.into_iter().for_each(&mut push);
    }
    if wanted("audit") {
        push(appends.audit());
    } else {
        drop(appends);
    }
    if wanted("disk") {
        let folder = under(folder, "disk");
        push(disk::row(&folder, scale.scanners.min(64), size.sample).await);
    }
    if wanted("pages") {
        push(pages::row(&under(folder, "pages"), scale.limit_time).await);
    }
    if wanted("cluster") {
        // Each record is checked and written three times there.
        let scale = Scale {
            records: scale.records / 2,
            ..scale
        };
        cluster::rows(&under(folder, "cluster"), scale, &mut push).await;
    }
    if wanted("join") {
        let joined = cluster::join(&under(folder, "join"), scale.scanners, size.join).await;
        joined.into_iter().for_each(&mut push);
    }
    if wanted("large") {
        let kept = large::rows(&under(folder, "large"), size, &mut push).await;
        if arguments.keep {
            let to = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
            let to = to.join("custody-bench-ledger");
            std::fs::rename(kept, &to).expect("moved");
            println!("the ledger is in {}", to.display());
        }
    }
    rows
}

fn under(folder: &Path, name: &str) -> PathBuf {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).expect("a folder");
    folder
}

/// The kind of file system that a folder is on.
fn file_system(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount, _)| folder.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len())
        .map_or_else(|| "unknown".into(), |(_, kind)| kind.to_owned())
}
