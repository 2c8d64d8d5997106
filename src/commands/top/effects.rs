//! Carries out what the dashboard asks for. Of each kind of data it wants, only the newest request is under way; actions
//! are done one after the other.

use std::{num::NonZeroU64, sync::Arc};

use pinport_model::{Failure, JobId, failure::csv_header_len};
use pinport_pipeline::{place::place_of, throttle::ThrottleRate};
use pinport_tui::{Effect, FailuresPage, FailuresQuery, Message, Rate, RecordBytes, RecordQuery};
use reqwest::Method;
use tokio::sync::{Notify, mpsc, watch};

use super::{
    Outbox,
    creating::{ROLE, create},
    editing::{Editor, Mending, fetch, import_mended, kept, search_of},
    saving::{save_failures, save_rejects},
};
use crate::{
    client::{Client, ClientError, encoded},
    commands::mending::Edited,
};

/// Actions that wait for their turn.
const WAITING: usize = 32;

/// Where the dashboard puts effects.
#[derive(Debug)]
pub(super) struct EffectQueue {
    detail: watch::Sender<Option<JobId>>,
    failures: watch::Sender<Option<FailuresQuery>>,
    record: watch::Sender<Option<RecordQuery>>,
    sources: watch::Sender<Option<String>>,
    actions: mpsc::Sender<Effect>,
    mending: Mending,
    editor: Arc<Editor>,
    /// Wakes the task that waits before it connects again.
    now: Arc<Notify>,
    outbox: Outbox,
}

/// Carries out the effects of a queue.
#[derive(Debug)]
pub(super) struct EffectWorker {
    detail: watch::Receiver<Option<JobId>>,
    failures: watch::Receiver<Option<FailuresQuery>>,
    record: watch::Receiver<Option<RecordQuery>>,
    sources: watch::Receiver<Option<String>>,
    actions: mpsc::Receiver<Effect>,
    mending: Mending,
}

impl EffectWorker {
    /// Works until the queue is dropped.
    pub(super) async fn run(self, client: &Client, outbox: &Outbox) {
        let Self { detail, failures, record, sources, mut actions, mending } = self;
        let details = answer(outbox, detail, async |job: &JobId| {
            let detail = client.call(Method::GET, &format!("/pinport/v1/jobs/{job}"), None).await?;
            Ok(Message::Detail(detail))
        });
        let pages = answer(outbox, failures, async |query: &FailuresQuery| {
            Ok(Message::Failures(page(client, query).await?))
        });
        let records = answer(outbox, record, async |query: &RecordQuery| {
            Ok(Message::Record(Box::new(record_bytes(client, query).await?)))
        });
        let places = answer(outbox, sources, async |prefix: &String| {
            let path = format!("/pinport/v1/sources?prefix={}&role={}", encoded(prefix), encoded(ROLE));
            let found = match client.call(Method::GET, &path, None).await {
                Ok(found) => Ok(found),
                Err(error @ ClientError::Unreachable { .. }) => return Err(error),
                Err(ClientError::Refused { message, .. }) => Err(message),
                Err(error) => Err(error.to_string()),
            };
            Ok(Message::Sources { prefix: prefix.clone(), found })
        });
        let work = async {
            while let Some(effect) = actions.recv().await {
                let done = match effect {
                    Effect::CreateImport(import) => made(outbox, create(client, import).await).await,
                    Effect::FetchRejects(query) => match fetch(client, query).await {
                        Ok((rejects, text)) => {
                            let job = rejects.job;
                            *mending.lock() = Some((rejects, false));
                            outbox.deliver(Message::Rejects(job)).await;
                            Ok(text)
                        }
                        Err(text) => Err(text),
                    },
                    Effect::Edit(_) => made(outbox, import_mended(client, &mending).await).await,
                    effect => act(client, effect).await,
                };
                let (text, worked) = match done {
                    Ok(text) => (text, true),
                    Err(text) => (text, false),
                };
                if !text.is_empty() {
                    outbox.deliver(Message::EffectDone { text, worked }).await;
                }
            }
        };
        tokio::join!(details, pages, records, places, work);
    }
}

impl EffectQueue {
    /// A queue, and who carries out what is put into it.
    pub(super) fn open(outbox: Outbox, now: Arc<Notify>) -> (Self, EffectWorker) {
        let (detail, details) = watch::channel(None);
        let (failures, pages) = watch::channel(None);
        let (record, records) = watch::channel(None);
        let (sources, places) = watch::channel(None);
        let (actions, work) = mpsc::channel(WAITING);
        let mending = Mending::default();
        let worker = EffectWorker {
            detail: details,
            failures: pages,
            record: records,
            sources: places,
            actions: work,
            mending: Arc::clone(&mending),
        };
        let editor = Arc::default();
        (Self { detail, failures, record, sources, actions, mending, editor, now, outbox }, worker)
    }

    /// Takes an effect, without waiting. Only an editor is waited for: the terminal is its own until it ends.
    pub(super) fn put(&self, effect: Effect) {
        match effect {
            Effect::RequestDetail(job) => drop(self.detail.send_replace(Some(job))),
            Effect::RequestFailures(query) => drop(self.failures.send_replace(Some(query))),
            Effect::RequestRecord(query) => drop(self.record.send_replace(Some(query))),
            Effect::RequestSources(prefix) => drop(self.sources.send_replace(Some(prefix))),
            Effect::Reconnect => self.now.notify_one(),
            // The dashboard's loop does these itself.
            Effect::Copy(_) | Effect::Suspend | Effect::Quit => {}
            Effect::Edit(job) => {
                self.editor.begin();
                let edited = self.edit();
                self.editor.end();
                match edited {
                    Ok(true) => self.act(Effect::Edit(job)),
                    Ok(false) => {}
                    Err(text) => self.outbox.offer(Message::EffectDone { text, worked: false }),
                }
            }
            action => self.act(action),
        }
    }

    fn act(&self, action: Effect) {
        if self.actions.try_send(action).is_err() {
            let mut text = "too much is under way: try again when some of it is done".to_owned();
            text.extend(self.unsent().map(|kept| format!("; {kept}")));
            self.outbox.offer(Message::EffectDone { text, worked: false });
        }
    }

    /// Opens the rejects that were fetched in an editor; says whether there is something to import.
    fn edit(&self) -> Result<bool, String> {
        let Some((rejects, _)) = self.mending.lock().take() else { return Ok(false) };
        match rejects.edit().map_err(|error| format!("{error:#}"))? {
            Edited::Changed => {
                *self.mending.lock() = Some((rejects, true));
                Ok(true)
            }
            Edited::Unchanged => Err("the rejects were left as they were: nothing was imported".into()),
            Edited::Emptied => Err("no record is left: nothing was imported".into()),
        }
    }

    /// Who has the terminal.
    pub(super) fn editor(&self) -> Arc<Editor> {
        Arc::clone(&self.editor)
    }

    /// Keeps mended records that were not imported, and says where they are.
    pub(super) fn unsent(&self) -> Option<String> {
        let (rejects, is_mended) = self.mending.lock().take()?;
        is_mended.then(|| kept(rejects))
    }
}

/// Tells the dashboard of a new job.
async fn made(outbox: &Outbox, made: Result<(JobId, String), String>) -> Result<String, String> {
    let (job, text) = made?;
    outbox.deliver(Message::Created(job)).await;
    Ok(text)
}

/// Answers the newest question until no one asks any more; another question takes the place of one under way.
async fn answer<Q: Clone + PartialEq>(
    outbox: &Outbox,
    mut questions: watch::Receiver<Option<Q>>,
    ask: impl AsyncFn(&Q) -> Result<Message, ClientError>,
) {
    // The same trouble is not shown with every question.
    let mut told = String::new();
    while questions.changed().await.is_ok() {
        loop {
            let Some(question) = questions.borrow_and_update().clone() else { break };
            let other = async {
                let other = questions.wait_for(|other| other.as_ref() != Some(&question)).await.is_ok();
                if !other {
                    // No one asks any more: the answer still comes, and then this ends.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                answer = ask(&question) => {
                    match answer {
                        Ok(message) => {
                            told.clear();
                            outbox.deliver(message).await;
                        }
                        // The event stream breaks too, and shows it.
                        Err(ClientError::Unreachable { .. }) => {}
                        Err(error) => {
                            let text = error.to_string();
                            if text != told {
                                told.clone_from(&text);
                                outbox.deliver(Message::EffectDone { text, worked: false }).await;
                            }
                        }
                    }
                    break;
                }
                () = other => {}
            }
        }
    }
}

/// The first failures that a query wants: the server looks for them, some of its file with each request.
async fn page(client: &Client, query: &FailuresQuery) -> Result<FailuresPage, ClientError> {
    let mut page = FailuresPage::new(query.clone());
    let search = search_of(query);
    let (matches, mut token) = (query.matcher(), None);
    loop {
        let (text, next) = client.failures(query.job, &search, token.as_deref()).await?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let failure: Failure = serde_json::from_slice(line)
                .map_err(|error| ClientError::Strange { what: error.to_string() })?;
            if matches(&failure) && !page.push(failure) {
                return Ok(page);
            }
        }
        match next {
            Some(next) => token = Some(next),
            None => return Ok(page),
        }
    }
}

/// The bytes of a failed record, or the server's reason why they are not there.
async fn record_bytes(client: &Client, query: &RecordQuery) -> Result<RecordBytes, ClientError> {
    match header_and_record(client, query).await {
        Ok((header, bytes)) => Ok(record_answer(query.clone(), &header, Ok(bytes))),
        Err(error @ ClientError::Unreachable { .. }) => Err(error),
        Err(error) => Ok(record_answer(query.clone(), &[], Err(error.to_string()))),
    }
}

/// The answer to a request for a record: its bytes, and where in them the fault is. `head`: those that hold its header.
pub(super) fn record_answer(query: RecordQuery, head: &[u8], bytes: Result<Vec<u8>, String>) -> RecordBytes {
    // Without its line end.
    let header = csv_header_len(head).map(|len| &head[..len - 1]);
    let fault = bytes
        .as_ref()
        .ok()
        .and_then(|bytes| place_of(&query.failure, query.format, &query.read, header, bytes));
    RecordBytes { query, bytes, fault }
}

async fn header_and_record(client: &Client, query: &RecordQuery) -> Result<(Vec<u8>, Vec<u8>), ClientError> {
    let header = match query.header_bytes() {
        0 => Vec::new(),
        bytes => rejected(client, query, 0, bytes).await?,
    };
    let wanted = query.place.bytes.min(RecordQuery::LIMIT);
    Ok((header, rejected(client, query, query.place.byte, wanted).await?))
}

/// A range of a rejects file.
async fn rejected(
    client: &Client,
    query: &RecordQuery,
    from: u64,
    bytes: u64,
) -> Result<Vec<u8>, ClientError> {
    let RecordQuery { job, place, .. } = query;
    let path = format!("/pinport/v1/jobs/{job}/rejects?part={}&byte={from}&bytes={bytes}", place.part);
    let response = client.send(Method::GET, &path, None).await?;
    let most = usize::try_from(bytes).unwrap_or(usize::MAX);
    let too_many = || ClientError::Strange { what: "more of the rejects came than were asked for".into() };
    let read = client.whole(response, most).await?.ok_or_else(too_many)?;
    if (read.len() as u64) < bytes {
        return Err(ClientError::Strange { what: "the rejects end before the record does".into() });
    }
    Ok(read)
}

/// Does it, and says in a sentence what was done or why not.
async fn act(client: &Client, effect: Effect) -> Result<String, String> {
    let (job, verb, done) = match effect {
        Effect::Cancel(job) => (job, "cancel", "is cancelled"),
        Effect::Pause(job) => (job, "pause", "is paused"),
        Effect::Resume(job) => (job, "resume", "goes on"),
        Effect::Throttle(job, rate) => return throttle(client, job, rate).await,
        Effect::SaveFailures { job, path } => return save_failures(client, job, &path).await,
        Effect::SaveRejects { job, path } => return save_rejects(client, job, &path).await,
        Effect::CreateImport(_)
        | Effect::RequestDetail(_)
        | Effect::RequestFailures(_)
        | Effect::RequestRecord(_)
        | Effect::RequestSources(_)
        | Effect::FetchRejects(_)
        | Effect::Edit(_)
        | Effect::Reconnect
        | Effect::Copy(_)
        | Effect::Suspend
        | Effect::Quit => {
            return Err("this is not asked of a server".into());
        }
    };
    let path = format!("/pinport/v1/jobs/{job}/{verb}");
    let answer = client.send(Method::POST, &path, None).await;
    answer.map_err(|error| error.to_string())?;
    Ok(format!("job {job} {done}"))
}

/// Bounds how fast a job reads.
async fn throttle(client: &Client, job: JobId, rate: Rate) -> Result<String, String> {
    let body = ThrottleRate {
        rows_per_second: rate.rows.and_then(NonZeroU64::new),
        bytes_per_second: rate.bytes.and_then(NonZeroU64::new),
    };
    let body = serde_json::to_value(body).map_err(|error| error.to_string())?;
    let path = format!("/pinport/v1/jobs/{job}/throttle");
    client.send(Method::PUT, &path, Some(body)).await.map_err(|error| error.to_string())?;
    let bounds = [(rate.rows, "rows"), (rate.bytes, "bytes")];
    let bounds = bounds.into_iter().filter_map(|(bound, what)| Some(format!("{} {what} a second", bound?)));
    let bounds: Vec<_> = bounds.collect();
    Ok(match bounds.is_empty() {
        true => format!("job {job} reads without a bound"),
        false => format!("job {job} reads at most {}", bounds.join(" and ")),
    })
}
