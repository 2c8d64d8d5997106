//! Backups of a data folder: what a snapshot has, by content, in a folder or below a prefix of a bucket.
//!
//! ```text
//! objects/<sha256>       the bytes of a file, once, however many backups have it
//! backups/<time>.json    which files a backup has; written last, so one that is there is whole
//! ```
//!
//! The tables of the store never change once they are written, so a backup after the first reads and takes what is new
//! alone. [`snapshot()`] makes what is backed up; nothing here opens a store.

mod known;
mod snapshot;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Component, Path, PathBuf},
};

use pinport_model::{Timestamp, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{
    known::Stamp,
    snapshot::{SNAPSHOTS, SnapshotError, snapshot, sweep},
    vault::{Vault, VaultError},
};
use known::Known;

use crate::engine::files::{FileError, create_folder, on, sync_folder};

/// The form of a manifest. Newer ones are refused.
const FORM: u32 = 1;
/// Bytes that are hashed or copied at a time.
const PART: usize = 1 << 20;
/// How often a file is copied that changes meanwhile.
const TRIES: u32 = 5;
/// The largest manifest that is read: some hundred thousand files.
const MAX_MANIFEST: usize = 256 << 20;

/// A backup, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The form of this.
    pub pinport_backup: u32,
    /// When it was made: its name.
    pub made: Timestamp,
    /// Its files.
    pub files: Vec<BackedUp>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Its path in the data folder, with `/` between.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256, by which they are found.
    pub sha256: String,
    /// By what the next backup knows it again without reading it; tables of the store have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
}

/// What a backup came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files of it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were not there from earlier backups.
    pub new_bytes: u64,
    /// Bytes that were read to know what they are.
    pub read_bytes: u64,
}

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Where it is cannot be read or written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A file of the data folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is none of this name, or none at all.
    #[error("there is no backup {0}")]
    None(String),
    /// It is not as it was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// A file is written to again and again.
    #[error("{0} changes while it is backed up: try again")]
    Changing(String),
    /// A newer pinport wrote it.
    #[error("the backup has form {0}; this pinport knows forms up to {FORM}: use a newer one")]
    Newer(u32),
}

impl Backup {
    /// Its name.
    pub fn name(&self) -> String {
        name_of(self.made)
    }

    /// All of its bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The name of a backup of this time. Names have the order of time.
fn name_of(made: Timestamp) -> String {
    made.to_string().replace([':', '.'], "-")
}

fn object(sha256: &str) -> String {
    format!("objects/{sha256}")
}

fn manifest(name: &str) -> String {
    format!("backups/{name}.json")
}

/// Backs a snapshot up; the backup and what it took. `report` is called for each file.
pub fn back_up(
    snapshot: &Path,
    vault: &Vault,
    report: &mut dyn FnMut(&BackedUp, bool),
) -> Result<(Backup, Copied), BackupError> {
    let mut there: BTreeSet<String> = vault.names("objects/")?.into_keys().collect();
    let mut backup = Backup { pinport_backup: FORM, made: Timestamp::now(), files: Vec::new() };
    let mut copied = Copied::default();
    let known = Known::in_vault(vault)?;
    for path in files_below(snapshot)? {
        let whole = snapshot.join(&path);
        let stamp = Stamp::of(&whole, &path);
        let length = fs::metadata(&whole).map_err(on("open", &whole))?.len();
        let same = known.get(&path, length, stamp).filter(|file| there.contains(&object(&file.sha256)));
        let (file, is_new) = match same {
            Some(file) => (file, false),
            None => {
                let taken = take(&whole, path, stamp, vault, &mut there)?;
                copied.read_bytes += taken.0.size;
                taken
            }
        };
        if is_new {
            copied.new_bytes += file.size;
        }
        copied.files += 1;
        copied.bytes += file.size;
        report(&file, is_new);
        backup.files.push(file);
    }
    let json = serde_json::to_vec(&backup).map_err(|error| BackupError::Damaged(error.to_string()))?;
    vault.put(&manifest(&backup.name()), &mut &json[..])?;
    Ok((backup, copied))
}

/// Reads a file and takes its content, if it is new; what it is and whether it was new. `there`: what was taken before.
fn take(
    whole: &Path,
    path: String,
    stamp: Option<Stamp>,
    vault: &Vault,
    there: &mut BTreeSet<String>,
) -> Result<(BackedUp, bool), BackupError> {
    for _ in 0..TRIES {
        let (size, sha256) = hashed(whole)?;
        let file = BackedUp { path: path.clone(), size, sha256, stamp };
        let name = object(&file.sha256);
        if there.contains(&name) {
            return Ok((file, false));
        }
        // What a job appends meanwhile is no part of it.
        let source = File::open(whole).map_err(on("open", whole))?.take(size);
        let mut read = Hashing::new(source);
        vault.put(&name, &mut read)?;
        if read.sum() == (size, file.sha256.clone()) {
            there.insert(name);
            return Ok((file, true));
        }
        vault.remove(&name)?;
    }
    Err(BackupError::Changing(path))
}

/// The names of the backups, the oldest first.
pub fn names(vault: &Vault) -> Result<Vec<String>, BackupError> {
    let found = vault.names("backups/")?.into_keys();
    let names =
        found.filter_map(|name| Some(name.strip_prefix("backups/")?.strip_suffix(".json")?.to_owned()));
    Ok(names.collect())
}

/// A backup by its name; the newest without one.
pub fn find(vault: &Vault, name: Option<&str>) -> Result<Backup, BackupError> {
    let names = names(vault)?;
    let name = match name {
        Some(name) => {
            names.iter().find(|known| *known == name).ok_or_else(|| BackupError::None(name.into()))?
        }
        None => names.last().ok_or_else(|| BackupError::None("there".into()))?,
    };
    let mut json = Limited(Vec::new());
    vault.get(&manifest(name), &mut json)?;
    let damaged = |error: serde_json::Error| BackupError::Damaged(format!("{}: {error}", manifest(name)));
    let form: Form = serde_json::from_slice(&json.0).map_err(damaged)?;
    if form.pinport_backup > FORM {
        return Err(BackupError::Newer(form.pinport_backup));
    }
    let backup: Backup = serde_json::from_slice(&json.0).map_err(damaged)?;
    if let Some(file) = backup.files.iter().find(|file| !is_within(&file.path) || !is_hash(&file.sha256)) {
        return Err(BackupError::Damaged(format!("{} is no path of a data folder", file.path)));
    }
    Ok(backup)
}

#[derive(Deserialize)]
struct Form {
    pinport_backup: u32,
}

/// Reads every byte of a backup again; the files that are missing or are not as they were written.
pub fn verify(vault: &Vault, backup: &Backup) -> Result<Vec<String>, BackupError> {
    let mut wrong = Vec::new();
    // A content that several files have is read once.
    let mut read: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for file in &backup.files {
        let fault = match read.get(file.sha256.as_str()) {
            Some(fault) => fault.clone(),
            None => {
                let mut hash = Hashing::new(io::sink());
                let fault = match vault.get(&object(&file.sha256), &mut hash) {
                    Ok(()) => hash.fault(file),
                    Err(error) if error.is_gone() => Some("it is missing".to_owned()),
                    Err(error) => return Err(error.into()),
                };
                read.insert(&file.sha256, fault.clone());
                fault
            }
        };
        wrong.extend(fault.map(|fault| format!("{}: {fault}", file.path)));
    }
    Ok(wrong)
}

/// Writes a backup's files into a folder, which must hold none of them. Each is held against its sum on the way.
pub fn restore(vault: &Vault, backup: &Backup, folder: &Path) -> Result<(), BackupError> {
    let mut folders = BTreeSet::new();
    for file in &backup.files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder).to_owned();
        create_folder(&parent)?;
        folders.insert(parent);
        let new = File::options().write(true).create_new(true).open(&path).map_err(on("create", &path))?;
        let mut hash = Hashing::new(new);
        vault.get(&object(&file.sha256), &mut hash)?;
        hash.inner.sync_all().map_err(on("sync", &path))?;
        if let Some(fault) = hash.fault(file) {
            return Err(BackupError::Damaged(format!("{}: {fault}", file.path)));
        }
    }
    Ok(folders.iter().try_for_each(|folder| sync_folder(folder))?)
}

/// Removes all backups but the newest, and what they alone had; how many, and how many contents.
pub fn prune(vault: &Vault, keep: usize) -> Result<(usize, usize), BackupError> {
    let names = names(vault)?;
    let (old, kept) = names.split_at(names.len().saturating_sub(keep.max(1)));
    let mut needed = BTreeSet::new();
    for name in kept {
        needed.extend(find(vault, Some(name))?.files.into_iter().map(|file| object(&file.sha256)));
    }
    // Backups before what they have: one that is there is whole.
    for name in old {
        vault.remove(&manifest(name))?;
    }
    let mut removed = 0;
    for name in vault.names("objects/")?.into_keys().filter(|name| !needed.contains(name)) {
        vault.remove(&name)?;
        removed += 1;
    }
    Ok((old.len(), removed))
}

/// Bytes in memory, up to the largest manifest.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_MANIFEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the list of its files is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what is read from or written to another.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes passed, and their SHA-256.
    fn sum(self) -> (u64, String) {
        (self.bytes, hex(self.hash.finalize()))
    }

    /// What is wrong with what passed, if it is not this file.
    fn fault(self, file: &BackedUp) -> Option<String> {
        let (bytes, sum) = self.sum();
        if bytes != file.size {
            return Some(format!("it has {bytes} bytes instead of {}", file.size));
        }
        (sum != file.sha256).then(|| "its bytes are not those that were written".into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(part)?;
        self.add(&part[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a path stays within the folder that it is joined to.
fn is_within(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn hashed(path: &Path) -> Result<(u64, String), BackupError> {
    let file = File::open(path).map_err(on("open", path))?;
    let mut hash = Hashing::new(io::sink());
    io::copy(&mut BufReader::with_capacity(PART, file), &mut hash).map_err(on("read", path))?;
    Ok(hash.sum())
}

/// The files below a folder, in order.
fn files_below(folder: &Path) -> Result<Vec<String>, BackupError> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(below) = folders.pop() {
        let at = folder.join(&below);
        for entry in fs::read_dir(&at).map_err(on("read", &at))? {
            let entry = entry.map_err(on("read", &at))?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type().map_err(on("read", &at))?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                found.push(parts.join("/"));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Vault {
        Vault::of_folder(folder).unwrap()
    }

    #[test]
    fn a_backup_takes_what_is_new_and_gives_it_back() {
        let lab = tempfile::tempdir().unwrap();
        let (data, to) = (lab.path().join("data"), lab.path().join("to"));
        fs::create_dir_all(data.join("store/db")).unwrap();
        fs::write(data.join("store/db/1.sst"), b"one").unwrap();
        fs::write(data.join("store/db/2.sst"), b"one").unwrap();
        fs::write(data.join("store/layout"), b"3\n").unwrap();
        let vault = vault(&to);
        let (first, copied) = back_up(&data, &vault, &mut |_, _| {}).unwrap();
        assert_eq!(copied, Copied { files: 3, bytes: 8, new_bytes: 5, read_bytes: 8 });
        fs::write(data.join("store/db/3.sst"), b"three").unwrap();
        fs::remove_file(data.join("store/db/1.sst")).unwrap();
        // Names are of milliseconds.
        while name_of(Timestamp::now()) == first.name() {}
        let (second, copied) = back_up(&data, &vault, &mut |_, _| {}).unwrap();
        assert_eq!((copied.files, copied.new_bytes, copied.read_bytes), (3, 5, 7));
        assert_eq!(names(&vault).unwrap(), [first.name(), second.name()]);
        assert_eq!(find(&vault, None).unwrap(), second);
        assert_eq!(verify(&vault, &first).unwrap(), [] as [String; 0]);
        let back = lab.path().join("back");
        restore(&vault, &first, &back).unwrap();
        assert_eq!(fs::read(back.join("store/db/1.sst")).unwrap(), b"one");
        assert!(!back.join("store/db/3.sst").exists());
        // What is there is not written over.
        assert!(restore(&vault, &first, &back).is_err());

        assert_eq!(prune(&vault, 1).unwrap(), (1, 0));
        fs::remove_file(data.join("store/db/2.sst")).unwrap();
        while name_of(Timestamp::now()) == second.name() {}
        let (third, _) = back_up(&data, &vault, &mut |_, _| {}).unwrap();
        assert_eq!(prune(&vault, 1).unwrap(), (1, 1));
        assert_eq!(verify(&vault, &third).unwrap(), [] as [String; 0]);
    }

    /// Bytes that no one writes in a table are put there: whoever read them would notice.
    #[test]
    fn a_table_that_the_newest_backup_has_is_not_read_again() {
        let lab = tempfile::tempdir().unwrap();
        let (data, to) = (lab.path().join("data"), lab.path().join("to"));
        fs::create_dir_all(data.join("store/db")).unwrap();
        let (table, list) = (data.join("store/db/1.sst"), data.join("store/db/MANIFEST-1"));
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_790_000_000, 5);
        let write = |path: &Path, bytes: &[u8], time| {
            let mut file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
            file.write_all(bytes).unwrap();
            file.set_modified(time).unwrap();
        };
        let vault = vault(&to);
        let mut last = None;
        let mut back_up = || {
            while last == Some(name_of(Timestamp::now())) {}
            let (backup, copied) = back_up(&data, &vault, &mut |_, _| {}).unwrap();
            last = Some(backup.name());
            (backup, (copied.new_bytes, copied.read_bytes))
        };
        write(&table, b"table", time);
        write(&list, b"list", time);
        let (first, taken) = back_up();
        assert_eq!(taken, (9, 9));
        write(&table, b"TABLE", time);
        write(&list, b"LIST", time);
        let (second, taken) = back_up();
        assert_eq!(taken, (4, 4), "the list alone");
        assert_eq!(second.files[0], first.files[0]);
        // Another time, another file in its place, or a content that is gone: it is read.
        write(&table, b"TABLE", time + std::time::Duration::from_nanos(100));
        assert_eq!(back_up().1, (5, 9));
        fs::rename(&table, data.join("old")).unwrap();
        write(&table, b"other", time + std::time::Duration::from_nanos(100));
        fs::remove_file(data.join("old")).unwrap();
        let (fourth, taken) = back_up();
        assert_eq!(taken, (5, 9));
        fs::remove_file(to.join(object(&fourth.files[0].sha256))).unwrap();
        let (fifth, taken) = back_up();
        assert_eq!(taken, (5, 9));
        assert_eq!(verify(&vault, &fifth).unwrap(), [] as [String; 0]);
    }

    #[test]
    fn damage_is_found_and_not_restored() {
        let lab = tempfile::tempdir().unwrap();
        let (data, to) = (lab.path().join("data"), lab.path().join("to"));
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("a"), b"alpha").unwrap();
        fs::write(data.join("b"), b"beta").unwrap();
        let vault = vault(&to);
        let (backup, _) = back_up(&data, &vault, &mut |_, _| {}).unwrap();
        let place = |file: &BackedUp| to.join(object(&file.sha256));
        fs::write(place(&backup.files[0]), b"alphA").unwrap();
        fs::remove_file(place(&backup.files[1])).unwrap();
        let wrong = verify(&vault, &backup).unwrap();
        assert_eq!(wrong, ["a: its bytes are not those that were written", "b: it is missing"]);
        let error = restore(&vault, &backup, &lab.path().join("back")).unwrap_err();
        assert!(matches!(error, BackupError::Damaged(_)), "{error}");
        // A list that leads out of the folder is refused.
        let mut evil = backup;
        evil.files[0].path = "../a".into();
        let json = serde_json::to_vec(&evil).unwrap();
        vault.put(&manifest("9"), &mut &json[..]).unwrap();
        assert!(matches!(find(&vault, None), Err(BackupError::Damaged(_))));
        assert!(matches!(find(&vault, Some("8")), Err(BackupError::None(_))));
    }
}
