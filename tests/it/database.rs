//! The real server with its store in PostgreSQL: what is imported is read again, and a server that is killed in the middle of
//! an import goes on where the last committed piece ended.

use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    pair::{PIECES, Pair, SAMPLE, Setting, check_counts, database, number, start, until, until_more},
    serving::Serving,
    support::*,
};

#[test]
fn a_killed_server_goes_on_in_its_database() {
    let lab = Lab::new();
    let (cluster, url) = database(&lab);
    lab.write_sample("in/a.json", SAMPLE);
    let config = "[jobs]\npiece_kib = 64\nrows_per_second = 20000\n";
    let server = start(&lab, "data", &url, config);
    server.until_said("the store is in postgres://pinport@");
    assert_eq!(server.get("/readyz").status, 200);
    let app = server.app("shop");
    let body = json!({
        "Format": "JSON", "RoleArn": "role", "DefineSegment": true, "SegmentName": "all",
        "S3Url": format!("file://{}", lab.path("in/a.json").display()),
    });
    let created = server.post(&format!("/v1/apps/{app}/jobs/import"), &body);
    let job = created["Id"].as_str().unwrap();
    until_more(&cluster, 4);
    server.signal(libc::SIGKILL);
    server.wait(None);
    let before = number(&cluster, PIECES);
    let server = start(&lab, "data", &url, "[jobs]\npiece_kib = 64\n");
    let ended = server.ended(&app, job);
    check_counts(&lab, &cluster, SAMPLE, &ended);
    let after = number(&cluster, PIECES);
    assert!(before < after, "it was not in the middle: {before} of {after} pieces");

    // What the server answers is what an import into a folder comes to.
    let segment = ended["Definition"]["SegmentId"].as_str().unwrap();
    let segment = server.get(&format!("/v1/apps/{app}/segments/{segment}"));
    assert_eq!(segment.status, 200);
    let id = cluster.ask("SELECT convert_from(id, 'UTF8') FROM pinport.members ORDER BY id LIMIT 1");
    let found = server.get(&format!("/v1/apps/{app}/endpoints/{}", id.replace('/', "%2F"))).json();
    assert_eq!(found["Id"], Value::from(id));
    server.stop();
    lab.import_with(
        "folder",
        lab.path("in/a.json").to_str().unwrap(),
        "json",
        &["--app", "shop", "--segment", "all"],
    )
    .expect(3);
    let members = |run: Run| {
        let lines = run.args(["segment", "members", "all", "--app", "shop"]).expect(0).out;
        let dateless = |line: &str| {
            let mut member: Value = serde_json::from_str(line).unwrap();
            for own in ["ApplicationId", "CreationDate", "EffectiveDate"] {
                member[own].take();
            }
            member.to_string()
        };
        String::from_utf8(lines).unwrap().lines().map(dateless).collect::<Vec<_>>()
    };
    let stored = members(lab.pinport_with("data", &[]).env("PINPORT_STORE_URL", &url));
    let expected = members(lab.pinport_with("folder", &[]));
    assert_eq!(stored.len(), expected.len());
    assert!(stored == expected, "the members are others");
}

#[test]
fn commands_work_on_a_database() {
    let lab = Lab::new();
    let cluster = Cluster::start();
    let url = cluster.url();
    let refused = lab.pinport(&["store", "check", "--store-url", &url]).expect(1);
    assert!(refused.err.contains("pinport store init"), "{}", refused.err);
    let made = lab.pinport(&["store", "init", "--store-url", &url]).expect(0);
    assert!(made.err.contains("has pinport's tables now"), "{}", made.err);
    let again = lab.pinport(&["store", "init", "--store-url", &url]).expect(0);
    assert!(again.err.contains("had pinport's tables already"), "{}", again.err);
    lab.pinport(&["store", "check", "--store-url", &url]).expect(0);
    lab.write_sample("a.json", SAMPLE);
    let import = |code| {
        lab.import("a.json", "json", &["--app", "shop", "--segment", "all", "--store-url", &url])
            .expect(code)
            .json()
    };
    let tally = lab.sample_tally(SAMPLE);
    for _ in 0..2 {
        let told = import(3);
        let counts = (&told["TotalProcessed"], &told["TotalFailures"]);
        assert_eq!(counts, (&tally["read"], &tally["failed"]), "{told}");
    }
    let of_database = ["--app", "shop", "--store-url", &url];
    let members = lab.pinport(&["segment", "members", "all"]).args(of_database).expect(0).out;
    let lines = members.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines.to_string(), tally["endpoints"].to_string());
    let first: Value = serde_json::from_slice(members.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let id = first["Id"].as_str().unwrap();
    let got = lab.pinport(&["endpoint", "get", id]).args(of_database).expect(0).json();
    assert_eq!(got, first);
    let exported = lab.pinport(&["export", "out", "--format", "json"]).args(of_database).expect(0);
    assert!(exported.err.contains(&lines.to_string()), "{}", exported.err);
    let listed = String::from_utf8(lab.pinport(&["jobs", "ls", "--store-url", &url]).expect(0).out).unwrap();
    assert_eq!(listed.matches("COMPLETED").count(), 2, "{listed}");
    lab.pinport(&["settle", "--store-url", &url]).expect(0);
    assert_eq!(cluster.ask("SELECT count(*) FROM pinport.ops"), lines.to_string(), "one operand of each");
    assert_eq!(lab.pinport(&["segment", "members", "all"]).args(of_database).expect(0).out, members);
    let backup = lab.pinport(&["backup", "--to", "there", "--store-url", &url]).expect(2);
    assert!(backup.err.contains("pg_dump"), "{}", backup.err);
}

#[test]
fn a_database_that_is_away_is_said_in_a_sentence() {
    let lab = Lab::new();
    let url = "postgres://someone:secret@127.0.0.1:1/none?connect_timeout=2";
    for arguments in [&["store", "check"][..], &["jobs", "ls"], &["settle"]] {
        let told = lab.pinport(arguments).env("PINPORT_STORE_URL", url).expect(1).err;
        assert!(told.contains("postgres://someone@127.0.0.1:1/none is not available"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
    lab.write("pinport.toml", format!("[store]\nurl = \"{url}\"\n"));
    let checked = lab.pinport(&["config", "check"]).expect(1);
    let said = String::from_utf8(checked.out).unwrap();
    assert!(said.contains("store postgres://someone@127.0.0.1:1/none"), "{said}");
    assert!(said.contains("WRONG  store") && !said.contains("secret"), "{said}");
    let told = lab.pinport(&["store", "check", "--store-url", "mysql://x"]).expect(2).err;
    assert!(told.contains("does not begin with postgres://"), "{told}");
}

#[test]
fn another_server_takes_over_what_a_killed_one_left() {
    let pair = Pair::start(Setting::default());
    // Any server answers for any job.
    let seen = pair.job_of(&pair.second);
    assert_eq!(seen["JobStatus"], "PROCESSING", "{seen}");
    assert!(seen["TotalProcessed"].as_u64() > Some(0), "{seen}");
    pair.first.signal(libc::SIGKILL);
    pair.check(&pair.second);
}

#[test]
fn a_frozen_server_that_comes_back_commits_nothing() {
    let pair = Pair::start(Setting::default());
    pair.first.signal(libc::SIGSTOP);
    let ended = pair.second.ended(&pair.app, &pair.job);
    let pieces = number(&pair.cluster, PIECES);
    pair.first.signal(libc::SIGCONT);
    pair.first.until_said("another server works on it");
    assert_eq!(number(&pair.cluster, PIECES), pieces);
    let tokens = pair.cluster.ask("SELECT count(DISTINCT token) FROM pinport.pieces");
    assert!(tokens.parse::<u64>().unwrap() > 1, "both committed some");
    assert_eq!(pair.job_of(&pair.first)["TotalProcessed"], ended["TotalProcessed"]);
    pair.check(&pair.first);
}

#[test]
fn a_job_is_cancelled_and_paused_through_any_server() {
    let pair = Pair::start(Setting { second: "rows_per_second = 2000\n", ..Setting::default() });
    let control =
        |what: &str| pair.second.ask("POST", &format!("/pinport/v1/jobs/{}/{what}", pair.job), None);
    let (status, said) = control("pause");
    assert!(status < 300, "{status} {said}");
    until(&pair.cluster, "SELECT lease IS NULL FROM pinport.parts", |answer| answer == "t");
    let (status, said) = control("resume");
    assert!(status < 300, "{status} {said}");
    until(&pair.cluster, "SELECT lease IS NULL FROM pinport.parts", |answer| answer == "f");
    let (status, said) = control("cancel");
    assert!(status < 300, "{status} {said}");
    assert_eq!(pair.first.ended(&pair.app, &pair.job)["JobStatus"], "CANCELLED");
    assert_eq!(pair.second.ended(&pair.app, &pair.job)["JobStatus"], "CANCELLED");
}

#[test]
fn a_request_that_is_sent_again_to_another_server_makes_one_job() {
    let lab = Lab::new();
    let (cluster, url) = database(&lab);
    lab.write_sample("in/a.json", "--rows 100 --format json --seed 7");
    let servers = ["first", "second"].map(|name| start(&lab, name, &url, ""));
    let app = servers[0].app("shop");
    let import = |prefix: &str| {
        let path = format!("/v1/apps/{app}/jobs/import");
        let url = format!("file://{}", lab.path("in/a.json").display());
        (path, json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url, "ExternalId": prefix }), 201)
    };
    let export = |prefix: &str| {
        let path = format!("/v1/apps/{app}/jobs/export");
        let url = format!("file://{}/", lab.path(prefix).display());
        (path, json!({ "RoleArn": "role", "S3UrlPrefix": url }), 202)
    };
    let send = |server: &Serving, call: &str, (path, body, status): &(String, Value, u16)| {
        let call = format!("amz-sdk-invocation-id: {call}\r\n");
        let made = server.send("POST", path, &call, body.to_string().as_bytes()).unwrap();
        assert_eq!(made.status, *status, "{}", String::from_utf8_lossy(&made.body));
        made.json()["Id"].as_str().unwrap().to_owned()
    };
    let jobs = || cluster.ask("SELECT count(*) FROM pinport.jobs").parse::<usize>().unwrap();
    for (kind, [request, other]) in [("import", ["a", "b"].map(import)), ("export", ["a", "b"].map(export))] {
        let before = jobs();
        let made = send(&servers[0], kind, &request);
        assert_eq!(send(&servers[1], kind, &request), made, "the other server knows it");
        assert_eq!(send(&servers[0], kind, &request), made);
        let unlike = send(&servers[1], kind, &other);
        assert_ne!(unlike, made, "another body is another request");
        assert_eq!(send(&servers[0], kind, &other), unlike);
        // An impatient client: the same call at both servers, many times at once.
        let call = format!("{kind} at once");
        let ids: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let (call, request, send, servers) = (&call, &request, &send, &servers);
            let calls: Vec<_> =
                (0..16).map(|at| scope.spawn(move || send(&servers[at % 2], call, request))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(jobs() - before, 3, "{kind}");
    }
}

#[test]
fn a_server_shows_what_the_others_work_on() {
    let pair = Pair::start(Setting { rate: 1000, ..Setting::default() });
    let sample = |server: &Serving| -> Value {
        pair.lab.pinport(&["top", "--once", "--json", "--server", &server.url]).expect(0).json()
    };
    let port = |server: &Serving| server.url.rsplit_once(':').unwrap().1.to_owned();
    let is = |name: &Value, server: &Serving| {
        name.as_str().is_some_and(|name| name.ends_with(&format!(":{}", port(server))))
    };
    let until_shown = |server: &Serving, is_it: &dyn Fn(&Value) -> bool| {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let sample = sample(server);
            if is_it(&sample) {
                return sample;
            }
            assert!(std::time::Instant::now() < deadline, "{sample}");
        }
    };
    let works = |sample: &Value, on: &Serving| {
        let job = &sample["jobs"][0];
        is(&job["server"], on) && job["progress"]["parsed"].as_u64() > Some(0)
    };
    let servers = |sample: &Value| sample["servers"].as_array().map_or(0, Vec::len);
    let seen = until_shown(&pair.second, &|sample| works(sample, &pair.first));
    assert_eq!((&seen["jobs_total"], seen["jobs"].as_array().unwrap().len()), (&json!(1), 1), "{seen}");
    assert_eq!(seen["jobs"][0]["progress"]["status"], "PROCESSING");
    let more = |sample: &Value| sample["jobs"][0]["progress"]["parsed"].as_u64();
    until_shown(&pair.second, &|sample| more(sample) > more(&seen));
    let both = until_shown(&pair.second, &|sample| servers(sample) == 2);
    for server in both["servers"].as_array().unwrap() {
        let here = is(&server["name"], &pair.second);
        assert_eq!(server["here"], here, "{both}");
        assert!(here || is(&server["name"], &pair.first), "{both}");
    }
    // Its stages are the other server's; the one that works on it has them.
    let detail = |server: &Serving| server.get(&format!("/pinport/v1/jobs/{}", pair.job)).json();
    assert_eq!(detail(&pair.second)["stages"], json!([]));
    assert!(is(&detail(&pair.second)["job"]["server"], &pair.first));
    assert_eq!(detail(&pair.first)["stages"].as_array().unwrap().len(), 5);
    let text = pair.lab.pinport(&["top", "--once", "--server", &pair.second.url]).expect(0).out;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("the one that was asked") && text.contains(", on "), "{text}");
    let metrics = String::from_utf8(pair.second.get("/metrics").body).unwrap();
    let named = metrics.lines().any(|line| {
        line.starts_with("pinport_server_info{name=") && line.contains(&format!(":{}\"", port(&pair.second)))
    });
    assert!(named && metrics.contains("\npinport_servers 2\n"), "{metrics}");
    // A server that is gone is not shown any more, and the job with the one that took it.
    pair.first.signal(libc::SIGKILL);
    let alone = until_shown(&pair.second, &|sample| {
        servers(sample) == 1 && sample["jobs"][0]["progress"]["status"] == "COMPLETED"
    });
    assert_eq!(alone["jobs_total"], 1);
    // One that comes later sees the end of what others made and did.
    let third = start(&pair.lab, "third", &pair.url, &pair.sources);
    let body = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": "s3://bucket/" });
    until_shown(&third, &|sample| servers(sample) == 2);
    pair.second.post(&format!("/v1/apps/{}/jobs/import", pair.app), &body);
    let ended = until_shown(&third, &|sample| {
        let jobs = sample["jobs"].as_array().unwrap();
        jobs.len() == 2 && jobs.iter().all(|job| job["progress"]["status"] == "COMPLETED")
    });
    assert_eq!(ended["jobs_total"], 2);
    // What one deletes, none shows.
    pair.lab.pinport(&["jobs", "delete", &pair.job, "--server", &pair.second.url]).expect(0);
    for server in [&pair.second, &third] {
        let left = until_shown(server, &|sample| sample["jobs"].as_array().unwrap().len() == 1);
        assert_eq!(left["jobs_total"], 1);
        assert_ne!(left["jobs"][0]["id"], pair.job);
    }
    third.stop();
    until_shown(&pair.second, &|sample| servers(sample) == 1);
}

#[test]
fn a_data_folder_is_copied_into_a_database_and_back() {
    let lab = Lab::new();
    let (_cluster, url) = database(&lab);
    lab.write_sample("a.json", SAMPLE);
    let import = ["--app", "shop", "--segment", "all"];
    lab.import_with("folder", lab.path("a.json").to_str().unwrap(), "json", &import).expect(3);
    let folder = lab.path("folder").to_str().unwrap().to_owned();
    let copy = |from: &str, to: &str| lab.pinport(&["store", "copy", from, to]);
    // Of what a server has open nothing is copied.
    let server = Serving::start_in(&lab, "folder", "");
    let refused = copy(&folder, &url).expect(1).err;
    assert!(refused.contains("in use"), "{refused}");
    server.stop();
    let told = copy(&folder, &url).expect(0).err;
    assert!(told.contains("counts and hashes are the same") && told.contains("endpoints"), "{told}");
    let refused = copy(&folder, &url).expect(1).err;
    assert!(refused.contains("is not empty"), "{refused}");
    let back = lab.path("back").to_str().unwrap().to_owned();
    let server = start(&lab, "served", &url, "");
    let refused = copy(&url, &back).expect(1).err;
    assert!(refused.contains("is in use by"), "{refused}");
    // What the server has of the job, its failures and rejects included, is what the folder has.
    let one = |server: &Serving| -> Value {
        let jobs = server.get("/pinport/v1/jobs").json();
        let id = jobs["jobs"][0]["id"].as_str().unwrap().to_owned();
        let of = |what: &str| server.get(&format!("/pinport/v1/jobs/{id}/{what}"));
        let texts = [of("failures"), of("rejects")].map(|reply| {
            assert_eq!(reply.status, 200);
            String::from_utf8_lossy(&reply.body).into_owned()
        });
        assert!(texts.iter().all(|text| text.lines().count() > 9));
        json!([
            server
                .get(&format!(
                    "/v1/apps/{}/jobs/import/{id}",
                    jobs["jobs"][0]["application"].as_str().unwrap()
                ))
                .json(),
            texts
        ])
    };
    let in_database = one(&server);
    server.stop();
    let told = copy(&url, &back).expect(0).err;
    assert!(told.contains("counts and hashes are the same"), "{told}");
    for name in ["folder", "back"] {
        let server = Serving::start_in(&lab, name, "");
        assert!(one(&server) == in_database, "{name} has something else");
        server.stop();
    }
    let members = |run: Run| run.args(["segment", "members", "all", "--app", "shop"]).expect(0).out;
    let expected = members(lab.pinport_with("folder", &[]));
    assert!(members(lab.pinport_with("back", &[])) == expected, "the members are others");
    assert!(
        members(lab.pinport_with("served", &[]).env("PINPORT_STORE_URL", &url)) == expected,
        "the members are others"
    );
    let refused = copy(&folder, &back).expect(2).err;
    assert!(refused.contains("pinport backup"), "{refused}");
}
