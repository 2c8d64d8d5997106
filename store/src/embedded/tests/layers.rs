//! What jobs leave in segments: layers that are folded, thinned and brought from older layouts, and what that costs.

use pinport_model::{SegmentVersion, segment::SegmentLayer};
use rocksdb::WaitForCompactOptions;

use super::{
    super::{
        blocks::{self, IN_BLOCKS, RUN},
        engine::to_json,
        joining::MOST_RUNS,
        layers::{Layer, of_version},
    },
    *,
};

/// Imports a record into the segment of `JOB` with a job of its own.
fn import_one(store: &Embedded, number: u64) {
    import_ids(store, number, [number]);
}

/// Imports records into the segment of `JOB` with a job of its own, which has a number that no other has.
fn import_ids(store: &Embedded, number: u64, ids: impl IntoIterator<Item = u64>) {
    import_as(store, number, ids, true);
}

fn import_as(store: &Embedded, number: u64, ids: impl IntoIterator<Item = u64>, registers: bool) {
    import_with(store, number, ids, [registers, false]);
}

fn import_with(
    store: &Embedded,
    number: u64,
    ids: impl IntoIterator<Item = u64>,
    [registers, replaces]: [bool; 2],
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

/// The members of the segment of `JOB` in all its layers, however they are stored.
fn stored_members(store: &Embedded) -> usize {
    let engine = store.engine().unwrap();
    let mut entries = engine.scan(&keys::members(SegmentId::from(JOB)));
    entries.seek_first();
    let mut count = 0;
    while let Some((key, mut others)) = entries.entry().unwrap() {
        count += 1;
        if u32::from_be_bytes(*key.first_chunk().unwrap()) & IN_BLOCKS != 0 {
            let mut id = key[4 + RUN..].to_vec();
            while !others.is_empty() {
                blocks::next(&mut id, &mut others).unwrap();
                count += 1;
            }
        }
        entries.forward();
    }
    count
}

/// How many runs of members the segment of `JOB` has.
fn runs(store: &Embedded) -> usize {
    let engine = store.engine().unwrap();
    let mut entries = engine.scan(&keys::members(SegmentId::from(JOB)));
    entries.seek_first();
    let mut found = std::collections::HashSet::new();
    while let Some((key, _)) = entries.entry().unwrap() {
        found.insert(key[..key.len().min(4 + RUN)].to_vec());
        entries.forward();
    }
    found.len()
}

/// The rows of the layers that the newest version of the segment of `JOB` has.
fn current_layers(store: &Embedded) -> Vec<Layer> {
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let engine = store.engine().unwrap();
    let snapshot = engine.db.snapshot();
    of_version(&engine, &snapshot, &segment, segment.current().unwrap()).unwrap()
}

#[test]
fn runs_of_pieces_are_merged_and_become_one_when_the_store_settles() {
    const ROWS: u64 = 3000;
    // A layer of blocks, and one of before; few runs, and more than are read at once.
    for (in_blocks, pieces) in [(true, 7), (false, 7), (true, 8), (true, 9), (true, 31)] {
        let folder = tempfile::tempdir().unwrap();
        let store = begin(folder.path(), 4800, true);
        let (mut job, segment) = (store.job(JOB).unwrap().unwrap(), SegmentId::from(JOB));
        if !in_blocks {
            // As a job of an older layout began it.
            let engine = store.engine().unwrap();
            let mut layer: SegmentLayer = engine.get_json(&keys::open_layer(segment, JOB)).unwrap().unwrap();
            layer.number &= !IN_BLOCKS;
            let mut batch = WriteBatch::default();
            batch.put(keys::open_layer(segment, JOB), to_json(&layer).unwrap());
            engine.write(batch).unwrap();
        }
        // Each third id is in two pieces.
        const STEP: u64 = ROWS / 3 * 2;
        let all = pieces * STEP;
        for piece in 0..pieces {
            let origin = Origin { object: 0, byte: 0, line: 1 };
            let mut batch = DraftBatch::new(origin, job.created);
            for row in 0..ROWS {
                let mut draft = Draft::default();
                draft.channel = Some(Channel::Email);
                draft.set_text(TextMember::Address, Some("somewhere"));
                let id = (piece * STEP + row) * 11 % all;
                batch.push(&mut draft, DraftKind::Blind, &format!("{id:05}"), b"", origin);
            }
            let mut prepared = store.writer(&job).unwrap().prepare(piece, vec![batch]).unwrap();
            prepared.resolve().unwrap();
            prepared.commit(&PieceRecord::default()).unwrap();
        }
        job.status = JobStatus::Completed;
        job.tally.registered = pieces * ROWS;
        store.finish_job(&job, false).unwrap();
        let check = |store: &Embedded| {
            let segment = store.segment(APPLICATION, segment).unwrap().unwrap();
            let current = segment.current().unwrap();
            assert_eq!(current.size, all);
            for after in [None, Some(0), Some(1), Some(ROWS), Some(all - 2), Some(all - 1)] {
                let id = after.map(|after| format!("{after:05}"));
                let found = store.members(&segment, current, id.as_deref(), usize::MAX).unwrap();
                let wanted = after.map_or(0, |after| after + 1)..all;
                assert!(found.iter().map(|member| &member.id[..]).eq(wanted.map(|id| format!("{id:05}"))));
            }
            assert_eq!(store.version_jobs(&segment, current, 9).unwrap().unwrap(), [JOB]);
        };
        check(&store);
        let (least, most) = if in_blocks { (all + 1, pieces * ROWS) } else { (all, all) };
        let stored = stored_members(&store) as u64;
        assert!((least..=most).contains(&stored), "{stored} of {least} to {most}, {pieces} pieces");
        assert!(runs(&store) <= MOST_RUNS || !in_blocks);
        store.settle().unwrap();
        check(&store);
        assert_eq!(stored_members(&store) as u64, all);
        let layers = current_layers(&store);
        assert!(layers.iter().all(|layer| layer.number & IN_BLOCKS != 0), "{layers:?}");
        store.settle().unwrap();
        assert_eq!(current_layers(&store), layers);
        // The next import looks through them.
        import_ids(&store, 1, all - 5..all + 5);
        let segment = store.segment(APPLICATION, segment).unwrap().unwrap();
        assert_eq!(segment.current().unwrap().size, all + 5);
    }
}

#[test]
fn large_layers_keep_only_new_members_once_the_store_has_settled() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    // Layers whose new members are too many to be written when the job ends; the fourth begins the segment anew.
    let imports = [0..30_000, 10_000..70_000, 0..80_000, 5000..30_000, 0..30_000];
    for (number, ids) in (0..).zip(imports.clone()) {
        import_with(&store, number, ids, [true, number == 3]);
    }
    let check = || {
        let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
        for (number, wanted) in (1..).zip([0..30_000, 0..70_000, 0..80_000, 5000..30_000, 0..30_000]) {
            let version = store.segment_version(&segment, number).unwrap().unwrap();
            assert_eq!(version.size, wanted.end - wanted.start, "version {number}");
            let found = store.members(&segment, &version, None, usize::MAX).unwrap();
            let is_whole = found.iter().map(|member| &member.id[..]).eq(wanted.map(|id| format!("{id:05}")));
            assert!(is_whole, "version {number} has {} members", found.len());
            assert_eq!(
                store.version_jobs(&segment, &version, 9).unwrap().unwrap().len() as u32,
                [1, 2, 3, 1, 2][number as usize - 1]
            );
        }
    };
    check();
    // The third and the fifth had few.
    assert_eq!(stored_members(&store), 30_000 + 60_000 + 10_000 + 25_000 + 5000);
    store.settle().unwrap();
    check();
    assert_eq!(stored_members(&store), 80_000 + 30_000);
    store.settle().unwrap();
    check();
}

#[test]
fn members_that_were_copies_before_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    import_as(&store, 0, 0..2000, false);
    import_ids(&store, 1, 0..2000);
    assert_eq!(stored_members(&store), 4000);
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    assert_eq!(segment.current().unwrap().size, 2000);
}

#[test]
fn an_import_of_the_same_endpoints_adds_no_members() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    let members = || stored_members(&store);
    // Some ids of each import are new, between the others, and some are not there any more.
    for number in 0..5 {
        import_ids(&store, number, (0..2000).filter(|id| id % 50 >= 10 - number));
    }
    assert_eq!(members(), 1600 + 4 * 40);
    // All are known, and at last few of many are.
    import_ids(&store, 5, (0..2000).filter(|id| id % 50 >= 8));
    assert_eq!(members(), 1760);
    import_ids(&store, 6, 1990..4000);
    assert_eq!(members(), 1760 + 2010);
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let sizes = [1600, 1640, 1680, 1720, 1760, 1760, 3760];
    for (number, size) in (1..).zip(sizes) {
        let version = store.segment_version(&segment, number).unwrap().unwrap();
        assert_eq!(version.size, size, "version {number}");
        let found = store.members(&segment, &version, None, usize::MAX).unwrap();
        assert_eq!(found.len() as u64, size, "version {number}");
        let jobs = store.version_jobs(&segment, &version, 10).unwrap().unwrap();
        assert_eq!(jobs.len() as u32, number);
    }
    store.settle().unwrap();
    let current = segment.current().unwrap();
    assert_eq!(store.members(&segment, current, None, usize::MAX).unwrap().len(), 3760);
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
