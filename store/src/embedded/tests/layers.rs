//! What jobs leave in segments: layers that are folded, thinned and brought from older layouts, and what that costs.

use pinport_model::{SegmentVersion, job::SegmentMembers};
use rocksdb::WaitForCompactOptions;

use super::{super::layers::of_version, *};

/// Imports a record into the segment of `JOB` with a job of its own.
fn import_one(store: &Embedded, number: u64) {
    import_ids(store, number, [number]);
}

/// Imports records into the segment of `JOB` with a job of its own, which has a number that no other has.
pub(super) fn import_ids(store: &Embedded, number: u64, ids: impl IntoIterator<Item = u64>) {
    import_as(store, number, ids, true);
}

pub(super) fn import_as(store: &Embedded, number: u64, ids: impl IntoIterator<Item = u64>, registers: bool) {
    import_with(store, number, ids, [registers, false]);
}

pub(super) fn import_with(
    store: &Embedded,
    number: u64,
    ids: impl IntoIterator<Item = u64>,
    flags: [bool; 2],
) {
    import_counted(store, number, ids, flags, None);
}

/// `counted`: what the job found that its version has.
pub(super) fn import_counted(
    store: &Embedded,
    number: u64,
    ids: impl IntoIterator<Item = u64>,
    [registers, replaces]: [bool; 2],
    counted: Option<SegmentMembers>,
) {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let definition = ImportDefinition {
        segment: Some(SegmentId::from(JOB)),
        register_endpoints: registers,
        ..ImportDefinition::new(APPLICATION, SourceLocation::Stdin, Format::Json, 1)
    };
    let mut job = ImportJob::new(JobId::from_bytes(id), definition, Timestamp::from_millis(2));
    store.create_job(&job).unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let mut batch = DraftBatch::new(origin, job.created);
    for id in ids {
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        batch.push(&mut draft, DraftKind::Blind, &format!("{id:05}"), b"", origin);
        job.tally.registered += 1;
    }
    let mut prepared = store.writer(&job).unwrap().prepare(0, vec![batch]).unwrap();
    prepared.resolve().unwrap();
    prepared.commit(&PieceRecord::default()).unwrap();
    job.status = JobStatus::Completed;
    job.segment_members = counted;
    store.finish_job(&job, replaces).unwrap();
}

#[test]
fn a_crowded_level_0_is_compacted_beside_jobs() {
    // Jobs before the store rests, jobs after it, ids of each of these, and how few files are left in level 0.
    for (crowded, [first, later], ids, files) in [
        (None, [0, 60], 2000, 60..1000),
        (Some(16), [0, 60], 2000, 0..40),
        // What lies below would be written again for little.
        (Some(16), [1, 60], 100, 60..1000),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = begin_with(folder.path(), EmbeddedOptions { crowded, ..EmbeddedOptions::default() });
        for job in 0..first {
            import_ids(&store, job, 0..50_000);
        }
        store.settle().unwrap();
        for job in first..first + later {
            import_ids(&store, job, 0..ids);
        }
        let db = &store.engine().unwrap().db;
        db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
        let left = db.property_int_value("rocksdb.num-files-at-level0").unwrap().unwrap();
        assert!(files.contains(&left), "{crowded:?}, {ids} ids: {left} files");
        let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
        let current = segment.current().unwrap();
        assert_eq!(current.size, if first > 0 { 50_000 } else { ids });
        assert_eq!(store.members(&segment, current, None, usize::MAX).unwrap().len() as u64, current.size);
    }
}

/// The bytes that were written to the log, if it was not cut meanwhile.
fn logged(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("db")).unwrap().map(|file| file.unwrap());
    let logs = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
    logs.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn an_import_into_a_segment_costs_the_same_whatever_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    let mut most = [0; 2];
    for number in 0..500 {
        let before = logged(folder.path());
        import_one(&store, number);
        let written = logged(folder.path()).saturating_sub(before);
        // The rounds of folding differ; both spans have some.
        let span = match number {
            10..110 => 0,
            400.. => 1,
            _ => continue,
        };
        most[span] = most[span].max(written);
    }
    // A fold writes the ids of what it folds, at most as many as were imported.
    assert!(most[1] < most[0] + 40 * 500, "an early import wrote {} bytes, a late one {}", most[0], most[1]);
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let current = segment.current().unwrap();
    assert_eq!(current.size, 500);
    let layers =
        of_version(&store.engine().unwrap(), &store.engine().unwrap().db.snapshot(), &segment, current)
            .unwrap();
    // Those of the versions that are kept, those that wait to be folded, and a few folded ones.
    assert!(layers.len() <= 32 + 16 + 6, "{} rows", layers.len());
    assert_eq!(store.members(&segment, current, None, usize::MAX).unwrap().len(), 500);
}

/// A segment as layouts 1 and 2 stored it.
fn old_segment(versions: &str) -> String {
    let [segment, application] = [SegmentId::from(JOB).to_string(), APPLICATION.to_string()];
    format!(
        r#"{{"id":"{segment}","application":"{application}","name":"old","created":"1970-01-01T00:00:00.001Z","modified":"1970-01-01T00:00:00.002Z","tags":{{"a":"b"}},"versions":[{versions}],"next_layer":5,"open_layers":[{{"number":4,"job":"{}","copies":false}}]}}"#,
        JobId::from_bytes([9; 16])
    )
}

#[test]
fn a_store_of_layout_2_is_upgraded_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    // How members are stored goes with the numbers of their layers.
    let store = begin(folder.path(), 4800, true);
    for number in 0..4 {
        import_one(&store, number);
    }
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let current = segment.current().unwrap();
    let engine = store.engine().unwrap();
    let snapshot = engine.db.snapshot();
    let rows = of_version(&store.engine().unwrap(), &snapshot, &segment, current).unwrap();
    let numbers: Vec<_> = rows.iter().map(|layer| layer.number).collect();
    drop(snapshot);
    drop(engine);
    // The third version replaced what was there.
    let version = |number: u32, layers: &[u32]| {
        let job = JobId::from_bytes([number as u8; 16]);
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                let number = numbers[*layer as usize];
                format!(r#"{{"number":{number},"job":"{job}","copies":false}}"#)
            })
            .collect();
        format!(
            r#"{{"version":{number},"created":"1970-01-01T00:00:00.002Z","layers":[{}],"job":"{job}","source":"s","format":"JSON","size":{},"channels":{:?},"partial":false}}"#,
            layers.join(","),
            layers.len(),
            [0; Channel::ALL.len()]
        )
    };
    let versions = [version(1, &[0]), version(2, &[0, 1]), version(3, &[2]), version(4, &[2, 3])].join(",");
    let engine = store.engine().unwrap();
    let mut batch = WriteBatch::default();
    for table in [Table::Layers, Table::OpenLayers, Table::Versions] {
        delete_prefix(&engine, &mut batch, &key(table, &[])).unwrap();
    }
    batch.put(keys::segment(APPLICATION, segment.id), old_segment(&versions));
    engine.write(batch).unwrap();
    drop(engine);
    drop(store);
    std::fs::write(
        folder.path().join("layout"),
        "2
",
    )
    .unwrap();

    for _ in 0..2 {
        let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("layout")).unwrap(),
            format!("{}\n", crate::record::LAYOUT)
        );
        let segment = store.segment(APPLICATION, segment.id).unwrap().unwrap();
        assert_eq!((&segment.name[..], &segment.tags["a"][..]), ("old", "b"));
        let members = |version: &SegmentVersion| {
            let found = store.members(&segment, version, None, 9).unwrap();
            found.into_iter().map(|member| member.id).collect::<Vec<_>>().join(" ")
        };
        let versions = store.segment_versions(&segment, None, 9).unwrap();
        assert_eq!(segment.current(), versions.first());
        assert_eq!(
            versions.iter().map(members).collect::<Vec<_>>(),
            ["00002 00003", "00002", "00000 00001", "00000"]
        );
        let busy = store.delete_segment(APPLICATION, segment.id);
        assert!(matches!(busy, Err(StoreError::Conflict(_))), "a job of before still writes to it");
    }
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    import_one(&store, 90);
    let segment = store.segment(APPLICATION, segment.id).unwrap().unwrap();
    assert_eq!((segment.current().unwrap().version, segment.current().unwrap().size), (5, 3));
}

#[test]
fn an_upgrade_keeps_the_newest_versions_and_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    let mut batch = WriteBatch::default();
    let version = |number: u32| {
        // Version 20 replaced all before it.
        let layers: Vec<_> = (if number < 20 { 0 } else { 19 }..number)
            .map(|layer| {
                format!(r#"{{"number":{layer},"job":"{}","copies":false}}"#, JobId::from_bytes([1; 16]))
            })
            .collect();
        format!(
            r#"{{"version":{number},"created":"1970-01-01T00:00:00.002Z","layers":[{}],"job":"{}","source":"s","format":"JSON","size":1,"channels":{:?},"partial":false}}"#,
            layers.join(","),
            JobId::from_bytes([1; 16]),
            [0; Channel::ALL.len()]
        )
    };
    let versions: Vec<_> = (1..=60).map(version).collect();
    for layer in 0..60 {
        batch.put([&keys::layer(SegmentId::from(JOB), layer)[..], b"a"].concat(), []);
    }
    batch.put(keys::segment(APPLICATION, SegmentId::from(JOB)), old_segment(&versions.join(",")));
    store.engine().unwrap().write(batch).unwrap();
    drop(store);
    // As a crash in an upgrade leaves it.
    std::fs::write(folder.path().join("layout"), "upgrading to 3\n").unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let versions = store.segment_versions(&segment, None, 99).unwrap();
    assert_eq!(
        versions.iter().map(|version| version.version).collect::<Vec<_>>(),
        (29..=60).rev().collect::<Vec<_>>()
    );
    let oldest = versions.last().unwrap();
    assert_eq!((oldest.first_layer, oldest.last_layer), (19, 28));
    let has = |layer| segments::has_members(&store.engine().unwrap(), segment.id, layer).unwrap();
    assert_eq!((has(18), has(19), has(59)), (false, true, true));
    for version in &versions {
        assert!(store.members(&segment, version, None, 9).is_ok(), "{version:?}");
    }
}

/// Nanoseconds of CPU that this thread has taken.
#[cfg(target_os = "linux")]
fn cpu() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_late_import_into_a_segment_costs_what_an_early_one_did() {
    // A core that is slowed down in the middle takes twice the time for the same work: that does not happen each time, and
    // costs that grow do.
    let mut found = Vec::new();
    while found.len() < 4 {
        let (early, late) = early_and_late_imports();
        if late < early * 2 {
            return;
        }
        found.push((early, late));
    }
    panic!("us of early and late imports: {found:?}");
}

/// CPU time of an early import into a segment, and of a late one, in microseconds.
#[cfg(target_os = "linux")]
fn early_and_late_imports() -> (u64, u64) {
    const IMPORTS: u64 = 2400;
    const STEP: u64 = 200;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::serving()).unwrap();
    let now = Timestamp::from_millis(1);
    let (name, tags) = ("a".into(), Default::default());
    store.create_application(&Application { id: APPLICATION, name, created: now, tags }).unwrap();
    let segment = SegmentId::from(JOB);
    let import = |number: u64| {
        let definition = ImportDefinition {
            segment: Some(segment),
            ..ImportDefinition::new(APPLICATION, SourceLocation::Stdin, Format::Json, 1)
        };
        let id = if number == 0 { JOB } else { JobId::generate() };
        let mut job = ImportJob::new(id, definition, now);
        store.create_job(&job).unwrap();
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let mut batch = DraftBatch::new(origin, now);
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        batch.push(&mut draft, DraftKind::Blind, &format!("{}", number * 7919 % IMPORTS), b"", origin);
        let mut prepared = store.writer(&job).unwrap().prepare(0, vec![batch]).unwrap();
        prepared.resolve().unwrap();
        prepared.commit(&PieceRecord::default()).unwrap();
        job.status = pinport_model::JobStatus::Completed;
        (job.tally.read, job.tally.registered) = (1, 1);
        store.finish_job(&job, false).unwrap();
    };
    let steps: Vec<_> = (0..IMPORTS / STEP)
        .map(|step| {
            let before = cpu();
            (step * STEP..(step + 1) * STEP).for_each(import);
            (cpu() - before) / STEP / 1000
        })
        .collect();
    println!("CPU us an import, {STEP} at a time: {steps:?}");
    let (early, late) = (steps[1].max(steps[2]), steps[steps.len() - 2].min(steps[steps.len() - 1]));
    let found = store.segment(APPLICATION, segment).unwrap().unwrap();
    assert_eq!(found.current().unwrap().size, IMPORTS);
    (early, late)
}
