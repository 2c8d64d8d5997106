//! Which operation a method and a raw path name. Paths are matched as they came, percent-encoded, and each
//! parameter is decoded after: `%2F` inside an id is not a separator. An empty or dot segment matches
//! nothing, so a signature never has to be checked over a path that two readers could normalise differently.

use std::{collections::BTreeSet, fmt, future::Future, pin::Pin, sync::Arc};

use http::Method;

use super::{Request, Response};
use crate::{ApiError, limits::READ_BYTES, percent::decode_segment};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Anybody: probes.
    Public,
    /// Callers with a valid signature, once keys are configured.
    Signed,
    /// The same, and those with the token for metrics.
    Scraped,
}

/// How a route takes its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// Read whole before the call, up to [`crate::Limits::body_bytes`].
    Whole,
    /// Read whole before the call, up to so many bytes, or [`crate::Limits::body_bytes`] if that is more.
    WholeUpTo(usize),
    /// Handed over as it arrives, without a cap.
    Stream,
}

/// One operation's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET`, `POST`, `PUT`, `DELETE`.
    pub method: &'static str,
    /// The path, with parameters as `{application-id}`. A parameter is one whole segment.
    pub pattern: &'static str,
    /// The operation, as logs and metrics name it.
    pub name: &'static str,
    /// Who may call it.
    pub gate: Gate,
    /// How it takes its body.
    pub body: BodyMode,
    /// Bytes that it takes from the budget while it makes its answer.
    pub memory: usize,
}

impl Route {
    /// A signed route with a small body.
    pub const fn new(method: &'static str, pattern: &'static str, name: &'static str) -> Self {
        Self { method, pattern, name, gate: Gate::Signed, body: BodyMode::Whole, memory: 0 }
    }

    /// The same for anybody.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.gate = Gate::Public;
        self
    }

    /// The same for one that scrapers read.
    #[must_use]
    pub const fn scraped(mut self) -> Self {
        self.gate = Gate::Scraped;
        self
    }

    /// The same for one that reads a page or more from the store.
    #[must_use]
    pub const fn reading(mut self) -> Self {
        self.memory = READ_BYTES;
        self
    }

    /// The same with another body.
    #[must_use]
    pub const fn body(mut self, body: BodyMode) -> Self {
        self.body = body;
        self
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;
type Operation = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

struct Entry {
    route: Route,
    operation: Operation,
}

/// The operations, by path and method.
#[derive(Default)]
pub struct Router {
    paths: matchit::Router<usize>,
    patterns: Vec<(&'static str, Vec<Entry>)>,
    absent: Vec<(&'static str, &'static str, &'static str)>,
    fallback: String,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes()).finish()
    }
}

/// What a method and path came to.
pub(super) enum Matched {
    /// An operation, with its decoded parameters.
    Operation(Call),
    /// OPTIONS on a known path: the methods it knows.
    Options(String),
}

/// An operation that is ready to be called.
pub(super) struct Call {
    pub(super) route: Route,
    pub(super) params: Vec<(String, String)>,
    pub(super) operation: Operation,
}

impl Router {
    /// An empty table. `covered` is the sentence that says what it knows, for requests that name something else.
    pub fn new(covered: impl Into<String>) -> Self {
        Self { fallback: covered.into(), ..Self::default() }
    }

    /// Names an operation that clients know and this table does not have. A request for it is a 405 that says so,
    /// because a 404 would say that a thing is missing, and programs make what is missing.
    pub fn absent(&mut self, method: &'static str, pattern: &'static str, name: &'static str) {
        self.absent.push((method, pattern, name));
    }

    /// Adds an operation. Shared state is captured by the closure:
    /// `router.add(ROUTE, { let api = api.clone(); move |request| get_app(api.clone(), request) })`.
    ///
    /// # Panics
    /// If the pattern conflicts with another one, or the route is added twice: the table is part of the program.
    pub fn add<F, A>(&mut self, route: Route, operation: F)
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let at = self.patterns.iter().position(|(pattern, _)| *pattern == route.pattern);
        let at = at.unwrap_or_else(|| {
            self.paths.insert(route.pattern, self.patterns.len()).expect("route patterns do not conflict");
            self.patterns.push((route.pattern, Vec::new()));
            self.patterns.len() - 1
        });
        let entries = &mut self.patterns[at].1;
        assert!(entries.iter().all(|entry| entry.route.method != route.method), "a route is added once");
        let operation: Operation = Arc::new(move |request| Box::pin(operation(request)));
        entries.push(Entry { route, operation });
    }

    /// All routes, for documentation and its tests.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        self.patterns.iter().flat_map(|(_, entries)| entries.iter().map(|entry| entry.route))
    }

    /// The 405 for an operation that clients know and this table does not have.
    fn not_covered(&self, method: &Method, raw_path: &str, allow: &str) -> Option<ApiError> {
        let mut here = self.absent.iter().filter(|(_, pattern, _)| fits(pattern, raw_path)).peekable();
        here.peek()?;
        let request = shown_request(method, raw_path);
        let what = match here.find(|(known, ..)| *known == method.as_str()) {
            Some((_, _, name)) => format!("pinport does not have the operation {name} ({request})."),
            None => format!("pinport does not have an operation {request}."),
        };
        Some(ApiError::method_not_allowed(format!("{what} {}", self.fallback), allow))
    }

    /// Finds the operation for a raw path.
    pub(super) fn find(&self, method: &Method, raw_path: &str) -> Result<Matched, ApiError> {
        let not_found = || ApiError::not_found(format!("There is nothing at this path. {}", self.fallback));
        if raw_path != "/" && raw_path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(not_found());
        }
        let Ok(found) = self.paths.at(raw_path) else {
            // Clients look for Allow with a 405, so a path without operations answers to OPTIONS at least.
            let Some(error) = self.not_covered(method, raw_path, "OPTIONS") else { return Err(not_found()) };
            return if method == Method::OPTIONS {
                Ok(Matched::Options("OPTIONS".into()))
            } else {
                Err(error)
            };
        };
        let (_, entries) = &self.patterns[*found.value];
        if method == Method::OPTIONS {
            return Ok(Matched::Options(allow(entries)));
        }
        let is = |entry: &&Entry, method: &str| entry.route.method == method;
        let entry = entries.iter().find(|entry| is(entry, method.as_str()));
        let head = || entries.iter().find(|entry| method == Method::HEAD && is(entry, "GET"));
        let entry = entry.or_else(head).ok_or_else(|| {
            let allow = allow(entries);
            self.not_covered(method, raw_path, &allow).unwrap_or_else(|| {
                let request = shown_request(method, raw_path);
                let reason = format!("There is no operation {request}: this path answers to {allow}.");
                ApiError::method_not_allowed(reason, allow)
            })
        })?;
        let params = found.params.iter().map(|(name, raw)| {
            let value = decode_segment(raw).ok_or_else(|| {
                ApiError::bad_request(format!("The {name} in the path is not percent-encoded UTF-8."))
            })?;
            Ok((name.to_owned(), value))
        });
        Ok(Matched::Operation(Call {
            route: entry.route,
            params: params.collect::<Result<_, ApiError>>()?,
            operation: Arc::clone(&entry.operation),
        }))
    }
}

/// A method and a path, fit to be shown.
fn shown_request(method: &Method, raw_path: &str) -> String {
    let shown = |text: &str, most| -> String {
        let cut: String = text.chars().take(most).collect();
        pinport_model::escape_controls(&cut).into_owned()
    };
    format!("{} {}", shown(method.as_str(), 16), shown(raw_path, 256))
}

/// Whether a path without empty segments is one of a pattern's.
fn fits(pattern: &str, raw_path: &str) -> bool {
    let mut given = raw_path.split('/');
    let each =
        pattern.split('/').all(|part| given.next().is_some_and(|text| part.starts_with('{') || part == text));
    each && given.next().is_none()
}

/// The `Allow` header of a path.
fn allow(entries: &[Entry]) -> String {
    let mut methods: BTreeSet<_> = entries.iter().map(|entry| entry.route.method).collect();
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    methods.insert("OPTIONS");
    methods.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorStatus;

    fn router() -> Router {
        let mut router = Router::new("Nothing here.");
        for (method, pattern, name) in [
            ("GET", "/v1/apps", "GetApps"),
            ("POST", "/v1/apps", "CreateApp"),
            ("GET", "/v1/apps/{application-id}", "GetApp"),
            ("GET", "/v1/apps/{application-id}/endpoints/{endpoint-id}", "GetEndpoint"),
            ("PUT", "/v1/apps/{application-id}/endpoints", "UpdateEndpointsBatch"),
            ("GET", "/v1/apps/{application-id}/jobs/import", "GetImportJobs"),
            ("GET", "/v1/apps/{application-id}/jobs/import/{job-id}", "GetImportJob"),
            ("GET", "/v1/tags/{resource-arn}", "ListTagsForResource"),
        ] {
            router.add(Route::new(method, pattern, name), |_| async {
                Ok(Response::empty(http::StatusCode::OK))
            });
        }
        router.absent("POST", "/v1/apps/{application-id}/jobs/export", "CreateExportJob");
        router.absent("GET", "/v1/apps/{application-id}/jobs/export", "GetExportJobs");
        router.absent("DELETE", "/v1/apps/{application-id}/endpoints", "Imagined");
        router
    }

    fn find(method: &str, path: &str) -> Result<(&'static str, Vec<String>), ApiError> {
        match router().find(&method.parse().unwrap(), path)? {
            Matched::Operation(call) => {
                Ok((call.route.name, call.params.into_iter().map(|(_, value)| value).collect()))
            }
            Matched::Options(allow) => Ok(("OPTIONS", vec![allow])),
        }
    }

    #[test]
    fn paths_are_matched_raw_and_decoded_after() {
        let (name, params) = find("GET", "/v1/apps/a%20b/endpoints/user%40example.com%2F%2B1").unwrap();
        assert_eq!((name, params), ("GetEndpoint", vec!["a b".into(), "user@example.com/+1".into()]));
        let arn = "/v1/tags/arn%3Aaws%3Amobiletargeting%3Aus-east-1%3A1%3Aapps%2Fab";
        assert_eq!(find("GET", arn).unwrap().1, ["arn:aws:mobiletargeting:us-east-1:1:apps/ab"]);
        assert_eq!(find("HEAD", "/v1/apps").unwrap().0, "GetApps");
    }

    #[test]
    fn what_is_not_there_is_a_404() {
        for path in [
            "/",
            "/v1",
            "/v1/apps/",
            "/v1/apps//jobs/import",
            "/v1/apps/a/jobs/import/",
            "//v1/apps",
            "/v1//apps",
            "/v1/apps/..",
            "/v1/apps/a/../b",
            "/v1/apps/./jobs/import",
            "/v1/Apps",
            "*",
            "/v1/apps/a/endpoints/b/c",
        ] {
            assert_eq!(find("GET", path).unwrap_err().status(), ErrorStatus::NotFound, "{path}");
        }
        assert_eq!(find("GET", "/v1/apps/%ff").unwrap_err().status(), ErrorStatus::BadRequest);
    }

    #[test]
    fn other_methods_are_a_405_that_lists_what_is_allowed() {
        let error = find("PATCH", "/v1/apps").unwrap_err();
        assert_eq!(error.status(), ErrorStatus::MethodNotAllowed);
        assert_eq!(error.allow(), Some("GET, HEAD, OPTIONS, POST"));
        assert_eq!(find("HEAD", "/v1/apps/a/endpoints").unwrap_err().allow(), Some("OPTIONS, PUT"));
        assert_eq!(find("OPTIONS", "/v1/apps/a/endpoints").unwrap().1, ["OPTIONS, PUT"]);
        assert_eq!(
            error.message(),
            "There is no operation PATCH /v1/apps: this path answers to GET, HEAD, OPTIONS, POST."
        );
    }

    #[test]
    fn an_operation_that_is_not_there_is_a_405_that_names_it() {
        for (method, path, begin, allow) in [
            (
                "POST",
                "/v1/apps/a/jobs/export",
                "pinport does not have the operation CreateExportJob (POST /v1/apps/a/jobs/export). Nothing here",
                "OPTIONS",
            ),
            (
                "PUT",
                "/v1/apps/a/jobs/export",
                "pinport does not have an operation PUT /v1/apps/a/jobs/export.",
                "OPTIONS",
            ),
            (
                "DELETE",
                "/v1/apps/%1b/endpoints",
                "pinport does not have the operation Imagined (DELETE /v1/apps/%1b/endpoints).",
                "OPTIONS, PUT",
            ),
        ] {
            let error = find(method, path).unwrap_err();
            assert_eq!(
                (error.status(), error.allow()),
                (ErrorStatus::MethodNotAllowed, Some(allow)),
                "{path}"
            );
            assert!(error.message().starts_with(begin), "{}", error.message());
        }
        assert_eq!(find("OPTIONS", "/v1/apps/a/jobs/export").unwrap().1, ["OPTIONS"]);
        for path in ["/v1/apps/a/jobs/export/b", "/v1/apps/a/jobs", "/v1/apps//jobs/export"] {
            assert_eq!(find("POST", path).unwrap_err().status(), ErrorStatus::NotFound, "{path}");
        }
    }
}
