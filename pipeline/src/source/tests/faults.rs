//! Right bytes or a loud error, never silence, whatever a store does wrong.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{script::*, *};

/// Whether this is the try for the second range of the first object.
fn is_second(request: &Request) -> bool {
    request.target.contains("a.json")
        && request.range().is_some_and(|(start, end)| start >= 100_000 && end == 200_000)
}

/// Answers the second range of the first object so, this many times, and anything else right.
fn second(times: usize, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Run {
    run(the_second(times, answer))
}

fn the_second<A>(times: usize, answer: A) -> impl Fn(usize, &Request) -> Answer + Send + Sync + 'static
where
    A: Fn(&Request) -> Answer + Send + Sync + 'static,
{
    let count = AtomicUsize::new(0);
    move |_, request| {
        if is_second(request) && count.fetch_add(1, Ordering::SeqCst) < times {
            answer(request)
        } else {
            Answer::Right
        }
    }
}

/// Waits so long that nothing but a stall is taken for one, also on a busy machine.
fn patient(address: SocketAddr) -> SourceOptions {
    SourceOptions { read_timeout: Duration::from_secs(20), ..fault_options(address) }
}

/// The error of the first object, when the second came whole all the same.
fn lost(run: Run) -> SourceError {
    assert_eq!(run.contents.len(), 2);
    assert!(*run.contents[1].1.as_ref().unwrap() == data("b.json"));
    let error = run.contents[0].1.clone().unwrap_err();
    assert!(error.to_string().contains("s3://bucket/a.json"), "{error}");
    error
}

#[test]
fn passing_faults_leave_no_trace() {
    whole(&run(|_, _| Answer::Right));
    type Fault = (&'static str, fn(&Request) -> Answer);
    let answers: Vec<Fault> = vec![
        ("503", |_| Answer::Say(503, vec![], error_body("SlowDown"))),
        ("503 without a body", |_| Answer::Say(503, vec![], vec![])),
        ("500", |_| Answer::Say(500, vec![], error_body("InternalError"))),
        ("429", |_| Answer::Say(429, vec![("Retry-After", "0".into())], vec![])),
        ("400 RequestTimeout", |_| Answer::Say(400, vec![], error_body("RequestTimeout"))),
        ("429 until a date", |_| {
            let date = |second| format!("Wed, 25 Nov 2026 10:00:0{second} GMT");
            Answer::Say(429, vec![("Date", date(1)), ("Retry-After", date(1))], vec![])
        }),
        ("reset before the answer", |_| Answer::Reset(vec![])),
        ("reset inside the body", |request| Answer::Reset(partly(request, 12_345, |length| length))),
        ("closed before the answer", |_| Answer::Raw(vec![])),
        ("closed inside the head", |_| Answer::Raw(b"HTTP/1.1 206 P\r\nConte".to_vec())),
        ("closed inside the body", |request| Answer::Raw(partly(request, 12_345, |length| length))),
        ("closed after progress", |request| Answer::Raw(partly(request, 20_000, |length| length))),
        ("stalled before the answer", |_| Answer::Stall(vec![])),
        ("stalled inside the body", |request| Answer::Stall(partly(request, 20_000, |length| length))),
        ("short by its own length", |request| Answer::Raw(partly(request, 30_000, |_| 30_000))),
        ("200 InternalError", |_| Answer::Say(200, vec![], error_body("InternalError"))),
    ];
    for (name, answer) in answers {
        for times in [1, 2] {
            let stalls = name.starts_with("stalled");
            let options = if stalls { fault_options } else { patient };
            let run = run_waiting(options, the_second(times, answer));
            assert!(
                run.contents.iter().all(|(_, bytes)| bytes.is_ok()),
                "{name}: {:?}",
                run.contents[0].1.as_ref().err()
            );
            whole(&run);
            // Where the wait is short, a right answer may be too slow for it too.
            let asked = run.requests;
            assert!(asked == 7 + times || stalls && asked > 7 + times, "{name}: {asked} requests");
        }
    }
}

#[test]
fn retry_after_is_honoured() {
    let begun = Instant::now();
    whole(&second(1, |_| Answer::Say(503, vec![("Retry-After", "1".into())], vec![])));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // A date is held against the store's own clock, which may be hours off.
    let date = |second| format!("Mon, 01 Jan 2001 00:00:{second} GMT");
    let begun = Instant::now();
    whole(&second(1, move |_| {
        Answer::Say(503, vec![("Date", date("58")), ("Retry-After", date("59"))], vec![])
    }));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    for too_long in ["9999", "Wed, 25 Nov 2099 10:00:00 GMT"] {
        let begun = Instant::now();
        let error =
            lost(second(1, move |_| Answer::Say(503, vec![("Retry-After", too_long.into())], vec![])));
        assert!(matches!(error, SourceError::Throttled { byte: 100_000, .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "longer than the budget is not waited for");
    }
    // Nonsense is as good as nothing.
    whole(&second(1, |_| Answer::Say(503, vec![("Retry-After", "soon".into())], vec![])));
}

#[test]
fn a_slow_answer_is_none_that_stalls() {
    let run = second(1, |request| Answer::Drip(partly(request, usize::MAX, |length| length)));
    whole(&run);
    assert_eq!(run.requests, 7);
}

/// Objects that are read in one request each, answered with a checksum of theirs; the first `turned` answers for
/// the first object have a byte turned.
fn summed(
    turned: usize,
    kind: &'static str,
    verify_all: bool,
    header: &'static str,
    sum: fn(&[u8]) -> String,
) -> Run {
    let runtime = runtime();
    let tries = AtomicUsize::new(0);
    let (address, count) = serve(Arc::new(move |_, request: &Request| {
        let key = request.target.rsplit('/').next().unwrap();
        if request.is_list() || !OBJECTS.contains(&key) {
            return Answer::Right;
        }
        assert_eq!(request.headers["x-amz-checksum-mode"], "ENABLED");
        assert_eq!(request.range(), None);
        let mut body = data(key);
        let told = sum(&body);
        if key == OBJECTS[0] && tries.fetch_add(1, Ordering::SeqCst) < turned {
            body[SIZE / 2] ^= 0x10;
        }
        Answer::Say(200, vec![(header, told), ("x-amz-checksum-type", kind.into())], body)
    }));
    let options = SourceOptions { whole_bytes: 1 << 20, verify_all, ..fault_options(address) };
    let source = open("s3://bucket/", options, &runtime).unwrap();
    let listed = list(&source, Format::Json);
    let contents = listed.clone().map_or(vec![], |all| drain(source.read(readable(all), 0)));
    Run { listed, contents, requests: count.load(Ordering::SeqCst) }
}

fn crc32(bytes: &[u8]) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, crc.sum().to_be_bytes())
}

#[test]
fn a_byte_that_was_turned_on_the_way_is_noticed() {
    const HEADER: &str = "x-amz-checksum-crc32";
    for (turned, requests) in [(0, 3), (1, 4)] {
        let run = summed(turned, "FULL_OBJECT", false, HEADER, crc32);
        whole(&run);
        assert_eq!(run.requests, requests);
    }
    let error = lost(summed(usize::MAX, "FULL_OBJECT", false, HEADER, crc32));
    assert!(
        matches!(&error, SourceError::Corrupt { reason, .. } if reason.contains("CRC-32") && reason.contains(&crc32(&data("a.json")))),
        "{error}"
    );
    // A sum of parts' sums says nothing of the whole.
    whole(&summed(0, "COMPOSITE", false, HEADER, |_| "AAAAAA==".into()));
}

#[test]
fn dear_sums_are_compared_on_request() {
    fn sha256(bytes: &[u8]) -> String {
        let sum = <sha2::Sha256 as sha2::Digest>::digest(bytes);
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sum)
    }
    const HEADER: &str = "x-amz-checksum-sha256";
    whole(&summed(0, "FULL_OBJECT", true, HEADER, sha256));
    let error = lost(summed(usize::MAX, "FULL_OBJECT", true, HEADER, sha256));
    assert!(matches!(&error, SourceError::Corrupt { reason, .. } if reason.contains("SHA-256")), "{error}");
    let unseen = summed(usize::MAX, "FULL_OBJECT", false, HEADER, sha256);
    assert!(unseen.contents.iter().all(|(_, bytes)| bytes.is_ok()), "it is not asked for");
}

#[test]
fn a_store_that_tells_no_length_is_asked_by_ranges() {
    let runtime = runtime();
    let (address, _) = serve(Arc::new(|_, request: &Request| match (request.is_list(), request.range()) {
        (true, _) | (false, Some(_)) => Answer::Right,
        (false, None) => Answer::Raw([b"HTTP/1.1 200 OK\r\n\r\n", &data("a.json")[..]].concat()),
    }));
    let options = SourceOptions { request_bytes: 1 << 20, ..fault_options(address) };
    let source = open("s3://bucket/", options, &runtime).unwrap();
    let listed = list(&source, Format::Json);
    let contents = drain(source.read(readable(listed.clone().unwrap()), 0));
    whole(&Run { listed, contents, requests: 0 });
}

#[test]
fn lasting_faults_lose_the_object_loudly() {
    let error = lost(second(usize::MAX, |_| Answer::Say(503, vec![], error_body("SlowDown"))));
    assert!(matches!(error, SourceError::Throttled { byte: 100_000, .. }), "{error}");
    let error = lost(second(usize::MAX, |_| Answer::Raw(vec![])));
    assert!(matches!(error, SourceError::Unreachable { byte: 100_000, .. }), "{error}");
    let error = lost(second(usize::MAX, |_| Answer::Stall(vec![])));
    assert!(matches!(&error, SourceError::Unreachable { reason, .. } if reason.contains("150ms")), "{error}");
    let error = lost(second(usize::MAX, |request| Answer::Raw(partly(request, 10, |_| 10))));
    assert!(matches!(error, SourceError::Truncated { .. }), "{error}");
    // Drips that never get anywhere: each try brings a little and the connection breaks.
    let error = lost(second(usize::MAX, |request| Answer::Raw(partly(request, 10, |length| length))));
    assert!(matches!(error, SourceError::Unreachable { byte: 100_001.., .. }), "{error}");
}

#[test]
fn wrong_answers_are_never_data() {
    let error = lost(second(1, |request| {
        let Answer::Say(_, _, body) = right(request) else { unreachable!() };
        Answer::Say(206, vec![("Content-Range", format!("bytes 0-99999/{SIZE}"))], body)
    }));
    assert!(matches!(error, SourceError::Corrupt { byte: 100_000, .. }), "{error}");
    let error = lost(second(1, |request| {
        let Answer::Say(_, _, body) = right(request) else { unreachable!() };
        Answer::Say(206, vec![("Content-Range", format!("bytes 100000-199999/{}", SIZE + 1))], body)
    }));
    assert!(matches!(error, SourceError::Changed { byte: 100_000, .. }), "{error}");
    let error = lost(second(1, |_| Answer::Say(206, vec![], vec![b'x'; 100_000])));
    assert!(matches!(error, SourceError::Corrupt { .. }), "no Content-Range: {error}");
    let error = lost(second(1, |request| {
        let Answer::Say(status, mut headers, body) = right(request) else { unreachable!() };
        headers.push(("ETag", "\"other\"".into()));
        Answer::Say(status, headers, body)
    }));
    assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    let error = lost(second(1, |_| Answer::Say(200, vec![], data("a.json"))));
    assert!(matches!(error, SourceError::Changed { .. }), "the whole instead of a range: {error}");
    let error = lost(second(1, |_| Answer::Say(200, vec![], error_body("NoSuchKey"))));
    assert!(matches!(&error, SourceError::Other { reason, .. } if reason.contains("NoSuchKey")), "{error}");
    let error = lost(second(1, |_| Answer::Say(412, vec![], error_body("PreconditionFailed"))));
    assert!(matches!(error, SourceError::Changed { byte: 100_000, .. }), "{error}");
    let error = lost(second(1, |_| Answer::Say(416, vec![], error_body("InvalidRange"))));
    assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    let error = lost(second(1, |_| Answer::Say(404, vec![], error_body("NoSuchKey"))));
    assert!(matches!(error, SourceError::NotFound { byte: 100_000, .. }), "{error}");
    let error = lost(second(1, |_| Answer::Say(403, vec![], error_body("AccessDenied"))));
    assert!(matches!(error, SourceError::AccessDenied { credentials: false, .. }), "{error}");
}

#[test]
fn what_ends_the_whole_source_ends_it() {
    for (status, headers, code) in [
        (301, vec![("x-amz-bucket-region", "eu-west-1".to_owned())], "PermanentRedirect"),
        (307, vec![("Location", "http://127.0.0.1:1/elsewhere".to_owned())], "TemporaryRedirect"),
    ] {
        let said = headers[0].1.clone();
        let script = second(1, move |_| Answer::Say(status, headers.clone(), error_body(code)));
        assert_eq!(script.contents.len(), 1, "nothing is read behind it");
        let error = script.contents[0].1.clone().unwrap_err();
        assert!(
            matches!(&error, SourceError::Redirected { target, .. } if target.contains(&said)),
            "{error}"
        );
        assert!(!error.is_object_error());
    }
    let run = second(1, |_| Answer::Say(404, vec![], error_body("NoSuchBucket")));
    assert_eq!(run.contents.len(), 1, "the bucket is gone, not the object");
    assert!(matches!(&run.contents[0].1, Err(SourceError::NoSuchBucket { .. })));
    let run = second(1, |_| Answer::Say(400, vec![], error_body("ExpiredToken")));
    let error = run.contents[0].1.clone().unwrap_err();
    assert!(
        matches!(&error, SourceError::AccessDenied { credentials: true, reason, .. } if reason.contains("ExpiredToken"))
    );
}

#[test]
fn faults_of_the_listing() {
    let fault = |times: usize, answer: fn() -> Answer| {
        let count = AtomicUsize::new(0);
        run(move |_, request| {
            if request.is_list() && count.fetch_add(1, Ordering::SeqCst) < times {
                answer()
            } else {
                Answer::Right
            }
        })
    };
    whole(&fault(2, || Answer::Say(503, vec![], vec![])));
    whole(&fault(2, || Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<List".to_vec())));
    whole(&fault(1, || {
        Answer::Say(200, vec![], b"<ListBucketResult><IsTruncated>false</IsTruncated>".to_vec())
    }));
    let error = |answer| fault(usize::MAX, answer).listed.unwrap_err();
    let found = error(|| Answer::Say(404, vec![], error_body("NoSuchBucket")));
    assert!(matches!(&found, SourceError::NoSuchBucket { bucket, .. } if bucket == "s3://bucket"));
    let found = error(|| Answer::Say(403, vec![], error_body("AccessDenied")));
    assert!(matches!(&found, SourceError::AccessDenied { .. }) && !found.is_object_error());
    let found = error(|| Answer::Say(400, vec![], error_body("ExpiredToken")));
    assert!(matches!(found, SourceError::AccessDenied { credentials: true, .. }));
    let found = error(|| Answer::Say(200, vec![], b"<html>hello</html>".to_vec()));
    assert!(matches!(found, SourceError::Unreachable { object: false, .. }), "{found}");
    let found = error(|| Answer::Say(302, vec![("Location", "http://127.0.0.1:1/".into())], vec![]));
    assert!(matches!(found, SourceError::Redirected { .. }));
    let found = error(|| Answer::Say(200, vec![], listing(&[], None)));
    assert!(matches!(found, SourceError::NoMatch { .. }));
}

#[test]
fn listings_of_many_pages_are_sorted_if_they_must_be() {
    let pages = |pages: Vec<Vec<&'static str>>| {
        run(move |_, request| {
            if !request.is_list() {
                return Answer::Right;
            }
            let token = request.target.split("continuation-token=t").nth(1).map_or("0", |token| &token[..1]);
            let page: usize = token.parse().unwrap();
            let keys: Vec<(&str, usize)> = pages[page].iter().map(|key| (*key, SIZE)).collect();
            let next = (page + 1 < pages.len()).then(|| format!("t{}", page + 1));
            Answer::Say(200, vec![], listing(&keys, next.as_deref()))
        })
    };
    whole(&pages(vec![vec!["a.json"], vec![], vec!["b.json"]]));
    whole(&pages(vec![vec!["b.json"], vec!["a.json"]]));
    let twice = pages(vec![vec!["a.json"], vec!["a.json", "b.json"]]);
    assert!(matches!(twice.listed, Err(SourceError::Other { .. })));
}

#[test]
fn a_key_may_be_readable_where_listing_is_not_allowed() {
    let runtime = runtime();
    let (address, _) = serve(Arc::new(|_, request: &Request| match request.is_list() {
        true => Answer::Say(403, vec![], error_body("AccessDenied")),
        false => Answer::Right,
    }));
    let source = open("s3://bucket/a.json", fault_options(address), &runtime).unwrap();
    let all = list(&source, Format::Json).unwrap();
    assert!(*drain(source.read(readable(all), 0))[0].1.as_ref().unwrap() == data("a.json"));
}

#[test]
fn keys_are_asked_for_verbatim() {
    const KEYS: [&str; 4] = ["a//b .json", "a/b%2F+.json", "a/é?#.json", "x/../y.json"];
    let runtime = runtime();
    let (address, _) = serve(Arc::new(|_, request: &Request| {
        if request.is_list() {
            return Answer::Say(200, vec![], listing(&KEYS.map(|key| (key, 5)), None));
        }
        let body = match request.target.as_str() {
            "/bucket/a//b%20.json" => b"first",
            "/bucket/a/b%252F%2B.json" => b"secnd",
            "/bucket/a/%C3%A9%3F%23.json" => b"third",
            other => panic!("{other}"),
        };
        Answer::Say(206, vec![("Content-Range", "bytes 0-4/5".into())], body.to_vec())
    }));
    let source = open("s3://bucket/", fault_options(address), &runtime).unwrap();
    let contents = drain(source.read(readable(list(&source, Format::Json).unwrap()), 0));
    let found: Vec<_> =
        contents.iter().map(|(_, bytes)| bytes.as_ref().ok().map(|bytes| &bytes[..])).collect();
    assert_eq!(found, [Some(&b"first"[..]), Some(b"secnd"), Some(b"third"), None]);
}

#[test]
fn cancelling_ends_every_wait_at_once() {
    for listing_stalls in [true, false] {
        let runtime = runtime();
        let (reached, wait) = std::sync::mpsc::sync_channel(64);
        let (address, _) = serve(Arc::new(move |_, request: &Request| {
            if request.is_list() != listing_stalls {
                return Answer::Right;
            }
            let _ = reached.try_send(());
            Answer::Stall(vec![])
        }));
        let options = SourceOptions { read_timeout: Duration::from_secs(60), ..fault_options(address) };
        let cancel = options.cancel.clone();
        let source = open("s3://bucket/", options, &runtime).unwrap();
        let fired = std::thread::spawn(move || {
            wait.recv().unwrap();
            cancel.cancel();
            Instant::now()
        });
        let result = list(&source, Format::Json).and_then(|all| {
            let mut stream = source.read(readable(all), 0);
            stream.next_object().unwrap().map(|_| ())
        });
        assert_eq!(result, Err(SourceError::Cancelled));
        assert!(fired.join().unwrap().elapsed() < Duration::from_millis(100));
    }
}

#[test]
fn an_object_lost_where_reading_goes_on_leaves_the_next_whole() {
    let runtime = runtime();
    let (address, _) = serve(Arc::new(|_, request: &Request| match request.target.contains("a.json") {
        true => Answer::Say(404, vec![], error_body("NoSuchKey")),
        false => Answer::Right,
    }));
    let source = open("s3://bucket/", fault_options(address), &runtime).unwrap();
    let contents = drain(source.read(readable(list(&source, Format::Json).unwrap()), 150_000));
    assert!(matches!(contents[0].1, Err(SourceError::NotFound { .. })));
    assert!(*contents[1].1.as_ref().unwrap() == data("b.json"));
}

#[test]
fn a_store_that_is_not_there_is_unreachable() {
    let runtime = runtime();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = open("s3://bucket/", fault_options(address), &runtime).unwrap();
    let error = list(&source, Format::Json).unwrap_err();
    assert!(
        matches!(&error, SourceError::Unreachable { object: false, reason, .. } if reason.contains("refused")),
        "{error}"
    );
}

#[test]
fn secrets_stay_out_of_errors_and_debug() {
    let settings = Settings::empty().with("AWS_SECRET_ACCESS_KEY", "canary");
    assert!(!format!("{settings:?}").contains("canary"));
    let options =
        SourceOptions { settings: settings.with("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ..options() };
    let error = open("s3://bucket/", options, &runtime()).err().unwrap();
    assert!(
        matches!(&error, SourceError::NoCredentials { reason, .. } if reason.contains("AWS_ACCESS_KEY_ID"))
    );
    assert!(!error.to_string().contains("canary"));
}
