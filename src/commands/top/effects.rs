//! Carries out what the dashboard asks for. Of each kind of data it wants, only the newest request is under way; actions
//! are done one after the other.

use std::{
    io,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::{Failure, Format, JobId, SourceLocation, failure::csv_header_len};
use pinport_pipeline::{place::place_of, throttle::ThrottleRate};
use pinport_tui::{
    Effect, FailuresPage, FailuresQuery, ImportRequest, Message, Rate, RecordBytes, RecordQuery, RejectsQuery,
};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    fs::File,
    io::{AsyncWriteExt as _, BufWriter},
    sync::{Notify, mpsc, watch},
};

use super::Outbox;
use crate::{
    client::{Client, ClientError, FailureSearch, encoded},
    commands::mending::{Choice, Edited, MAX_EDITED, Rejects},
};

/// Actions that wait for their turn.
const WAITING: usize = 32;
/// The role of imports that are made here: a server that asks for configured roles says so.
const ROLE: &str = "arn:aws:iam::000000000000:role/pinport-top";

/// Rejects that an editor is opened for, and whether they were mended and not sent yet.
type Mending = Arc<Mutex<Option<(Rejects, bool)>>>;

/// Whether an editor has the terminal.
#[derive(Debug, Default)]
pub(super) struct Editor(Mutex<Since>);

#[derive(Debug, Clone, Copy, Default)]
enum Since {
    #[default]
    Never,
    /// One has it.
    Now,
    /// One had it until then.
    Ended(Instant),
}

impl Editor {
    /// A signal takes so long at most to be seen.
    const LATE: Duration = Duration::from_millis(500);

    fn begin(&self) {
        *self.0.lock() = Since::Now;
    }

    fn end(&self) {
        *self.0.lock() = Since::Ended(Instant::now());
    }

    /// Whether a Ctrl-C that is seen now was typed in an editor. In the dashboard it is a key and no signal.
    pub(super) fn takes_interrupts(&self) -> bool {
        match *self.0.lock() {
            Since::Never => false,
            Since::Now => true,
            Since::Ended(then) => then.elapsed() < Self::LATE,
        }
    }
}

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

/// Gets rejects for an editor; gives also what to tell of those that are not among them.
async fn fetch(client: &Client, query: RejectsQuery) -> Result<(Rejects, String), String> {
    let job = query.failures.job;
    let choice = match query.places {
        Some(places) => Choice::At(places),
        None if query.failures.is_all() => Choice::All,
        None => Choice::Found(search_of(&query.failures)),
    };
    let gather = async {
        let detail = client.detail(job).await?;
        Rejects::gather(client, &detail, query.part, choice, MAX_EDITED).await
    };
    let rejects = gather.await.map_err(|error| format!("{error:#}"))?;
    if rejects.is_empty {
        return Err(format!("no original bytes of these records of job {job} are kept"));
    }
    let elsewhere = rejects.elsewhere.saturating_add(rejects.parts.saturating_sub(1).into());
    let mut text = Vec::new();
    if elsewhere > 0 {
        text.push(
            "objects with another header have their rejects in other parts: edit those on their own".into(),
        );
    }
    if rejects.unkept > 0 {
        text.push(format!("{} records are not there: their original bytes are not kept", rejects.unkept));
    }
    Ok((rejects, text.join("; ")))
}

/// Imports what was mended; what cannot be imported now is kept.
async fn import_mended(client: &Client, mending: &Mending) -> Result<(JobId, String), String> {
    let Some((rejects, _)) = mending.lock().take() else { return Err("nothing was mended".into()) };
    // If this is dropped halfway, they are still there.
    let mut held = Held { mending, rejects: Some(rejects) };
    let Some(rejects) = &held.rejects else { return Err("nothing was mended".into()) };
    let of = rejects.job;
    match rejects.send(client).await {
        Ok(job) => {
            held.rejects = None;
            Ok((job, format!("job {job} imports mended records of job {of}")))
        }
        Err(error) => {
            let kept = held.rejects.take().map(kept).unwrap_or_default();
            Err(format!("{kept}, because they were not imported: {error:#}"))
        }
    }
}

/// Mended rejects that are being sent; unless they were, they are put back.
struct Held<'m> {
    mending: &'m Mending,
    rejects: Option<Rejects>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(rejects) = self.rejects.take() {
            *self.mending.lock() = Some((rejects, true));
        }
    }
}

/// Keeps mended rejects; says where.
fn kept(rejects: Rejects) -> String {
    let job = rejects.job;
    match rejects.keep() {
        Ok(path) => format!("the mended records of job {job} are in {}", path.display()),
        Err(error) => format!("{error:#}"),
    }
}

/// What a server looks for.
fn search_of(query: &FailuresQuery) -> FailureSearch {
    FailureSearch {
        words: query.search.clone(),
        code: query.class.as_ref().map(|(code, _)| *code),
        member: query.class.as_ref().and_then(|(_, member)| member.clone()),
    }
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
    let mut page = FailuresPage { query: query.clone(), entries: Vec::new(), more: false };
    let search = search_of(query);
    let (matches, mut token) = (query.matcher(), None);
    loop {
        let (text, next) = client.failures(query.job, &search, token.as_deref()).await?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let failure: Failure = serde_json::from_slice(line)
                .map_err(|error| ClientError::Strange { what: error.to_string() })?;
            if !matches(&failure) {
                continue;
            }
            if page.entries.len() == FailuresQuery::LIMIT {
                page.more = true;
                return Ok(page);
            }
            page.entries.push(failure);
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

async fn save_failures(client: &Client, job: JobId, path: &Path) -> Result<String, String> {
    let from = format!("/pinport/v1/jobs/{job}/failures");
    let response = client.send(Method::GET, &from, None).await.map_err(|error| error.to_string())?;
    let bytes = save(client, response, path).await?;
    Ok(format!("{bytes} bytes of failures are in {}", path.display()))
}

/// CSV objects with another header have their rejects in another part, which becomes another file.
async fn save_rejects(client: &Client, job: JobId, path: &Path) -> Result<String, String> {
    let (mut part, mut bytes) = (1, 0);
    loop {
        let from = format!("/pinport/v1/jobs/{job}/rejects?part={part}");
        let response = client.send(Method::GET, &from, None).await.map_err(|error| error.to_string())?;
        let parts = response.headers().get("x-pinport-parts").and_then(|parts| parts.to_str().ok());
        let parts: u32 = parts.and_then(|parts| parts.parse().ok()).unwrap_or(1);
        if parts == 0 {
            return Err(format!("job {job} has no rejects"));
        }
        bytes += save(client, response, &part_path(path, part)).await?;
        if part >= parts {
            let more = if parts > 1 { format!(", in {parts} files") } else { String::new() };
            return Ok(format!("{bytes} bytes of rejects are in {}{more}", path.display()));
        }
        part += 1;
    }
}

/// `mend.csv`, `mend.2.csv`, …
pub(super) fn part_path(path: &Path, part: u32) -> PathBuf {
    match path.extension() {
        _ if part == 1 => path.to_owned(),
        Some(extension) => path.with_extension(format!("{part}.{}", extension.to_string_lossy())),
        None => path.with_extension(part.to_string()),
    }
}

/// A new file that goes away again unless it was written whole.
struct NewFile<'a> {
    path: &'a Path,
    whole: bool,
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.whole {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Why a file was not written.
pub(super) fn not_written(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already: choose another name", path.display())
        }
        _ => format!("failed to write {}: {error}", path.display()),
    }
}

/// Writes an answer to a new file; gives its length.
async fn save(client: &Client, mut response: Response, path: &Path) -> Result<u64, String> {
    let failed = |error: io::Error| not_written(path, &error);
    let file = File::create_new(path).await.map_err(failed)?;
    let mut new = NewFile { path, whole: false };
    let mut file = BufWriter::with_capacity(256 << 10, file);
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| client.broken(&error).to_string())? {
        file.write_all(&chunk).await.map_err(failed)?;
        bytes += chunk.len() as u64;
    }
    file.flush().await.map_err(failed)?;
    new.whole = true;
    Ok(bytes)
}

/// Makes an import job through the API; gives it and says in a sentence which it is, or why not.
pub(in crate::commands) async fn create(
    client: &Client,
    import: ImportRequest,
) -> Result<(JobId, String), String> {
    let url = match &import.source {
        SourceLocation::Bucket { .. } => import.source_text.clone(),
        SourceLocation::Path(path) if path.is_absolute() => format!("file://{}", path.display()),
        SourceLocation::Path(_) | SourceLocation::Stdin => {
            return Err("the server reads s3://, gs://, az:// or an absolute path on its own machine".into());
        }
    };
    let format = match import.format {
        Format::Csv => "CSV",
        Format::Json => "JSON",
    };
    let mut body = json!({
        "Format": format,
        "S3Url": url,
        "RoleArn": ROLE,
        "RegisterEndpoints": import.register_endpoints,
        "DefineSegment": import.segment_name.is_some(),
    });
    if let Some(name) = &import.segment_name {
        body["SegmentName"] = name.as_str().into();
    }
    let create = async {
        let application = application(client, &import.application).await?;
        let budget = import.max_failures.map(|budget| encoded(&budget.to_string()));
        let budget = budget.map(|budget| format!("?max-failures={budget}")).unwrap_or_default();
        let path = format!("/v1/apps/{application}/jobs/import{budget}");
        client.call::<Named>(Method::POST, &path, Some(body)).await
    };
    let job = create.await.map_err(|error| error.to_string())?;
    let id = job.id.parse().map_err(|_| format!("the server's answer names no job: \"{}\"", job.id))?;
    Ok((id, format!("job {id} imports {url}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Applications {
    item: Vec<Named>,
    next_token: Option<String>,
}

/// The id of an application by its name or id, made on its first use.
async fn application(client: &Client, name: &str) -> Result<String, ClientError> {
    let mut token = String::new();
    loop {
        let path = format!("/v1/apps?page-size=1000&token={token}");
        let page: Applications = client.call(Method::GET, &path, None).await?;
        let is = |found: &Named| found.name.as_deref() == Some(name) || found.id == name;
        if let Some(found) = page.item.into_iter().find(is) {
            return Ok(found.id);
        }
        match page.next_token {
            Some(next) if next != token => token = next,
            _ => break,
        }
    }
    let body: Value = json!({ "Name": name });
    let made: Named = client.call(Method::POST, "/v1/apps", Some(body)).await?;
    Ok(made.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_of_their_own() {
        assert_eq!(part_path(Path::new("a/mend.csv"), 1), Path::new("a/mend.csv"));
        assert_eq!(part_path(Path::new("a/mend.csv"), 2), Path::new("a/mend.2.csv"));
        assert_eq!(part_path(Path::new("mend"), 3), Path::new("mend.3"));
    }
}
