//! PostgreSQL as a yardstick: rows chained per item by a trigger, durable, without signatures. A
//! server of its own on a private port and folder, and `pgbench` as its load.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const PORT: &str = "54329";

const SCHEMA: &str = "
CREATE TABLE heads (item bigint PRIMARY KEY, hash bytea NOT NULL);
CREATE TABLE custody (id bigserial PRIMARY KEY, item bigint NOT NULL, prev bytea, hash bytea,
    payload bytea NOT NULL);
CREATE FUNCTION chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT hash INTO NEW.prev FROM heads WHERE item = NEW.item FOR UPDATE;
    NEW.hash := sha256(coalesce(NEW.prev, ''::bytea) || NEW.payload);
    INSERT INTO heads VALUES (NEW.item, NEW.hash)
        ON CONFLICT (item) DO UPDATE SET hash = EXCLUDED.hash;
    RETURN NEW;
END $$;
CREATE TRIGGER chain BEFORE INSERT ON custody FOR EACH ROW EXECUTE FUNCTION chain();
";

const SINGLE: &str = "\\set item random(1, 100000)
INSERT INTO custody (item, payload) VALUES (:item, decode(repeat('ab', 330), 'hex'));
";

const HUNDRED: &str = "\\set item random(1, 100000000)
INSERT INTO custody (item, payload)
    SELECT :item::bigint * 100 + n, decode(repeat('ab', 330), 'hex') FROM generate_series(1, 100) n;
";

/// Where the newest installed server's programs are.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("pgbench").exists() && programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

/// Rows a second: one by one by 16 clients, and in transactions of 100. None when PostgreSQL is
/// not installed.
pub fn rates(folder: &Path, time: Duration) -> Option<(f64, f64)> {
    let server = Postgres::start(&programs()?, folder)?;
    server.load("schema.sql", SCHEMA)?;
    let seconds = time.as_secs().max(3);
    let single = server.bench(SINGLE, 16, seconds)?;
    let hundred = server.bench(HUNDRED, 4, seconds)? * 100.0;
    Some((single, hundred))
}

struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    /// PostgreSQL refuses to run as root.
    as_user: bool,
}

impl Postgres {
    fn start(programs: &Path, folder: &Path) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let server = Self {
            programs: programs.to_owned(),
            folder: folder.join("postgres"),
            as_user: is_root(),
        };
        std::fs::create_dir(&server.folder).ok()?;
        if server.as_user {
            // The other user has to reach the folder.
            let open = std::fs::Permissions::from_mode(0o711);
            std::fs::set_permissions(folder, open).ok()?;
            run(Command::new("chown").arg("postgres").arg(&server.folder))?;
        }
        let data = server.folder.join("data");
        run(server
            .command("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust"]))?;
        let options = format!(
            "-p {PORT} -k {} -c listen_addresses='' -c shared_buffers=512MB -c max_wal_size=4GB",
            server.folder.display()
        );
        let log = server.folder.join("log");
        let mut start = server.command("pg_ctl");
        start.arg("-D").arg(&data).arg("-l").arg(&log);
        run(start.args(["-w", "-o", &options, "start"]))?;
        Some(server)
    }

    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if self.as_user {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }

    fn client(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.args(["-p", PORT, "-h"]).arg(&self.folder);
        command
    }

    fn write(&self, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        let mut file = std::fs::File::create(&path).ok()?;
        file.write_all(text.as_bytes()).ok()?;
        Some(path)
    }

    fn load(&self, name: &str, sql: &str) -> Option<()> {
        let path = self.write(name, sql)?;
        let mut psql = self.client("psql");
        run(psql.args(["-q", "-d", "postgres", "-f"]).arg(path))
    }

    /// Transactions a second of a script.
    fn bench(&self, script: &str, clients: usize, seconds: u64) -> Option<f64> {
        let path = self.write("script.sql", script)?;
        let mut pgbench = self.client("pgbench");
        pgbench.args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &clients.to_string(),
        ]);
        pgbench.args(["-T", &seconds.to_string(), "-f"]).arg(path);
        let output = pgbench.arg("postgres").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = || {
            let line = text.lines().find(|line| line.starts_with("tps = "))?;
            line.split_whitespace().nth(2)?.parse().ok()
        };
        let rate = rate();
        if rate.is_none() {
            eprintln!(
                "pgbench failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        rate
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        let mut stop = self.command("pg_ctl");
        let _ = run(stop.arg("-D").arg(data).args(["-m", "immediate", "stop"]));
    }
}

fn run(command: &mut Command) -> Option<()> {
    let status = command.stdout(Stdio::null()).status();
    if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Some(());
    }
    eprintln!("{command:?} failed: {status:?}");
    None
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
