//! Cancel, pause and resume.

use pinport_model::JobId;
use pinport_pipeline::jobs::{ControlError, Jobs};

use super::{Api, Routes, controlled};
use crate::{
    ApiError,
    http::{Request, Response, Route},
};

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("POST", "/pinport/v1/jobs/{job-id}/cancel", "CancelJob"), |api, request| {
        ask(api, request, Jobs::cancel)
    });
    routes.blocking(Route::new("POST", "/pinport/v1/jobs/{job-id}/pause", "PauseJob"), |api, request| {
        ask(api, request, Jobs::pause)
    });
    routes.blocking(Route::new("POST", "/pinport/v1/jobs/{job-id}/resume", "ResumeJob"), |api, request| {
        ask(api, request, Jobs::resume)
    });
}

/// Asks something of a job that the caller may change, and answers with how it stands then.
fn ask(
    api: &Api,
    request: &Request,
    what: impl FnOnce(&Jobs, JobId) -> Result<(), ControlError>,
) -> Result<Response, ApiError> {
    let seen = api.any_job(request)?;
    request.principal().writable(&seen.job.definition.application.to_string())?;
    what(&api.jobs, seen.job.id).map_err(controlled)?;
    Response::ok(&api.any_job(request)?.view)
}
