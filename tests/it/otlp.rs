//! OpenTelemetry: what a collector gets of ended jobs and of the metrics, and that a server without one, or with one that
//! does not answer, works as ever.

use std::{collections::BTreeSet, net::TcpListener};

use serde_json::{Value, json};

use crate::{
    serving::Serving,
    support::*,
    webhooks::{Hook, Receiver},
};

/// The next request for this path.
#[track_caller]
fn next(receiver: &Receiver, path: &str) -> Hook {
    loop {
        let got = receiver.next();
        if got.path == path {
            return got;
        }
    }
}

fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let all = of["attributes"].as_array().unwrap();
    let found = all.iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key}: {of}"))["value"]
}

fn nanoseconds(span: &Value, member: &str) -> u64 {
    span[member].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_collector_gets_a_trace_of_each_job_and_all_metrics() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 400 --bad 10%");
    let receiver = Receiver::start(&[]);
    let configuration = format!(
        "[otlp]\nendpoint = \"{}/\"\nheaders = {{ api-key = \"a-secret-of-the-tests\" }}\ninterval = \"1s\"\nservice = \"imports\"\n",
        receiver.url
    );
    let server = Serving::start_with(&lab, &configuration, &[]);
    let job = server.import(&lab, "rows.json");

    let got = next(&receiver, "/hook/v1/traces");
    assert_eq!(
        (got.header("content-type"), got.header("api-key")),
        ("application/json", "a-secret-of-the-tests")
    );
    let trace = &got.json()["resourceSpans"][0];
    assert_eq!(attribute(&trace["resource"], "service.name")["stringValue"], "imports");
    let spans = trace["scopeSpans"][0]["spans"].as_array().unwrap();
    let root = &spans[0];
    assert_eq!((&root["name"], &root["traceId"]), (&json!("import"), &json!(job)));
    assert_eq!((&root["parentSpanId"], &root["status"]["code"]), (&json!(""), &json!(1)));
    assert_eq!(attribute(root, "pinport.records.read")["intValue"], "400");
    assert_eq!(attribute(root, "pinport.job.status")["stringValue"], "COMPLETED");
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let run = named("run");
    assert_eq!(run["parentSpanId"], root["spanId"]);
    for stage in ["fetch", "decode", "parse", "build", "commit"] {
        let span = named(stage);
        assert_eq!((&span["parentSpanId"], &span["traceId"]), (&run["spanId"], &json!(job)), "{stage}");
        attribute(span, "pinport.stage.busy_ms");
    }
    let ids: BTreeSet<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert!(ids.len() == spans.len() && ids.iter().all(|id| id.len() == 16), "{ids:?}");
    for span in spans {
        let (from, to) = (nanoseconds(span, "startTimeUnixNano"), nanoseconds(span, "endTimeUnixNano"));
        let (begin, end) = (nanoseconds(root, "startTimeUnixNano"), nanoseconds(root, "endTimeUnixNano"));
        assert!(begin <= from && from <= to && to <= end, "{span} is not within {root}");
    }

    // All that a scraper reads, with the value that it has there.
    let sent = loop {
        let sent = next(&receiver, "/hook/v1/metrics").json();
        if sent.to_string().contains("otlp_requests") && metric(&sent, "pinport_records") == Some(400.0) {
            break sent;
        }
    };
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    let scraped = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in scraped {
        let name = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(name);
        assert!(sent.to_string().contains(&format!("\"name\":\"{name}\"")), "{name} was not sent");
    }
    let log = server.stop();
    assert!(!log.contains("a-secret-of-the-tests") && !log.contains("does not take"), "{log}");
}

/// The value of a counter without labels.
fn metric(sent: &Value, name: &str) -> Option<f64> {
    let metrics = sent["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|metric| metric["name"] == name)?;
    found["sum"]["dataPoints"][0]["asDouble"].as_f64()
}

/// The value of a metric without labels, as a scraper reads it.
fn scraped(server: &Serving, name: &str) -> u64 {
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
}

#[test]
fn a_collector_that_is_away_is_said_once_and_gets_its_traces_later() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 100");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    // By OpenTelemetry's own variable.
    let serve = lab.pinport(&["serve", "--local-root", lab.path("").to_str().unwrap()]);
    let serve = serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"));
    let server = Serving::spawn(serve.env("OTEL_METRIC_EXPORT_INTERVAL", "100")).unwrap();
    let job = server.import(&lab, "rows.json");
    lab.pinport(&["jobs", "wait", &job, "--server", &server.url]).expect(0);
    while scraped(&server, "pinport_otlp_failures_total") < 5 {
        pause(std::time::Duration::from_millis(20));
    }
    let receiver = Receiver::on(TcpListener::bind(address).unwrap(), &[]);
    let got = next(&receiver, "/v1/traces").json();
    assert_eq!(got["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"], json!(job));
    server.until_said("takes traces and metrics again");
    assert!(scraped(&server, "pinport_otlp_requests_total") >= 1);
    assert_eq!(scraped(&server, "pinport_otlp_dropped_traces_total"), 0);
    let log = server.stop();
    assert_eq!(log.matches("does not take traces").count(), 1, "{log}");
}

#[test]
fn a_collector_that_hangs_holds_up_nothing() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 100");
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("[otlp]\nendpoint = \"http://{}\"\n", listener.local_addr().unwrap());
    let server = Serving::start_with(&lab, &endpoint, &[]);
    for _ in 0..3 {
        let job = server.import(&lab, "rows.json");
        lab.pinport(&["jobs", "wait", &job, "--server", &server.url]).expect(0);
    }
    let began = std::time::Instant::now();
    server.stop();
    assert!(began.elapsed().as_secs() < 10, "the end of the server waits for the collector");
}

#[test]
fn without_a_collector_nothing_is_sent_or_counted() {
    let lab = Lab::new();
    let server = Serving::start(&lab);
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(!text.contains("otlp"), "{text}");
    drop(server);
    for (configuration, told) in [
        ("endpoint = \"collector:4318\"", "line 2 (otlp.endpoint)"),
        ("endpoint = \"http://u:p@c/\"", "use headers"),
        ("endpoint = \"http://c/\"\ninterval = \"0s\"", "(otlp.interval)"),
        ("headers = { a = 1 }", "invalid type"),
    ] {
        lab.write("pinport.toml", format!("[otlp]\n{configuration}\n"));
        let wrong = lab.pinport(&["config", "check", "--listen", "127.0.0.1:0"]).expect(2);
        wrong.says(&[told]);
    }
}
