//! Import jobs, as Pinpoint's clients make them and ask for them.

use http::StatusCode;
use pinport_model::{
    ApplicationId, Escape, Format, ImportJob, JobId, JobKind, Mapping, ReadOptions, ReadRules, Segment,
    SegmentId, job::FailureBudget,
};
use pinport_pipeline::{
    jobs::{Created, NewJob, Seen},
    parse::Map,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Api, Routes, blocking, created, no_such_job, no_such_segment, page::Page, token, viewed};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::{MAX_EXTERNAL_ID, MAX_ROLE_ARN, MAX_S3_URL, MAX_SEGMENT_NAME},
    wire::{ImportJobResponse, ListedJob, MAX_FAILURES, export_job_response, import_job_response},
};

pub(super) fn add(routes: &mut Routes) {
    const JOBS: &str = "/v1/apps/{application-id}/jobs/import";
    routes.waiting(Route::new("POST", JOBS, "CreateImportJob"), |api, request| async move {
        let turn = api.creates.turn(request.purse().holder()).await?;
        blocking(move || {
            // It lasts as long as the work, also when no one waits for that any more.
            let _turn = turn;
            create(&api, &request)
        })
        .await
    });
    routes.blocking(Route::new("GET", JOBS, "GetImportJobs").reading(), list);
    routes.blocking(
        Route::new("GET", "/v1/apps/{application-id}/jobs/import/{job-id}", "GetImportJob").reading(),
        |api, request| {
            let id = api.application(request)?.id;
            let seen = api.job_of(id, JobKind::Import, request.param("job-id"))?;
            Response::ok(&api.import_job(seen)?)
        },
    );
    routes.blocking(
        Route::new(
            "GET",
            "/v1/apps/{application-id}/segments/{segment-id}/jobs/import",
            "GetSegmentImportJobs",
        )
        .reading(),
        list_of_segment,
    );
}

/// `ImportJobRequest`; members that it does not have are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct ImportJobRequest {
    define_segment: Option<bool>,
    external_id: Option<String>,
    format: Option<String>,
    register_endpoints: Option<bool>,
    role_arn: Option<String>,
    #[serde(rename = "S3Url")]
    s3_url: Option<String>,
    segment_id: Option<String>,
    segment_name: Option<String>,
}

impl Api {
    /// A job of an application, as it stands.
    pub(super) fn job_of(
        &self,
        application: ApplicationId,
        kind: JobKind,
        text: &str,
    ) -> Result<Seen, ApiError> {
        let id: Option<JobId> = text.parse().ok();
        let seen = id.map(|id| self.jobs.seen(id)).transpose().map_err(viewed)?.flatten();
        let is_own = |seen: &Seen| {
            seen.job.definition.application == application && seen.job.definition.kind() == kind
        };
        seen.filter(is_own).ok_or_else(|| no_such_job(text))
    }

    pub(super) fn import_job(&self, seen: Seen) -> Result<ImportJobResponse, ApiError> {
        let failures = self.jobs.failures(&seen).map_err(viewed)?;
        // The service's shapes have no other place for why a job failed.
        let cause = seen.job.error.as_deref().map(|error| pinport_model::escape_controls(error).into_owned());
        let failures = failures.iter().map(ToString::to_string);
        let failures = cause.into_iter().chain(failures).take(MAX_FAILURES).collect();
        Ok(import_job_response(&seen.job, failures, &self.options.account))
    }

    /// A page of an application's jobs of one kind, newest first: those that `is_shown`.
    pub(super) fn page_of_jobs(
        &self,
        request: &Request,
        application: ApplicationId,
        kind: JobKind,
        list: &str,
        owner: &[u8],
        is_shown: impl Fn(&ImportJob) -> bool,
    ) -> Result<Response, ApiError> {
        let mut page = Page::new("Item", request.query().page_size()? as usize);
        let before = match request.query().token()? {
            Some(text) => Some(JobId::from_bytes(token::read(list, owner, text)?)),
            None => None,
        };
        page.fill(
            before,
            |job: &ImportJob| job.id,
            |before, step| self.store().jobs(Some(application), before, step),
            |job| {
                if job.definition.kind() != kind || !is_shown(&job) {
                    return Ok(None);
                }
                let seen = self.jobs.see(job).map_err(viewed)?;
                Ok(Some(match kind {
                    JobKind::Import => ListedJob::Import(Box::new(self.import_job(seen)?)),
                    JobKind::Export => ListedJob::Export(Box::new(export_job_response(&seen.job))),
                }))
            },
        )?;
        page.of_service(|last| token::write(list, owner, last.as_bytes()))
    }
}

pub(super) fn required(value: Option<String>, member: &str) -> Result<String, ApiError> {
    value
        .filter(|value| !value.trim().is_empty())
        .ok_or_else(|| ApiError::bad_request(format!("{member} is missing or empty.")))
}

/// An error if a text of the caller's has more characters than it may.
pub(super) fn bounded(member: &str, text: &str, most: usize) -> Result<(), ApiError> {
    // No text has more characters than bytes.
    if text.len() <= most || text.chars().count() <= most {
        return Ok(());
    }
    let count = text.chars().count();
    Err(ApiError::bad_request(format!("{member} has {count} characters, the limit is {most}.")))
}

/// Ours beside Pinpoint's members: the failed records before the job is given up.
pub(super) fn budget(request: &Request) -> Result<Option<FailureBudget>, ApiError> {
    let text = request.query().get("max-failures")?;
    text.map(|text| {
        let wrong = |reason| ApiError::bad_request(format!("The parameter max-failures: {reason}."));
        text.parse().map_err(wrong)
    })
    .transpose()
}

/// How to read, from parameters of our own.
pub(super) fn read_options(request: &Request) -> Result<ReadOptions, ApiError> {
    let query = request.query();
    let flag = |name: &str| match query.get(name)? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::bad_request(format!("The parameter {name} must be true or false."))),
    };
    let wrong = |name: &str, reason| ApiError::bad_request(format!("The parameter {name}: {reason}."));
    let rules = ReadRules {
        strict_names: flag("strict-names")?,
        delimiter: query
            .get("delimiter")?
            .map(|text| text.parse().map_err(|reason: String| wrong("delimiter", reason)))
            .transpose()?,
        escape: match query.get("escape")? {
            None => Escape::default(),
            Some(text) => text.parse().map_err(|reason| wrong("escape", reason))?,
        },
        allow_suspicious: flag("allow-suspicious")?,
        allow_incomplete: flag("allow-incomplete")?,
    };
    let encoding = query
        .get("encoding")?
        .map(|text| text.parse().map_err(|reason: String| wrong("encoding", reason)))
        .transpose()?;
    let map = query.get("map")?.map(mapping).transpose()?;
    Ok(ReadOptions { rules, encoding, map })
}

/// A mapping, as JSON of the shape that its TOML has.
fn mapping(text: &str) -> Result<Box<Mapping>, ApiError> {
    let wrong = |reason: String| ApiError::bad_request(format!("The parameter map: {reason}."));
    let mapping = serde_json::from_str(text).map_err(|error| wrong(format!("it is no mapping: {error}")))?;
    Map::new(&mapping).map_err(|error| wrong(error.to_string()))?;
    Ok(Box::new(mapping))
}

fn create(api: &Api, request: &Request) -> Result<Response, ApiError> {
    // What is wrong with the request is answered before an application is made for it.
    request.principal().writable(request.param("application-id"))?;
    let body: ImportJobRequest = request.json()?;
    let format = required(body.format, "Format")?;
    let format = match format.as_str() {
        "CSV" => Format::Csv,
        "JSON" => Format::Json,
        other => {
            let other = pinport_model::failure::quoted(other);
            return Err(ApiError::bad_request(format!("Format {other} is not one of CSV, JSON.")));
        }
    };
    let source_text = required(body.s3_url, "S3Url")?;
    let role_arn = required(body.role_arn, "RoleArn")?;
    bounded("S3Url", &source_text, MAX_S3_URL)?;
    bounded("RoleArn", &role_arn, MAX_ROLE_ARN)?;
    bounded("ExternalId", body.external_id.as_deref().unwrap_or(""), MAX_EXTERNAL_ID)?;
    bounded("SegmentName", body.segment_name.as_deref().unwrap_or(""), MAX_SEGMENT_NAME)?;
    let register_endpoints = body.register_endpoints.unwrap_or(true);
    let segment = body.segment_id.filter(|id| !id.is_empty());
    let define_segment = body.define_segment.unwrap_or(false) || segment.is_some();
    if !register_endpoints && !define_segment {
        return Err(ApiError::bad_request(
            "RegisterEndpoints and DefineSegment are both false: the import would have no outcome. Set one of them to true.",
        ));
    }
    let segment: Option<SegmentId> = match &segment {
        Some(text) => Some(text.parse().map_err(|_| no_such_segment(text))?),
        None => None,
    };
    let application = api.writable_or_new(request)?;
    let new = NewJob {
        application: application.id,
        source_text,
        format,
        register_endpoints,
        define_segment,
        asked_to_define: Some(body.define_segment.unwrap_or(false)),
        segment,
        segment_name: body.segment_name.filter(|name| !name.is_empty()),
        role_arn: Some(role_arn),
        external_id: body.external_id.filter(|id| !id.is_empty()),
        request: fingerprint(request, application.id),
        upload: None,
        retry_of: None,
        principal: request.principal().key_id().map(str::to_owned),
        max_failures: budget(request)?,
        read: read_options(request)?,
    };
    let Created { job, new } = api.jobs.create(new).map_err(created)?;
    let response = if new {
        import_job_response(&job, Vec::new(), &api.options.account)
    } else {
        // A retry learns how far the job has come.
        api.import_job(api.jobs.see(job).map_err(viewed)?)?
    };
    Response::json(StatusCode::CREATED, &response)
}

/// What all tries of one call have in common: SDKs send the same invocation id with each.
pub(super) fn fingerprint(request: &Request, application: ApplicationId) -> Option<String> {
    let invocation = request.header("amz-sdk-invocation-id").filter(|id| !id.is_empty())?;
    let mut hash = Sha256::new();
    let key = request.principal().key_id().unwrap_or("");
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    for part in [invocation.as_bytes(), application.as_bytes(), key.as_bytes(), request.bytes()] {
        add(part);
    }
    // Ours says there how to read. A presigned URL's signature is another one at each try.
    for (name, value) in request.query().pairs().iter().filter(|(name, _)| !name.starts_with("X-Amz-")) {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    Some(pinport_model::hex(hash.finalize()))
}

fn list(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.application(request)?.id;
    api.page_of_jobs(request, application, JobKind::Import, "import jobs", application.as_bytes(), |_| true)
}

fn list_of_segment(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let Segment { application, id, .. } = api.segment(request)?;
    let is_shown = |job: &ImportJob| job.definition.segment == Some(id);
    let list = "import jobs of a segment";
    api.page_of_jobs(request, application, JobKind::Import, list, id.as_bytes(), is_shown)
}
