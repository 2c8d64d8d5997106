//! What an operator does with a server that has run for a while: deletes jobs and segments, lets rejects and jobs go by
//! their age, and slows jobs down.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

/// The application that [`Serving::import`] imports into.
fn shop(server: &Serving) -> String {
    let apps = server.get("/v1/apps").json();
    let shop = apps["Item"].as_array().unwrap().iter().find(|app| app["Name"] == "shop");
    shop.unwrap()["Id"].as_str().unwrap().to_owned()
}

#[test]
fn jobs_and_segments_are_deleted_and_what_they_brought_stays() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 50 --bad 10%");
    // Of a folder.
    let import = |more: &[&str]| {
        lab.import("rows.json", "json", &[&["--segment", "all"], more].concat()).expect(3).json()
    };
    let id = |job: &Value| job["Id"].as_str().unwrap().to_owned();
    let first = id(&import(&[]));
    assert!(lab.path("data/jobs").join(&first).is_dir());
    let members = lab.members("data", "all");
    lab.pinport(&["jobs", "delete", &first]).expect(0).says(&[&first, "is deleted", "stays"]);
    lab.pinport(&["jobs", "show", &first]).expect(1);
    assert!(!lab.path("data/jobs").join(&first).exists());
    assert_eq!(lab.members("data", "all"), members);
    lab.pinport(&["segment", "delete", "none"]).expect(1).says(&["has no segment \"none\""]);
    lab.pinport(&["segment", "delete", "all"]).expect(0).says(&["its endpoints stay"]);
    lab.pinport(&["segment", "members", "all"]).expect(1);
    let endpoint = lines(&members)[0]["Id"].as_str().unwrap().to_owned();
    assert_eq!(lab.endpoint(&endpoint)["Id"], endpoint);

    // Of a server, found by its folder.
    let server = Serving::start(&lab);
    let job = id(&lab
        .pinport(&[
            "import",
            "rows.json",
            "--format",
            "json",
            "--segment",
            "all",
            "--json",
            "--server",
            &server.url,
        ])
        .expect(3)
        .json());
    lab.pinport(&["jobs", "delete", &job]).expect(0).says(&[&job]);
    assert_eq!(server.get(&format!("/pinport/v1/jobs/{job}")).status, 404);
    assert!(!lab.path("data/jobs").join(&job).exists());
    lab.pinport(&["segment", "delete", "all"]).expect(0);
    assert_eq!(lab.endpoint(&endpoint)["Id"], endpoint);
    let jobs = server.get("/pinport/v1/jobs").json();
    assert!(jobs["jobs"].as_array().unwrap().iter().all(|found| found["id"] != job), "{jobs}");
    // One that has not ended is not deleted.
    lab.write_sample("more.json", "--rows 3000");
    assert_eq!(server.ask("PUT", "/pinport/v1/throttle", Some(&json!({ "bytes_per_second": 1 }))).0, 202);
    let waiting = server.import(&lab, "more.json");
    lab.pinport(&["jobs", "delete", &waiting]).expect(1).says(&["has not ended"]);
    lab.pinport(&["jobs", "cancel", &waiting, "--server", &server.url]).expect(0);
    server.ended(&shop(&server), &waiting);
    lab.pinport(&["jobs", "delete", &waiting]).expect(0);
}

#[test]
fn rejects_and_then_jobs_go_when_their_time_is_over() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 50 --bad 10%");
    let job = lab.import("rows.json", "json", &["--segment", "all"]).expect(3).json();
    let job = job["Id"].as_str().unwrap().to_owned();
    let (rejects, failures) =
        (format!("/pinport/v1/jobs/{job}/rejects"), format!("/pinport/v1/jobs/{job}/failures"));
    let folder = lab.path("data/jobs").join(&job);
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            pause(Duration::from_millis(20));
        }
    };
    // Kept for ever unless something else is said.
    let server = Serving::start(&lab);
    assert!(!server.get(&rejects).body.is_empty());
    lab.write("pinport.toml", "[retention]\nrejects = \"1s\"\n");
    drop(server);
    let server = Serving::start_with(&lab, "[retention]\nrejects = \"1s\"\n", &[]);
    until("the rejects stay", &|| server.get(&rejects).status == 404 && server.get(&failures).status == 404);
    assert!(folder.is_dir() && !folder.join("rejects.json").exists());
    let said = String::from_utf8(server.get(&rejects).body).unwrap();
    assert!(said.contains("not kept any more"), "{said}");
    // The job is still there with its counts, and its segment.
    let kept = server.get(&format!("/pinport/v1/jobs/{job}")).json();
    assert_eq!(
        kept["job"]["progress"]["failed"],
        kept["classes"].as_array().unwrap().iter().map(|class| class["count"].as_u64().unwrap()).sum::<u64>()
    );
    lab.pinport(&["jobs", "show", &job]).expect(0);
    drop(server);
    let server = Serving::start_with(&lab, "[retention]\njobs = \"2s\"\n", &[]);
    until("the job stays", &|| server.get(&format!("/pinport/v1/jobs/{job}")).status == 404);
    assert!(!folder.exists());
    server.until_said("removed what was over its time jobs=1");
    let segments = lab.pinport(&["segment", "ls", "--json"]).expect(0);
    assert_eq!(lines(&segments.out)[0]["name"], "all");
}

/// A job reads as fast as it may, from when that is said, also across a restart.
#[test]
fn a_throttle_slows_a_job_down_and_lets_it_go_again() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 200000");
    let configuration = "[jobs]\npiece_kib = 256\nrows_per_second = 20000\n";
    let server = Serving::start_with(&lab, configuration, &[]);
    let told = |arguments: &[&str]| {
        let all = [&["jobs", "throttle"], arguments, &["--server", &server.url]].concat();
        String::from_utf8(lab.pinport(&all).expect(0).out).unwrap()
    };
    assert_eq!(told(&["all"]), "all jobs together: at most 20000 records a second\n");
    let job = server.import(&lab, "rows.json");
    let read = |server: &Serving| {
        let detail = server.get(&format!("/pinport/v1/jobs/{job}")).json();
        detail["job"]["progress"]["parsed"].as_u64().unwrap()
    };
    let begun = Instant::now();
    while read(&server) < 30_000 {
        assert!(begun.elapsed() < PATIENCE);
        pause(Duration::from_millis(5));
    }
    // A block or two are let through before they are paid.
    assert!(begun.elapsed() > Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!(told(&[&job, "--rows", "1"]), format!("job {job}: at most 1 records a second\n"));
    assert_eq!(told(&["all", "--off"]), "all jobs together: without a bound\n");
    lab.pinport(&["jobs", "throttle", &job, "--bytes", "0", "--server", &server.url])
        .expect(2)
        .says(&["500k"]);
    server.stop();
    let server = Serving::start_with(&lab, "[jobs]\npiece_kib = 256\n", &[]);
    let rate = server.get(&format!("/pinport/v1/jobs/{job}/throttle")).json();
    assert_eq!(rate, json!({ "rows_per_second": 1 }));
    // Let go, it is done soon; at one record a second it would take two days.
    assert_eq!(server.ask("PUT", &format!("/pinport/v1/jobs/{job}/throttle"), Some(&json!({}))).0, 202);
    let done = server.ended(&shop(&server), &job);
    assert_eq!((&done["JobStatus"], &done["TotalProcessed"]), (&json!("COMPLETED"), &json!(200_000)));
    assert_eq!(server.get(&format!("/pinport/v1/jobs/{job}/throttle")).status, 409);
}

#[test]
fn a_browser_gets_a_page_that_says_what_this_is() {
    let lab = Lab::new();
    let configuration = "[[keys]]\nid = \"KEY\"\nsecret = \"0123456789abcdef\"\n";
    let server = Serving::start_with(&lab, configuration, &[]);
    let page = server.send("GET", "/", "Accept: text/html\r\nOrigin: https://a.example\r\n", b"").unwrap();
    assert_eq!(page.status, 200);
    assert!(
        page.head.contains("content-type: text/html") && page.head.contains("default-src 'none'"),
        "{}",
        page.head
    );
    let text = String::from_utf8(page.body).unwrap();
    // What it links to is there.
    for link in text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let status = server.get(link).status;
        assert!(status == 200 || (link == "/metrics" && status == 403), "{link}: {status}");
    }
    assert!(text.contains("pinport top --server") && text.contains("openapi.json"));
    assert_eq!(server.get("//").status, 404);
}
