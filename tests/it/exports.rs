//! Export jobs of the real server: parts whole or not at all, in a bucket and in a folder, over refusals and kills.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{serving::Serving, sink_store::*, support::*};

/// Everything that was exported: the names of the files and what is in them, the folder's own name left out.
type Files = BTreeMap<String, Vec<u8>>;

impl Serving {
    fn export(&self, app: &str, body: &Value) -> String {
        let reply =
            self.send("POST", &format!("/v1/apps/{app}/jobs/export"), "", body.to_string().as_bytes());
        let reply = reply.unwrap();
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    /// An export job when it has one of these states.
    #[track_caller]
    fn export_until(&self, app: &str, job: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.get(&format!("/v1/apps/{app}/jobs/export/{job}")).json();
            if is(&found) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not come to that: {found}\n{}", self.log());
            pause(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn export_ended(&self, app: &str, job: &str) -> Value {
        let ends = ["COMPLETED", "FAILED", "CANCELLED"].map(Value::from);
        self.export_until(app, job, |job| ends.contains(&job["JobStatus"]))
    }
}

/// A data folder with these rows in a segment `s`, and the id of its application.
fn imported(lab: &Lab, rows: &[u8]) -> String {
    lab.write("rows.json", rows);
    let outcome = lab.import("rows.json", "json", &["--segment", "s"]).expect(0).json();
    outcome["ApplicationId"].as_str().unwrap().to_owned()
}

fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

/// The records of the parts that the manifest lists, which are all there are; each has the hash it says.
#[track_caller]
fn records(files: &Files) -> Vec<Value> {
    let manifest: Value = serde_json::from_slice(&files["_SUCCESS"]).unwrap();
    let listed: Vec<_> = manifest["parts"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len() + 1, files.len(), "{:?}", files.keys());
    let mut all = Vec::new();
    for part in listed {
        let packed = &files[part["name"].as_str().unwrap()];
        let hash = <sha2::Sha256 as sha2::Digest>::digest(packed);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(part["sha256"], hash);
        all.extend(unpacked(packed).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    assert_eq!(manifest["records"], all.len());
    all
}

/// The files of the one export below a folder.
fn in_folder(target: &Path) -> Files {
    let folder = fs::read_dir(target).unwrap().next().unwrap().unwrap().path();
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    files.collect()
}

fn in_bucket(store: &SinkStore, app: &str) -> Files {
    let kept = store.kept();
    let begin = format!("bucket/out/{app}_");
    let own = kept.objects.iter().filter(|(key, _)| key.starts_with(&begin));
    own.map(|(key, body)| (key.rsplit('/').next().unwrap().to_owned(), body.clone())).collect()
}

/// The members as they are printed, by id.
fn members(lab: &Lab) -> Vec<Value> {
    lines(&lab.members("data", "s"))
}

/// What both say of an endpoint: an export has no cohort that is made up and no empty metrics.
fn comparable(mut endpoint: Value) -> Value {
    let members = endpoint.as_object_mut().unwrap();
    members.remove("CohortId");
    if members.get("Metrics") == Some(&json!({})) {
        members.remove("Metrics");
    }
    endpoint
}

#[track_caller]
fn same_endpoints(exported: Vec<Value>, stored: Vec<Value>) {
    assert_eq!(exported.len(), stored.len());
    for (one, other) in exported.into_iter().zip(stored) {
        assert_eq!(comparable(one), comparable(other));
    }
}

fn to_bucket(store: &SinkStore, more: &str) -> String {
    format!(
        "[jobs]\n{more}\n[sources]\nendpoint = \"{}\"\naccess_key_id = \"AKTEST\"\nsecret_access_key = \"canary\"\n",
        store.url()
    )
}

/// Rows that compress badly: a few make a file of several megabytes.
fn noise(rows: usize) -> Vec<u8> {
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

/// Rows of noise that make a part of more than one request.
const NOISY: usize = 6000;
const BUCKET: &str = "s3://bucket/out";

#[test]
fn a_large_part_is_an_upload_that_is_completed_or_aborted() {
    let lab = Lab::new();
    let app = imported(&lab, &noise(NOISY));
    let stored = members(&lab);
    let store = SinkStore::start();
    // One part of some 12 MB.
    let server = Serving::start_in(&lab, "data", &to_bucket(&store, "piece_kib = 200000"));
    let body = json!({ "RoleArn": "role", "S3UrlPrefix": BUCKET });

    // Refused in the middle: nothing stays, and the job says why.
    store.script(|method, target, _| match method == "PUT" && target.contains("partNumber=2") {
        true => Fault::Refuse(403, "AccessDenied"),
        false => Fault::None,
    });
    let failed = server.export_ended(&app, &server.export(&app, &body));
    assert_eq!(failed["JobStatus"], "FAILED", "{failed}");
    assert_eq!((&failed["FailedPieces"], &failed["TotalProcessed"]), (&json!(1), &json!(0)));
    let said = failed["Failures"][0].as_str().unwrap();
    assert!(said.contains("access to s3://bucket/out/") && said.contains("part-00000.json.gz"), "{said}");
    assert!(!server.log().contains("canary"));
    {
        let kept = store.kept();
        assert_eq!((kept.begun, kept.aborted, kept.uploads.len(), kept.objects.len()), (1, 1, 0, 0));
    }

    // A full bucket, and cut connections that pass.
    store.script(|method, _, _| match method == "PUT" {
        true => Fault::Refuse(507, "InsufficientStorage"),
        false => Fault::None,
    });
    let failed = server.export_ended(&app, &server.export(&app, &body));
    assert_eq!(failed["JobStatus"], "FAILED", "{failed}");
    assert!(failed["Failures"][0].as_str().unwrap().contains("507"), "{failed}");
    let left = |kept: &Kept| (kept.uploads.len(), kept.objects.len());
    assert_eq!(left(&store.kept()), (0, 0));
    store.script(|_, _, number| if number % 3 == 1 { Fault::Cut } else { Fault::None });
    let job = server.export_ended(&app, &server.export(&app, &body));
    assert_eq!((&job["JobStatus"], &job["TotalProcessed"]), (&json!("COMPLETED"), &json!(NOISY)), "{job}");
    let files = in_bucket(&store, &app);
    assert_eq!(files.len(), 2);
    assert_eq!(left(&store.kept()), (0, 2));
    assert_eq!(store.kept().completed, 1);
    server.stop();
    same_endpoints(records(&files), stored);
}

#[test]
fn exports_of_a_killed_server_end_as_if_left_alone() {
    let kills_wanted: u64 =
        std::env::var("PINPORT_TORTURE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12);
    let lab = Lab::new();
    let app = imported(&lab, &lab.sample("--rows 12000"));
    let stored = members(&lab);
    const CONFIG: &str = "[jobs]\npiece_kib = 300\n";
    let export = |server: &Serving, target: &str| {
        let target = format!("file://{}", lab.path(target).display());
        server.export(&app, &json!({ "RoleArn": "role", "S3UrlPrefix": target, "SegmentId": segment(&lab) }))
    };
    copy_folder(&lab.path("data"), &lab.path("whole"));
    let server = Serving::start_in(&lab, "whole", CONFIG);
    let begun = Instant::now();
    let job = export(&server, "out/whole");
    assert_eq!(server.export_ended(&app, &job)["JobStatus"], "COMPLETED");
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap().max(20);
    server.stop();
    let whole = in_folder(&lab.path("out/whole"));
    assert!(whole.len() > 15, "{} files", whole.len());
    same_endpoints(records(&whole), stored);

    let mut random = Random::seeded("kill -9 of an export");
    let (mut kills, mut rounds) = (0, 0);
    while kills < kills_wanted {
        rounds += 1;
        let data = format!("torn-{rounds}");
        let target = format!("out/{data}");
        copy_folder(&lab.path("data"), &lab.path(&data));
        let mut job = None;
        loop {
            let server = Serving::start_in(&lab, &data, CONFIG);
            let id = job.get_or_insert_with(|| export(&server, &target)).clone();
            let left_alone = kills >= kills_wanted;
            let time = if left_alone { PATIENCE } else { Duration::from_millis(random.below(took)) };
            let fuse = server.signal_after(time, libc::SIGKILL);
            let begun = Instant::now();
            loop {
                let path = format!("/v1/apps/{app}/jobs/export/{id}");
                match server.send("GET", &path, "", b"") {
                    Ok(reply) if reply.json()["JobStatus"] == "COMPLETED" => break,
                    Ok(reply) => assert_ne!(reply.json()["JobStatus"], "FAILED", "{}", server.log()),
                    Err(_) => break,
                }
                assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", server.log());
                pause(Duration::from_millis(2));
            }
            if !fuse.put_out() {
                server.stop();
                break;
            }
            kills += 1;
            server.wait(None);
        }
        let torn = in_folder(&lab.path(&target));
        assert_eq!(torn.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
        assert!(torn == whole, "the parts differ");
        fs::remove_dir_all(lab.path(&data)).unwrap();
    }
}

/// The id of the segment `s`.
fn segment(lab: &Lab) -> String {
    let segments = lab.pinport(&["segment", "ls", "--json"]).expect(0);
    lines(&segments.out)[0]["id"].as_str().unwrap().to_owned()
}

/// Endpoints that are hard to write: ids and values of any text, many values, none, users that share attributes. `plain`
/// ones fit CSV.
fn nasty(random: &mut Random, rows: usize, plain: bool) -> String {
    const WORDS: [&str; 12] =
        ["a", "b/c", "+1", "a,b", "é\u{301}", "\u{1f600}", "1e5", "a\"b", "x;y|z", "a\nb", "a\\\\b", "日本"];
    const ODD: [&str; 5] = ["", " a ", "\u{1}", "\tx\r\n", "'=1"];
    let text = |random: &mut Random| {
        if !plain && random.below(6) == 0 {
            return ODD[random.below(ODD.len() as u64) as usize].to_owned();
        }
        let words = 1 + random.below(3);
        (0..words).map(|_| WORDS[random.below(WORDS.len() as u64) as usize]).collect()
    };
    let attributes = |random: &mut Random| {
        let count = random.below(4);
        let named = (0..count).map(|_| {
            let name = ["plan", "a.b", "Größe", "x y", "q\"q"][random.below(5) as usize].to_owned();
            let values: Vec<Value> = (0..random.below(5)).map(|_| text(random).into()).collect();
            (name, Value::from(values))
        });
        Value::Object(named.collect())
    };
    let mut lines = String::new();
    for row in 0..rows {
        let mut line = json!({
            "Id": format!("{row}/{}", text(random).trim()), "ChannelType": "EMAIL", "Address": format!("x{}x", text(random)),
            "Attributes": attributes(random),
        });
        let mut set = |random: &mut Random, member: &str, value: Value| {
            if random.below(2) == 0 {
                line[member] = value;
            }
        };
        let user =
            json!({ "UserId": format!("u{}", random.below(20)), "UserAttributes": attributes(random) });
        set(random, "User", user);
        set(random, "OptOut", "ALL".into());
        set(random, "EndpointStatus", "INACTIVE".into());
        set(
            random,
            "Location",
            json!({ "City": "Ulm", "Latitude": 48.123456789012345_f64, "Longitude": -1e-7 }),
        );
        set(random, "Demographic", json!({ "Make": "m/ä", "Timezone": "Europe/Berlin" }));
        let metrics = json!({ "m.1": random.below(1000) as f64 / 7.0, "big": 1e300 });
        set(random, "Metrics", metrics);
        set(random, "EffectiveDate", "2024-02-29T23:59:59.999Z".into());
        set(random, "CreationDate", "2020-01-02T03:04:05.678Z".into());
        set(random, "CohortId", "17".into());
        set(random, "RequestId", "r-1".into());
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines
}

/// What is exported and imported again is exported the same, byte for byte, and its segment has the same members.
#[test]
fn what_is_exported_imports_again_without_loss() {
    const APP: &str = "0123456789abcdef0123456789abcdef";
    let mut random = Random::seeded("round trips");
    for round in 0..6 {
        let plain = round % 2 == 0;
        let lab = Lab::new();
        let rows = nasty(&mut random, 150, plain);
        lab.write("rows.json", &rows);
        let import = |data: &str, source: &str, format: &str| {
            let more = ["--app", APP, "--segment", "s", "--escape", "double"];
            let more = if format == "csv" { &more[..] } else { &more[..4] };
            let outcome = lab.import_with(data, source, format, more).expect(0).json();
            assert_eq!(counts(&outcome).2, 0, "{outcome}");
        };
        import("data", "rows.json", "json");
        // One that has no address.
        let incomplete =
            "{\"Id\":\"none\",\"CreationDate\":\"2020-01-02T03:04:05.678Z\",\"OptOut\":\"NONE\"}\n";
        lab.write("none.json", incomplete);
        import("data", "none.json", "json");
        let export = |data: &str, target: &str, format: &str, more: &[&str]| {
            lab.pinport_with(data, &["export", target, "--app", APP, "--format", format]).args(more)
        };
        let whole = export("data", "-", "json", &[]).expect(0).out;
        assert_eq!(lines(&whole).len(), 151);
        for (name, format) in [
            ("out.json", "json"),
            ("out.json.gz", "json"),
            ("out.json.zst", "json"),
            ("out/", "json"),
            ("out.csv", "csv"),
        ] {
            let outcome = export("data", name, format, &["--segment", "s"]).run();
            if format == "csv" && !plain {
                assert_eq!(outcome.code, Some(2), "{}", outcome.err);
                outcome.says(&["which CSV cannot hold"]);
                assert!(!lab.path(name).exists());
                continue;
            }
            assert_eq!(outcome.code, Some(0), "{}", outcome.err);
            let data = format!("again {name}").replace('/', "|");
            import(&data, name, format);
            let again = export(&data, "-", "json", &[]).expect(0).out;
            same_lines(&String::from_utf8_lossy(&again), &String::from_utf8_lossy(&whole), name);
            let sorted =
                |data: &str| lab.pinport_with(data, &["segment", "members", "s", "--app", APP]).expect(0).out;
            assert!(sorted(&data) == sorted("data"), "the members of {name}");
        }
        // A server streams the same.
        let server = Serving::start_in(&lab, "data", "");
        let streamed = lab
            .pinport(&["export", "-", "--app", APP, "--format", "json", "--server", &server.url])
            .expect(0)
            .out;
        assert!(streamed == whole);
        server.stop();
    }
}

#[test]
fn an_export_by_command_is_whole_or_not_there() {
    let lab = Lab::new();
    imported(&lab, &lab.sample("--rows 500"));
    let export = |more: &[&str]| lab.pinport(&["export"]).args(more);
    export(&["out", "--format", "json", "--segment", "s"]).expect(0);
    same_endpoints(records(&in_folder(&lab.path("out"))), members(&lab));
    export(&["ids.csv", "--format", "csv", "--columns", "Id,Attributes.plan"]).expect(0);
    let ids = fs::read_to_string(lab.path("ids.csv")).unwrap();
    assert!(ids.starts_with("Id,Attributes.plan\n") && ids.lines().count() == 501, "{ids}");
    for (wrong, code, says) in [
        (&["x.json", "--format", "json", "--segment", "none"][..], 1, "has no segment"),
        (&["x.json", "--format", "json", "--columns", "Id"], 2, "columns are for CSV"),
        (&["x.csv", "--format", "csv", "--columns", "Nothing"], 2, "is no column"),
        (&["x.json", "--format", "json", "--app", "none"], 1, "no application"),
    ] {
        export(wrong).expect(code).says(&[says]);
    }
    assert!(!lab.path("x.json").exists() && !lab.path("x.csv").exists());
    lab.write("taken", "");
    export(&["taken/out/", "--format", "json"]).expect(1);
    let mut left: Vec<_> =
        fs::read_dir(lab.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");
}
