//! Cancel, pause, resume and delete jobs, how fast they may read, and their webhooks.

use http::StatusCode;
use pinport_model::JobId;
use pinport_pipeline::{
    jobs::{ControlError, Jobs},
    throttle::ThrottleRate,
};

use serde::{Deserialize, Serialize};

use super::{Api, Routes, controlled};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::MAX_S3_URL,
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
    routes.blocking(Route::new("DELETE", JOB, "DeleteJob"), |api, request| {
        let seen = api.writable_job(request)?;
        api.jobs.delete(seen.job.id).map_err(controlled)?;
        Response::ok(&seen.view)
    });
    const RATE: &str = "/pinport/v1/jobs/{job-id}/throttle";
    routes.blocking(Route::new("GET", RATE, "GetJobThrottle"), |api, request| {
        let seen = api.any_job(request)?;
        Response::ok(&api.jobs.throttle_of(seen.job.id).map_err(controlled)?)
    });
    routes.blocking(Route::new("PUT", RATE, "ThrottleJob"), |api, request| {
        let seen = api.writable_job(request)?;
        let rate: ThrottleRate = request.json()?;
        api.jobs.throttle(seen.job.id, rate).map_err(controlled)?;
        Response::json(StatusCode::ACCEPTED, &rate)
    });
    routes.blocking(
        Route::new("PUT", "/pinport/v1/jobs/{job-id}/webhook", "SetJobWebhook"),
        |api, request| {
            let seen = api.writable_job(request)?;
            let webhook: Webhook = request.json()?;
            super::imports::bounded("url", &webhook.url, MAX_S3_URL)?;
            api.jobs.set_webhook(seen.job.id, &webhook.url).map_err(controlled)?;
            Response::json(StatusCode::ACCEPTED, &webhook)
        },
    );
    const RATE_OF_ALL: &str = "/pinport/v1/throttle";
    routes.blocking(Route::new("GET", RATE_OF_ALL, "GetThrottle"), |api, request| {
        request.principal().check_all("This rate is that")?;
        Response::ok(&api.jobs.throttle_of_all())
    });
    routes.blocking(Route::new("PUT", RATE_OF_ALL, "Throttle"), |api, request| {
        // It is everybody's rate.
        request.principal().check_all("This rate is that")?;
        request.principal().check_create()?;
        let rate: ThrottleRate = request.json()?;
        api.jobs.throttle_all(rate);
        Response::json(StatusCode::ACCEPTED, &rate)
    });
}

const JOB: &str = "/pinport/v1/jobs/{job-id}";

/// The webhook that the maker of a job named.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    url: String,
}

/// Asks something of a job that the caller may change, and answers with how it stands then.
fn ask(
    api: &Api,
    request: &Request,
    what: impl FnOnce(&Jobs, JobId) -> Result<(), ControlError>,
) -> Result<Response, ApiError> {
    let seen = api.writable_job(request)?;
    what(&api.jobs, seen.job.id).map_err(controlled)?;
    Response::ok(&api.any_job(request)?.view)
}
