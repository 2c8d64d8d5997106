//! Which operation a raw target names, against a router that goes over all patterns, and what a raw query says.

use std::sync::{Arc, OnceLock};

use http::{Method, Uri};
use pinport_pipeline::{
    engine::{Engine, EngineOptions},
    jobs::{Jobs, JobsOptions, Resolver, SourcesConfig},
    source::{Settings, SourceOptions},
};
use pinport_server::{
    fuzzing::{Found, find},
    http::{Query, Route, Router},
    limits::{MAX_PAGE_SIZE, MAX_QUERY_PAIRS, MAX_TOKEN_BYTES},
    metrics::Metrics,
    operations::{ApiOptions, router},
};
use pinport_store::memory::Memory;

use super::input::Input;

/// Checks a method and a target.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "get"];
    let method: Method = data.of(&methods).parse().expect("a token");
    let Ok(target) = str::from_utf8(data.0) else { return };
    let Ok(uri) = target.parse::<Uri>() else { return };
    if uri.authority().is_some() || !(target.starts_with('/') || target == "*") {
        return;
    }
    let table = table();
    assert_eq!(find(table, &method, uri.path()), expected(table, &method, uri.path()), "{method} {target}");
    query(uri.query().unwrap_or(""));
}

/// The true table of operations, over jobs that no one creates.
fn table() -> &'static Router {
    struct House {
        router: Router,
        _runtime: tokio::runtime::Runtime,
        _folder: tempfile::TempDir,
    }
    static HOUSE: OnceLock<House> = OnceLock::new();
    &HOUSE
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder for a while");
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            let options = SourceOptions { settings: Settings::empty(), ..SourceOptions::default() };
            let engine = EngineOptions { threads: 1, ..EngineOptions::default() };
            let jobs = Jobs::start(
                Arc::new(Memory::default()),
                Arc::new(Engine::start(engine).expect("threads")),
                Resolver::new(SourcesConfig::default(), options).expect("a good configuration"),
                JobsOptions::new(folder.path().join("jobs")),
                runtime.handle().clone(),
            );
            let router =
                router(jobs.expect("no jobs yet"), ApiOptions::default(), Arc::new(Metrics::new("fuzz")));
            House { router, _runtime: runtime, _folder: folder }
        })
        .router
}

/// What a router finds that compares every pattern, segment by segment.
fn expected(table: &Router, method: &Method, path: &str) -> Found {
    let segments: Vec<_> = path.split('/').collect();
    if path == "*" || path != "/" && segments[1..].iter().any(|segment| ["", ".", ".."].contains(segment)) {
        return Found::Refused(404);
    }
    let is_param = |part: &str| part.starts_with('{');
    let matches = |route: &Route| {
        let parts: Vec<_> = route.pattern.split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| is_param(part) || part == segment)
    };
    let mut routes: Vec<_> = table.routes().filter(matches).collect();
    // Of several patterns the one that names the earlier segments counts.
    let names = |route: &Route| route.pattern.split('/').map(is_param).collect::<Vec<_>>();
    let Some(best) = routes.iter().map(names).min() else { return Found::Refused(404) };
    routes.retain(|route| names(route) == best);
    let mut allowed: Vec<_> = routes.iter().map(|route| route.method).collect();
    if method == Method::OPTIONS {
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        allowed.push("OPTIONS");
        allowed.sort_unstable();
        return Found::Options(allowed.join(", "));
    }
    let is = |name: &str| routes.iter().find(|route| route.method == name);
    let head = || if method == Method::HEAD { is("GET") } else { None };
    let Some(route) = is(method.as_str()).or_else(head) else { return Found::Refused(405) };
    let mut params = Vec::new();
    for (part, segment) in route.pattern.split('/').zip(segments) {
        if is_param(part) {
            let Some(value) = decoded(segment) else { return Found::Refused(400) };
            params.push((part.trim_matches(['{', '}']).to_owned(), value));
        }
    }
    Found::Operation(*route, params)
}

/// Percent-decoded UTF-8, or nothing.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.as_bytes().get(..2)?;
        let digit =
            |byte: u8| b"0123456789abcdef".iter().position(|digit| *digit == byte.to_ascii_lowercase());
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn query(raw: &str) {
    let parts: Vec<_> = raw.split('&').filter(|part| !part.is_empty()).collect();
    let pair = |part: &&str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    let expected: Option<Vec<_>> = parts.iter().map(pair).collect();
    let expected = expected.filter(|pairs| pairs.len() <= MAX_QUERY_PAIRS);
    let Ok(query) = Query::parse(raw) else {
        return assert_eq!(expected, None, "{raw}");
    };
    assert_eq!(Some(query.pairs()), expected.as_deref(), "{raw}");
    for (name, _) in query.pairs() {
        let values: Vec<_> = query.all(name).collect();
        match query.get(name) {
            Ok(value) => assert_eq!(values, [value.expect("it is there")]),
            Err(error) => assert!(values.len() > 1 && error.status().code().as_u16() == 400),
        }
    }
    if let Ok(size) = query.page_size() {
        assert!((1..=MAX_PAGE_SIZE).contains(&size));
    }
    if let Ok(Some(token)) = query.token() {
        assert!((1..=MAX_TOKEN_BYTES).contains(&token.len()));
    }
}
