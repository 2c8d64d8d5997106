//! Samples of all jobs as server-sent events: the same numbers as every other view. A listener that reads too
//! slowly loses samples, which their sequence shows; nobody waits for it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, header};
use parking_lot::Mutex;
use pinport_model::{ApplicationId, view::Sample};
use tokio::sync::mpsc;
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
    // Without those that were lost: the next one behind them tells.
    let mut samples = BroadcastStream::new(api.jobs.subscribe()).filter_map(Result::ok);
    // A listener sees at once how things stand.
    let mut next = api.jobs.sample();
    while let Ok(room) = send.reserve().await {
        // Without memory for it, the sample is lost as if the listener were too slow.
        if let Some(event) = latest.event(&next, principal, purse, &|| api.jobs.trouble().map(str::to_owned))
        {
            room.send(event);
        }
        next = match tokio::time::timeout(SILENCE, samples.next()).await {
            Ok(Some(sample)) => sample,
            Ok(None) => return,
            Err(_) => api.jobs.sample(),
        };
    }
}

/// What those hear of the server's trouble who may not hear of its files.
type Trouble<'a> = &'a (dyn Fn() -> Option<String> + Sync);

/// The newest samples as they are sent. Each is made once for all listeners that may see the same.
#[derive(Default)]
struct Latest(Mutex<VecDeque<Made>>);

struct Made {
    sample: Arc<Sample>,
    events: Vec<(Applications, Bytes)>,
}

impl Latest {
    fn event(
        &self,
        sample: &Arc<Sample>,
        principal: &Principal,
        purse: &Purse,
        trouble: Trouble<'_>,
    ) -> Option<Bytes> {
        let own = principal.applications();
        let mut latest = self.0.lock();
        let found = latest.iter().position(|made| Arc::ptr_eq(&made.sample, sample));
        let at = found.unwrap_or_else(|| {
            if latest.len() == KEPT {
                latest.pop_front();
            }
            latest.push_back(Made { sample: Arc::clone(sample), events: Vec::new() });
            latest.len() - 1
        });
        let made = &mut latest[at];
        if let Some((_, event)) = made.events.iter().find(|(applications, _)| is_same(applications, own)) {
            return Some(event.clone());
        }
        let event = event(sample, own, trouble);
        let event = match event.len() > FREE_BYTES {
            true => purse.try_take_shared(event.len())?.fix(event),
            false => event,
        };
        made.events.push((own.clone(), event.clone()));
        Some(event)
    }
}

/// Whether these are the applications of one key, or all.
fn is_same(one: &Applications, other: &Applications) -> bool {
    match (one, other) {
        (Applications::All, Applications::All) => true,
        (Applications::Only(one), Applications::Only(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// A sample as an event, with the jobs that the listener may see.
fn event(sample: &Sample, applications: &Applications, trouble: Trouble<'_>) -> Bytes {
    let json = match applications {
        Applications::All => serde_json::to_string(sample),
        Applications::Only(only) => {
            let mut sample = sample.clone();
            sample.jobs.retain(|job| only.contains(&job.application));
            let is_own = |application: &ApplicationId| only.contains(application);
            sample.happenings.retain(|happening| happening.application.as_ref().is_some_and(is_own));
            sample.jobs_total = sample
                .jobs_of
                .iter()
                .filter(|(application, _)| is_own(application))
                .map(|(_, jobs)| jobs)
                .sum();
            // What the jobs of all take together is nobody's own.
            sample.bytes_in_flight = 0;
            // Not the server's files.
            sample.trouble = sample.trouble.and_then(|_| trouble());
            serde_json::to_string(&sample)
        }
    };
    // Numbers and strings always serialise.
    let json = json.unwrap_or_default();
    format!("id: {}\nevent: sample\ndata: {json}\n\n", sample.sequence).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::{Holder, Memory};

    #[test]
    fn a_sample_is_made_once_for_all_who_may_see_the_same() {
        let memory = Memory::new(16 << 20, Duration::ZERO);
        let purse = memory.purse(Holder::Server);
        let sample = |happenings: Vec<_>| {
            Arc::new(Sample {
                sequence: 1,
                time: pinport_model::Timestamp::now(),
                jobs: Vec::new(),
                jobs_total: 0,
                jobs_of: Arc::default(),
                bytes_in_flight: 0,
                bytes_in_flight_limit: 0,
                happenings,
                trouble: None,
            })
        };
        let happenings = (0..1000).map(|number| pinport_model::view::Happening {
            time: pinport_model::Timestamp::now(),
            job: None,
            application: None,
            text: format!("what happened {number}"),
        });
        let large = sample(happenings.collect());
        let latest = Latest::default();
        let (all, only) = (Principal::anybody(), Applications::Only(Arc::new(BTreeSet::new())));
        let first = latest.event(&large, &all, &purse, &|| None).unwrap();
        let held = memory.left();
        assert!(held < 16 << 20, "it takes from the budget");
        for _ in 0..100 {
            assert_eq!(latest.event(&large, &all, &purse, &|| None).unwrap().as_ptr(), first.as_ptr());
        }
        assert_eq!(memory.left(), held);
        let other = latest.event(&large, &Principal::new("key", only, true), &purse, &|| None).unwrap();
        assert!(!String::from_utf8_lossy(&other).contains("what happened"), "nothing of others");
        drop((first, other));
        for _ in 0..KEPT {
            latest.event(&sample(Vec::new()), &all, &purse, &|| None).unwrap();
        }
        assert_eq!((latest.0.lock().len(), memory.left()), (KEPT, 16 << 20));
    }
}
