//! A PostgreSQL of this machine's packages, for the tests of this process: started in a folder of its own, stopped with the
//! process. A test that cannot start it fails: what is skipped shows nothing.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a server may take to come up, on a machine that builds beside it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server with Citus needs besides.
const CITUS: &[&str] = &[
    "shared_preload_libraries=citus",
    "citus.shard_count=4",
    "citus.node_conninfo=sslmode=disable",
    "max_prepared_transactions=300",
];

/// A server, reached by a socket in its folder.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    /// It runs as long as this one's standard input is open.
    guard: Option<Child>,
}

impl Cluster {
    /// Starts a server. It does not sync: what a test process leaves behind is thrown away.
    pub(crate) fn start() -> Self {
        let programs = programs();
        // PostgreSQL refuses to run as root.
        let user = is_root()
            .then(|| other_user().expect("no user to run PostgreSQL as: neither postgres nor nobody"));
        let mut cluster = Self { folder: folder(user), programs, user, guard: None };
        let data = cluster.folder.join("data");
        let mut initdb = cluster.command("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=pinport",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        let output = initdb.arg(&data).output().unwrap();
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        cluster.run();
        if has_citus() {
            // It is its own only node.
            let node = format!("'{}', 5432", cluster.folder.display());
            cluster.ask("CREATE EXTENSION citus");
            cluster.ask(&format!("SELECT citus_set_coordinator_host({node})"));
            cluster.ask(&format!("SELECT citus_set_node_property({node}, 'shouldhaveshards', true)"));
        }
        cluster
    }

    /// Starts the server in its folder, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let folder = self.folder.display().to_string();
        let script = r#"folder=$1; shift; trap '' INT TERM
            "$@" >"$folder/log" 2>&1 & server=$!
            while read -r line; do
                case $line in
                    crash) kill -QUIT $server; wait $server; exit ;;
                    stop) kill -INT $server; wait $server; exit ;;
                esac
            done
            kill -QUIT $server; wait $server; rm -rf "$folder""#;
        let mut guard = Command::new("/bin/sh");
        if let Some((uid, gid)) = self.user {
            guard.uid(uid).gid(gid);
        }
        guard.current_dir(&self.folder).args(["-c", script, "sh", &folder]);
        guard.arg(self.programs.join("postgres")).arg("-D").arg(self.folder.join("data"));
        let settings = [
            "listen_addresses=",
            &format!("unix_socket_directories={folder}"),
            "fsync=off",
            "max_connections=300",
            "shared_buffers=64MB",
            "max_wal_size=256MB",
        ];
        for setting in settings.iter().chain(if has_citus() { CITUS } else { &[] }) {
            guard.args(["-c", setting]);
        }
        self.guard = Some(guard.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while !self.command("pg_isready").args(["-q", "-h", &folder]).status().unwrap().success() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not answer: {}", log());
            let ended = self.guard.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(ended, None, "PostgreSQL ended: {}", log());
        }
    }

    /// Ends the server at once, as a crash does; [`Cluster::run`] recovers it.
    #[allow(dead_code, reason = "not all who include this file do")]
    pub(crate) fn crash(&mut self) {
        use std::io::Write as _;
        let mut guard = self.guard.take().unwrap();
        guard.stdin.take().unwrap().write_all(b"crash\n").unwrap();
        guard.wait().unwrap();
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgres://pinport@{folder}/postgres")
    }

    /// The socket at which it is reached.
    #[allow(dead_code, reason = "not all who include this file do")]
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Starts a copy of the server that follows it, without waiting for one another.
    #[allow(dead_code, reason = "not all who include this file do")]
    pub(crate) fn standby(&self) -> Self {
        let mut standby =
            Self { folder: folder(self.user), programs: self.programs.clone(), user: self.user, guard: None };
        let mut copy = self.command("pg_basebackup");
        copy.args(["--no-sync", "-R", "-X", "stream", "-c", "fast", "-U", "pinport", "-h"]).arg(&self.folder);
        let output = copy.arg("-D").arg(standby.folder.join("data")).output().unwrap();
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        standby.run();
        standby
    }

    /// One of PostgreSQL's programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.folder);
        command
    }

    /// What a statement answers, one line a row.
    pub(crate) fn ask(&self, sql: &str) -> String {
        let output = self
            .command("psql")
            .args(["-XAtq", "-U", "pinport", "-h"])
            .arg(&self.folder)
            .args(["-d", "postgres", "-c", sql])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// Whether PostgreSQL has Citus, and tables are distributed by it: it is in no package that `scripts/setup` could install.
fn has_citus() -> bool {
    std::env::var_os("PINPORT_TEST_CITUS").is_some()
}

/// The folder with PostgreSQL's programs: what `PINPORT_TEST_POSTGRES` says, or those of the newest version that is installed.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("PINPORT_TEST_POSTGRES") {
        return folder.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").exists() && folder.join("postgres").exists())
        .collect();
    found.sort();
    if let Some((_, folder)) = found.pop() {
        return folder;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").exists())
        .expect("PostgreSQL is not installed: scripts/setup installs it")
}

/// A new folder for a server that runs as this user.
fn folder(user: Option<(u32, u32)>) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("pinport-pg-").tempdir_in(parent).unwrap().keep();
    if let Some((uid, gid)) = user {
        chown(&folder, Some(uid), Some(gid)).unwrap();
    }
    folder
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// User and group of an account that may run PostgreSQL.
fn other_user() -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
