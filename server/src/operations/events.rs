//! Samples of all jobs as server-sent events: the same numbers as every other view. A listener that reads too
//! slowly loses samples, which their sequence shows; no one waits for it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header};
use parking_lot::Mutex;
use pinport_model::{
    ApplicationId,
    view::{Event, JobView, Past, Sample},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::{
    StreamExt as _,
    wrappers::{BroadcastStream, ReceiverStream},
};

use super::{Api, Routes};
use crate::{
    access::{Applications, Principal},
    http::{Purse, Response, Route},
    limits::FREE_BYTES,
};

/// How long the stream may be silent while nothing changes. Then a sample says that nothing did: a listener could
/// not tell silence from a server that hangs, and proxies take a silent connection for a dead one.
const SILENCE: Duration = Duration::from_secs(3);
/// Samples that are kept as they are sent: those that the slowest listener may still get.
const KEPT: usize = 16;

pub(super) fn add(routes: &mut Routes) {
    let latest = Arc::new(Latest::default());
    let route = Route::new("GET", "/pinport/v1/events", "StreamEvents");
    routes.waiting(route, move |api, request| {
        let latest = Arc::clone(&latest);
        async move {
            let (send, receive) = mpsc::channel(1);
            let shutdown = request.shutdown().clone();
            tokio::spawn(async move {
                let listener = (request.principal().clone(), request.purse().clone());
                // The rest of the request is not needed any more.
                drop(request);
                let _ = shutdown.run_until_cancelled(feed(&api, &latest, &listener, send)).await;
            });
            let stream = Response::stream("text/event-stream", ReceiverStream::new(receive).map(Ok));
            Ok(stream.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        }
    });
}

/// Sends samples until the listener is gone.
async fn feed(
    api: &Arc<Api>,
    latest: &Latest,
    (principal, purse): &(Principal, Purse),
    send: mpsc::Sender<Bytes>,
) {
    // Without those that were lost: the number of the next one shows it.
    let mut samples = BroadcastStream::new(api.jobs.subscribe()).filter_map(Result::ok);
    // A listener sees at once how things stand, and what it missed.
    let mut next = api.jobs.first_sample();
    let (mut last, mut due) = (None, Instant::now());
    while let Ok(room) = send.reserve().await {
        // Without memory for it, the sample is lost as if the listener were too slow.
        if let Some((number, event)) =
            latest.event(&next, principal, purse, &|| api.jobs.trouble().map(str::to_owned))
            && (last != Some(number) || Instant::now() >= due)
        {
            room.send(event);
            (last, due) = (Some(number), Instant::now() + SILENCE);
        }
        next = match tokio::time::timeout_at(due, samples.next()).await {
            Ok(Some(sample)) => sample,
            Ok(None) => return,
            Err(_) => api.jobs.sample(),
        };
    }
}

/// What callers read about the server's trouble who may not learn of its files.
type Trouble<'a> = &'a (dyn Fn() -> Option<String> + Sync);

/// The newest samples as they are sent. Each is made once for all listeners that may see the same.
#[derive(Default)]
struct Latest(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    made: VecDeque<Made>,
    parts: Vec<Part>,
}

struct Made {
    sample: Arc<Sample>,
    events: Vec<(Applications, u64, Bytes)>,
}

/// What those see who may see some applications alone. Its samples have numbers of their own, and one that shows
/// nothing new has the number of the last: neither shows how much the others do.
struct Part {
    of: Applications,
    last: Sample,
}

impl Latest {
    /// The number of a sample and the event it is sent as.
    fn event(
        &self,
        sample: &Arc<Sample>,
        principal: &Principal,
        purse: &Purse,
        trouble: Trouble<'_>,
    ) -> Option<(u64, Bytes)> {
        let own = principal.applications();
        let mut kept = self.0.lock();
        let Kept { made, parts } = &mut *kept;
        let found = made.iter().position(|made| Arc::ptr_eq(&made.sample, sample));
        let at = found.unwrap_or_else(|| {
            if made.len() == KEPT {
                made.pop_front();
            }
            made.push_back(Made { sample: Arc::clone(sample), events: Vec::new() });
            made.len() - 1
        });
        let made = &mut made[at];
        if let Some((_, number, event)) = made.events.iter().find(|(of, ..)| is_same(of, own)) {
            return Some((*number, event.clone()));
        }
        let (number, event) = match own {
            Applications::All => (sample.sequence, event(sample)),
            Applications::Only(only) => {
                let mut part = part(sample, only, trouble);
                // What one listener missed is nothing new to the others.
                let past = part.past.take();
                match past {
                    None => {
                        let part = numbered(parts, own, part);
                        (part.sequence, event(part))
                    }
                    past => {
                        let part = Sample { past, ..numbered(parts, own, part).clone() };
                        (part.sequence, event(&part))
                    }
                }
            }
        };
        let event = match event.len() > FREE_BYTES {
            true => purse.try_take_shared(event.len())?.fix(event),
            false => event,
        };
        made.events.push((own.clone(), number, event.clone()));
        Some((number, event))
    }
}

/// Numbers what these listeners see: one more than the last if it differs from it.
fn numbered<'p>(parts: &'p mut Vec<Part>, own: &Applications, mut sample: Sample) -> &'p Sample {
    let at = parts.iter().position(|part| is_same(&part.of, own)).unwrap_or_else(|| {
        // Those of keys that are gone, or may see something else now.
        parts.retain(|part| !matches!(&part.of, Applications::Only(only) if Arc::strong_count(only) == 1));
        parts.push(Part { of: own.clone(), last: Sample { sequence: 0, ..sample.clone() } });
        parts.len() - 1
    });
    let last = &mut parts[at].last;
    sample.sequence = last.sequence;
    last.time = sample.time;
    if last.sequence == 0 || *last != sample {
        sample.sequence += 1;
        *last = sample;
    }
    last
}

/// Whether these are the applications of one key, or all.
fn is_same(one: &Applications, other: &Applications) -> bool {
    match (one, other) {
        (Applications::All, Applications::All) => true,
        (Applications::Only(one), Applications::Only(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// What a sample shows of some applications.
fn part(sample: &Sample, only: &BTreeSet<ApplicationId>, trouble: Trouble<'_>) -> Sample {
    let is_own = |application: &ApplicationId| only.contains(application);
    let own_jobs = sample.jobs_of.iter().filter(|(application, _)| is_own(application));
    let events = |events: &[Event]| {
        let own = events.iter().filter(|event| event.application.as_ref().is_some_and(is_own));
        own.cloned().collect()
    };
    let past = sample.past.as_ref().map(|past| {
        let jobs = past.jobs.iter().filter(|job| job.application.as_ref().is_some_and(is_own));
        Box::new(Past { events: events(&past.events), server: Vec::new(), jobs: jobs.cloned().collect() })
    });
    let jobs = sample.jobs.iter().filter(|job| is_own(&job.application));
    Sample {
        sequence: 0,
        time: sample.time,
        jobs: jobs.map(|job| JobView { server: None, ..job.clone() }).collect(),
        jobs_total: own_jobs.map(|(_, jobs)| jobs).sum(),
        jobs_of: Arc::default(),
        // What the jobs of all take together belongs to none of them.
        bytes_in_flight: 0,
        bytes_in_flight_limit: sample.bytes_in_flight_limit,
        // Without the server's files.
        trouble: sample.trouble.as_ref().and_then(|_| trouble()),
        events: events(&sample.events),
        past,
        machine: None,
        servers: Vec::new(),
    }
}

/// A sample as it is sent.
fn event(sample: &Sample) -> Bytes {
    // Numbers and strings always serialise.
    let json = serde_json::to_string(sample).unwrap_or_default();
    format!("id: {}\nevent: sample\ndata: {json}\n\n", sample.sequence).into()
}

#[cfg(test)]
mod tests {
    use pinport_model::{
        history::HistoryPoint,
        view::{JobHistory, Machine, ServerView},
    };

    use super::*;
    use crate::http::{Holder, Memory};

    #[test]
    fn a_sample_is_made_once_for_all_who_may_see_the_same() {
        let memory = Memory::new(16 << 20, Duration::ZERO);
        let purse = memory.purse(Holder::Server);
        let sample = |events: Vec<_>| {
            Arc::new(Sample {
                sequence: 1,
                time: pinport_model::Timestamp::now(),
                jobs: Vec::new(),
                jobs_total: 0,
                jobs_of: Arc::default(),
                bytes_in_flight: 0,
                bytes_in_flight_limit: 0,
                events,
                past: None,
                machine: None,
                servers: Vec::new(),
                trouble: None,
            })
        };
        let events = (0..1000).map(|number| Event {
            time: pinport_model::Timestamp::now(),
            job: None,
            application: None,
            text: format!("what happened {number}"),
        });
        let large = sample(events.collect());
        let latest = Latest::default();
        let (all, only) = (Principal::anybody(), Applications::Only(Arc::new(BTreeSet::new())));
        let event = |sample: &_, of: &_| latest.event(sample, of, &purse, &|| None).unwrap();
        let (_, first) = event(&large, &all);
        let held = memory.left();
        assert!(held < 16 << 20, "it takes from the budget");
        for _ in 0..100 {
            assert_eq!(event(&large, &all).1.as_ptr(), first.as_ptr());
        }
        assert_eq!(memory.left(), held);
        let (_, other) = event(&large, &Principal::new("key", only, true));
        assert!(!String::from_utf8_lossy(&other).contains("what happened"), "nothing of others");
        drop((first, other));
        for _ in 0..KEPT {
            event(&sample(Vec::new()), &all);
        }
        assert_eq!((latest.0.lock().made.len(), memory.left()), (KEPT, 16 << 20));
    }

    #[test]
    fn a_listener_gets_the_past_of_what_it_may_see_and_no_number_for_it() {
        let memory = Memory::new(16 << 20, Duration::ZERO);
        let purse = memory.purse(Holder::Server);
        let ids: [ApplicationId; 2] = [1, 2].map(|number| ApplicationId::from_bytes([number; 16]));
        let time = pinport_model::Timestamp::from_millis(1);
        let event = |number: usize| Event {
            time,
            job: None,
            application: Some(ids[number]),
            text: format!("event {number}"),
        };
        let history = |number: usize| JobHistory {
            job: pinport_model::JobId::from_bytes([number as u8; 16]),
            application: Some(ids[number]),
            points: Vec::new(),
        };
        let server = ServerView { name: "web-1:8600".into(), version: "1".into(), running: 1, here: true };
        let point = HistoryPoint { time, records: 77, bytes: 0, failed: 0 };
        let past = Past {
            events: vec![event(0), event(1)],
            server: vec![point],
            jobs: vec![history(0), history(1)],
        };
        let sample = |past| {
            Arc::new(Sample {
                sequence: 5,
                time,
                jobs: Vec::new(),
                jobs_total: 0,
                jobs_of: Arc::default(),
                bytes_in_flight: 0,
                bytes_in_flight_limit: 0,
                events: Vec::new(),
                past,
                machine: Some(Machine::default()),
                servers: vec![server.clone()],
                trouble: None,
            })
        };
        let latest = Latest::default();
        let key = Principal::new("key", Applications::Only(Arc::new([ids[0]].into())), true);
        let shown = |sample: &_, of: &_| {
            let (number, event) = latest.event(sample, of, &purse, &|| None).unwrap();
            (number, String::from_utf8(event.to_vec()).unwrap())
        };
        let (plain, first) = (sample(None), sample(Some(Box::new(past))));
        let (number, text) = shown(&plain, &key);
        assert!(!["past", "machine", "web-1"].iter().any(|word| text.contains(word)), "{text}");
        let (same, text) = shown(&first, &key);
        assert_eq!((number, same), (1, 1), "the others miss nothing");
        assert!(text.contains("event 0") && !text.contains("event 1") && !text.contains("77"), "{text}");
        assert_eq!(text.matches("\"points\"").count(), 1, "{text}");
        assert_eq!(shown(&plain, &key).0, 1);
        let (_, text) = shown(&first, &Principal::anybody());
        assert!(["event 1", "77", "machine", "web-1"].iter().all(|word| text.contains(word)), "{text}");
    }

    #[test]
    fn what_others_do_changes_no_number_of_a_part() {
        let memory = Memory::new(16 << 20, Duration::ZERO);
        let purse = memory.purse(Holder::Server);
        let own: ApplicationId = "00000000000000000000000000000001".parse().unwrap();
        let other: ApplicationId = "00000000000000000000000000000002".parse().unwrap();
        let sample = |sequence: u64, jobs: [u64; 2]| {
            Arc::new(Sample {
                sequence,
                time: pinport_model::Timestamp::from_millis(sequence.cast_signed()),
                jobs: Vec::new(),
                jobs_total: jobs.iter().sum(),
                jobs_of: Arc::new([(own, jobs[0]), (other, jobs[1])].into()),
                bytes_in_flight: jobs[1],
                bytes_in_flight_limit: 1000,
                events: Vec::new(),
                past: None,
                machine: None,
                servers: Vec::new(),
                trouble: None,
            })
        };
        let latest = Latest::default();
        let key = Principal::new("key", Applications::Only(Arc::new([own].into())), true);
        let number =
            |sequence, jobs| latest.event(&sample(sequence, jobs), &key, &purse, &|| None).unwrap().0;
        let numbers = [
            number(7, [1, 0]),
            number(8, [1, 1]),
            number(19, [1, 90]),
            number(20, [2, 90]),
            number(21, [2, 91]),
        ];
        assert_eq!(numbers, [1, 1, 1, 2, 2]);
        // Another set of the same applications is another key's.
        let same = Principal::new("same", Applications::Only(Arc::new([own].into())), true);
        assert_eq!(latest.event(&sample(22, [2, 91]), &same, &purse, &|| None).unwrap().0, 1);
        assert_eq!(latest.0.lock().parts.len(), 2);
        drop(same);
        latest.0.lock().made.clear();
        let next = Principal::new("next", Applications::Only(Arc::new([other].into())), true);
        assert_eq!(latest.event(&sample(23, [2, 91]), &next, &purse, &|| None).unwrap().0, 1);
        assert_eq!(latest.0.lock().parts.len(), 2, "the numbers of a key that is gone are dropped");
    }
}
