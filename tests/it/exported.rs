//! Exports as they are seen from outside: asked for, waited for, and what they wrote.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{serving::Serving, sink_store::SinkStore, support::*};

/// Everything that was exported: the names of the files and what is in them, the folder's own name left out.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl Serving {
    pub(crate) fn export(&self, app: &str, body: &Value) -> String {
        let reply =
            self.send("POST", &format!("/v1/apps/{app}/jobs/export"), "", body.to_string().as_bytes());
        let reply = reply.unwrap();
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    /// An export job when it has one of these states.
    #[track_caller]
    pub(crate) fn export_until(&self, app: &str, job: &str, is: impl Fn(&Value) -> bool) -> Value {
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
    pub(crate) fn export_ended(&self, app: &str, job: &str) -> Value {
        let ends = ["COMPLETED", "FAILED", "CANCELLED"].map(Value::from);
        self.export_until(app, job, |job| ends.contains(&job["JobStatus"]))
    }
}

/// A data folder with these rows in a segment `s`, and the id of its application.
pub(crate) fn imported(lab: &Lab, rows: &[u8]) -> String {
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
pub(crate) fn records(files: &Files) -> Vec<Value> {
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
pub(crate) fn in_folder(target: &Path) -> Files {
    let folder = fs::read_dir(target).unwrap().next().unwrap().unwrap().path();
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// The files of the one export in a bucket.
pub(crate) fn in_bucket(store: &SinkStore) -> Files {
    let kept = store.kept();
    let own = kept.objects.iter().filter(|(key, _)| key.starts_with("bucket/out/"));
    own.map(|(key, body)| (key.rsplit('/').next().unwrap().to_owned(), body.clone())).collect()
}

/// The members as they are printed, by id.
pub(crate) fn members(lab: &Lab) -> Vec<Value> {
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
pub(crate) fn same_endpoints(exported: Vec<Value>, stored: Vec<Value>) {
    assert_eq!(exported.len(), stored.len());
    for (one, other) in exported.into_iter().zip(stored) {
        assert_eq!(comparable(one), comparable(other));
    }
}
