//! Whether the server lives, whether it can work, and what it counts.

use std::{sync::Arc, time::Duration};

use pinport_pipeline::jobs::Jobs;
use prometheus_client::metrics::info::Info;

use super::{ApiOptions, Routes, figures, sentence};
use crate::{
    ApiError,
    http::{Response, Route, Router},
    metrics::{Form, Metrics},
};

/// What a listener for them alone says of other requests.
const COVERED: &str = "This address has /livez, /readyz and /metrics only.";

/// The table of the probes and metrics alone, for a listener of their own. They answer what [`super::router`] has
/// registered with the same metrics.
pub fn probes_router(jobs: Jobs, metrics: Arc<Metrics>) -> Router {
    let mut routes = Routes::new(COVERED, jobs, ApiOptions::default(), metrics);
    add(&mut routes);
    routes.router
}

pub(super) fn add(routes: &mut Routes) {
    routes.waiting(Route::new("GET", "/livez", "Live").public(), |_, _| async {
        Ok(Response::bytes("text/plain; charset=utf-8", "ok\n"))
    });
    routes.blocking(Route::new("GET", "/readyz", "Ready").public(), |api, _| match api.jobs.ready() {
        Ok(()) => Ok(Response::bytes("text/plain; charset=utf-8", "ok\n")),
        Err(reason) => Err(ApiError::unavailable(sentence(&reason), Duration::from_secs(5))),
    });
    routes.blocking(Route::new("GET", "/metrics", "Metrics").scraped(), |api, request| {
        request.principal().check_all("Metrics are")?;
        let form = Form::accepted(request.header("accept"));
        let text = api.metrics.encode_as(form).map_err(ApiError::internal)?;
        Ok(Response::bytes(form.content_type(), text))
    });
}

/// Adds what jobs and the store count to the metrics.
pub(super) fn register(metrics: &Metrics, jobs: &Jobs) {
    metrics.register(|registry| {
        if let Some(name) = jobs.store().name() {
            let info = Info::new(vec![("name", name.to_owned())]);
            registry.register("server", "This server among those that share the store", info);
        }
        registry.register_collector(Box::new(figures::JobMetrics(jobs.clone())));
        registry.register_collector(Box::new(figures::StoreMetrics(jobs.clone())));
    });
    metrics.register_familiar(|registry| {
        registry.register_collector(Box::new(figures::Familiar(jobs.clone())));
    });
}
