//! Export jobs, as Pinpoint's clients make them and ask for them, and pinport's own way out: endpoints as a stream.

use std::sync::Arc;

use http::StatusCode;
use pinport_model::{Compression, Format, JobKind, Segment, SegmentId};
use pinport_pipeline::{
    export::Form,
    jobs::{Created, NewExport},
};
use serde::Deserialize;

use super::{
    Api, Routes, blocking, created,
    imports::{bounded, fingerprint, required},
    members::Reader,
    no_such_segment,
    parts::stream_blocking,
    reading::Of,
    shown, viewed,
};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::{MAX_ROLE_ARN, MAX_S3_URL},
    wire::export_job_response,
};

pub(super) fn add(routes: &mut Routes) {
    const JOBS: &str = "/v1/apps/{application-id}/jobs/export";
    routes.waiting(Route::new("POST", JOBS, "CreateExportJob"), |api, request| async move {
        let turn = api.creates.turn(request.purse().holder()).await?;
        blocking(move || {
            // It lasts as long as the work, also when no one waits for that any more.
            let _turn = turn;
            create(&api, &request)
        })
        .await
    });
    routes.blocking(Route::new("GET", JOBS, "GetExportJobs").reading(), |api, request| {
        let application = api.application(request)?.id;
        let is_shown = |_: &_| true;
        api.page_of_jobs(
            request,
            application,
            JobKind::Export,
            "export jobs",
            application.as_bytes(),
            is_shown,
        )
    });
    routes.blocking(
        Route::new("GET", "/v1/apps/{application-id}/jobs/export/{job-id}", "GetExportJob").reading(),
        |api, request| {
            let id = api.application(request)?.id;
            let seen = api.job_of(id, JobKind::Export, request.param("job-id"))?;
            Response::ok(&export_job_response(&seen.job))
        },
    );
    routes.blocking(
        Route::new(
            "GET",
            "/v1/apps/{application-id}/segments/{segment-id}/jobs/export",
            "GetSegmentExportJobs",
        )
        .reading(),
        |api, request| {
            let Segment { application, id, .. } = api.segment(request)?;
            let is_shown = |job: &pinport_model::ImportJob| {
                job.definition.export.as_ref().is_some_and(|export| export.segment == Some(id))
            };
            let list = "export jobs of a segment";
            api.page_of_jobs(request, application, JobKind::Export, list, id.as_bytes(), is_shown)
        },
    );
    routes.waiting(
        Route::new("GET", "/pinport/v1/apps/{application-id}/export", "ExportEndpoints"),
        |api, request| async move {
            let purse = request.purse().clone();
            let (content_type, reader) = blocking(move || open(api, &request)).await?;
            Ok(Response::stream(content_type, stream_blocking(purse, reader).await?))
        },
    );
}

/// `ExportJobRequest`; members that it does not have are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ExportJobRequest {
    role_arn: Option<String>,
    #[serde(rename = "S3UrlPrefix")]
    s3_url_prefix: Option<String>,
    segment_id: Option<String>,
    segment_version: Option<u32>,
}

fn create(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?.id;
    let body: ExportJobRequest = request.json()?;
    let target_text = required(body.s3_url_prefix, "S3UrlPrefix")?;
    let role_arn = required(body.role_arn, "RoleArn")?;
    bounded("S3UrlPrefix", &target_text, MAX_S3_URL)?;
    bounded("RoleArn", &role_arn, MAX_ROLE_ARN)?;
    let segment: Option<SegmentId> = match body.segment_id.filter(|id| !id.is_empty()) {
        Some(text) => Some(text.parse().map_err(|_| no_such_segment(&text))?),
        None if body.segment_version.is_some() => {
            return Err(ApiError::bad_request("SegmentVersion is of a segment: SegmentId is missing."));
        }
        None => None,
    };
    let new = NewExport {
        application,
        segment,
        version: body.segment_version,
        target_text,
        role_arn: Some(role_arn),
        format: Format::Json,
        compression: Compression::Gzip,
        request: fingerprint(request, application),
        principal: request.principal().key_id().map(str::to_owned),
    };
    let Created { job, new } = api.jobs.create_export(new).map_err(created)?;
    // A retry learns how far the job has come.
    let job = if new { job } else { api.jobs.see(job).map_err(viewed)?.job };
    Response::json(StatusCode::ACCEPTED, &export_job_response(&job))
}

/// What `ExportEndpoints` streams.
fn open(api: Arc<Api>, request: &Request) -> Result<(&'static str, Reader), ApiError> {
    let query = request.query();
    let application = api.named(request)?.id;
    let (form, content_type) = match query.get("format")? {
        None | Some("json") => (Format::Json.into(), "application/x-ndjson"),
        Some("csv") => (Format::Csv.into(), "text/csv"),
        Some("parquet") => (Form::Parquet, "application/vnd.apache.parquet"),
        Some(other) => {
            let other = shown(other);
            return Err(ApiError::bad_request(format!(
                "The parameter format: \"{other}\" is not csv, json or parquet."
            )));
        }
    };
    let compression = match query.get("compression")? {
        None => form.usual(),
        Some(_) if form != Form::Parquet => {
            return Err(ApiError::bad_request("The parameter compression is for format=parquet alone."));
        }
        Some(name) => Compression::from_name(name).ok_or_else(|| {
            let name = shown(name);
            let text = format!("The parameter compression: \"{name}\" is not none, gzip or zstd.");
            ApiError::bad_request(text)
        })?,
    };
    let columns = query.get("columns")?.unwrap_or_default();
    let columns: Vec<_> = columns.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let columns: Vec<_> = columns.into_iter().map(str::to_owned).collect();
    let of = match query.get("segment")? {
        Some(name) => Of::segment(&api, application, name, query.get("version")?)?,
        None => Of::Application(application),
    };
    Ok((content_type, Reader::exporting(api, of, form, compression, &columns)?))
}
