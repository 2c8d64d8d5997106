//! The harness: a folder that goes away, the real binary run in it, and what it said, wrote and took.
//!
//! Start at [`Lab`]. Nothing here knows what an import should do; that is what the tests are for.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    fmt::Debug,
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pinport");
pub(crate) const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// No test waits longer than this for anything; it is only reached by a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Space that the largest tests take together, and more.
const ROOMY: u64 = 6 << 30;

/// A folder with a data folder in it.
pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("pinport-it-").tempdir_in(place()).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and its folders.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        if path.extension().is_some_and(|suffix| suffix == "toml" || suffix == "key") {
            // They may hold secrets, and are refused if others can read them.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    /// pinport in this folder, with the data folder `data` in it and nothing else from the environment.
    pub(crate) fn pinport(&self, arguments: &[&str]) -> Run {
        self.pinport_with("data", arguments)
    }

    /// The same with another data folder.
    pub(crate) fn pinport_with(&self, data: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["PINPORT_", "AWS_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.env("PINPORT_DATA", self.path(data)).env("HOME", self.folder.path());
        Run { command, input: Vec::new() }
    }

    /// Sample rows.
    pub(crate) fn sample(&self, arguments: &str) -> Vec<u8> {
        self.pinport(&["sample"]).args(arguments.split_whitespace()).expect(0).out
    }

    /// Writes sample rows into a file of the folder. They do not pass through this process: what it ever took counts as the
    /// memory of whatever it starts.
    pub(crate) fn write_sample(&self, name: &str, arguments: &str) -> PathBuf {
        let path = self.write(name, "");
        let Run { mut command, .. } = self.pinport(&["sample"]).args(arguments.split_whitespace());
        let done = command.stdout(fs::File::create(&path).unwrap()).status().unwrap();
        assert!(done.success(), "pinport sample {arguments}: {done}");
        path
    }

    /// What an import of these sample rows must count.
    pub(crate) fn sample_tally(&self, arguments: &str) -> Value {
        self.pinport(&["sample", "--tally"]).args(arguments.split_whitespace()).expect(0).json()
    }

    /// An import whose outcome is read as JSON.
    pub(crate) fn import(&self, source: &str, format: &str, more: &[&str]) -> Run {
        self.import_with("data", source, format, more)
    }

    pub(crate) fn import_with(&self, data: &str, source: &str, format: &str, more: &[&str]) -> Run {
        self.pinport_with(data, &["import", source, "--format", format, "--json"]).args(more)
    }

    /// The members of a segment as they are printed.
    pub(crate) fn members(&self, data: &str, segment: &str) -> Vec<u8> {
        self.pinport_with(data, &["segment", "members", segment]).expect(0).out
    }

    /// An endpoint of the application `default`.
    pub(crate) fn endpoint(&self, id: &str) -> Value {
        self.pinport(&["endpoint", "get", id]).expect(0).json()
    }
}

/// Where tests put their files: in memory if there is room, because they sync a lot and none of them can
/// tell the difference; `PINPORT_TEST_DIR` says otherwise.
fn place() -> PathBuf {
    if let Some(folder) = std::env::var_os("PINPORT_TEST_DIR") {
        return folder.into();
    }
    let memory = Path::new("/dev/shm");
    if free_bytes(memory) > ROOMY { memory.into() } else { std::env::temp_dir() }
}

/// Lets a moment pass between two questions. It proves nothing: whoever waits asks again, up to a deadline.
pub(crate) fn pause(time: Duration) {
    let (_keep, never) = mpsc::sync_channel::<()>(1);
    let _ = never.recv_timeout(time);
}

pub(crate) fn free_bytes(folder: &Path) -> u64 {
    pinport_pipeline::disk::Disk::of(folder).unwrap().free
}

/// A command that has not begun.
pub(crate) struct Run {
    pub(crate) command: Command,
    input: Vec<u8>,
}

impl Run {
    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> Self {
        self.command.args(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this umask, whatever that of the test is.
    pub(crate) fn umask(mut self, mask: libc::mode_t) -> Self {
        // SAFETY: the call may be made between fork and exec.
        unsafe {
            self.command.pre_exec(move || {
                libc::umask(mask);
                Ok(())
            })
        };
        self
    }

    pub(crate) fn folder(mut self, folder: &str) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Run by another program, whose arguments end with the command.
    pub(crate) fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        self.command = command;
        self
    }

    /// As another user.
    pub(crate) fn user(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self
    }

    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Outcome {
        let input = self.input.clone();
        let mut running = self.start();
        let mut pipe = running.input.take().unwrap();
        let writer = std::thread::spawn(move || {
            // Whoever stops reading has a reason, which the exit code tells.
            let _ = pipe.write_all(&input);
        });
        let outcome = running.wait();
        writer.join().unwrap();
        outcome
    }

    /// Runs it to its end, which must be this one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Outcome {
        let shown = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        let outcome = self.run();
        assert_eq!(
            outcome.code,
            Some(code),
            "{shown}\n{}\n{}",
            outcome.err,
            String::from_utf8_lossy(&outcome.out[..outcome.out.len().min(4000)])
        );
        outcome
    }

    /// Starts it; its standard input stays open.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        forget_peak();
        let mut child = self.command.spawn().unwrap();
        let own = peak_of("self").unwrap_or_default();
        let (ended_sender, ended) = mpsc::sync_channel(1);
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).unwrap();
            let _ = ended_sender.send(());
            bytes
        });
        let err = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Running { input: child.stdin.take(), child, own, out, err, ended }
    }
}

/// Lets what this process took at most be what it has now: a command that it starts begins with that as its own peak, and
/// the tests that ran before would be counted as its memory. Where the system does not do so, the peak stays.
fn forget_peak() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it gives back what is free, and reads and writes nothing of ours.
    unsafe {
        libc::malloc_trim(0);
    }
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    /// What this process had at most when it started the command.
    own: u64,
    pub(crate) input: Option<std::process::ChildStdin>,
    out: JoinHandle<Vec<u8>>,
    err: JoinHandle<String>,
    ended: mpsc::Receiver<()>,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a power switch would, unless it ends before. Returns whether it had to be killed.
    pub(crate) fn kill_after(mut self, time: Duration) -> (bool, Outcome) {
        let _ = self.ended.recv_timeout(time);
        self.child.kill().unwrap();
        let outcome = self.wait();
        (outcome.code.is_none(), outcome)
    }

    /// Waits until `is` says so. Returns whether the command still ran then.
    pub(crate) fn until(&self, mut is: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < PATIENCE, "what was waited for did not come");
            match self.ended.recv_timeout(Duration::from_millis(2)) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                _ => return false,
            }
        }
        true
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for, so its id is its own.
        let done = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(done, 0);
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Outcome {
        drop(self.input.take());
        let (mut status, id) = (0, self.child.id().cast_signed());
        let mut seen = 0;
        let usage = loop {
            // SAFETY: both structures are plain and ours, and zeroes are a value of them.
            let (waited, usage) = unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                (libc::wait4(id, &mut status, libc::WNOHANG, &mut usage), usage)
            };
            if waited == id {
                break usage;
            }
            assert_eq!(waited, 0);
            seen = peak_of(&id.to_string()).unwrap_or_default().max(seen);
            pause(Duration::from_millis(1));
        };
        let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        // What Linux says at the end counts what this process had when it started the command. Unless that is less, what
        // was seen while the command ran is the truth.
        let said = u64::try_from(usage.ru_maxrss).unwrap() << 10;
        let peak = if said > self.own.max(peak_of("self").unwrap_or_default()) { said } else { seen };
        Outcome { code, out: self.out.join().unwrap(), err: self.err.join().unwrap(), peak }
    }
}

/// Bytes of memory that a process had at most, since it began its program.
fn peak_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let (_, peak) = status.split_once("VmHWM:")?;
    peak.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    /// Bytes of memory it had at most.
    pub(crate) peak: u64,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.out);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:.2000}\n{}", self.err))
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.err.contains(word), "it does not say {word:?}:\n{}", self.err);
        }
        self
    }
}

/// The counts of an import's outcome: read, registered, failed.
pub(crate) fn counts(outcome: &Value) -> (u64, u64, u64) {
    let count = |name: &str| outcome[name].as_u64().unwrap();
    assert_eq!(outcome["TotalFailures"], outcome["Failed"]);
    (count("TotalProcessed"), count("Registered"), count("Failed"))
}

/// How many records failed by which code.
pub(crate) fn codes(outcome: &Value) -> std::collections::BTreeMap<String, u64> {
    let mut codes = std::collections::BTreeMap::new();
    for class in outcome["FailureClasses"].as_array().unwrap() {
        *codes.entry(class["code"].as_str().unwrap().to_owned()).or_default() +=
            class["count"].as_u64().unwrap();
    }
    codes
}

/// The failures file of an import.
pub(crate) fn failures(outcome: &Value) -> Vec<u8> {
    fs::read(outcome["Run"]["FailuresFile"].as_str().unwrap()).unwrap()
}

/// The reject files of an import.
pub(crate) fn reject_files(outcome: &Value) -> Vec<PathBuf> {
    let files = outcome["Run"]["RejectFiles"].as_array().unwrap().iter();
    files.map(|path| PathBuf::from(path.as_str().unwrap())).collect()
}

/// Lines of JSON.
pub(crate) fn lines(bytes: &[u8]) -> Vec<Value> {
    BufReader::new(bytes).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// Bytes with what differs from job to job masked: its time, and its application's id.
pub(crate) fn masked(bytes: &[u8], outcome: &Value) -> String {
    let mut text = String::from_utf8(bytes.to_vec()).unwrap();
    for name in ["CreationDate", "ApplicationId"] {
        text = text.replace(outcome[name].as_str().unwrap(), name);
    }
    text
}

/// Fails with the first line that differs; the whole is too much to read.
#[track_caller]
pub(crate) fn same_lines(one: &str, other: &str, what: &str) {
    if one != other {
        for (number, (a, b)) in one.lines().zip(other.lines()).enumerate() {
            assert_eq!(a, b, "{what} differ at line {}", number + 1);
        }
        panic!("{what} differ in length: {} and {} lines", one.lines().count(), other.lines().count());
    }
}

/// A gzip file of several members.
pub(crate) fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        let mut encoder = flate2::write::GzEncoder::new(&mut all, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    all
}

/// Numbers that a seed repeats.
pub(crate) struct Random(u64);

impl Random {
    /// From the clock, or as `PINPORT_TORTURE_SEED` says. Prints the seed.
    pub(crate) fn seeded(what: &str) -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = std::env::var("PINPORT_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(u64::from(clock.subsec_nanos()));
        eprintln!("{what}: PINPORT_TORTURE_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Whether the tests run as root, who may mount and change users.
pub(crate) fn is_root() -> bool {
    // SAFETY: the call has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Says why a test does nothing.
pub(crate) fn skip(test: &str, reason: impl Debug) {
    eprintln!("SKIPPED {test}: {reason:?}");
}

/// Copies a folder and all in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The jobs' folders in a data folder, oldest first.
pub(crate) fn job_folders(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data.join("jobs")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Whether the newest job of a data folder is about to commit its first piece with failures, or did.
pub(crate) fn has_begun(data: &Path) -> bool {
    let newest = job_folders(data).pop();
    newest.is_some_and(|job| fs::metadata(job.join("failures.ndjson")).is_ok_and(|file| file.len() > 0))
}

/// What must not depend on whether an import was interrupted.
#[track_caller]
pub(crate) fn same_outcome(one: &Value, other: &Value) {
    for name in [
        "JobStatus",
        "TotalProcessed",
        "TotalFailures",
        "CompletedPieces",
        "FailedPieces",
        "TotalPieces",
        "Failures",
        "Registered",
        "Failed",
        "Objects",
        "SkippedObjects",
        "Bytes",
        "SourceBytes",
        "FailureClasses",
        "Warnings",
    ] {
        assert_eq!(one[name], other[name], "{name}");
    }
    let text = |outcome| String::from_utf8_lossy(&failures(outcome)).into_owned();
    same_lines(&text(one), &text(other), "the failures");
    let rejects = |outcome| -> Vec<Vec<u8>> {
        reject_files(outcome).iter().map(|path| fs::read(path).unwrap()).collect()
    };
    assert!(rejects(one) == rejects(other), "the rejects differ");
}
