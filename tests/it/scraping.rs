//! What scrapers read: both forms of `/metrics` held against their formats, who may read them, the listener of their own,
//! and the examples, which may only speak of metrics that are there. `scripts/try-prometheus` asks the real Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{http, serving::Serving, support::*};

const TOKEN: &str = "a-token-of-the-tests-0123";

/// A metric: its kind, and its samples with names and labels as they are written.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: Vec<(String, f64)>,
}

/// Reads a text as its format says, and refuses whatever the format does not allow.
fn parse(text: &str, open: bool) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut help = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, said) = rest.split_once(' ').unwrap();
            assert!(!said.is_empty() && help.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(help.contains(name), "nothing says what {name} is");
            let known: &[&str] = if open {
                &["counter", "gauge", "histogram", "info"]
            } else {
                &["counter", "gauge", "histogram"]
            };
            assert!(known.contains(&kind), "{line}");
            current = name.to_owned();
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            assert!(families.insert(current.clone(), family).is_none(), "{name} is there twice");
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(open && name.ends_with(unit), "{line}");
        } else if line == "# EOF" {
            assert!(open && lines.peek().is_none(), "the end is in the middle");
            return families;
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("{line} has no TYPE"));
            let ends: &[&str] = match (family.kind.as_str(), open) {
                ("counter", true) => &["_total"],
                ("info", true) => &["_info"],
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(
                ends.iter().any(|end| name.strip_suffix(end) == Some(&current)),
                "{line} is none of {current}"
            );
            let value = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
            assert!(family.samples.iter().all(|(other, _)| other != sample), "{sample} is there twice");
            family.samples.push((sample.to_owned(), value));
        }
    }
    assert!(!open, "OpenMetrics has an end");
    families
}

/// Each bucket of a histogram holds what the one before holds, and the last one all.
fn check_histogram(name: &str, family: &Family) {
    let mut count = 0;
    let mut before: Option<(String, f64)> = None;
    for (sample, value) in &family.samples {
        let Some(labels) = sample.strip_prefix(&format!("{name}_bucket{{")) else { continue };
        let (bound, series) = labels.split_once("\",").unwrap();
        let same = before.as_ref().filter(|(other, _)| other == series);
        assert!(same.is_none_or(|(_, less)| less <= value), "{sample}");
        before = Some((series.to_owned(), *value));
        if bound == "le=\"+Inf" {
            let whole = format!("{name}_count{{{series}");
            let (_, counted) = family.samples.iter().find(|(sample, _)| *sample == whole).unwrap();
            assert_eq!(counted, value, "{whole}");
            count += 1;
        }
    }
    assert!(count > 0, "{name} has no buckets");
}

/// The words of a text that are called like metrics.
fn named(text: &str) -> BTreeSet<String> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter| !is_letter(letter));
    let words = words.filter(|word| word.starts_with("pinport_") || word.starts_with("process_"));
    words.map(str::to_owned).collect()
}

#[test]
fn both_forms_are_what_their_formats_say() {
    let lab = Lab::new();
    let server = Serving::start_with(&lab, &format!("[metrics]\ntoken = \"{TOKEN}\"\n"), &[]);
    lab.write_sample("rows.json", "--rows 500 --bad 2%");
    let job = server.import(&lab, "rows.json");
    let app = server.get("/v1/apps").json()["Item"][0]["Id"].as_str().unwrap().to_owned();
    let failed = server.ended(&app, &job)["TotalFailures"].as_f64().unwrap();
    assert_eq!(server.get("/v1/apps/none").status, 404);
    assert_eq!(server.send("GET", "/metrics", "Authorization: Bearer x\r\n", b"").unwrap().status, 403);
    let open = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let open = server.send("GET", "/metrics", open, b"").unwrap();
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    let open = parse(str::from_utf8(&open.body).unwrap(), true);
    let text = server.get("/metrics");
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    let text = parse(str::from_utf8(&text.body).unwrap(), false);
    for (name, family) in &text {
        assert!(!family.samples.is_empty(), "{name} has no samples");
        // Prometheus' linter: no capitals, `_total` for counters and for nothing else.
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
    }
    // Both have the same, but for the names that users of the service know.
    let samples = |families: &BTreeMap<String, Family>| -> BTreeSet<String> {
        let all = families.values().flat_map(|family| family.samples.iter().map(|(name, _)| name.clone()));
        all.filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase())).collect()
    };
    let (mut open_samples, text_samples) = (samples(&open), samples(&text));
    // The second request counts the first.
    open_samples.extend(text_samples.iter().filter(|name| name.contains("operation=\"Metrics\"")).cloned());
    assert_eq!(open_samples, text_samples);
    let value = |name: &str| text[name].samples[0].1;
    assert_eq!(
        (value("pinport_records_total"), open["ImportedEndpointFailure"].samples[0].1),
        (500.0, failed)
    );
    assert_eq!(value("pinport_failed_records_total"), failed);
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
        "process_start_time_seconds",
        "pinport_disk_size_bytes",
        "pinport_disk_free_bytes",
        "pinport_store_bytes",
        "pinport_store_files",
        "pinport_store_memory_bytes",
    ] {
        assert!(value(name) > 0.0, "{name} is {}", value(name));
    }
    examples_speak_of(&text);
}

/// The examples and the handbook name metrics that are there, and the dashboard shows nearly all of them.
fn examples_speak_of(text: &BTreeMap<String, Family>) {
    let ends = ["", "_bucket", "_sum", "_count"];
    let known = |name: &String| {
        let is = |end: &str| name.strip_suffix(end).is_some_and(|family| text.contains_key(family));
        // These are there where traces and metrics are sent: `crate::otlp` reads them.
        name.starts_with("pinport_otlp_")
            || name.ends_with('_')
            || ends.iter().any(|end| is(end))
            || name.contains(':')
    };
    let read = |path: &str| fs::read_to_string(format!("{TOP}/{path}")).unwrap();
    let (rules, handbook) = (read("examples/prometheus/rules.yml"), read("docs/operating.md"));
    let dashboard: serde_json::Value = serde_json::from_str(&read("examples/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(queries.len() > 20, "{queries:?}");
    let shown = named(&queries.join("\n"));
    for (place, names) in
        [("rules.yml", named(&rules)), ("operating.md", named(&handbook)), ("grafana.json", shown)]
    {
        let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
        assert!(unknown.is_empty() && names.len() > 10, "{place} speaks of {unknown:?}");
    }
    for name in text.keys().filter(|name| name.starts_with("pinport_")) {
        assert!(handbook.contains(&format!("`{name}")), "docs/operating.md does not say what {name} is");
    }
    // Panels lie side by side, none over another.
    let mut places = BTreeSet::new();
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for (x, y) in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(x < 24 && places.insert((x, y)), "{} lies over another", panel["title"]);
        }
    }
}

/// The address of the listener of probes and metrics, which the server names.
fn scraped(server: &Serving) -> String {
    server.until_said("probes and metrics: ");
    let log = server.log();
    let rest = log.split("probes and metrics: http://").nth(1).unwrap();
    rest[..rest.find('/').unwrap()].to_owned()
}

#[test]
fn a_token_reads_the_metrics_and_nothing_else() {
    let lab = Lab::new();
    let configuration = |token: &str| {
        format!(
            "[metrics]\nlisten = \"127.0.0.1:0\"\ntoken = \"{token}\"\n[[keys]]\nid = \"KEY\"\nsecret = \"0123456789abcdef\"\n"
        )
    };
    let server = Serving::start_with(&lab, &configuration(TOKEN), &[]);
    let (main, own) = (server.url.strip_prefix("http://").unwrap().to_owned(), scraped(&server));
    let status = |address: &str, path: &str, token: &str| {
        let header =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        http::send(address, "GET", path, &header, b"").unwrap().status
    };
    for address in [&main, &own] {
        assert_eq!(status(address, "/metrics", TOKEN), 200);
        assert_eq!(status(address, "/metrics", "another-token-0123456"), 403);
        assert_eq!(status(address, "/metrics", ""), 403);
        assert_eq!((status(address, "/livez", ""), status(address, "/readyz", "")), (200, 200));
    }
    assert_eq!((status(&main, "/v1/apps", TOKEN), status(&own, "/v1/apps", TOKEN)), (403, 404));
    let counted =
        http::send(&own, "GET", "/metrics", &format!("Authorization: Bearer {TOKEN}\r\n"), b"").unwrap();
    let counted = String::from_utf8(counted.body).unwrap();
    assert!(counted.contains("pinport_http_auth_failures_total{reason=\"token\"} 3\n"), "{counted}");
    // Another token takes its place without a restart.
    lab.write("pinport.toml", configuration("the-next-token-0123456"));
    server.signal(libc::SIGHUP);
    server.until_said("the keys were read again");
    for address in [&main, &own] {
        assert_eq!(status(address, "/metrics", TOKEN), 403);
        assert_eq!(status(address, "/metrics", "the-next-token-0123456"), 200);
    }
    let log = server.stop();
    assert!(!log.contains(TOKEN) && !log.contains("the-next-token"), "{log}");
}

#[test]
fn a_listener_that_everybody_could_read_is_refused() {
    let lab = Lab::new();
    let check = |metrics: &str| {
        lab.write("pinport.toml", format!("[metrics]\n{metrics}\n"));
        lab.pinport(&["config", "check", "--listen", "127.0.0.1:0"]).run()
    };
    check("listen = \"0.0.0.0:9465\"").says(&["line 2 (metrics.listen): 0.0.0.0:9465", "Set a token"]);
    assert_eq!(check("listen = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef\"").code, Some(0));
    assert_eq!(check("listen = \"127.0.0.1:0\"").code, Some(0));
    let refused = check("token = \"short-secret\"");
    refused.says(&["line 2 (token)", "16 to 256"]);
    assert!(!refused.err.contains("short-secret"), "{}", refused.err);
    lab.write("pinport.toml", "");
    let refused = lab.pinport(&["serve"]).env("PINPORT_METRICS_TOKEN", "short-secret").expect(2);
    refused.says(&["PINPORT_METRICS_TOKEN", "16 to 256"]);
    // An open server keeps pages of browsers out of its metrics, too.
    lab.write("pinport.toml", "");
    let server = Serving::start_with(&lab, "[metrics]\nlisten = \"127.0.0.1:0\"\n", &[]);
    let own = scraped(&server);
    let foreign = http::send(&own, "GET", "/metrics", "Origin: https://evil.example\r\n", b"").unwrap();
    assert_eq!(foreign.status, 403);
}
