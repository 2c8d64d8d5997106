//! pinport's own view of jobs: all applications, 64-bit counters, everything that is known.

use std::{
    io::{self, SeekFrom},
    path::PathBuf,
};

use http::HeaderName;
use pinport_model::{ApplicationId, FailureCode, FailureFilter, ImportJob, JobId, JobStatus, view::JobView};
use pinport_pipeline::{
    engine::{
        files,
        search::{SearchBounds, search_failures},
    },
    jobs::Seen,
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::{
    Api, Routes, blocking, no_such_job,
    page::Page,
    parts::{Parts, stream},
    token, viewed,
};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::{PAGE_BYTES, PART_BYTES, SEARCH_BYTES},
};

const NOT_KEPT: &str =
    "The failures and rejects of this job are not kept any more ([retention] of the configuration).";

/// The token of the next page of failures.
const NEXT: HeaderName = HeaderName::from_static("x-pinport-next-token");

/// How many rejects files a job has.
const PARTS: HeaderName = HeaderName::from_static("x-pinport-parts");

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("GET", "/pinport/v1/jobs", "ListJobs").reading(), list);
    routes.blocking(Route::new("GET", "/pinport/v1/jobs/{job-id}", "GetJob").reading(), |api, request| {
        let seen = api.any_job(request)?;
        let mut detail = api.jobs.detail(seen).map_err(viewed)?;
        let maker = detail.principal.take();
        detail.principal = maker.filter(|maker| request.principal().may_know(maker));
        detail.job.server = detail.job.server.take().filter(|_| request.principal().sees_all());
        Response::ok(&detail)
    });
    routes.waiting(
        Route::new("GET", "/pinport/v1/jobs/{job-id}/failures", "GetJobFailures"),
        |api, request| async move {
            let purse = request.purse().clone();
            let narrows = ["search", "code", "member", "page-size", "token"];
            if request.query().pairs().iter().any(|(name, _)| narrows.contains(&name.as_str())) {
                return blocking(move || searched(&api, &request)).await;
            }
            let (path, len) = blocking(move || {
                let seen = api.any_job(&request)?;
                let len = seen.last.as_ref().map_or(0, |last| last.failures_len);
                Ok((files::failures_path(&api.jobs.folder(seen.job.id)), len))
            })
            .await?;
            Ok(Response::stream("application/x-ndjson", stream(purse, file(path, 0, len).await?)))
        },
    );
    routes.waiting(
        Route::new("GET", "/pinport/v1/jobs/{job-id}/rejects", "GetJobRejects"),
        |api, request| async move {
            let purse = request.purse().clone();
            let found = blocking(move || rejects(&api, &request)).await?;
            let parts = stream(purse, file(found.path, found.from, found.len).await?);
            Ok(Response::stream(found.content_type, parts).with_header(PARTS, found.parts.into()))
        },
    );
}

impl Api {
    /// The job in the path, of any application that the caller may see.
    pub(super) fn any_job(&self, request: &Request) -> Result<Seen, ApiError> {
        let text = request.param("job-id");
        let id: Option<JobId> = text.parse().ok();
        let seen = id.map(|id| self.jobs.seen(id)).transpose().map_err(viewed)?.flatten();
        let may = |seen: &Seen| request.principal().may_read(&seen.job.definition.application);
        seen.filter(may).ok_or_else(|| no_such_job(text))
    }

    /// The same if the caller may change it.
    pub(super) fn writable_job(&self, request: &Request) -> Result<Seen, ApiError> {
        let seen = self.any_job(request)?;
        request.principal().writable(&seen.job.definition.application.to_string())?;
        Ok(seen)
    }
}

/// What a list is narrowed to.
struct Filter {
    application: Option<ApplicationId>,
    statuses: Vec<JobStatus>,
    /// Only jobs that have ended, or only those that have not.
    ended: Option<bool>,
}

fn filter(api: &Api, request: &Request) -> Result<Filter, ApiError> {
    let query = request.query();
    let application = match query.get("app")? {
        None => None,
        Some(name) => {
            // Jobs of an application that is deleted since may be asked for by its id.
            let found = api.find_named(request.principal(), name)?.map(|application| application.id);
            let id = found.or_else(|| name.parse().ok().filter(|id| request.principal().may_read(id)));
            Some(id.ok_or_else(|| crate::access::no_such_application(name))?)
        }
    };
    let mut statuses = Vec::new();
    for word in query.all("status") {
        let status = JobStatus::ALL.into_iter().find(|status| status.as_str() == word);
        statuses.push(status.ok_or_else(|| {
            let all = JobStatus::ALL.map(JobStatus::as_str).join(", ");
            ApiError::bad_request(format!("status \"{}\" is not one of {all}.", super::shown(word)))
        })?);
    }
    let ended = match query.get("ended")? {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(ApiError::bad_request("ended must be true or false.")),
    };
    Ok(Filter { application, statuses, ended })
}

/// Newest first.
fn list(api: &Api, request: &Request) -> Result<Response, ApiError> {
    const LIST: &str = "all jobs";
    let mut page = Page::new("jobs", request.query().page_size()? as usize);
    let filter = filter(api, request)?;
    let owner: &[u8] = filter.application.as_ref().map_or(b"", |id| id.as_bytes());
    let before = match request.query().token()? {
        Some(text) => Some(JobId::from_bytes(token::read(LIST, owner, text)?)),
        None => None,
    };
    let shown = |job: ImportJob| {
        if !request.principal().may_read(&job.definition.application) {
            return Ok(None);
        }
        let seen = api.jobs.see(job).map_err(viewed)?;
        let status = seen.job.status;
        let fits = filter.ended.is_none_or(|ended| ended == status.is_terminal())
            && (filter.statuses.is_empty() || filter.statuses.contains(&status));
        let server = seen.view.server.clone().filter(|_| request.principal().sees_all());
        Ok(fits.then_some(JobView { server, ..seen.view }))
    };
    let read = |before, step| api.store().jobs(filter.application, before, step);
    page.fill(before, |job: &ImportJob| job.id, read, shown)?;
    page.of_ours(|last| token::write(LIST, owner, last.as_bytes()))
}

/// The failures that a search wants, in source order: a page of them, of a bounded part of the file.
fn searched(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let query = request.query();
    let code = match query.get("code")? {
        None => None,
        Some(word) => {
            let code = FailureCode::ALL.iter().copied().find(|code| code.as_str() == word);
            Some(code.ok_or_else(|| {
                let text = format!("code \"{}\" is not the code of a failure.", super::shown(word));
                ApiError::bad_request(text)
            })?)
        }
    };
    let filter =
        FailureFilter::new(code, query.get("member")?.map(str::to_owned), query.get("search")?.unwrap_or(""));
    let strange = || ApiError::bad_request("The token is not one that this server has given out.");
    let from = match query.token()? {
        None => 0,
        Some(token) => token.parse().map_err(|_| strange())?,
    };
    let bounds = SearchBounds {
        failures: query.page_size()? as usize,
        found_bytes: PAGE_BYTES,
        read_bytes: SEARCH_BYTES,
    };
    let seen = api.any_job(request)?;
    let len = seen.last.as_ref().map_or(0, |last| last.failures_len);
    let folder = api.jobs.folder(seen.job.id);
    if len > 0 && !files::failures_path(&folder).exists() {
        return Err(ApiError::not_found(NOT_KEPT));
    }
    let found = search_failures(&folder, (from, len), &filter, bounds).map_err(ApiError::internal)?;
    let found = found.ok_or_else(strange)?;
    let response = Response::bytes("application/x-ndjson", found.lines);
    Ok(match found.next {
        Some(next) => response.with_header(NEXT, next.into()),
        None => response,
    })
}

struct Rejects {
    path: PathBuf,
    /// The first byte that is wanted.
    from: u64,
    /// How many bytes from there.
    len: u64,
    parts: u32,
    content_type: &'static str,
}

fn rejects(api: &Api, request: &Request) -> Result<Rejects, ApiError> {
    let part = match request.query().get("part")? {
        None => 1,
        Some(text) => {
            let part = text.parse().ok().filter(|part| *part > 0_u32);
            part.ok_or_else(|| ApiError::bad_request("part must be a number from 1."))?
        }
    };
    let seen = api.any_job(request)?;
    let format = seen.job.definition.format;
    let paths = files::rejects_paths(&api.jobs.folder(seen.job.id), format);
    let (parts, last_len) = seen.last.as_ref().map_or((0, 0), |last| (last.rejects_file, last.rejects_len));
    let content_type = match format {
        pinport_model::Format::Csv => "text/csv",
        pinport_model::Format::Json => "application/x-ndjson",
    };
    if part > parts.max(1) {
        return Err(ApiError::not_found(format!("The rejects of this job have {parts} parts.")));
    }
    let path = paths.into_iter().nth(part as usize - 1).unwrap_or_default();
    // All but the last part are whole; of the last one, what is committed.
    let len = match part {
        _ if parts == 0 => 0,
        part if part == parts => last_len,
        _ => u64::MAX,
    };
    let (from, most) = (number(request, "byte")?.unwrap_or(0), number(request, "bytes")?.unwrap_or(u64::MAX));
    Ok(Rejects { path, from, len: len.saturating_sub(from).min(most), parts, content_type })
}

/// A parameter that is a number of bytes.
fn number(request: &Request, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(text) = request.query().get(name)? else { return Ok(None) };
    let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.map(Some).ok_or_else(|| ApiError::bad_request(format!("{name} must be a number of bytes.")))
}

/// Bytes of a file as they are read.
struct FileParts {
    /// There may be no file.
    file: Option<tokio::fs::File>,
    left: u64,
}

/// At most `len` bytes of a file, from its byte `from` on.
async fn file(path: PathBuf, from: u64, len: u64) -> Result<FileParts, ApiError> {
    let mut file = match len {
        0 => None,
        _ => Some(tokio::fs::File::open(&path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ApiError::not_found(NOT_KEPT),
            _ => ApiError::internal(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        })?),
    };
    if let Some(file) = file.as_mut().filter(|_| from > 0) {
        file.seek(SeekFrom::Start(from)).await.map_err(ApiError::internal)?;
    }
    Ok(FileParts { file, left: len })
}

impl Parts for FileParts {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let mut part = Vec::with_capacity(PART_BYTES);
        let mut next = file.take(self.left.min(PART_BYTES as u64));
        next.read_to_end(&mut part).await.map_err(ApiError::internal)?;
        self.left -= part.len() as u64;
        Ok((!part.is_empty()).then_some(part))
    }
}
