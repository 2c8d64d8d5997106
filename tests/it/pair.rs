//! Two servers on one database, for tests that kill, freeze and cut off one of them. What the job came to must be what one
//! server comes to that nobody disturbed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{cluster::Cluster, fault_store::FaultStore, pg_proxy::PgProxy, serving::Serving, support::*};

/// What the servers import.
pub(crate) const SAMPLE: &str = "--rows 20000 --bad 1% --updates 3% --format json --seed 7";

/// A database with pinport's tables; the URL has a lease that a test can wait for.
pub(crate) fn database(lab: &Lab) -> (Cluster, String) {
    let cluster = Cluster::start();
    let url = format!("{}?lease=5", cluster.url());
    lab.pinport(&["store", "init", "--store-url", &url]).expect(0);
    (cluster, url)
}

/// `pinport serve` on a database, with a data folder of its own.
pub(crate) fn serve(lab: &Lab, data: &str, url: &str, configuration: &str) -> Run {
    let configuration = lab.write(&format!("{data}.toml"), configuration);
    let root = lab.path("");
    let serve =
        ["serve", "--config", configuration.to_str().unwrap(), "--local-root", root.to_str().unwrap()];
    lab.pinport_with(data, &serve).env("PINPORT_STORE_URL", url)
}

/// Starts it.
pub(crate) fn start(lab: &Lab, data: &str, url: &str, configuration: &str) -> Serving {
    spawn(serve(lab, data, url, configuration))
}

pub(crate) fn spawn(serve: Run) -> Serving {
    Serving::spawn(serve).unwrap_or_else(|log| panic!("it does not say where it listens: {log}"))
}

/// Waits until a statement answers so.
pub(crate) fn until(cluster: &Cluster, sql: &str, is_it: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = cluster.ask(sql);
        if is_it(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {answer}");
        pause(Duration::from_millis(5));
    }
}

/// A number that a statement answers.
pub(crate) fn number(cluster: &Cluster, sql: &str) -> u64 {
    cluster.ask(sql).parse().unwrap()
}

/// How many pieces of jobs are committed.
pub(crate) const PIECES: &str = "SELECT count(*) FROM pinport.pieces";

/// Waits until so many pieces more are committed.
pub(crate) fn until_more(cluster: &Cluster, pieces: u64) {
    let before = number(cluster, PIECES);
    until(cluster, PIECES, |count| count.parse::<u64>().unwrap() >= before + pieces);
}

/// Operands that are there twice: what two servers that both commit a piece leave behind.
pub(crate) fn duplicates(cluster: &Cluster) -> u64 {
    let twice = "SELECT count(*) FROM (SELECT FROM pinport.ops GROUP BY space, id, job, part, piece HAVING count(*) > 1) d";
    number(cluster, twice)
}

/// Checks what is stored against what the sample counts, and that no operand is there twice.
pub(crate) fn check_counts(lab: &Lab, cluster: &Cluster, sample: &str, ended: &Value) {
    let tally = lab.sample_tally(sample);
    assert_eq!(ended["JobStatus"], "COMPLETED", "{ended}");
    assert_eq!(ended["TotalProcessed"], tally["read"], "{ended}");
    assert_eq!(ended["TotalFailures"], tally["failed"], "{ended}");
    assert_eq!(duplicates(cluster), 0);
    let ids = cluster.ask("SELECT count(DISTINCT id) FROM pinport.ops");
    assert_eq!(ids, tally["endpoints"].to_string());
}

/// How a pair is set up.
#[derive(Clone)]
pub(crate) struct Setting {
    /// What is imported.
    pub(crate) sample: &'static str,
    /// Lines of the second server's section of jobs.
    pub(crate) second: &'static str,
    /// Seconds of a lease.
    pub(crate) lease: u32,
    /// Records a second that the first server reads.
    pub(crate) rate: u32,
    /// Which of the two go through the pair's proxy.
    pub(crate) proxied: [bool; 2],
    /// Where the proxy listens.
    pub(crate) proxy: IpAddr,
    /// A variable of each server's environment.
    pub(crate) variables: [Option<(&'static str, String)>; 2],
}

impl Default for Setting {
    fn default() -> Self {
        let (proxied, variables) = Default::default();
        let proxy = Ipv4Addr::LOCALHOST.into();
        Self { sample: SAMPLE, second: "", lease: 5, rate: 10_000, proxied, proxy, variables }
    }
}

/// Two servers on one database, each with a data folder of its own, and an import that the first of them works on slowly.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) cluster: Cluster,
    pub(crate) first: Serving,
    pub(crate) second: Serving,
    pub(crate) proxy: PgProxy,
    pub(crate) app: String,
    pub(crate) job: String,
    pub(crate) url: String,
    /// What each configuration has at its end.
    pub(crate) sources: String,
    sample: &'static str,
    _objects: FaultStore,
}

impl Pair {
    pub(crate) fn start(setting: Setting) -> Self {
        let Setting { sample, second, lease, rate, proxied, proxy, variables } = setting;
        let lab = Lab::new();
        let (cluster, url) = database(&lab);
        let url = url.replace("lease=5", &format!("lease={lease}"));
        let proxy = PgProxy::start(cluster.socket(), proxy);
        let url_of = |proxied| match proxied {
            true => format!("{}&lease={lease}", proxy.url()),
            false => url.clone(),
        };
        let run = |at: usize, configuration: &str| {
            let run = serve(&lab, ["first", "second"][at], &url_of(proxied[at]), configuration);
            match &variables[at] {
                Some((name, value)) => run.env(name, value),
                None => run,
            }
        };
        let objects = FaultStore::start(BTreeMap::from([("a.json".to_owned(), lab.sample(sample))]));
        let sources = format!(
            "[sources]\nendpoint = \"{}\"\naccess_key_id = \"AKTEST\"\nsecret_access_key = \"canary\"\n",
            objects.url()
        );
        let first = spawn(run(0, &format!("[jobs]\npiece_kib = 64\nrows_per_second = {rate}\n{sources}")));
        let app = first.app("shop");
        let body = json!({
            "Format": "JSON", "RoleArn": "role", "DefineSegment": true, "SegmentName": "all", "S3Url": "s3://bucket/",
        });
        let created = first.post(&format!("/v1/apps/{app}/jobs/import"), &body);
        let job = created["Id"].as_str().unwrap().to_owned();
        until_more(&cluster, 4);
        let second = spawn(run(1, &format!("[jobs]\npiece_kib = 64\n{second}{sources}")));
        Self { lab, cluster, first, second, proxy, app, job, url, sources, sample, _objects: objects }
    }

    pub(crate) fn job_of(&self, server: &Serving) -> Value {
        server.get(&format!("/v1/apps/{}/jobs/import/{}", self.app, self.job)).json()
    }

    /// What the job came to, told by one of the servers, is what a single run comes to.
    pub(crate) fn check(&self, server: &Serving) {
        let ended = server.ended(&self.app, &self.job);
        self.check_in(&self.cluster, server, &ended);
    }

    /// The same in a database that is the pair's by now.
    pub(crate) fn check_in(&self, cluster: &Cluster, server: &Serving, ended: &Value) {
        check_counts(&self.lab, cluster, self.sample, ended);
        self.lab.write_sample("in/a.json", self.sample);
        let run = ["--app", "shop", "--segment", "all"];
        self.lab.import_with("folder", self.lab.path("in/a.json").to_str().unwrap(), "json", &run).expect(3);
        let failures = |job: &Value| {
            let failures = job["Failures"].as_array().unwrap().clone();
            failures
                .iter()
                .map(|failure| failure.as_str().unwrap().split_once(" line ").unwrap().1.to_owned())
                .collect::<Vec<_>>()
        };
        let alone = Serving::start_in(&self.lab, "folder", "");
        let apps = alone.get("/v1/apps").json();
        let app = apps["Item"][0]["Id"].as_str().unwrap();
        let jobs = alone.get(&format!("/v1/apps/{app}/jobs/import")).json();
        let id = jobs["Item"][0]["Id"].as_str().unwrap();
        let one = alone.get(&format!("/v1/apps/{app}/jobs/import/{id}")).json();
        assert_eq!(failures(ended), failures(&one));
        let rejects =
            |server: &Serving, job: &str| server.get(&format!("/pinport/v1/jobs/{job}/rejects")).body;
        assert!(rejects(server, &self.job) == rejects(&alone, id), "the rejects are others");
        let segment = ended["Definition"]["SegmentId"].as_str().unwrap();
        let size = |server: &Serving, app: &str, segment: &str| {
            server.get(&format!("/v1/apps/{app}/segments/{segment}")).json()["ImportDefinition"]["Size"]
                .clone()
        };
        let other = one["Definition"]["SegmentId"].as_str().unwrap();
        assert_eq!(size(server, &self.app, segment), size(&alone, app, other));
    }
}
