//! A job's files in a store that several servers share: whoever takes a job over, or is asked for its failures, has them.
//!
//! What a piece appended is kept in the store before the piece is committed, so a committed piece has all its files there.
//! What comes after the lengths in its record is cut off when the files are opened, as it is on a disk.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use pinport_model::{Format, JobId, PieceRecord};
use pinport_store::{EachKept, Store};

use super::{
    JobError,
    files::{FileError, create_folder, failures_path, file_of_plan, ids_path, on, rejects_path},
};

/// Bytes that are kept in one row.
const CHUNK: usize = 1 << 20;

/// What of a job's files is in the store.
pub(super) struct Mirror {
    store: Arc<dyn Store>,
    /// The job's folder.
    folder: PathBuf,
    job: JobId,
    /// The part whose files they are; 0: the job's own.
    part: u32,
    format: Format,
    kept: BTreeMap<String, u64>,
    /// The rejects file that was open.
    number: u32,
}

impl Mirror {
    /// Of a job that goes on after a piece, or begins: then its plan is kept.
    pub(super) fn open(
        store: &Arc<dyn Store>,
        folder: &Path,
        (job, format): (JobId, Format),
        last: Option<&PieceRecord>,
    ) -> Result<Self, JobError> {
        let mut mirror = Self::of_part(store, folder, (job, 0, format), last);
        if last.is_none() {
            mirror.keep_plan()?;
        }
        Ok(mirror)
    }

    /// Of a part of a job, with the part's own folder.
    pub(super) fn of_part(
        store: &Arc<dyn Store>,
        folder: &Path,
        (job, part, format): (JobId, u32, Format),
        last: Option<&PieceRecord>,
    ) -> Self {
        let mut kept = BTreeMap::new();
        let mut number = 1;
        if let Some(last) = last {
            kept.insert("failures".into(), last.failures_len);
            kept.insert(rejects_name(last.rejects_file), last.rejects_len);
            kept.insert(IDS.into(), ids_len(last));
            number = last.rejects_file.max(1);
        }
        Self { store: Arc::clone(store), folder: folder.to_owned(), job, part, format, kept, number }
    }

    /// Keeps the plan, from its first byte on.
    pub(super) fn keep_plan(&mut self) -> Result<(), JobError> {
        self.keep("plan", &file_of_plan(&self.folder), u64::MAX)
    }

    /// Keeps what the files have up to the lengths of a piece's record.
    pub(super) fn keep_piece(&mut self, record: &PieceRecord) -> Result<(), JobError> {
        self.keep("failures", &failures_path(&self.folder), record.failures_len)?;
        for number in self.number..=record.rejects_file {
            let len = if number == record.rejects_file { record.rejects_len } else { u64::MAX };
            self.keep(&rejects_name(number), &rejects_path(&self.folder, self.format, number), len)?;
        }
        self.number = record.rejects_file.max(1);
        if self.part > 0 {
            self.keep(IDS, &ids_path(&self.folder), ids_len(record))?;
        }
        Ok(())
    }

    fn keep(&mut self, name: &str, path: &Path, len: u64) -> Result<(), JobError> {
        let mut at = self.kept.get(name).copied().unwrap_or(0);
        if at >= len {
            return Ok(());
        }
        let mut file = File::open(path).map_err(on("open", path))?;
        file.seek(SeekFrom::Start(at)).map_err(on("read", path))?;
        let mut rest = file.take(len - at);
        loop {
            let mut chunk = Vec::new();
            (&mut rest).take(CHUNK as u64).read_to_end(&mut chunk).map_err(on("read", path))?;
            if chunk.is_empty() {
                break;
            }
            self.store.keep_file(self.job, self.part, name, at, &chunk)?;
            at += chunk.len() as u64;
        }
        self.kept.insert(name.to_owned(), at);
        Ok(())
    }
}

/// The name of the ids of a part.
const IDS: &str = "ids";

/// Bytes that the ids of a part's records take.
pub(super) fn ids_len(record: &PieceRecord) -> u64 {
    record.with_id * 8
}

fn rejects_name(number: u32) -> String {
    format!("rejects {number}")
}

/// Writes the files of a job that a store keeps into its folder.
pub fn bring(store: &dyn Store, job: JobId, format: Format, folder: &Path) -> Result<(), JobError> {
    bring_part(store, (job, 0), format, folder)
}

/// The same of a part of a job; part 0 is the job itself.
pub(super) fn bring_part(
    store: &dyn Store,
    (job, part): (JobId, u32),
    format: Format,
    folder: &Path,
) -> Result<(), JobError> {
    let mut failed: Option<FileError> = None;
    let mut open: Option<(String, File)> = None;
    let mut write = |name: &str, at: u64, bytes: &[u8]| -> Result<(), FileError> {
        let path = match name.strip_prefix("rejects ").map(str::parse) {
            Some(Ok(number)) => rejects_path(folder, format, number),
            _ if name == "plan" => file_of_plan(folder),
            _ if name == IDS => ids_path(folder),
            _ => failures_path(folder),
        };
        if open.as_ref().is_none_or(|(opened, _)| opened != name) {
            create_folder(folder)?;
            let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
            open = Some((name.to_owned(), file.map_err(on("open", &path))?));
        }
        let Some((_, file)) = &mut open else { return Ok(()) };
        file.seek(SeekFrom::Start(at)).map_err(on("write", &path))?;
        file.write_all(bytes).map_err(on("write", &path))
    };
    store.kept_files(job, part, &mut |name, at, bytes| {
        if failed.is_none() {
            failed = write(name, at, bytes).err();
        }
        Ok(())
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Hands on the files of an ended job, by the names under which a store keeps them; how many bytes they have.
pub fn files_of(folder: &Path, format: Format, keep: &mut EachKept<'_>) -> Result<u64, JobError> {
    let mut all = 0;
    let mut hand_on = |name: &str, path: &Path| -> Result<bool, JobError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(on("open", path)(error).into()),
        };
        let mut at = 0;
        loop {
            let mut chunk = Vec::new();
            (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).map_err(on("read", path))?;
            if chunk.is_empty() {
                break;
            }
            keep(name, at, &chunk)?;
            at += chunk.len() as u64;
        }
        all += at;
        Ok(true)
    };
    hand_on("plan", &file_of_plan(folder))?;
    hand_on("failures", &failures_path(folder))?;
    let mut number = 1;
    while hand_on(&rejects_name(number), &rejects_path(folder, format, number))? {
        number += 1;
    }
    Ok(all)
}

/// Whether a folder has the files of its job, up to a piece.
pub(crate) fn has_all(folder: &Path, format: Format, last: Option<&PieceRecord>) -> bool {
    let has = |path: &Path, len: u64| fs::metadata(path).map_or(0, |found| found.len()) >= len;
    let has_rejects = |last: &PieceRecord| {
        last.rejects_file == 0 || has(&rejects_path(folder, format, last.rejects_file), last.rejects_len)
    };
    file_of_plan(folder).exists()
        && last.is_none_or(|last| has(&failures_path(folder), last.failures_len) && has_rejects(last))
}
