//! A file in a request's body becomes a job. The body goes to the job's own folder first, in bounded memory:
//! when it is answered it is durable, and the job can go on after a crash without its client.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use pinport_model::{Format, JobKind, ReadOptions};
use pinport_pipeline::jobs::{Jobs, NewJob, TooMuch, Upload, sync_upload};
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::{
    Api, Routes, blocking, created,
    imports::{bounded, budget, read_options},
    sentence, viewed,
};
use crate::{
    ApiError,
    http::{BodyMode, BodyStream, Request, Response, Route},
    limits::MAX_SEGMENT_NAME,
};

/// Bytes that are gathered for one write.
const BUFFER: usize = 256 << 10;
/// Bytes that are written between two looks at the room on the disk.
const LOOK_EVERY: usize = 16 << 20;
/// Characters of the name of a file.
const MAX_NAME: usize = 200;

pub(super) fn add(routes: &mut Routes) {
    let route = Route::new("POST", "/pinport/v1/apps/{application-id}/uploads", "UploadFile");
    routes.waiting(route.body(BodyMode::Stream), |api, request| take(api, request, wanted));
    let route = Route::new("POST", "/pinport/v1/jobs/{job-id}/retry", "RetryJob");
    routes.waiting(route.body(BodyMode::Stream), |api, request| take(api, request, again));
}

/// Makes a job of the body. `wanted` says which, before a byte of the body is read.
async fn take(
    api: Arc<Api>,
    mut request: Request,
    wanted: impl FnOnce(&Api, &Request) -> Result<NewJob, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let (body, purse) = (request.take_stream(), request.purse().clone());
    let revoked = request.principal().revoked().clone();
    let wanted = {
        let api = Arc::clone(&api);
        blocking(move || wanted(&api, &request)).await?
    };
    let upload = {
        let (api, format, key) = (Arc::clone(&api), wanted.format, wanted.principal.clone());
        blocking(move || {
            api.jobs.room().map_err(no_room)?;
            api.jobs.begin_upload(format, key.as_deref()).map_err(ApiError::internal)
        })
        .await?
    };
    let Some(body) = body else { return Err(ApiError::bad_request("The request has no body.")) };
    let gathered = purse.take(BUFFER).await?;
    let received = revoked.run_until_cancelled(receive(body, &upload, &api.jobs)).await;
    received.unwrap_or_else(|| {
        Err(ApiError::forbidden("The key was removed, or may do less than before, while the upload came."))
    })?;
    drop(gathered);
    blocking(move || {
        sync_upload(&upload).map_err(ApiError::internal)?;
        let new = NewJob { upload: Some(upload), ..wanted };
        let job = api.jobs.create(new).map_err(created)?.job;
        let seen = api.jobs.see(job).map_err(viewed)?;
        Response::json(StatusCode::CREATED, &seen.view)
    })
    .await
}

/// Everything but the body, judged before a byte of it is read.
fn wanted(api: &Api, request: &Request) -> Result<NewJob, ApiError> {
    let query = request.query();
    let format = match query.get("format")?.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Format::Csv,
        Some("json") => Format::Json,
        _ => return Err(ApiError::bad_request("The parameter format must be csv or json.")),
    };
    let name = name_of(request)?.unwrap_or("body");
    let segment_only = match query.get("segment-only")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::bad_request("The parameter segment-only must be true or false.")),
    };
    let max_failures = budget(request)?;
    let read = read_options(request)?;
    let segment_name = query.get("segment")?.filter(|name| !name.is_empty()).map(str::to_owned);
    bounded("The parameter segment", segment_name.as_deref().unwrap_or(""), MAX_SEGMENT_NAME)?;
    let application = api.named_or_new(request.principal(), request.param("application-id"))?;
    let segment = match &segment_name {
        Some(name) => api.segment_named(application.id, name)?.map(|segment| segment.id),
        None => None,
    };
    Ok(NewJob {
        application: application.id,
        source_text: format!("upload:{name}"),
        format,
        register_endpoints: !segment_only,
        define_segment: segment_name.is_some(),
        asked_to_define: None,
        segment,
        segment_name,
        role_arn: None,
        external_id: None,
        request: None,
        upload: None,
        retry_of: None,
        principal: request.principal().key_id().map(str::to_owned),
        max_failures,
        read,
    })
}

/// What the records in the body are called.
fn name_of(request: &Request) -> Result<Option<&str>, ApiError> {
    let name = request.query().get("name")?;
    match name.is_some_and(|name| name.chars().count() > MAX_NAME) {
        true => {
            let text = format!("The parameter name has more than {MAX_NAME} characters.");
            Err(ApiError::bad_request(text))
        }
        false => Ok(name),
    }
}

/// The job that imports the mended records of another one, as that one did.
fn again(api: &Api, request: &Request) -> Result<NewJob, ApiError> {
    let job = api.writable_job(request)?.job;
    let definition = job.definition;
    if definition.kind() == JobKind::Export {
        return Err(ApiError::bad_request(format!("Job {} is an export: it rejects no records.", job.id)));
    }
    if !job.status.is_terminal() {
        let text = format!("Job {} has not ended: more of its records may fail. Wait for it.", job.id);
        return Err(ApiError::conflict(text));
    }
    let name = name_of(request)?.map(str::to_owned);
    let name = name.unwrap_or_else(|| format!("rejects of {}", job.id));
    Ok(NewJob {
        application: definition.application,
        source_text: format!("upload:{name}"),
        format: definition.format,
        register_endpoints: definition.register_endpoints,
        define_segment: definition.segment.is_some(),
        asked_to_define: None,
        segment: definition.segment,
        segment_name: definition.segment_name,
        role_arn: definition.role_arn,
        external_id: definition.external_id,
        request: None,
        upload: None,
        retry_of: Some(job.id),
        principal: request.principal().key_id().map(str::to_owned),
        max_failures: definition.max_failures,
        // Rejects are UTF-8, whatever their objects were.
        read: ReadOptions { encoding: None, ..definition.read },
    })
}

async fn receive(mut body: BodyStream, upload: &Upload, jobs: &Jobs) -> Result<(), ApiError> {
    let mut unseen = 0;
    let file = tokio::fs::File::create(upload.file()).await.map_err(not_written)?;
    let mut file = BufWriter::with_capacity(BUFFER, file);
    while let Some(bytes) = body.next().await? {
        upload.take(bytes.len() as u64).map_err(too_much)?;
        unseen += bytes.len();
        if unseen >= LOOK_EVERY {
            unseen = 0;
            // Asking takes microseconds.
            jobs.room().map_err(no_room)?;
        }
        file.write_all(&bytes).await.map_err(not_written)?;
    }
    file.flush().await.map_err(not_written)?;
    file.get_ref().sync_all().await.map_err(not_written)
}

/// How long a client waits before it tries again: jobs and operators make room, not the next second.
const WAIT: Duration = Duration::from_secs(30);

fn no_room(reason: String) -> ApiError {
    ApiError::unavailable(sentence(&reason), WAIT)
}

fn too_much(error: TooMuch) -> ApiError {
    let text = sentence(&error.to_string());
    match error {
        TooMuch::Ever(_) => ApiError::too_large(text),
        TooMuch::OfKey(_) | TooMuch::InAll => ApiError::unavailable(text, WAIT),
    }
}

fn not_written(error: std::io::Error) -> ApiError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => {
            ApiError::unavailable("There is no room for the upload on the server's disk.", WAIT)
                .because(error)
        }
        _ => ApiError::internal(error),
    }
}
