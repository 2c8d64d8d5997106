//! The files of a job beside the store: its plan, its failures and the records that failed.
//!
//! ```text
//! <folder>/plan.ndjson       every object that was listed, in key order, then a summary
//! <folder>/failures.ndjson   failed records in source order: all of them, or what the job's budget keeps
//! <folder>/rejects.csv|json  their original bytes, importable as they are
//! ```
//!
//! Failures and rejects are appended and synced before the piece they belong to is committed; the piece's
//! record holds their lengths, and what comes after those lengths is cut off when a job goes on. A rejects file
//! has one CSV header, so objects with another header go to `rejects-2.csv`, `rejects-3.csv` and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use pinport_model::{Failure, Format, PieceRecord, PlannedObject, RejectPlace, job::PlanSummary};
pub use pinport_store::durable::{FileError, create_folder};
pub(crate) use pinport_store::durable::{on, sync_folder};
use pinport_store::{boundary, durable};
use serde::{Deserialize, Serialize};

use super::keeping::{FILE_BYTES, Keeping};
use crate::{source::SourceError, text::ends_inside};

/// A line of the plan.
#[derive(Serialize, Deserialize)]
enum PlanLine {
    #[serde(rename = "object")]
    Object(PlannedObject),
    #[serde(rename = "end")]
    End(PlanSummary),
}

/// Writes a plan; nothing is visible before [`PlanWriter::finish`].
#[derive(Debug)]
pub struct PlanWriter {
    folder: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
}

impl PlanWriter {
    /// Begins the plan of the job with this folder, which is made if need be.
    pub fn create(folder: &Path) -> Result<Self, FileError> {
        create_folder(folder)?;
        let partial = folder.join("plan.partial");
        let file = File::create(&partial).map_err(on("create", &partial))?;
        boundary("plan.begun");
        Ok(Self { folder: folder.to_owned(), partial, out: BufWriter::new(file) })
    }

    /// Adds an object.
    pub fn push(&mut self, object: PlannedObject) -> Result<(), FileError> {
        self.line(&PlanLine::Object(object))
    }

    /// Makes the plan durable.
    pub fn finish(mut self, summary: &PlanSummary) -> Result<(), FileError> {
        self.line(&PlanLine::End(summary.clone()))?;
        let Self { folder, partial, out } = self;
        let file = out.into_inner().map_err(|error| on("write", &partial)(error.into_error()))?;
        file.sync_all().map_err(on("sync", &partial))?;
        boundary("plan.synced");
        fs::rename(&partial, folder.join(PLAN)).map_err(on("rename", &partial))?;
        boundary("plan.renamed");
        sync_folder(&folder)
    }

    fn line(&mut self, line: &PlanLine) -> Result<(), FileError> {
        write_line(&mut self.out, line).map_err(on("write", &self.partial))
    }
}

const PLAN: &str = "plan.ndjson";
const FAILURES: &str = "failures.ndjson";

/// The plan of the job with this folder.
pub(super) fn file_of_plan(folder: &Path) -> PathBuf {
    folder.join(PLAN)
}

/// Whether the job with this folder has its plan.
pub fn has_plan(folder: &Path) -> bool {
    folder.join(PLAN).exists()
}

/// The objects of a job's plan that are read, in order, without holding them all.
pub fn planned_objects(
    folder: &Path,
) -> Result<impl Iterator<Item = io::Result<PlannedObject>> + Send + 'static, FileError> {
    let path = folder.join(PLAN);
    let file = File::open(&path).map_err(on("open", &path))?;
    Ok(objects_of(BufReader::new(file)))
}

/// The same for a source to read: a plan that cannot be read is an error of it.
pub(crate) fn objects_to_read(
    folder: &Path,
) -> Result<impl Iterator<Item = Result<PlannedObject, SourceError>> + Send + 'static, FileError> {
    let url = || "the job's plan".into();
    let objects = planned_objects(folder)?;
    Ok(objects.map(move |object| {
        object.map_err(|error| SourceError::Other { url: url(), reason: error.to_string(), object: false })
    }))
}

/// The same of the text of a plan.
pub(crate) fn objects_of(plan: impl BufRead) -> impl Iterator<Item = io::Result<PlannedObject>> {
    plan.lines().filter_map(|line| match line.and_then(|line| Ok(serde_json::from_str(&line)?)) {
        Ok(PlanLine::Object(object)) if object.skipped.is_none() => Some(Ok(object)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// A line of the plan as it is written.
fn write_line(out: &mut impl Write, line: &PlanLine) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// The text of a plan.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn plan_of(objects: Vec<PlannedObject>, summary: PlanSummary) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for object in objects {
        write_line(&mut text, &PlanLine::Object(object))?;
    }
    write_line(&mut text, &PlanLine::End(summary))?;
    Ok(text)
}

/// The first `limit` objects of a job's plan, the skipped ones too.
pub fn listed_objects(folder: &Path, limit: usize) -> Result<Vec<PlannedObject>, FileError> {
    let path = folder.join(PLAN);
    let file = File::open(&path).map_err(on("open", &path))?;
    let mut objects = Vec::new();
    for line in BufReader::new(file).lines().take(limit) {
        let line = line.and_then(|line| Ok(serde_json::from_str(&line)?)).map_err(on("read", &path))?;
        match line {
            PlanLine::Object(object) => objects.push(object),
            PlanLine::End(_) => break,
        }
    }
    Ok(objects)
}

/// The first failed records of a job, at most `limit`, of the first `len` bytes of its failures file: what
/// comes after them was not committed.
pub fn first_failures(folder: &Path, len: u64, limit: usize) -> Result<Vec<Failure>, FileError> {
    failures(folder, len)?.take(limit).collect()
}

/// The failed records of a job or of a part, from the first `len` bytes of its failures file.
pub(super) fn failures(
    folder: &Path,
    len: u64,
) -> Result<impl Iterator<Item = Result<Failure, FileError>>, FileError> {
    let path = folder.join(FAILURES);
    let file = match File::open(&path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(on("open", &path)(error)),
    };
    let lines = file.into_iter().flat_map(move |file| BufReader::new(io::Read::take(file, len)).lines());
    Ok(lines
        .map(move |line| line.and_then(|line| Ok(serde_json::from_str(&line)?)).map_err(on("read", &path))))
}

/// The folder of a part's files, below that of its job.
pub(super) fn folder_of_part(folder: &Path, part: u32) -> PathBuf {
    folder.join("parts").join(part.to_string())
}

/// The ids of a part's records, in the order of its pieces.
pub(super) fn ids_path(folder: &Path) -> PathBuf {
    folder.join("ids.bin")
}

/// The failures file of the job with this folder.
pub fn failures_path(folder: &Path) -> PathBuf {
    folder.join(FAILURES)
}

/// The rejects files of the job with this folder, in the order they were begun.
pub fn rejects_paths(folder: &Path, format: Format) -> Vec<PathBuf> {
    (1..).map(|number| rejects_path(folder, format, number)).take_while(|path| path.exists()).collect()
}

pub(super) fn rejects_path(folder: &Path, format: Format, number: u32) -> PathBuf {
    let suffix = format.suffix();
    match number {
        1 => folder.join(format!("rejects.{suffix}")),
        _ => folder.join(format!("rejects-{number}.{suffix}")),
    }
}

/// Appends failures and rejects in source order.
#[derive(Debug)]
pub struct FailureFiles {
    folder: PathBuf,
    format: Format,
    failures: Appender,
    /// The rejects file that is open and its number, from 1; 0 before the first reject.
    rejects: Option<Appender>,
    number: u32,
    header: Option<Vec<u8>>,
    keeping: Keeping,
}

impl FailureFiles {
    /// Opens the files of a job after its last committed piece. They take at most `limit` bytes.
    pub fn open(
        folder: &Path,
        format: Format,
        limit: u64,
        last: Option<&PieceRecord>,
    ) -> Result<Self, FileError> {
        create_folder(folder)?;
        let last = last.cloned().unwrap_or_default();
        let keeping = Keeping::new(limit, &last);
        let failures = Appender::open(folder.join(FAILURES), last.failures_len)?;
        boundary("failures.cut");
        let later = rejects_paths(folder, format).into_iter().skip(last.rejects_file as usize);
        for path in later {
            fs::remove_file(&path).map_err(on("remove", &path))?;
            boundary("rejects.removed");
        }
        let mut header = None;
        let rejects = match last.rejects_file {
            0 => None,
            number => {
                let path = rejects_path(folder, format, number);
                if format == Format::Csv {
                    header = Some(read_csv_header(&path)?);
                }
                Some(Appender::open(path, last.rejects_len)?)
            }
        };
        boundary("rejects.cut");
        sync_folder(folder)?;
        let folder = folder.to_owned();
        Ok(Self { folder, format, failures, rejects, number: last.rejects_file, header, keeping })
    }

    /// Appends a failed record, if the budget keeps it. `header` is the raw CSV header of its object; `raw` its bytes, if they were kept.
    pub fn push(
        &mut self,
        mut failure: Failure,
        header: Option<&[u8]>,
        raw: Option<&[u8]>,
    ) -> Result<(), FileError> {
        let begins = raw.is_some()
            && (self.rejects.is_none() || (self.format == Format::Csv && self.header.as_deref() != header));
        let written_header = header.map_or(0, |header| header.len() as u64 + 1);
        failure.reject = raw.map(|raw| RejectPlace {
            part: self.number + u32::from(begins),
            byte: match &self.rejects {
                Some(rejects) if !begins => rejects.len,
                _ if self.format == Format::Csv => written_header,
                _ => 0,
            },
            bytes: raw.len() as u64,
        });
        let mut line = Vec::new();
        let admitted = self.keeping.admits(|| {
            line = serde_json::to_vec(&failure).expect("a failure has only strings and numbers");
            let beginning = if begins { FILE_BYTES + written_header } else { 0 };
            line.len() as u64 + 1 + raw.map_or(0, |raw| raw.len() as u64 + 1) + beginning
        });
        if !admitted {
            return Ok(());
        }
        self.failures.write(&line)?;
        self.failures.write(b"\n")?;
        let Some(raw) = raw else { return Ok(()) };
        if begins {
            self.begin_rejects(header)?;
        }
        let rejects = self.rejects.as_mut().expect("begun above");
        rejects.write(raw)?;
        rejects.write(b"\n")
    }

    /// Counts failed records of which a part of the job kept nothing.
    pub(super) fn pass(&mut self, failures: u64) {
        self.keeping.pass(failures);
    }

    fn begin_rejects(&mut self, header: Option<&[u8]>) -> Result<(), FileError> {
        if let Some(mut done) = self.rejects.take() {
            done.sync()?;
            boundary("rejects.closed");
        }
        self.number += 1;
        let mut rejects = Appender::open(rejects_path(&self.folder, self.format, self.number), 0)?;
        boundary("rejects.begun");
        sync_folder(&self.folder)?;
        if let (Format::Csv, Some(header)) = (self.format, header) {
            rejects.write(header)?;
            rejects.write(b"\n")?;
            self.header = Some(header.to_vec());
        }
        self.rejects = Some(rejects);
        Ok(())
    }

    /// Makes what was appended durable and notes the lengths in the record of the piece it belongs to.
    pub fn sync(&mut self, record: &mut PieceRecord) -> Result<(), FileError> {
        self.failures.sync()?;
        boundary("failures.synced");
        self.keeping.note(record);
        record.failures_len = self.failures.len;
        record.rejects_file = self.number;
        if let Some(rejects) = &mut self.rejects {
            rejects.sync()?;
            boundary("rejects.synced");
            record.rejects_len = rejects.len;
        }
        Ok(())
    }
}

/// The header of a rejects file. It may span lines: a quoted name may hold a line break.
pub(super) fn read_csv_header(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut reader = BufReader::new(File::open(path).map_err(on("open", path))?);
    let (mut header, mut inside) = (Vec::new(), false);
    loop {
        let start = header.len();
        let read = reader.read_until(b'\n', &mut header).map_err(on("read", path))?;
        inside = ends_inside(&header[start..], inside);
        if read == 0 || !inside {
            break;
        }
    }
    header.pop_if(|byte| *byte == b'\n');
    Ok(header)
}

/// A file that is only appended to.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    out: BufWriter<File>,
    len: u64,
    dirty: bool,
}

impl Appender {
    /// Opens `path`, made if need be, and cuts it to `len` bytes.
    pub(super) fn open(path: PathBuf, len: u64) -> Result<Self, FileError> {
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            let found = file.metadata()?.len();
            if found < len {
                let message = format!("it has {found} bytes, {len} were committed");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            file.set_len(len)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(on("open", &path))?;
        Ok(Self { path, out: BufWriter::new(file), len, dirty: true })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.out.write_all(bytes).map_err(on("write", &self.path))?;
        self.len += bytes.len() as u64;
        self.dirty = true;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        if std::mem::take(&mut self.dirty) {
            self.out.flush().and_then(|()| self.out.get_ref().sync_data()).map_err(on("sync", &self.path))?;
        }
        Ok(())
    }
}

/// Writes a small file of a folder, which is made if need be. The file has its name when it is whole and durable.
pub fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    create_folder(folder)?;
    durable::write_file(folder, name, bytes)
}

#[cfg(test)]
mod tests {
    use pinport_model::{
        FailureCode,
        failure::{FailureReason, Origin},
    };

    use super::*;

    fn failure(line: u64) -> Failure {
        FailureReason::new(FailureCode::CellCount, "has 1 cell, the header has 2")
            .locate("o", Origin { object: 0, byte: 0, line })
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_plan_reads_back_without_what_was_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("jobs/1");
        let object = |key: &str, skipped: Option<&str>| PlannedObject {
            key: key.into(),
            size: 3,
            etag: None,
            skipped: skipped.map(str::to_owned),
        };
        let mut plan = PlanWriter::create(&folder).unwrap();
        plan.push(object("a", None)).unwrap();
        plan.push(object("b", Some("it is empty"))).unwrap();
        plan.push(object("c", None)).unwrap();
        assert!(!has_plan(&folder));
        plan.finish(&PlanSummary::default()).unwrap();
        assert!(has_plan(&folder));
        let keys: Vec<_> = planned_objects(&folder).unwrap().map(|object| object.unwrap().key).collect();
        assert_eq!(keys, ["a", "c"]);
    }

    #[test]
    fn what_no_piece_committed_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = PieceRecord::default();
        let mut files = FailureFiles::open(folder.path(), Format::Csv, u64::MAX, None).unwrap();
        files.push(failure(2), Some(b"Id,Address"), Some(b"one")).unwrap();
        files.sync(&mut record).unwrap();
        files.push(failure(3), Some(b"Id,Address"), Some(b"two")).unwrap();
        files.push(failure(9), Some(b"Other"), Some(b"three")).unwrap();
        files.sync(&mut PieceRecord::default()).unwrap();
        assert_eq!(rejects_paths(folder.path(), Format::Csv).len(), 2);
        drop(files);

        let mut files = FailureFiles::open(folder.path(), Format::Csv, u64::MAX, Some(&record)).unwrap();
        assert_eq!(rejects_paths(folder.path(), Format::Csv).len(), 1);
        files.push(failure(4), Some(b"Id,Address"), Some(b"four")).unwrap();
        files.push(failure(5), Some(b"Id,Address"), None).unwrap();
        files.sync(&mut record).unwrap();
        assert_eq!(read(&folder.path().join("rejects.csv")), "Id,Address\none\nfour\n");
        assert_eq!(read(&failures_path(folder.path())).lines().count(), 3);
    }

    #[test]
    fn each_header_has_its_own_rejects() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = FailureFiles::open(folder.path(), Format::Csv, u64::MAX, None).unwrap();
        for (header, raw) in [("A,\"b\nc\"", "1"), ("A,\"b\nc\"", "2"), ("B", "3")] {
            files.push(failure(2), Some(header.as_bytes()), Some(raw.as_bytes())).unwrap();
        }
        let mut record = PieceRecord::default();
        files.sync(&mut record).unwrap();
        assert_eq!(record.rejects_file, 2);
        assert_eq!(read(&folder.path().join("rejects.csv")), "A,\"b\nc\"\n1\n2\n");
        assert_eq!(read(&folder.path().join("rejects-2.csv")), "B\n3\n");
        drop(files);
        let files = FailureFiles::open(folder.path(), Format::Csv, u64::MAX, Some(&record)).unwrap();
        assert_eq!(files.header.as_deref(), Some(&b"B"[..]));
        // Each failure says where its record is.
        for (failure, raw) in first_failures(folder.path(), u64::MAX, 9).unwrap().iter().zip(["1", "2", "3"])
        {
            let place = failure.reject.unwrap();
            let path = &rejects_paths(folder.path(), Format::Csv)[place.part as usize - 1];
            let (from, len) = (place.byte as usize, place.bytes as usize);
            assert_eq!(&read(path)[from..from + len], raw);
        }
    }

    #[test]
    fn a_header_is_read_back_by_the_rules_of_quotes() {
        for header in ["Id,inch\"", "Id,\"a \"\"b\"\" \nc\"", "Id,a\"b\"\"c"] {
            let folder = tempfile::tempdir().unwrap();
            let mut files = FailureFiles::open(folder.path(), Format::Csv, u64::MAX, None).unwrap();
            files.push(failure(2), Some(header.as_bytes()), Some(b"1")).unwrap();
            let mut record = PieceRecord::default();
            files.sync(&mut record).unwrap();
            let files = FailureFiles::open(folder.path(), Format::Csv, u64::MAX, Some(&record)).unwrap();
            assert_eq!(files.header.as_deref(), Some(header.as_bytes()));
        }
    }

    #[test]
    fn lost_bytes_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let record = PieceRecord { failures_len: 10, ..PieceRecord::default() };
        assert!(FailureFiles::open(folder.path(), Format::Json, u64::MAX, Some(&record)).is_err());
    }
}
