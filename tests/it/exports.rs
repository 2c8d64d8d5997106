//! Export jobs and exports by command into folders: parts whole or not at all, over kills, and nothing lost on the way out
//! and in again. What they write to buckets is in `write_faults.rs`.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{exported::*, serving::Serving, support::*};

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
        let different: Vec<_> = torn.keys().filter(|name| torn[*name] != whole[*name]).collect();
        assert!(different.is_empty(), "{different:?}");
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
pub(crate) fn nasty(random: &mut Random, rows: usize, plain: bool) -> String {
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
