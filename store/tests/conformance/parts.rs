//! Jobs in parts, which several processes work on at a time.

use pinport_model::{
    ApplicationId, Border, ImportJob, JobPart, JobStatus, PieceRecord, Tally, job::PlanSummary,
    progress::Progress,
};
use pinport_store::{ClaimedPart, Parts, Store, StoreError, Unresolved, postgres::Postgres};

use crate::{
    cluster::Cluster,
    database::{open, started},
    support::{Bench, Record, batches, new, new_application, segment_job, update, user_only},
};

/// Two processes on one database, and a job that the first has divided.
struct Pair {
    cluster: Cluster,
    first: Postgres,
    second: Postgres,
    job: ImportJob,
    application: ApplicationId,
}

fn part(number: u32) -> JobPart {
    let border = |object| Border { object, byte: 0 };
    let at = u64::from(number);
    JobPart { number, start: border(at - 1), end: border(at), bytes: 10 * at, packed: 0 }
}

impl Pair {
    fn new(parts: u32) -> Self {
        let (cluster, url) = started();
        let [first, second] = ["first", "second"].map(|name| open(&url, name).unwrap());
        let application = new_application("a");
        first.create_application(&application).unwrap();
        let mut job = segment_job(application.id);
        first.create_job(&job).unwrap();
        first.claim(job.id).unwrap();
        job.plan = Some(PlanSummary { objects: parts.into(), parts, ..PlanSummary::default() });
        first.divide(job.id, &(1..=parts + 2).map(part).collect::<Vec<_>>()).unwrap();
        // It may be planned again.
        first.divide(job.id, &(1..=parts).map(part).collect::<Vec<_>>()).unwrap();
        first.save_job(&job).unwrap();
        Self { cluster, first, second, job, application: application.id }
    }

    fn claim(&self, store: &Postgres) -> Option<ClaimedPart> {
        store.claim_part(self.job.id).unwrap()
    }

    fn claimed(&self, store: &Postgres) -> Option<u32> {
        self.claim(store).map(|claimed| claimed.part.number)
    }

    /// Commits a piece of a part that was claimed.
    fn commit(
        &self,
        store: &Postgres,
        (part, piece): (u32, u64),
        records: &[Record],
    ) -> Result<Vec<Unresolved>, StoreError> {
        let writer = store.part_writer(&self.job, part)?;
        let mut prepared = writer.prepare(piece, batches(records))?;
        let unresolved = prepared.resolve()?;
        prepared.commit(&record(piece, records.len() as u64 * (piece + 1)))?;
        Ok(unresolved)
    }

    fn city(&self, id: &str) -> Option<String> {
        self.second.endpoint(self.application, id).unwrap()?.location.city
    }
}

/// The record of a piece up to which so many records were registered.
fn record(piece: u64, registered: u64) -> PieceRecord {
    let total = Tally { read: registered, registered, ..Tally::default() };
    PieceRecord { piece, total, done_pieces: Some(piece + 1), ..PieceRecord::default() }
}

#[test]
fn parts_are_committed_in_any_order_and_the_later_in_the_source_wins() {
    let pair = Pair::new(3);
    let Pair { first, second, job, .. } = &pair;
    assert_eq!(pair.claim(first), Some(ClaimedPart { part: part(1), last: None }));
    assert_eq!((pair.claimed(second), pair.claimed(first)), (Some(2), Some(3)));
    assert_eq!(pair.claimed(second), None, "all are worked on");
    let cities = |city: &str| [new("x", "1").city(city), new(city, "2").city(city)];
    pair.commit(first, (3, 0), &cities("third")).unwrap();
    pair.commit(second, (2, 0), &cities("second")).unwrap();
    assert_eq!(pair.city("x").as_deref(), Some("third"));
    pair.commit(first, (1, 0), &cities("first")).unwrap();
    pair.commit(second, (2, 1), &cities("second again")).unwrap();
    assert_eq!(pair.city("x").as_deref(), Some("third"));
    // What both say of the job while it is not whole.
    for store in [first, second] {
        assert_eq!(store.last_piece(job.id).unwrap(), None);
        let totals = store.totals(job.id).unwrap().unwrap();
        assert_eq!((totals.total.registered, totals.completed_pieces()), (2 + 4 + 2, 4));
    }
    let seen = second.open_jobs().unwrap().remove(0);
    let worked = seen.parts.iter().map(|(part, server)| (*part, server.as_str()));
    assert_eq!(worked.collect::<Vec<_>>(), [(1, "first"), (2, "second"), (3, "first")]);
    assert_eq!(seen.open_parts, 0);
    assert!(!first.is_first(job.id, 3).unwrap() && first.is_first(job.id, 1).unwrap());
    for (store, number) in [(first, 3), (first, 1), (second, 2)] {
        store.end_part(job.id, number).unwrap();
    }
    assert!(first.is_first(job.id, 3).unwrap());
    assert_eq!(pair.claimed(second), None, "all are done");
    // The one that has the job makes them its pieces.
    let writer = first.writer(job).unwrap();
    for (number, sum) in [(1, 2), (2, 6), (3, 8)] {
        assert_eq!(first.part_pieces(job.id, number).unwrap().len(), if number == 2 { 2 } else { 1 });
        let mut prepared = writer.prepare(u64::from(number) - 1, Vec::new()).unwrap();
        assert_eq!(prepared.resolve().unwrap(), []);
        let record = PieceRecord { done_pieces: Some(sum / 2), ..record(u64::from(number) - 1, sum) };
        prepared.commit(&record).unwrap();
        first.forget_part(job.id, number).unwrap();
        let totals = second.totals(job.id).unwrap().unwrap();
        assert_eq!((totals.total.registered, totals.completed_pieces()), (8, 4), "after part {number}");
    }
    assert_eq!(second.last_piece(job.id).unwrap().unwrap().total.registered, 8);
    assert_eq!(second.pieces(job.id, 0, 9).unwrap().len(), 3);
    let ended = ImportJob { status: JobStatus::Completed, ..job.clone() };
    first.finish_job(&ended, false).unwrap();
    let bench = Bench::of(open_again(&pair));
    let mut ids = bench.member_ids(&bench.segment(job));
    ids.sort();
    assert_eq!(ids, ["first", "second", "second again", "third", "x"]);
}

fn open_again(pair: &Pair) -> Postgres {
    open(&pair.cluster.url(), "third").unwrap()
}

#[test]
fn a_record_knows_the_parts_before_it_and_not_those_after() {
    let pair = Pair::new(3);
    let Pair { first, second, job, .. } = &pair;
    for (store, number) in [(first, 1), (second, 2), (second, 3)] {
        assert_eq!(pair.claimed(store), Some(number));
    }
    pair.commit(second, (3, 0), &[new("late", "1").user("late")]).unwrap();
    pair.commit(first, (1, 0), &[new("early", "1").user("early")]).unwrap();
    first.end_part(job.id, 1).unwrap();
    let prepared = second.part_writer(job, 2).unwrap().prepare(0, batches(&[update("early")])).unwrap();
    assert!(prepared.asks_the_store());
    // Of a large piece, records of new endpoints ask for nothing.
    let many: Vec<_> = (0..300).map(|id| new(&id.to_string(), "1")).collect();
    let prepared = second.part_writer(job, 2).unwrap().prepare(0, batches(&many)).unwrap();
    assert!(!prepared.asks_the_store());
    let records = [
        update("early").city("updated"),
        update("late").city("too early"),
        user_only("early").user_attribute("a", "1"),
        user_only("late").user_attribute("a", "1"),
    ];
    let unresolved = pair.commit(second, (2, 0), &records).unwrap();
    assert_eq!(unresolved.len(), 2, "{unresolved:?}");
    assert_eq!(pair.city("early").as_deref(), Some("updated"));
    assert_eq!(pair.city("late"), None);
    let of_user = |user: &str| second.user_endpoints(pair.application, user, None, 9).unwrap();
    let attributes = |user: &str| of_user(user)[0].user.user_attributes.len();
    assert_eq!((attributes("early"), attributes("late")), (1, 0));
}

#[test]
fn a_part_that_is_given_back_goes_on_elsewhere_and_one_that_waits_has_its_turn() {
    let pair = Pair::new(3);
    let Pair { cluster, first, second, job, .. } = &pair;
    assert_eq!((pair.claimed(first), pair.claimed(first)), (Some(1), Some(2)));
    pair.commit(first, (1, 0), &[new("a", "1")]).unwrap();
    first.report_part(job.id, 1, &progress(job));
    first.keep_file(job.id, 1, "failures", 0, b"kept").unwrap();
    first.keep_file(job.id, 0, "failures", 0, b"the job's own").unwrap();
    first.release_part(job.id, 2, true);
    let until = |sql: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while cluster.ask(sql) != "t" {
            assert!(std::time::Instant::now() < deadline, "{sql}");
        }
    };
    until("SELECT waits FROM pinport.parts WHERE part = 2");
    until("SELECT progress IS NOT NULL FROM pinport.parts WHERE part = 1");
    let states = second.part_states(job.id, 0).unwrap();
    assert_eq!(states.iter().map(|state| state.part).collect::<Vec<_>>(), [part(1), part(2), part(3)]);
    let worker = states[0].worker.clone().unwrap();
    assert_eq!((worker.name.as_str(), worker.progress), ("first", Some(progress(job))));
    assert_eq!(states[0].last.as_ref().map(|last| last.total.registered), Some(1));
    assert_eq!((&states[1].worker, &states[2].worker), (&None, &None));
    assert_eq!(second.part_states(job.id, 2).unwrap().len(), 1);
    assert_eq!(pair.claimed(second), Some(3), "the second one waits");
    assert_eq!(pair.claimed(second), None);
    // The first one is frozen; its lease ends.
    let mut taken = None;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while taken.is_none() && std::time::Instant::now() < deadline {
        cluster
            .ask("UPDATE pinport.parts SET lease = clock_timestamp() - interval '1 second' WHERE part = 1");
        taken = pair.claim(second);
    }
    assert_eq!(taken, Some(ClaimedPart { part: part(1), last: Some(record(0, 1)) }));
    let lost = |done: Result<_, StoreError>| assert!(matches!(done, Err(StoreError::Lost(_))));
    lost(first.keep_file(job.id, 1, "failures", 4, b"late"));
    lost(first.end_part(job.id, 1));
    let mut kept = Vec::new();
    second
        .kept_files(job.id, 1, &mut |name, at, bytes| {
            kept.push((name.to_owned(), at, bytes.to_vec()));
            Ok(())
        })
        .unwrap();
    assert_eq!(kept, [("failures".to_owned(), 0, b"kept".to_vec())]);
    pair.commit(second, (1, 1), &[new("b", "1")]).unwrap();
    second.end_part(job.id, 1).unwrap();
    assert_eq!(pair.claimed(first), Some(2), "its turn has come");
    // Whoever ends the job early lets no one commit any more.
    first.close_parts(job.id).unwrap();
    for (store, number) in [(first, 2), (second, 3)] {
        let refused = pair.commit(store, (number, 0), &[new("c", "1")]).unwrap_err();
        assert!(matches!(&refused, StoreError::Conflict(why) if why.contains("has ended")), "{refused:?}");
    }
    assert_eq!(pair.claimed(second), None);
    let totals = first.totals(job.id).unwrap().unwrap();
    assert_eq!((totals.total.registered, totals.completed_pieces()), (2, 2));
}

fn progress(job: &ImportJob) -> Progress {
    Progress {
        job: job.id,
        status: JobStatus::Processing,
        source_bytes: 1,
        source_total: 2,
        bytes: 3,
        bytes_total: 4,
        parsed: 5,
        registered: 6,
        failed: 7,
        pieces_done: 8,
        pieces_failed: 9,
        pieces_total: 10,
        objects_done: 11,
        objects_total: 12,
        before: Default::default(),
        elapsed_ms: 13,
        busy_ms: Default::default(),
    }
}

#[test]
fn nobody_takes_parts_of_a_job_that_is_to_rest() {
    let pair = Pair::new(2);
    assert!(pair.second.ask(pair.job.id, Some(pinport_store::StopRequest::Pause)).unwrap());
    assert_eq!(pair.claimed(&pair.first), None);
    assert!(pair.second.ask(pair.job.id, None).unwrap());
    assert_eq!(pair.claimed(&pair.second), Some(1));
    // Only the one that has the job divides it.
    let refused = pair.second.divide(pair.job.id, &[part(1)]);
    assert!(matches!(refused, Err(StoreError::Lost(_))));
    assert!(matches!(pair.second.close_parts(pair.job.id), Err(StoreError::Lost(_))));
}
