//! Samples of all jobs as server-sent events: the same numbers as every other view. A listener that reads too
//! slowly loses samples, which their sequence shows; nobody waits for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, header};
use pinport_model::view::Sample;
use tokio::sync::mpsc;
use tokio_stream::{
    StreamExt as _,
    wrappers::{BroadcastStream, ReceiverStream},
};

use super::{Api, Routes};
use crate::{
    access::{Applications, Principal},
    http::{Response, Route},
};

/// How long the stream may be silent while nothing changes. Then a sample says that nothing did: a listener could
/// not tell silence from a server that hangs, and proxies take a silent connection for a dead one.
const SILENCE: Duration = Duration::from_secs(3);
/// Messages on their way to one listener.
const AHEAD: usize = 2;

pub(super) fn add(routes: &mut Routes) {
    routes.waiting(Route::new("GET", "/pinport/v1/events", "StreamEvents"), |api, request| async move {
        let (send, receive) = mpsc::channel(AHEAD);
        let (principal, shutdown) = (request.principal().clone(), request.shutdown().clone());
        tokio::spawn(async move {
            let _ = shutdown.run_until_cancelled(feed(&api, &principal, send)).await;
        });
        let stream = Response::stream("text/event-stream", ReceiverStream::new(receive).map(Ok));
        Ok(stream.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
    });
}

/// Sends samples until the listener is gone.
async fn feed(api: &Arc<Api>, principal: &Principal, send: mpsc::Sender<Bytes>) {
    // Without those that were lost: the next one behind them tells.
    let mut samples = BroadcastStream::new(api.jobs.subscribe()).filter_map(Result::ok);
    // A listener sees at once how things stand.
    let mut next = Arc::new(api.jobs.sample());
    while send.send(event(api, &next, principal)).await.is_ok() {
        next = match tokio::time::timeout(SILENCE, samples.next()).await {
            Ok(Some(sample)) => sample,
            Ok(None) => return,
            Err(_) => Arc::new(api.jobs.sample()),
        };
    }
}

/// A sample as an event, with the jobs that the listener may see.
fn event(api: &Api, sample: &Sample, principal: &Principal) -> Bytes {
    let json = match principal.applications() {
        Applications::All => serde_json::to_string(sample),
        Applications::Only(only) => {
            let mut sample = sample.clone();
            sample.jobs.retain(|job| only.contains(&job.application));
            let known: Vec<_> = sample.jobs.iter().map(|job| job.id).collect();
            sample.happenings.retain(|happening| happening.job.is_some_and(|job| known.contains(&job)));
            sample.jobs_total = sample.jobs.len() as u64;
            // Not the server's files.
            sample.trouble = sample.trouble.and(api.jobs.trouble().map(str::to_owned));
            serde_json::to_string(&sample)
        }
    };
    // Numbers and strings always serialise.
    let json = json.unwrap_or_default();
    format!("id: {}\nevent: sample\ndata: {json}\n\n", sample.sequence).into()
}
