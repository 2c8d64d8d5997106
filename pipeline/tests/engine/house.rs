//! What an engine needs: a folder of objects, a store, and where the files of jobs go.

use std::{fs, io::Write as _, path::Path, sync::Arc, thread};

use pinport_model::{
    Application, ApplicationId, Format, ImportDefinition, ImportJob, JobId, PieceRecord, SegmentId,
    SourceLocation, Timestamp,
};
use pinport_pipeline::{
    engine::{Engine, EngineOptions, JobProgress, Run, RunOutcome},
    source::{Settings, Source, SourceOptions},
};
use pinport_store::{Store, memory::Memory};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub(crate) const PIECE: u64 = 4096;

pub(crate) const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);

/// A folder of objects, a store, and where the job's files go.
pub(crate) struct House {
    pub(crate) io: Runtime,
    pub(crate) objects: TempDir,
    pub(crate) work: TempDir,
    pub(crate) store: Arc<dyn Store>,
}

impl House {
    pub(crate) fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let application = Application {
            id: APPLICATION,
            name: "default".into(),
            created: Timestamp::from_millis(0),
            tags: Default::default(),
        };
        store.create_application(&application).unwrap();
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { io, objects: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap(), store }
    }

    pub(crate) fn object(&self, name: &str, bytes: &[u8]) {
        fs::write(self.objects.path().join(name), bytes).unwrap();
    }

    pub(crate) fn job(&self, format: Format) -> ImportJob {
        let id = JobId::generate();
        let definition = ImportDefinition {
            source_text: "objects".into(),
            segment: Some(SegmentId::from(id)),
            segment_name: Some("all".into()),
            ..ImportDefinition::new(
                APPLICATION,
                SourceLocation::Path(self.objects.path().to_owned()),
                format,
                PIECE,
            )
        };
        let job = ImportJob::new(id, definition, Timestamp::from_millis(1));
        self.store.create_job(&job).unwrap();
        job
    }

    /// Runs a job; `stop_at` stops it when so many pieces are committed.
    pub(crate) fn run(&self, job: ImportJob, options: EngineOptions, stop_at: Option<u64>) -> RunOutcome {
        let progress = Arc::new(JobProgress::new(job.id));
        self.run_seen(job, options, stop_at, progress)
    }

    pub(crate) fn run_seen(
        &self,
        job: ImportJob,
        options: EngineOptions,
        stop_at: Option<u64>,
        progress: Arc<JobProgress>,
    ) -> RunOutcome {
        let cancel = CancellationToken::new();
        let source_options =
            SourceOptions { cancel: cancel.clone(), settings: Settings::empty(), ..SourceOptions::default() };
        let source = Source::open(&job.definition.source, source_options, self.io.handle().clone()).unwrap();
        let watcher = stop_at.map(|pieces| {
            let (progress, cancel) = (Arc::clone(&progress), cancel.clone());
            thread::spawn(move || {
                while progress.snapshot().pieces_done < pieces && !progress.snapshot().status.is_terminal() {
                    thread::yield_now();
                }
                cancel.cancel();
            })
        });
        let folder = self.folder(&job);
        let run = Run { job, source: Arc::new(source), folder, progress, cancel };
        let outcome = Engine::start(options).unwrap().run(run, Some(&self.store));
        if let Some(watcher) = watcher {
            watcher.join().unwrap();
        }
        outcome
    }

    pub(crate) fn folder(&self, job: &ImportJob) -> std::path::PathBuf {
        self.work.path().join(job.id.to_string())
    }

    pub(crate) fn pieces(&self, job: &ImportJob) -> Vec<PieceRecord> {
        self.store.pieces(job.id, 0, usize::MAX).unwrap()
    }

    pub(crate) fn members(&self, job: &ImportJob) -> Vec<(String, Option<String>)> {
        let segment = self.store.segment(APPLICATION, job.id.into()).unwrap().unwrap();
        let version = segment.current().unwrap();
        let members = self.store.members(&segment, version, None, usize::MAX).unwrap();
        members.into_iter().map(|member| (member.id, member.address)).collect()
    }
}

pub(crate) fn options(block_bytes: usize, threads: usize) -> EngineOptions {
    EngineOptions { block_bytes, threads, bytes_in_flight: 64 << 10, ..EngineOptions::default() }
}

/// Rows of which every tenth is broken, every seventh repeats an id, and some span lines in CSV.
pub(crate) fn rows(format: Format, rows: std::ops::Range<u64>) -> Vec<u8> {
    let mut text = String::new();
    if format == Format::Csv {
        text.push_str("Id,ChannelType,Address,Attributes.note\n");
    }
    for row in rows {
        let id = if row % 7 == 0 { row / 7 } else { row };
        let channel = if row % 10 == 3 { "PIGEON" } else { "EMAIL" };
        match format {
            Format::Json => text.push_str(&format!(
                "{{\"Id\":\"{id}\",\"ChannelType\":\"{channel}\",\"Address\":\"{row}@example.com\"}}\n"
            )),
            Format::Csv => text.push_str(&format!("{id},{channel},{row}@example.com,\"one\ntwo {row}\"\n")),
        }
    }
    text.into_bytes()
}

pub(crate) fn gzip(members: &[Vec<u8>]) -> Vec<u8> {
    members
        .iter()
        .flat_map(|member| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(member).unwrap();
            encoder.finish().unwrap()
        })
        .collect()
}

pub(crate) fn fill(house: &House, format: Format) {
    let suffix = format.suffix();
    house.object(&format!("a.{suffix}"), &rows(format, 0..600));
    house.object(&format!("b.{suffix}.gz"), &gzip(&[rows(format, 600..900), Vec::new()]));
    house.object(&format!("c.{suffix}"), b"");
    for small in 0..30 {
        house.object(&format!("d{small:02}.{suffix}"), &rows(format, 900 + small * 5..905 + small * 5));
    }
    house.object(&format!("e.{suffix}"), &rows(format, 0..300));
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
