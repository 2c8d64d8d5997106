//! Exports to S3, Google's and Azure's stores that refuse, break off and lose answers: all of it arrives, or nothing does and
//! it is said why. A large part is an upload of several requests, which is given up where the service knows such a thing.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use pinport_model::location::Service;
use serde_json::json;

use crate::{exported::*, serving::Serving, sink_store::*, support::*};

const SERVICES: [Service; 3] = [Service::S3, Service::Gcs, Service::Azure];

/// Rows of noise that make a part of two requests.
const NOISY: usize = 6000;

/// Rows that compress badly: a few make a file of several megabytes.
pub(crate) fn noise(rows: usize) -> Vec<u8> {
    let mut random = Random::seeded("noise");
    let mut lines = String::new();
    for row in 0..rows {
        let mut value = || (0..6).map(|_| format!("{:016x}", random.below(u64::MAX))).collect::<String>();
        let values: Vec<String> = (0..40).map(|_| value()).collect();
        let line = json!({ "Id": format!("e{row:05}"), "ChannelType": "EMAIL", "Address": "a@x", "Attributes": { "n": values } });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines.into_bytes()
}

fn with_variables(run: Run, store: &SinkStore) -> Run {
    store.variables().into_iter().fold(run, |run, (name, value)| run.env(name, &value))
}

/// `pinport export` into the bucket.
fn export(lab: &Lab, store: &SinkStore) -> Run {
    export_as(lab, store, "json")
}

fn export_as(lab: &Lab, store: &SinkStore, format: &str) -> Run {
    with_variables(lab.pinport(&["export", &store.target(), "--format", format]), store)
}

/// What an export into a folder writes.
fn exported_to_folder(lab: &Lab, format: &str) -> Files {
    lab.pinport(&["export", format, "--format", format]).expect(0);
    in_folder(&lab.path(format))
}

/// Uploads that were begun, completed and aborted, those that are open, and objects.
fn left(store: &SinkStore) -> [usize; 5] {
    let kept = store.kept();
    [kept.begun, kept.completed, kept.aborted, kept.uploads.len(), kept.objects.len()]
}

/// That nothing is there, and that the upload was given up: Azure has no request for that, and drops blocks that are in no
/// list.
#[track_caller]
fn assert_given_up(service: Service, store: &SinkStore) {
    match service {
        Service::S3 | Service::Gcs => assert_eq!(left(store), [1, 0, 1, 0, 0]),
        Service::Azure => assert_eq!(left(store), [1, 0, 0, 1, 0]),
    }
}

fn asked(store: &SinkStore, step: Step) -> usize {
    store.kept().asked.get(&step).copied().unwrap_or_default()
}

#[test]
fn each_store_gets_what_a_folder_gets() {
    let lab = Lab::new();
    imported(&lab, &noise(NOISY));
    let stored = members(&lab);
    for format in ["json", "parquet"] {
        let whole = exported_to_folder(&lab, format);
        for service in SERVICES {
            let store = SinkStore::start(service);
            let outcome = export_as(&lab, &store, format).expect(0);
            outcome.says(&[&format!("exported {NOISY} endpoints"), &store.target()]);
            assert_eq!(left(&store), [1, 1, 0, 0, 2], "{service:?}");
            assert_eq!((asked(&store, Step::Part(2)), asked(&store, Step::Part(3))), (1, 0), "{service:?}");
            let files = in_bucket(&store);
            assert!(files == whole, "{service:?}: {:?}", files.keys());
            if format == "json" {
                same_endpoints(records(&files), stored.clone());
            }
        }
    }
}

/// What passes is tried again, a part that is asked to wait not before its time.
#[test]
fn what_passes_is_survived() {
    let lab = Lab::new();
    imported(&lab, &noise(NOISY));
    let wholes = ["json", "parquet"].map(|format| (format, exported_to_folder(&lab, format)));
    for (service, (format, whole)) in
        SERVICES.into_iter().flat_map(|service| wholes.iter().map(move |whole| (service, whole)))
    {
        let store = SinkStore::start(service);
        let times = Arc::new(Mutex::new(Vec::new()));
        let asked_at = Arc::clone(&times);
        store.script(move |step, before| {
            if step == Step::Part(1) {
                asked_at.lock().unwrap().push(Instant::now());
            }
            match (step, before) {
                (Step::Part(1), 0) => Fault::Busy(2),
                (Step::Part(2), 0) => Fault::Reset,
                (_, 0) => Fault::Cut,
                _ => Fault::None,
            }
        });
        export_as(&lab, &store, format).expect(0);
        for step in [Step::Part(1), Step::Part(2), Step::Complete, Step::Put] {
            assert_eq!(asked(&store, step), 2, "{service:?} {format} {step:?}");
        }
        let times = times.lock().unwrap();
        let waited = times[1] - times[0];
        assert!(waited >= Duration::from_secs(2), "{service:?}: it did not wait as long as asked");
        assert_eq!(left(&store), [1, 1, 0, 0, 2], "{service:?} {format}");
        assert!(in_bucket(&store) == *whole, "{service:?} {format}");
    }
}

/// The answer to the request that completes an upload is lost, and the next one finds no upload any more.
#[test]
fn an_upload_that_was_completed_unheard_is_complete() {
    let lab = Lab::new();
    imported(&lab, &noise(NOISY));
    let whole = exported_to_folder(&lab, "json");
    for service in SERVICES {
        let store = SinkStore::start(service);
        store.script(|step, before| match (step, before) {
            (Step::Complete, 0) => Fault::Lost,
            _ => Fault::None,
        });
        export(&lab, &store).expect(0);
        assert_eq!(asked(&store, Step::Complete), 2, "{service:?}");
        assert!(in_bucket(&store) == whole, "{service:?}");

        // Where nothing is there, it does not pass for complete.
        let other = SinkStore::start(service);
        other.script(|step, before| match (step, before) {
            (Step::Complete, _) => Fault::Refuse(404, "NoSuchUpload"),
            _ => Fault::None,
        });
        export(&lab, &other).expect(1).says(&["part-00000.json.gz", "NoSuchUpload"]);
        assert!(in_bucket(&other).is_empty(), "{service:?}");
    }
}

/// Refused in the middle, whatever else is on its way, and at each later step: nothing stays that is not whole.
#[test]
fn a_refusal_is_said_with_what_to_do_and_leaves_nothing_half() {
    let lab = Lab::new();
    imported(&lab, &noise(NOISY));
    for service in SERVICES {
        let (code, may) = match service {
            Service::S3 => ("AccessDenied", "s3:PutObject"),
            Service::Gcs => ("AccessDenied", "roles/storage.objectUser"),
            Service::Azure => ("AuthorizationPermissionMismatch", "Storage Blob Data Contributor"),
        };
        let hint = format!(
            "hint: {}",
            if service == Service::Azure { "grant the role" } else { "check the credentials" }
        );
        for refused in [Step::Part(2), Step::Complete] {
            let store = SinkStore::start(service);
            store.script(move |step, _| match step {
                // The answer to the other part comes later, and changes nothing.
                Step::Part(1) if refused == Step::Part(2) => Fault::AfterRefusal,
                step if step == refused => Fault::Refuse(403, code),
                _ => Fault::None,
            });
            let outcome = export(&lab, &store).expect(1);
            let denied = format!("access to {}/", store.target());
            outcome.says(&[
                &denied,
                "part-00000.json.gz is denied: the store answered 403",
                code,
                &hint,
                may,
            ]);
            assert!(!outcome.err.contains("canary"), "{}", outcome.err);
            assert_given_up(service, &store);
            assert_eq!(asked(&store, refused), 1, "it is not tried again");
            assert_eq!(asked(&store, Step::Complete), usize::from(refused == Step::Complete), "{service:?}");
            assert_eq!(asked(&store, Step::Put), 0, "no manifest");
        }
        let store = SinkStore::start(service);
        store.script(move |step, _| match step {
            Step::Part(1) => Fault::AfterRefusal,
            Step::Part(2) => Fault::Refuse(403, code),
            _ => Fault::None,
        });
        export_as(&lab, &store, "parquet").expect(1).says(&["part-00000.parquet is denied", &hint, may]);
        assert_given_up(service, &store);

        // The parts are whole then, and the manifest that says so is not there.
        let store = SinkStore::start(service);
        store.script(move |step, _| if step == Step::Put { Fault::Refuse(403, code) } else { Fault::None });
        export(&lab, &store).expect(1).says(&["_SUCCESS is denied", &hint, may]);
        assert_eq!(in_bucket(&store).into_keys().collect::<Vec<_>>(), ["part-00000.json.gz"]);
    }
}

/// A store that has no room says so in its own words, or is a disk behind a server that speaks for it.
#[test]
fn a_full_store_is_told_from_one_that_denies_access() {
    let lab = Lab::new();
    imported(&lab, &noise(NOISY));
    for (service, status, code) in [
        (Service::S3, 507, "InsufficientStorage"),
        (Service::Gcs, 507, "InsufficientStorage"),
        (Service::Azure, 507, "InsufficientStorage"),
        (Service::S3, 403, "QuotaExceeded"),
        (Service::Gcs, 403, "InsufficientQuota"),
        (Service::Azure, 413, "RequestBodyTooLarge"),
        (Service::Azure, 403, "AccountIsDisabled"),
    ] {
        let store = SinkStore::start(service);
        store.script(move |step, _| match step {
            Step::Part(_) => Fault::Refuse(status, code),
            _ => Fault::None,
        });
        let outcome = export(&lab, &store).expect(1);
        outcome.says(&[&store.target(), "part-00000.json.gz", &format!("answered {status} {code}")]);
        match code {
            "AccountIsDisabled" => outcome.says(&["hint: ", "spending limit"]),
            "RequestBodyTooLarge" => outcome.says(&["cannot be written"]),
            _ => outcome.says(&["there is no room for", "hint: make room"]),
        };
        assert!(asked(&store, Step::Part(1)) <= 1, "trying again does not empty it");
        let kept = store.kept();
        assert_eq!((kept.completed, kept.objects.len()), (0, 0), "{service:?} {status}");
        assert!(service == Service::Azure || kept.uploads.is_empty());
    }
}

/// A store that closes the connection before it has read what it refuses: the answer is lost, and asked for once more without
/// the bytes. A large part of S3's and Google's never comes to that, because nothing is sent before its upload is begun.
#[test]
fn a_refusal_that_is_lost_with_the_connection_is_asked_for() {
    let (small, large) = (Lab::new(), Lab::new());
    imported(&small, &noise(100));
    imported(&large, &noise(NOISY));
    let cases =
        [(Service::S3, &small), (Service::Gcs, &small), (Service::Azure, &small), (Service::Azure, &large)];
    for (service, lab) in cases {
        let store = SinkStore::start(service);
        let is_large = std::ptr::eq(lab, &large);
        store.script(move |step, _| match step {
            Step::Put => Fault::Reset,
            Step::Part(1 | 2) if is_large => Fault::Reset,
            _ => Fault::Refuse(403, "AccessDenied"),
        });
        export(lab, &store)
            .expect(1)
            .says(&["part-00000.json.gz is denied: the store answered 403 AccessDenied"]);
        assert!(in_bucket(&store).is_empty(), "{service:?}");
    }
}

#[test]
fn a_large_part_is_an_upload_that_is_completed_or_aborted() {
    let lab = Lab::new();
    let app = imported(&lab, &noise(NOISY));
    let stored = members(&lab);
    for service in SERVICES {
        let store = SinkStore::start(service);
        // One part of some 12 MB.
        let data = service.scheme();
        copy_folder(&lab.path("data"), &lab.path(data));
        let configuration = "[jobs]\npiece_kib = 200000\n[sources]\nenvironment = true\n";
        let configuration = lab.write(&format!("{data}.toml"), configuration);
        let serve = lab.pinport_with(data, &["serve", "--config", configuration.to_str().unwrap()]);
        let server = Serving::spawn(with_variables(serve, &store)).unwrap();
        let body = json!({ "RoleArn": "role", "S3UrlPrefix": store.target() });

        // Refused in the middle: nothing stays, and the job says why.
        store.script(|step, _| match step {
            Step::Part(1) => Fault::AfterRefusal,
            Step::Part(2) => Fault::Refuse(403, "AccessDenied"),
            _ => Fault::None,
        });
        let failed = server.export_ended(&app, &server.export(&app, &body));
        assert_eq!(failed["JobStatus"], "FAILED", "{failed}");
        assert_eq!((&failed["FailedPieces"], &failed["TotalProcessed"]), (&json!(1), &json!(0)));
        let said = failed["Failures"][0].as_str().unwrap();
        let denied = format!("access to {}/", store.target());
        assert!(said.starts_with(&denied) && said.contains("part-00000.json.gz is denied"), "{said}");
        assert!(!server.log().contains("canary"));
        assert_given_up(service, &store);
        assert_eq!(asked(&store, Step::Complete), 0, "{service:?}");

        // A full bucket, and cut connections that pass.
        store.script(|step, _| match step {
            Step::Part(_) => Fault::Refuse(507, "InsufficientStorage"),
            _ => Fault::None,
        });
        let failed = server.export_ended(&app, &server.export(&app, &body));
        assert_eq!(failed["JobStatus"], "FAILED", "{failed}");
        assert!(failed["Failures"][0].as_str().unwrap().contains("507"), "{failed}");
        assert_eq!(store.kept().objects.len(), 0);
        store.script(|_, before| if before == 0 { Fault::Cut } else { Fault::None });
        let job = server.export_ended(&app, &server.export(&app, &body));
        assert_eq!(
            (&job["JobStatus"], &job["TotalProcessed"]),
            (&json!("COMPLETED"), &json!(NOISY)),
            "{job}"
        );
        let files = in_bucket(&store);
        assert_eq!((store.kept().completed, files.len()), (1, 2));
        assert!(service == Service::Azure || store.kept().uploads.is_empty());
        same_endpoints(records(&files), stored.clone());

        // A store that never answers: the job says what it waits for.
        if service == Service::S3 {
            store.script(|_, _| Fault::Cut);
            let job = server.export(&app, &body);
            let begun = Instant::now();
            let why = loop {
                let detail = server.get(&format!("/pinport/v1/jobs/{job}")).json();
                if let Some(why) = detail["job"]["waits_for"].as_str() {
                    break why.to_owned();
                }
                assert!(begun.elapsed() < PATIENCE, "it waits for nothing: {detail}");
                pause(Duration::from_millis(20));
            };
            assert!(why.starts_with("it cannot be written yet, trying again in "), "{why}");
        }
        server.stop();
    }
}
