//! The operations: Pinpoint's that pinport covers, and pinport's own.
//!
//! Each file has the operations of one kind of thing and the shapes they read and answer; `routes` is the
//! table of all of them. Operations ask the [`Principal`] before they look anything
//! up, and what blocks runs on threads made for blocking. Nothing here decides how a job runs (that is
//! `pinport_pipeline::jobs`) or what an endpoint is (that is its parser).

mod absent;
mod app_events;
mod apps;
mod attributes;
mod control;
mod counts;
mod creates;
mod endpoints;
mod events;
mod exports;
mod figures;
mod home;
mod imports;
mod jobs;
mod members;
mod openapi;
mod page;
mod parts;
mod phones;
mod probes;
mod reading;
mod segments;
mod settings;
mod snapshots;
mod sources;
mod tags;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod uploads;
mod verify;

use std::sync::Arc;

pub use probes::probes_router;

use parking_lot::Mutex;
use pinport_model::{Application, ApplicationId, RecordLimits, Timestamp};
use pinport_pipeline::jobs::{ControlError, CreateError, Jobs, ViewError};
use pinport_store::{Store, StoreError};

use crate::{
    ApiError,
    access::{Principal, no_such_application},
    http::{Request, Response, Route, Router},
    metrics::Metrics,
};

/// What is said of requests for something else.
pub const COVERED: &str = "pinport covers Pinpoint's import jobs and export jobs, and for what they \
     move: apps, segments and their versions, settings, endpoints, users' endpoints, and tags of apps and segments.";

/// How operations answer.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// The region in ARNs.
    pub region: String,
    /// The 12-digit account in ARNs, and where no `ExternalId` was given.
    pub account: String,
    /// Whether an application that is not there is made on its first use.
    pub auto_create_apps: bool,
    /// The bounds on an endpoint that is put by itself.
    pub limits: RecordLimits,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            region: "us-east-1".into(),
            account: "000000000000".into(),
            auto_create_apps: true,
            limits: RecordLimits::default(),
        }
    }
}

/// What operations share.
pub(crate) struct Api {
    pub(crate) jobs: Jobs,
    pub(crate) options: ApiOptions,
    pub(crate) metrics: Arc<Metrics>,
    /// Held while tags or settings are read, changed and written back.
    pub(crate) tagging: Mutex<()>,
    /// Held while attributes are removed from all endpoints of an application.
    removing: Mutex<()>,
    /// Held while a snapshot is made.
    snapshots: Mutex<()>,
    creates: creates::Creates,
    counts: counts::Counts,
}

/// The table of all operations.
pub fn router(jobs: Jobs, options: ApiOptions, metrics: Arc<Metrics>) -> Router {
    probes::register(&metrics, &jobs);
    let mut routes = Routes::new(COVERED, jobs, options, metrics);
    apps::add(&mut routes);
    imports::add(&mut routes);
    exports::add(&mut routes);
    segments::add(&mut routes);
    settings::add(&mut routes);
    attributes::add(&mut routes);
    phones::add(&mut routes);
    app_events::add(&mut routes);
    endpoints::add(&mut routes);
    tags::add(&mut routes);
    jobs::add(&mut routes);
    sources::add(&mut routes);
    control::add(&mut routes);
    verify::add(&mut routes);
    snapshots::add(&mut routes);
    members::add(&mut routes);
    uploads::add(&mut routes);
    events::add(&mut routes);
    probes::add(&mut routes);
    home::add(&mut routes);
    // Last: it describes all that are there.
    openapi::add(&mut routes);
    for (pattern, methods) in absent::ABSENT {
        for (method, name) in *methods {
            routes.router.absent(method, pattern, name);
        }
    }
    routes.router
}

/// The table while it is filled.
struct Routes {
    router: Router,
    api: Arc<Api>,
}

impl Routes {
    fn new(covered: &str, jobs: Jobs, options: ApiOptions, metrics: Arc<Metrics>) -> Self {
        let (tagging, removing, snapshots, creates) = Default::default();
        let counts = counts::Counts::new(Arc::clone(jobs.store()));
        let api = Arc::new(Api { jobs, options, metrics, tagging, removing, snapshots, creates, counts });
        Self { router: Router::new(covered), api }
    }

    /// Adds an operation that may block: it runs on a thread made for that.
    fn blocking(
        &mut self,
        route: Route,
        operation: impl Fn(&Api, &Request) -> Result<Response, ApiError> + Send + Sync + 'static,
    ) {
        let (api, operation) = (Arc::clone(&self.api), Arc::new(operation));
        self.router.add(route, move |request| {
            let (api, operation) = (Arc::clone(&api), Arc::clone(&operation));
            async move { blocking(move || operation(&api, &request)).await }
        });
    }

    /// Adds an operation that waits without blocking.
    fn waiting<A>(&mut self, route: Route, operation: impl Fn(Arc<Api>, Request) -> A + Send + Sync + 'static)
    where
        A: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let api = Arc::clone(&self.api);
        self.router.add(route, move |request| operation(Arc::clone(&api), request));
    }
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ApiError::internal(error)),
    }
}

impl Api {
    fn store(&self) -> &Arc<dyn Store> {
        self.jobs.store()
    }

    /// An application that the caller may see.
    fn application(&self, request: &Request) -> Result<Application, ApiError> {
        let text = request.param("application-id");
        let id = request.principal().readable(text)?;
        self.store().application(id).map_err(stored)?.ok_or_else(|| no_such_application(text))
    }

    /// An application that the caller may change.
    fn writable(&self, request: &Request) -> Result<Application, ApiError> {
        let text = request.param("application-id");
        let id = request.principal().writable(text)?;
        self.store().application(id).map_err(stored)?.ok_or_else(|| no_such_application(text))
    }

    /// An application that the caller may change, made on its first use if the configuration says so.
    fn writable_or_new(&self, request: &Request) -> Result<Application, ApiError> {
        let text = request.param("application-id");
        let id = request.principal().writable(text)?;
        match self.store().application(id).map_err(stored)? {
            Some(application) => Ok(application),
            None if self.options.auto_create_apps => {
                let application = new_application(id, id.to_string());
                match self.store().create_application(&application) {
                    Ok(()) => Ok(application),
                    // Another request was faster.
                    Err(StoreError::Conflict(_)) => {
                        self.store().application(id).map_err(stored)?.ok_or_else(|| no_such_application(text))
                    }
                    Err(error) => Err(stored(error)),
                }
            }
            None => Err(no_such_application(text)),
        }
    }

    /// An application by id or name, if the caller may see it. A name that several have is a 409 that lists them. What has
    /// the form of an id is one: it is not looked up among the names.
    fn find_named(&self, principal: &Principal, text: &str) -> Result<Option<Application>, ApiError> {
        if let Ok(id) = text.parse::<ApplicationId>() {
            return match principal.may_read(&id) {
                true => self.store().application(id).map_err(stored),
                false => Ok(None),
            };
        }
        let mut named = self.store().applications_by_name(text).map_err(stored)?;
        named.retain(|application| principal.may_read(&application.id));
        if named.len() > 1 {
            let reason = Application::ambiguous(&shown(text), &named);
            return Err(ApiError::conflict(sentence(&reason)));
        }
        Ok(named.pop())
    }

    /// An application by id or name, for pinport's own operations, made if there is none.
    fn named_or_new(&self, principal: &Principal, name: &str) -> Result<Application, ApiError> {
        if let Some(application) = self.find_named(principal, name)? {
            principal.writable(&application.id.to_string())?;
            return Ok(application);
        }
        let (id, is_named) = match name.parse::<ApplicationId>() {
            Ok(id) => {
                principal.writable(name)?;
                (id, false)
            }
            Err(_) if principal.may_create() => {
                apps::check_name(name)?;
                (ApplicationId::generate(), true)
            }
            Err(_) => return Err(no_such_application(name)),
        };
        if !self.options.auto_create_apps {
            return Err(no_such_application(name));
        }
        let application = new_application(id, name.to_owned());
        let made = match is_named {
            true => self.store().create_named_application(&application),
            // An id as a name is a mistake.
            false => self.store().create_application(&application),
        };
        match made {
            Ok(()) => Ok(application),
            // Another request was faster.
            Err(StoreError::Conflict(_)) => {
                self.find_named(principal, name)?.ok_or_else(|| no_such_application(name))
            }
            Err(error) => Err(stored(error)),
        }
    }
}

fn new_application(id: ApplicationId, name: String) -> Application {
    Application { id, name, created: Timestamp::now(), tags: Default::default() }
}

/// What a caller is answered when the store fails.
fn stored(error: StoreError) -> ApiError {
    match error {
        error if error.lacks_descriptors() => {
            let wait = std::time::Duration::from_secs(1);
            ApiError::unavailable("The server has too many files and connections open.", wait).because(error)
        }
        StoreError::Full { .. } | StoreError::Stopped(_) => {
            let wait = std::time::Duration::from_secs(30);
            ApiError::unavailable("Nothing can be stored at the moment; the server's log says why.", wait)
                .because(error)
        }
        StoreError::Unavailable { .. } => {
            let wait = std::time::Duration::from_secs(2);
            ApiError::unavailable("The database does not answer at the moment.", wait).because(error)
        }
        StoreError::Conflict(reason) | StoreError::Lost(reason) => ApiError::conflict(sentence(&reason)),
        StoreError::Criteria(reason) => ApiError::bad_request(sentence(&reason)),
        StoreError::NotFound { what, id } => {
            ApiError::not_found(sentence(&format!("there is no {what} {id}")))
        }
        error => ApiError::internal(error),
    }
}

fn viewed(error: ViewError) -> ApiError {
    match error {
        ViewError::Store(error) => stored(error),
        error => ApiError::internal(error),
    }
}

fn controlled(error: ControlError) -> ApiError {
    match error {
        ControlError::NotFound(id) => no_such_job(&id.to_string()),
        ControlError::Conflict(_) => ApiError::conflict(sentence(&error.to_string())),
        ControlError::Store(error) => stored(error),
        ControlError::File(error) => ApiError::internal(error),
    }
}

fn created(error: CreateError) -> ApiError {
    match error {
        CreateError::Refused(reason) => ApiError::bad_request(sentence(&reason)),
        CreateError::NoSegment(id) => no_such_segment(&id.to_string()),
        error @ CreateError::NoVersion(..) => ApiError::not_found(sentence(&error.to_string())),
        CreateError::Unavailable(reason) => {
            let wait = std::time::Duration::from_secs(5);
            ApiError::unavailable(sentence(&reason), wait)
        }
        CreateError::Store(error) => stored(error),
        CreateError::File(error) => ApiError::internal(error),
    }
}

fn no_such_job(id: &str) -> ApiError {
    ApiError::not_found(format!("There is no job \"{}\".", shown(id)))
}

fn no_such_segment(id: &str) -> ApiError {
    ApiError::not_found(format!("There is no segment \"{}\".", shown(id)))
}

/// Text from a request, fit to be shown.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    pinport_model::escape_controls(&cut).into_owned()
}

/// A fragment as a sentence.
fn sentence(fragment: &str) -> String {
    let mut characters = fragment.chars();
    let Some(first) = characters.next() else { return String::new() };
    // A name at the beginning stays as it is.
    let is_word =
        fragment.split(' ').next().is_some_and(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
    let first = if is_word { first.to_ascii_uppercase() } else { first };
    let end = if fragment.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}
