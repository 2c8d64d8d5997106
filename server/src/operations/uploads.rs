//! A file in a request's body becomes a job. The body goes to the job's own folder first, in bounded memory:
//! when it is answered it is durable, and the job can go on after a crash without its client.

use http::StatusCode;
use pinport_model::Format;
use pinport_pipeline::jobs::{NewJob, Upload, sync_upload};
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::{
    Api, Routes, blocking, created,
    imports::{budget, read_options},
    viewed,
};
use crate::{
    ApiError,
    http::{BodyMode, BodyStream, Request, Response, Route},
};

/// Bytes that are gathered for one write.
const BUFFER: usize = 1 << 20;
/// Characters of the name of a file.
const MAX_NAME: usize = 200;

pub(super) fn add(routes: &mut Routes) {
    let route = Route::new("POST", "/pinport/v1/apps/{application-id}/uploads", "UploadFile");
    routes.waiting(route.body(BodyMode::Stream), |api, mut request| async move {
        let body = request.take_stream();
        let revoked = request.principal().revoked().clone();
        let wanted = {
            let api = std::sync::Arc::clone(&api);
            blocking(move || wanted(&api, &request)).await?
        };
        let upload = {
            let (api, format) = (std::sync::Arc::clone(&api), wanted.format);
            blocking(move || api.jobs.begin_upload(format).map_err(ApiError::internal)).await?
        };
        let Some(body) = body else { return Err(ApiError::bad_request("The request has no body.")) };
        let received = revoked.run_until_cancelled(receive(body, &upload)).await;
        received.unwrap_or_else(|| {
            Err(ApiError::forbidden(
                "The key was removed, or may do less than before, while the upload came.",
            ))
        })?;
        blocking(move || {
            sync_upload(&upload).map_err(ApiError::internal)?;
            let new = NewJob { upload: Some(upload), ..wanted };
            let job = api.jobs.create(new).map_err(created)?.job;
            let seen = api.jobs.see(job).map_err(viewed)?;
            Response::json(StatusCode::CREATED, &seen.view)
        })
        .await
    });
}

/// Everything but the body, judged before a byte of it is read.
fn wanted(api: &Api, request: &Request) -> Result<NewJob, ApiError> {
    let query = request.query();
    let format = match query.get("format")?.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Format::Csv,
        Some("json") => Format::Json,
        _ => return Err(ApiError::bad_request("The parameter format must be csv or json.")),
    };
    let name = query.get("name")?.unwrap_or("body");
    if name.chars().count() > MAX_NAME {
        return Err(ApiError::bad_request(format!(
            "The parameter name has more than {MAX_NAME} characters."
        )));
    }
    let segment_only = match query.get("segment-only")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::bad_request("The parameter segment-only must be true or false.")),
    };
    let max_failures = budget(request)?;
    let read = read_options(request)?;
    let segment_name = query.get("segment")?.filter(|name| !name.is_empty()).map(str::to_owned);
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
        principal: request.principal().key_id().map(str::to_owned),
        max_failures,
        read,
    })
}

async fn receive(mut body: BodyStream, upload: &Upload) -> Result<(), ApiError> {
    let file = tokio::fs::File::create(upload.file()).await.map_err(not_written)?;
    let mut file = BufWriter::with_capacity(BUFFER, file);
    while let Some(bytes) = body.next().await? {
        file.write_all(&bytes).await.map_err(not_written)?;
    }
    file.flush().await.map_err(not_written)?;
    file.get_ref().sync_all().await.map_err(not_written)
}

fn not_written(error: std::io::Error) -> ApiError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => {
            let wait = std::time::Duration::from_secs(30);
            ApiError::unavailable("There is no room for the upload on the server's disk.", wait)
                .because(error)
        }
        _ => ApiError::internal(error),
    }
}
