//! How members lie in a segment's layers: in runs of blocks, which members are kept, and what of older layouts is read.

use pinport_model::{job::SegmentMembers, segment::SegmentLayer};

use super::{
    super::{
        blocks::{self, RUN},
        engine::to_json,
        joining::MOST_RUNS,
        layers::{Layer, of_version},
    },
    layers::{import_as, import_counted, import_ids, import_with},
    *,
};

/// The members of the segment of `JOB` in all its layers, however they are stored.
fn stored_members(store: &Embedded) -> usize {
    let engine = store.engine().unwrap();
    let mut entries = engine.scan(&keys::members(SegmentId::from(JOB)));
    entries.seek_first();
    let mut count = 0;
    while let Some((key, mut others)) = entries.entry().unwrap() {
        count += 1;
        if blocks::has_blocks(u32::from_be_bytes(*key.first_chunk().unwrap())) {
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
            layer.number &= !blocks::numbered(0, false);
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
        assert!(layers.iter().all(|layer| blocks::has_blocks(layer.number)), "{layers:?}");
        store.settle().unwrap();
        assert_eq!(current_layers(&store), layers);
        // The next import looks through them.
        import_ids(&store, 1, all - 5..all + 5);
        let segment = store.segment(APPLICATION, segment).unwrap().unwrap();
        assert_eq!(segment.current().unwrap().size, all + 5);
    }
}

#[test]
fn runs_of_one_piece_are_joined_apart() {
    const PIECES: u64 = 20;
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    // What is registered before, and updated by the second run of a piece.
    import_ids(&store, 1, 50_000..50_000 + PIECES);
    let mut job = store.job(JOB).unwrap().unwrap();
    for piece in 0..PIECES {
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let mut batch = DraftBatch::new(origin, job.created);
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        batch.push(&mut draft, DraftKind::Blind, &format!("{piece:05}"), b"", origin);
        // With one run of the first piece, runs are joined up to the first run of a piece that has two.
        if piece > 0 {
            // Descending, so that it does not just come after what was joined.
            let id = format!("{}", 50_000 + PIECES - piece);
            batch.push(&mut Draft::default(), DraftKind::Update, &id, b"", origin);
        }
        let mut prepared = store.writer(&job).unwrap().prepare(piece, vec![batch]).unwrap();
        assert!(prepared.resolve().unwrap().is_empty());
        prepared.commit(&PieceRecord::default()).unwrap();
    }
    let all = 2 * PIECES - 1;
    assert_eq!(runs(&store), all as usize + 1);
    job.status = JobStatus::Completed;
    job.tally.registered = all;
    store.finish_job(&job, true).unwrap();
    assert!(runs(&store) <= MOST_RUNS + 1, "{} runs", runs(&store));
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let current = segment.current().unwrap();
    let found = store.members(&segment, current, None, usize::MAX).unwrap();
    let wanted = (0..PIECES).chain(50_001..50_000 + PIECES).map(|id| format!("{id:05}"));
    assert!(found.iter().map(|member| &member.id[..]).eq(wanted), "{} members", found.len());
    assert_eq!(current.size, all);
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

/// A job that counted by itself knows how many members there are, by hashes: which of them are new is found.
#[test]
fn a_job_that_counted_adds_only_new_members_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    import_ids(&store, 0, 0..2000);
    let mut wanted = stored_members(&store);
    assert_eq!(wanted, 2000);
    for (number, ids, count, added) in [
        // There is only one layer, and two are little more.
        (1, 0..2000, 2000, 2000),
        (2, 0..2040, 2040, 40),
        // Most are new, or few are there: all stay.
        (3, 0..4200, 4200, 4200),
        (4, 4190..4210, 4210, 20),
        // Its number is wrong, and no member is lost.
        (5, 6000..8000, 4210, 2000),
        (6, 3000..4300, 4300, 90),
    ] {
        let counted = SegmentMembers { version: number as u32 + 1, count };
        import_counted(&store, number, ids, [true, false], Some(counted));
        wanted += added;
        assert_eq!(stored_members(&store), wanted, "{number}");
    }
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let current = segment.current().unwrap();
    assert_eq!(current.size, 4300);
    let found = store.members(&segment, current, None, usize::MAX).unwrap();
    let all = (0..4300).chain(6000..8000).map(|id| format!("{id:05}"));
    assert!(found.iter().map(|member| &member.id[..]).eq(all), "{} members", found.len());
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
