//! Endpoints and users stay within their limits, whatever imports bring and however they are merged.

use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

/// Attributes that no other import has.
fn attributes(import: usize, count: usize) -> String {
    let one = |name| format!("\"a{import:03}-{name:03}\":[\"v\"]");
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn record(id: &str, attributes: &str) -> String {
    format!("{{\"Id\":\"{id}\",\"Address\":\"a\",\"ChannelType\":\"SMS\",\"Attributes\":{{{attributes}}}}}\n")
}

/// One record for the endpoint `one`, among as many others that the import is not judged record by record.
fn many(attributes: &str) -> String {
    (0..2000).map(|other| record(&format!("other{other}"), "\"a\":[\"v\"]")).collect::<String>()
        + &record("one", attributes)
}

/// The number that comes after one text and before another, or 0.
fn number_before(text: &str, before: &str, behind: &str) -> usize {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(behind));
    found.map_or(0, |(number, _)| number.trim_end_matches(".0").parse().unwrap())
}

fn endpoint(server: &Serving, app: &str) -> Value {
    server.get(&format!("/v1/apps/{app}/endpoints/one")).json()
}

fn names(endpoint: &Value) -> usize {
    endpoint["Attributes"].as_object().unwrap().len()
}

#[test]
fn imports_of_other_names_do_not_make_an_endpoint_grow() {
    const IMPORTS: usize = 300;
    const LARGE: usize = 20;
    let lab = Lab::new();
    let server = Serving::start(&lab);
    let app = server.app("shop");
    let import = |number: usize, data: &str| {
        lab.write(&format!("{number}.json"), data);
        server.import(&lab, &format!("{number}.json"))
    };
    let jobs: Vec<_> =
        (0..IMPORTS).map(|number| import(number, &record("one", &attributes(number, 200)))).collect();
    let ended: Vec<_> = jobs.iter().map(|job| server.ended(&app, job)).collect();
    // The first one has room; the others are told.
    assert!(ended.iter().all(|job| job["JobStatus"] == "COMPLETED"));
    let failed: Vec<_> = ended.iter().filter(|job| job["TotalFailures"] == 1).collect();
    // Two run at a time: both may see an endpoint that has room.
    assert!(failed.len() >= IMPORTS - 2, "{}", failed.len());
    // One that was accepted beside another may have lost its members since, which its failures say in other words.
    let reasons = failed.iter().filter_map(|job| job["Failures"][0].as_str());
    let told = reasons.filter(|reason| {
        reason.contains(" line 1: Attributes: has ")
            && reason.ends_with(" names with those it had, the limit is 250")
    });
    assert!(told.count() >= IMPORTS - 2);
    assert!((200..=250).contains(&names(&endpoint(&server, &app))));

    // In imports of many records wide ones are judged as well.
    lab.write("wide.json", many(&attributes(IMPORTS, 200)));
    let job = server.import(&lab, "wide.json");
    let ended = server.ended(&app, &job);
    assert_eq!((&ended["JobStatus"], &ended["TotalFailures"]), (&"COMPLETED".into(), &1.into()));
    let reason = ended["Failures"][0].as_str().unwrap();
    assert!(reason.contains(" line 2001: Attributes: has "), "{reason}");
    // Of others nothing is read: what has no room is left out when it is merged, which may be later.
    let large: Vec<_> =
        (0..LARGE).map(|number| import(number, &many(&attributes(IMPORTS + number, 50)))).collect();
    for job in &large {
        assert_eq!(server.ended(&app, job)["JobStatus"], "COMPLETED");
    }
    let found = endpoint(&server, &app);
    assert_eq!(names(&found), 250);
    // A single update is refused.
    let more = json!({ "Attributes": { "more": ["v"] } });
    let (status, said) = server.ask("PUT", &format!("/v1/apps/{app}/endpoints/one"), Some(&more));
    assert_eq!(status, 400, "{said}");
    // Within a piece all of them are judged, if together they have no room.
    let rows: String = (0..12).map(|part| record("two", &attributes(part, 25))).collect();
    lab.write("same.json", many("\"a\":[\"v\"]") + &rows);
    let same = server.import(&lab, "same.json");
    let ended = server.ended(&app, &same);
    // The attribute of its record for the other endpoint, which is full, may have been left out by now.
    assert!(matches!(ended["TotalFailures"].as_u64(), Some(2 | 3)), "{ended}");
    let reason = ended["Failures"][0].as_str().unwrap();
    assert!(reason.contains(" line 2012: Attributes: has 275 names with those it had"), "{reason}");
    // What is counted while the store settles, after this was read, would be missing.
    let metrics = loop {
        let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
        if number_before(&metrics, "\npinport_store_settling ", "\n") == 0 {
            break metrics;
        }
    };
    let counted = number_before(&metrics, "\npinport_store_left_out_members_total ", "\n");
    server.stop();

    // What is stored is what was read, and all that was left out was counted: one more is an attribute of the others.
    // Some of it may have been stored, and so counted, before.
    let settled = lab.pinport(&["settle"]).expect(0).err;
    let counted = counted + number_before(&settled, " s\n", " members of records were left out");
    let brought = (IMPORTS - failed.len()) * 200 + LARGE * 50 + 1;
    assert!(counted >= brought - 250, "{counted} of {brought}: {settled}");
    let server = Serving::start(&lab);
    assert_eq!(endpoint(&server, &app)["Attributes"], found["Attributes"]);
    // Each is a failure of its job. One of them may have had room.
    let ended = server.ended(&app, &same);
    assert!(matches!(ended["TotalFailures"].as_u64(), Some(2 | 3)), "{ended}");
    let large: Vec<_> = large.iter().map(|job| server.ended(&app, job)).collect();
    let lost: Vec<_> = large.iter().filter(|job| job["TotalFailures"] == 1).collect();
    let counts: Vec<_> = large.iter().map(|job| &job["TotalFailures"]).collect();
    assert!(lost.len() >= LARGE - 1, "{counts:?}");
    assert!(large.iter().all(|job| job["TotalFailures"].as_u64().unwrap() <= 1));
    let reason = lost[0]["Failures"][0].as_str().unwrap();
    assert!(reason.starts_with("of the registered records, 1 had no room"), "{reason}");
}
