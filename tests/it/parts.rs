//! One job and several servers: each works on parts of it. Whatever happens to them, what the job came to is what a single
//! server comes to that nobody disturbed: counts, failures with their lines, rejects, members.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    fault_store::{Answer, Ask, FaultStore},
    pair::{database, duplicates, number, serve, spawn, until},
    pg_proxy::PgProxy,
    serving::Serving,
    support::*,
};

/// Lines of one object, small objects, and one that is compressed; some lines are cut off.
fn json_objects(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let sample = |start: u64, rows: u64| {
        let whole = lab.sample(&format!("--rows {rows} --format json --seed 7 --start {start}"));
        let mut spoilt = Vec::new();
        for (line, at) in whole.split_inclusive(|byte| *byte == b'\n').zip(0_u64..) {
            let end = if at % 101 == 7 { 40 + at as usize % 200 } else { line.len() - 1 };
            spoilt.extend_from_slice(&line[..end]);
            spoilt.push(b'\n');
        }
        spoilt
    };
    objects_of(&sample)
}

/// The same, where records in each piece depend on what is stored.
fn dependent_objects(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let more = "--bad 1% --updates 3% --format json --seed 7";
    objects_of(&|start, rows| lab.sample(&format!("--rows {rows} --start {start} {more}")))
}

fn objects_of(sample: &dyn Fn(u64, u64) -> Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::from([
        ("1-large.json".to_owned(), sample(0, 12_000)),
        ("3-packed.json.gz".to_owned(), gzip(&[&sample(13_000, 1000)])),
        ("4-large.json".to_owned(), sample(14_000, 6000)),
    ]);
    for at in 0..10 {
        objects.insert(format!("2-small-{at}.json"), sample(12_000 + at * 100, 100));
    }
    objects
}

/// Rows of two seeds, and ids that come again in later objects; some rows have a cell too many.
fn csv_objects(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let object = |at: u64| {
        let start = at * 1500;
        let rows = lab.sample(&format!("--rows 2000 --format csv --seed {} --start {start}", at % 2));
        let mut spoilt = Vec::new();
        for (row, number) in rows.split_inclusive(|byte| *byte == b'\n').zip(0_u64..) {
            let is_spoilt = number % 103 == 7 && !row.contains(&b'"');
            spoilt.extend_from_slice(if is_spoilt { b"one too many," } else { b"" });
            spoilt.extend_from_slice(row);
        }
        (format!("{at}.csv"), spoilt)
    };
    (0..8).map(object).collect()
}

/// Servers on one database, and objects.
struct Team {
    lab: Lab,
    cluster: Cluster,
    url: String,
    objects: FaultStore,
    contents: BTreeMap<String, Vec<u8>>,
    format: &'static str,
    sources: String,
    proxy: PgProxy,
}

impl Team {
    fn new(format: &'static str, contents: impl FnOnce(&Lab) -> BTreeMap<String, Vec<u8>>) -> Self {
        let lab = Lab::new();
        let (cluster, url) = database(&lab);
        let contents = contents(&lab);
        let objects = FaultStore::start(contents.clone());
        let sources = format!(
            "[sources]\nendpoint = \"{}\"\naccess_key_id = \"AKTEST\"\nsecret_access_key = \"canary\"\n",
            objects.url()
        );
        let proxy = PgProxy::start(cluster.socket(), Ipv4Addr::LOCALHOST.into());
        let url = url.replace("lease=5", "lease=2");
        Self { lab, cluster, url, objects, contents, format, sources, proxy }
    }

    /// A server with a data folder of its own; `jobs`: lines of its section of jobs.
    fn start(&self, data: &str, jobs: &str) -> Serving {
        let configuration = format!("[jobs]\npiece_kib = 200\npart_kib = 800\n{jobs}{}", self.sources);
        spawn(serve(&self.lab, data, &self.url, &configuration))
    }

    /// Creates the import; its application and its id.
    fn create(&self, server: &Serving, more: &Value) -> (String, String) {
        let app = server.app("shop");
        let mut body = json!({
            "Format": self.format.to_ascii_uppercase(), "RoleArn": "role", "DefineSegment": true, "SegmentName": "all",
            "S3Url": "s3://bucket/",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let created = server.post(&format!("/v1/apps/{app}/jobs/import"), &body);
        (app, created["Id"].as_str().unwrap().to_owned())
    }

    /// How many parts are done, and how many there are.
    fn done(&self) -> (u64, u64) {
        let parts = "SELECT count(*) FROM pinport.parts WHERE part > 0";
        (number(&self.cluster, &format!("{parts} AND state = 'done'")), number(&self.cluster, parts))
    }

    fn until_done(&self, parts: u64) {
        let sql = "SELECT count(*) FROM pinport.parts WHERE part > 0 AND state = 'done'";
        until(&self.cluster, sql, |count| count.parse::<u64>().unwrap() >= parts);
    }

    /// Waits until so many servers work on parts at a time.
    fn until_works(&self, servers: u64) {
        let sql =
            "SELECT count(DISTINCT owner) FROM pinport.parts WHERE part > 0 AND lease >= clock_timestamp()";
        until(&self.cluster, sql, |count| count.parse::<u64>().unwrap() >= servers);
    }

    /// Servers that ended parts.
    fn workers(&self) -> u64 {
        number(&self.cluster, "SELECT count(DISTINCT owner) FROM pinport.parts WHERE part > 0")
    }

    /// What the job came to is what an import of the same objects into a folder comes to.
    fn check(&self, server: &Serving, made: &(String, String)) {
        self.check_in(&self.cluster, server, made);
    }

    /// The same in a database that is the team's by now.
    fn check_in(&self, cluster: &Cluster, server: &Serving, (app, job): &(String, String)) {
        let ended = server.ended(app, job);
        assert_eq!(ended["JobStatus"], "COMPLETED", "{ended}");
        assert_eq!(duplicates(cluster), 0);
        for (name, bytes) in &self.contents {
            self.lab.write(&format!("in/{name}"), bytes);
        }
        let run = ["--app", "shop", "--segment", "all"];
        let source = self.lab.path("in");
        self.lab.import_with("folder", source.to_str().unwrap(), self.format, &run).expect(3);
        let alone = Serving::start_in(&self.lab, "folder", "");
        let other_app = alone.get("/v1/apps").json()["Item"][0]["Id"].as_str().unwrap().to_owned();
        let jobs = alone.get(&format!("/v1/apps/{other_app}/jobs/import")).json();
        let other = jobs["Item"][0]["Id"].as_str().unwrap().to_owned();
        let one = alone.get(&format!("/v1/apps/{other_app}/jobs/import/{other}")).json();
        for count in ["TotalProcessed", "TotalFailures", "FailedPieces"] {
            assert_eq!(ended[count], one[count], "{count}");
        }
        // Objects are named by where they are; the name and what follows is the same.
        let nameless = |text: &str| {
            let text = text.replace(&format!("{}/", source.display()), "");
            text.replace("s3://bucket/", "")
        };
        let failures = |job: &Value| nameless(&job["Failures"].to_string());
        assert_eq!(failures(&ended), failures(&one));
        let text = |server: &Serving, job: &str, what: &str| {
            let reply = server.get(format!("/pinport/v1/jobs/{job}/{what}").trim_end_matches('/'));
            assert_eq!(reply.status, 200);
            nameless(&String::from_utf8_lossy(&reply.body))
        };
        for what in ["failures", "rejects"] {
            let (own, expected) = (text(server, job, what), text(&alone, &other, what));
            assert!(expected.lines().count() > 9 && own == expected, "{what}: {own}\n---\n{expected}");
        }
        let detail = |server: &Serving, job: &str| -> Value {
            let mut detail: Value = serde_json::from_str(&text(server, job, "")).unwrap();
            let of = ["classes", "objects", "notices", "warnings", "lost", "unkept_failures"];
            Value::Array(of.iter().map(|name| detail[*name].take()).collect())
        };
        assert_eq!(detail(server, job), detail(&alone, &other));
        let members = |server: &Serving, app: &str, job: &Value| {
            let segment = job["Definition"]["SegmentId"].as_str().unwrap();
            let size =
                server.get(&format!("/v1/apps/{app}/segments/{segment}")).json()["ImportDefinition"]["Size"]
                    .as_u64();
            let out =
                self.lab.pinport(&["segment", "members", "all", "--app", "shop", "--server", &server.url]);
            let dateless = |line: &str| {
                let mut member: Value = serde_json::from_str(line).unwrap();
                for own in ["ApplicationId", "CreationDate", "EffectiveDate"] {
                    member[own].take();
                }
                member.to_string()
            };
            let out = String::from_utf8(out.expect(0).out).unwrap();
            (size, out.lines().map(dateless).collect::<Vec<_>>())
        };
        let (size, own) = members(server, app, &ended);
        let (expected_size, expected) = members(&alone, &other_app, &one);
        assert_eq!(size, expected_size);
        assert!(expected.len() > 9 && own == expected, "the members are others");
    }
}

#[test]
fn servers_share_the_objects_and_the_lines_of_a_job() {
    let team = Team::new("json", json_objects);
    let rate = "rows_per_second = 6000\n";
    let servers = ["first", "second", "third"].map(|name| team.start(name, rate));
    let made = team.create(&servers[0], &Value::Null);
    team.check(&servers[1], &made);
    let (done, parts) = team.done();
    assert!(done == parts && parts > 9, "{done} of {parts}");
    assert_eq!(team.workers(), 3);
    // What was kept for the job's parts is the job's by now.
    assert_eq!(team.cluster.ask("SELECT count(*) FROM pinport.files WHERE part > 0"), "0");
    assert_eq!(team.cluster.ask("SELECT count(*) FROM pinport.pieces WHERE part > 0"), "0");
    for name in ["first", "second", "third"] {
        let left = std::fs::read_dir(team.lab.path(&format!("{name}/jobs/{}/parts", made.1)));
        assert!(left.map_or(true, |mut left| left.next().is_none()), "{name} has files of parts");
    }
}

#[test]
fn rows_of_csv_objects_are_shared_too() {
    let team = Team::new("csv", csv_objects);
    let servers = ["first", "second"].map(|name| team.start(name, "rows_per_second = 2000\n"));
    let made = team.create(&servers[0], &Value::Null);
    team.check(&servers[1], &made);
    assert_eq!(team.workers(), 2);
}

#[test]
fn one_server_works_on_all_parts() {
    let team = Team::new("json", json_objects);
    let server = team.start("first", "");
    let made = team.create(&server, &Value::Null);
    team.check(&server, &made);
    assert!(team.done().1 > 9 && team.workers() == 1);
}

#[test]
fn records_that_depend_on_what_is_stored_wait_for_the_parts_before_them() {
    let team = Team::new("json", dependent_objects);
    let servers = ["first", "second", "third"].map(|name| team.start(name, ""));
    let made = team.create(&servers[0], &Value::Null);
    team.check(&servers[2], &made);
    assert!(team.done().1 > 9);
}

#[test]
fn servers_of_a_job_in_parts_may_be_killed_at_any_time() {
    let team = Team::new("json", json_objects);
    let names = ["first", "second", "third"];
    let slow = "rows_per_second = 1500\n";
    let mut servers = names.map(|name| team.start(name, slow));
    let made = team.create(&servers[0], &Value::Null);
    let kills = std::env::var("PINPORT_TORTURE_KILLS").map_or(9, |kills| kills.parse().unwrap());
    let mut random = Random::seeded("servers of a job in parts");
    let mut killed = BTreeSet::new();
    team.until_works(2);
    let (_, parts) = team.done();
    for kill in 0..kills {
        // So that some are left for the last kill.
        team.until_done(kill * parts.saturating_sub(4) / kills);
        let which = random.below(3) as usize;
        servers[which].signal(libc::SIGKILL);
        servers[which].child.wait().unwrap();
        servers[which] = team.start(names[which], slow);
        killed.insert(which);
    }
    assert!(killed.len() > 1, "{killed:?}");
    servers.iter().for_each(|server| server.signal(libc::SIGTERM));
    let last = team.start("fourth", "");
    team.check(&last, &made);
    let tries = number(&team.cluster, "SELECT max(tries) FROM pinport.parts WHERE part > 0");
    assert!(tries > 1, "no part was taken over");
}

#[test]
fn a_frozen_server_loses_its_parts_and_disturbs_nothing() {
    let team = Team::new("json", json_objects);
    let slow = "rows_per_second = 1000\n";
    let servers = ["first", "second"].map(|name| team.start(name, slow));
    let made = team.create(&servers[0], &Value::Null);
    team.until_works(2);
    // The one that leads it.
    servers[0].signal(libc::SIGSTOP);
    let third = team.start("third", "");
    let ended = third.ended(&made.0, &made.1);
    servers[0].signal(libc::SIGCONT);
    servers[0].until_said("another server works on it");
    team.check(&third, &made);
    let again = servers[0].get(&format!("/v1/apps/{}/jobs/import/{}", made.0, made.1)).json();
    assert_eq!(again["TotalProcessed"], ended["TotalProcessed"]);
}

#[test]
fn a_database_that_crashes_gets_the_rest_of_all_parts() {
    let mut team = Team::new("json", json_objects);
    let servers = ["first", "second"].map(|name| team.start(name, "rows_per_second = 1500\n"));
    let made = team.create(&servers[0], &Value::Null);
    team.until_works(2);
    for _ in 0..2 {
        let (done, _) = team.done();
        team.cluster.crash();
        team.cluster.run();
        team.until_done(done + 1);
    }
    team.check(&servers[1], &made);
}

#[test]
fn a_standby_that_is_promoted_gets_the_parts_again_that_it_lost() {
    let mut team = Team::new("json", json_objects);
    team.url = format!("{}&lease=2", team.proxy.url());
    let servers = ["first", "second"].map(|name| team.start(name, "rows_per_second = 1500\n"));
    let standby = team.cluster.standby();
    let receivers = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
    until(&standby, receivers, |count| count == "1");
    let made = team.create(&servers[0], &Value::Null);
    team.until_works(2);
    until(&standby, "SELECT count(*) FROM pinport.parts WHERE state = 'done'", |count| count != "0");
    // From here on it receives nothing.
    standby.ask("ALTER SYSTEM SET primary_conninfo = ''");
    standby.ask("SELECT pg_reload_conf()");
    until(&standby, "SELECT count(*) FROM pg_stat_wal_receiver", |count| count == "0");
    let (done, _) = team.done();
    team.until_done(done + 3);
    let after = number(&standby, "SELECT count(*) FROM pinport.parts WHERE part > 0 AND state = 'done'");
    let (before, parts) = team.done();
    assert!(after < before && before < parts, "{after} of {before} of {parts}");
    team.proxy.lead_to("/nowhere".into());
    team.cluster.crash();
    standby.ask("SELECT pg_promote()");
    team.proxy.lead_to(standby.socket());
    team.check_in(&standby, &servers[1], &made);
}

#[test]
fn a_job_in_parts_is_paused_resumed_and_cancelled_everywhere() {
    let team = Team::new("json", json_objects);
    let slow = "rows_per_second = 1000\n";
    let servers = ["first", "second"].map(|name| team.start(name, slow));
    let (app, job) = team.create(&servers[0], &Value::Null);
    team.until_works(2);
    let control = |server: &Serving, what: &str| {
        let (status, said) = server.ask("POST", &format!("/pinport/v1/jobs/{job}/{what}"), None);
        assert!(status < 300, "{what}: {status} {said}");
    };
    control(&servers[1], "pause");
    until(
        &team.cluster,
        "SELECT count(*) FROM pinport.parts WHERE lease IS NOT NULL AND state = 'open'",
        |count| count == "0",
    );
    let rows = || number(&team.cluster, "SELECT count(*) FROM pinport.ops");
    let rested = rows();
    control(&servers[1], "resume");
    team.until_works(2);
    until(&team.cluster, "SELECT count(*) FROM pinport.ops", |count| count.parse::<u64>().unwrap() > rested);
    control(&servers[1], "cancel");
    let ended = servers.each_ref().map(|server| server.ended(&app, &job));
    assert_eq!(ended[0]["JobStatus"], "CANCELLED");
    assert_eq!(ended[0]["TotalProcessed"], ended[1]["TotalProcessed"]);
    // All that is stored is counted. No row of the sample's endpoints comes twice in a piece.
    let registered =
        ended[0]["TotalProcessed"].as_u64().unwrap() - ended[0]["TotalFailures"].as_u64().unwrap();
    assert_eq!(rows(), registered, "{}", ended[0]);
}

#[test]
fn a_failure_budget_is_of_all_parts_together() {
    let team = Team::new("json", json_objects);
    let slow = "rows_per_second = 2000\nmax_failures = 50\n";
    let servers = ["first", "second"].map(|name| team.start(name, slow));
    let (app, job) = team.create(&servers[0], &Value::Null);
    let ended = servers[1].ended(&app, &job);
    assert_eq!(ended["JobStatus"], "FAILED", "{ended}");
    assert!(ended["TotalFailures"].as_u64() > Some(50), "{ended}");
    let failures = servers[1].get(&format!("/pinport/v1/jobs/{job}/failures"));
    let lines = String::from_utf8_lossy(&failures.body).lines().count() as u64;
    assert_eq!(Some(lines), ended["TotalFailures"].as_u64(), "each is named");
    assert!(ended["TotalProcessed"].as_u64() < Some(20_000), "it was given up in the middle: {ended}");
}

#[test]
fn an_object_that_changes_is_lost_once_though_it_has_many_parts() {
    let team = Team::new("json", json_objects);
    let servers = ["first", "second"].map(|name| team.start(name, "rows_per_second = 5000\n"));
    // It has another version when the second part is read.
    team.objects.script(|ask: &Ask| match ask.is_of("1-large.json") && ask.before > 12 {
        true => Answer::Changed,
        false => Answer::Right,
    });
    let (app, job) = team.create(&servers[0], &Value::Null);
    let ended = servers[1].ended(&app, &job);
    assert_eq!((&ended["JobStatus"], &ended["FailedPieces"]), (&json!("FAILED"), &json!(1)), "{ended}");
    let failures = servers[1].get(&format!("/pinport/v1/jobs/{job}/failures"));
    let lost = String::from_utf8_lossy(&failures.body).matches("object_lost").count();
    assert_eq!(lost, 1);
}

#[test]
fn the_dashboard_shows_who_works_on_which_part() {
    let team = Team::new("json", json_objects);
    let servers = ["first", "second"].map(|name| team.start(name, "rows_per_second = 2000\n"));
    let made = team.create(&servers[0], &Value::Null);
    let port = |server: &Serving| server.url.rsplit_once(':').unwrap().1.to_owned();
    let names = |server: &Serving| -> BTreeSet<String> {
        let sample = team.lab.pinport(&["top", "--once", "--json", "--server", &server.url]).expect(0).json();
        let parts = sample["jobs"][0]["parts"].as_array().cloned().unwrap_or_default();
        parts
            .iter()
            .map(|part| part["server"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned())
            .collect()
    };
    let both: BTreeSet<_> = servers.iter().map(port).collect();
    for server in &servers {
        let deadline = Instant::now() + PATIENCE;
        while names(server) != both {
            assert!(Instant::now() < deadline, "{:?}", names(server));
        }
    }
    let text = team.lab.pinport(&["top", "--once", "--server", &servers[1].url]).expect(0).out;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("part "), "{text}");
    team.check(&servers[0], &made);
    // What was read is counted by the server that read it; of a part that had to wait, some is read twice.
    let parsed = |server: &Serving| -> u64 {
        let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
        let line = metrics.lines().find(|line| line.starts_with("pinport_records_total")).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64
    };
    let read = servers[0].get(&format!("/v1/apps/{}/jobs/import/{}", made.0, made.1)).json();
    let counted = servers.each_ref().map(parsed);
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
    let read = read["TotalProcessed"].as_u64().unwrap();
    assert!((read..2 * read).contains(&counted.iter().sum()), "{counted:?} of {read}");
}
