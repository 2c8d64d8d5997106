//! Stores that are not quite Amazon's, and credentials that are not quite right: read, or named in a sentence.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::{
    script::{
        Answer, Request, SIZE, data, error_body, fault_options, listing, run, run_waiting, serve, whole,
    },
    *,
};

/// The parameters of the listings that were asked for.
type Asked = Arc<Mutex<Vec<String>>>;

/// A store that knows the first version of listings only: it answers any with it, or refuses the second one.
fn first_version(refuses: bool, asked: &Asked, request: &Request, heeds: bool) -> Answer {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if path.ends_with(".json") {
        return Answer::Right;
    }
    asked.lock().unwrap().push(query.to_owned());
    if refuses && query.contains("list-type") {
        return Answer::Say(501, vec![], error_body("NotImplemented"));
    }
    let page = |key: &str, more: bool| {
        let text = String::from_utf8(listing(&[(key, SIZE)], None)).unwrap();
        Answer::Say(200, vec![], text.replace("false", if more { "true" } else { "false" }).into_bytes())
    };
    match query.contains("marker=a.json") && heeds {
        false => page("a.json", true),
        true => page("b.json", false),
    }
}

#[test]
fn listings_of_the_first_version_are_read() {
    for refuses in [false, true] {
        let asked = Asked::default();
        let noted = Arc::clone(&asked);
        whole(&run(move |_, request| first_version(refuses, &noted, request, true)));
        let asked: BTreeSet<String> = asked.lock().unwrap().drain(..).collect();
        let first = if refuses { "" } else { "list-type=2" };
        assert!(asked.contains(first) && asked.contains("marker=a.json"), "{asked:?}");
    }
    // One that does not heed the marker is not asked for ever.
    let run = run(move |_, request| first_version(false, &Asked::default(), request, false));
    let error = run.listed.unwrap_err();
    assert!(error.to_string().contains("does not go on behind a.json"), "{error}");
}

#[test]
fn a_store_that_lists_other_tags_than_it_sends_is_read_by_size() {
    // It refuses a tag that is not its own, and sends another than it lists.
    let script = |_: usize, request: &Request| {
        if request.is_list() {
            return Answer::Right;
        }
        if request.headers.contains_key("if-match") {
            return Answer::Say(412, vec![], error_body("PreconditionFailed"));
        }
        let (start, end) = request.range().unwrap_or((0, SIZE));
        let range = format!("bytes {start}-{}/{SIZE}", end - 1);
        let key = request.target.rsplit('/').next().unwrap();
        let headers = vec![("Content-Range", range), ("ETag", "\"another\"".into())];
        Answer::Say(206, headers, data(key)[start..end].to_vec())
    };
    let refused = run(script);
    let error = refused.contents[0].1.clone().unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    let trusting = |address| {
        let options = fault_options(address);
        SourceOptions { settings: options.settings.with("PINPORT_TRUST_LISTING", "size"), ..options }
    };
    whole(&run_waiting(trusting, script));
    // An object of another size is another object all the same.
    let longer = run_waiting(trusting, |_, request| match request.is_list() {
        true => Answer::Right,
        false => Answer::Say(
            206,
            vec![("Content-Range", format!("bytes 0-99999/{}", SIZE + 1))],
            vec![b'x'; 100_000],
        ),
    });
    assert!(matches!(longer.contents[0].1, Err(SourceError::Changed { .. })));
}

/// They were a panic within object_store, at the first request.
#[test]
fn credentials_that_cannot_be_sent_are_named_or_trimmed() {
    let runtime = runtime();
    let (address, _) = serve(Arc::new(|_, request: &Request| {
        let signed = &request.headers["authorization"];
        assert!(signed.contains("Credential=k/"), "{signed}");
        Answer::Right
    }));
    let open_with = |name: &str, value: &str| {
        let options = fault_options(address);
        let options = SourceOptions { settings: options.settings.with(name, value), ..options };
        open("s3://bucket/", options, &runtime)
    };
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", " k\r\n"),
        ("AWS_ACCESS_KEY_ID", "\"k\""),
        ("AWS_SECRET_ACCESS_KEY", "s\n"),
        ("AWS_SESSION_TOKEN", "\u{feff}token "),
        ("AWS_REGION", "eu-west-1\r"),
    ] {
        let source = open_with(name, value).unwrap();
        assert_eq!(list(&source, Format::Json).unwrap().len(), 2, "{name}");
    }
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "k\nk"),
        ("AWS_SECRET_ACCESS_KEY", "canary\tcanary"),
        ("AWS_SESSION_TOKEN", "canary\u{e9}"),
    ] {
        let error = open_with(name, value).err().unwrap();
        let SourceError::NoCredentials { reason, .. } = &error else { panic!("{error}") };
        assert!(reason.contains(name) && reason.contains("U+00"), "{reason}");
        assert!(!reason.contains("canary"), "{reason}");
    }
}

/// However the credentials come: a program's are not those of the settings.
#[test]
fn credentials_of_a_program_are_used_and_checked() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (address, _) = serve(Arc::new(|_, request: &Request| {
        assert!(request.headers["authorization"].contains("Credential=FROM-PROGRAM/"));
        Answer::Right
    }));
    let file = folder.path().join("config");
    let source = |key: &str| {
        let json = format!(r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "s"}}"#);
        let profile =
            format!("[default]\nendpoint_url = http://{address}\ncredential_process = printf '{json}'\n");
        std::fs::write(&file, profile).unwrap();
        let settings = Settings::of_profile("default")
            .with("AWS_CONFIG_FILE", file.to_str().unwrap())
            .with("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none").to_str().unwrap());
        open("s3://bucket/", SourceOptions { settings, ..fault_options(address) }, &runtime)
    };
    assert_eq!(list(&source("FROM-PROGRAM").unwrap(), Format::Json).unwrap().len(), 2);
    let error = list(&source("FROM\u{e9}").unwrap(), Format::Json).unwrap_err();
    assert!(
        matches!(&error, SourceError::NoCredentials { reason, .. } if reason.contains("U+00E9")),
        "{error}"
    );
}

#[test]
fn a_profile_that_signs_in_otherwise_gets_a_hint() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let file = folder.path().join("config");
    std::fs::write(&file, "[default]\nsso_session = corp\n").unwrap();
    let settings = Settings::of_profile("default")
        .with("AWS_CONFIG_FILE", file.to_str().unwrap())
        .with("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none").to_str().unwrap());
    let error = open("s3://bucket/", SourceOptions { settings, ..options() }, &runtime).err().unwrap();
    assert!(error.to_string().contains("aws configure export-credentials"), "{error}");
}

#[test]
fn an_archived_object_gets_a_hint_to_restore_it() {
    let archived = run(|_, request| match request.is_list() {
        true => Answer::Right,
        false => Answer::Say(403, vec![], error_body("InvalidObjectState")),
    });
    for (_, result) in &archived.contents {
        let error = result.as_ref().unwrap_err();
        assert!(
            error.is_object_error() && error.hint().is_some_and(|hint| hint.contains("restore")),
            "{error}"
        );
    }
    assert_eq!(archived.contents.len(), 2);
    let skewed = run(|_, _| Answer::Say(403, vec![], error_body("RequestTimeTooSkewed")));
    assert!(skewed.listed.unwrap_err().hint().is_some_and(|hint| hint.contains("clock")));
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = Settings::empty().with("AWS_CA_BUNDLE", file.path().to_str().unwrap());
    let error = open("s3://bucket/", SourceOptions { settings, ..options() }, &runtime()).err().unwrap();
    assert!(error.to_string().contains("(AWS_CA_BUNDLE) cannot be used: it has none"), "{error}");
}

#[test]
fn wildcards_are_tried_where_no_key_begins_so() {
    const KEYS: [&str; 5] = ["in/a.json", "in/b.csv", "in/deep/c.json", "year=1/d.json", "year=2/_x/e.json"];
    let runtime = runtime();
    let (address, _) = serve(Arc::new(|_, request: &Request| {
        let (_, prefix) = request.target.split_once("prefix=").unwrap_or_default();
        let prefix = prefix.replace("%2F", "/").replace("%2A", "*").replace("%3D", "=");
        let keys: Vec<_> = KEYS.iter().filter(|key| key.starts_with(&prefix)).map(|key| (*key, 5)).collect();
        Answer::Say(200, vec![], listing(&keys, None))
    }));
    let found = |location: &str| {
        let source = open(location, fault_options(address), &runtime).unwrap();
        list(&source, Format::Json)
    };
    for (location, read, skipped) in [
        ("s3://bucket/in/*.json", &["in/a.json"][..], &[][..]),
        ("s3://bucket/in/*", &["in/a.json", "in/deep/c.json"], &["in/b.csv"]),
        ("s3://bucket/in/**.json", &["in/a.json", "in/deep/c.json"], &[]),
        ("s3://bucket/year=*/", &["year=1/d.json"], &["year=2/_x/e.json"]),
    ] {
        let all = found(location).unwrap();
        assert_eq!(keys(&all), (read.to_vec(), skipped.to_vec()), "{location}");
    }
    let error = found("s3://bucket/in/*.xml").unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("check the pattern")), "{error}");
}
