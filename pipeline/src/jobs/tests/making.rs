//! How jobs are made: of a request that may come twice, of an upload, and of mistakes none.

use super::*;

#[test]
fn the_same_request_finds_its_job_also_after_a_restart() {
    let house = House::new();
    let url = house.file("a.json", 3);
    let request = |fingerprint: &str| NewJob { request: Some(fingerprint.into()), ..new_job(url.clone()) };
    let stopped = house.jobs(0);
    let first = stopped.create(request("one")).unwrap();
    let again = stopped.create(request("one")).unwrap();
    assert_eq!((again.job.id, again.new), (first.job.id, false));
    let jobs = house.jobs(2);
    assert_eq!(jobs.create(request("one")).unwrap().job.id, first.job.id);
    assert_ne!(jobs.create(request("two")).unwrap().job.id, first.job.id);
    assert_eq!(house.store.jobs(None, None, 10).unwrap().len(), 2);
}

#[test]
fn two_tries_at_once_make_one_job() {
    let house = House::new();
    let url = house.file("a.json", 3);
    let jobs = house.jobs(0);
    let tries = std::thread::scope(|scope| {
        let try_it = || {
            let new = NewJob { request: Some("one".into()), ..new_job(url.clone()) };
            jobs.create(new).unwrap().job.id
        };
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(try_it)).collect();
        tries.into_iter().map(|handle| handle.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(tries.iter().all(|id| *id == tries[0]), "{tries:?}");
    assert_eq!(house.store.jobs(None, None, 10).unwrap().len(), 1);
}

#[test]
fn mistakes_of_the_caller_make_no_job() {
    let house = House::new();
    let jobs = house.jobs(2);
    std::fs::write(house.root().join("c.csv"), "Name\nx\n").unwrap();
    let csv = NewJob { format: Format::Csv, ..new_job(format!("file://{}/c.csv", house.root().display())) };
    let neither =
        NewJob { register_endpoints: false, define_segment: false, ..new_job(house.file("a.json", 1)) };
    let segment =
        NewJob { segment: Some(SegmentId::from_bytes([3; 16])), ..new_job(house.file("a.json", 1)) };
    for (new, told) in [
        (csv, "the header has none of the columns"),
        (neither, "both false"),
        (segment, "there is no segment"),
        (new_job("file:///etc/passwd".into()), "is not below the folder"),
        (new_job("http://x/y".into()), "S3Url"),
        (new_job("contacts".into()), "is no URL"),
        (new_job("s3://bucket/key".into()), "no credentials"),
    ] {
        let error = jobs.create(new).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(house.store.jobs(None, None, 10).unwrap().is_empty());
}

#[test]
fn an_upload_is_a_job_or_nothing() {
    let house = House::new();
    let jobs = house.jobs(2);
    let dropped = jobs.begin_upload(Format::Json, None).unwrap();
    std::fs::write(dropped.file(), "{").unwrap();
    let folder = jobs.folder(dropped.job());
    drop(dropped);
    assert!(!folder.exists());

    let upload = jobs.begin_upload(Format::Json, None).unwrap();
    let line = r#"{"Id":"e","Address":"a","ChannelType":"SMS"}"#;
    std::fs::write(upload.file(), format!("{line}\nnothing\n")).unwrap();
    sync_upload(&upload).unwrap();
    let file = upload.file().to_owned();
    let new = NewJob { upload: Some(upload), role_arn: None, ..new_job("upload:mine.json".into()) };
    let id = jobs.create(new).unwrap().job.id;
    assert!(jobs.wait(id, LONG));
    let seen = jobs.seen(id).unwrap().unwrap();
    assert_eq!((seen.job.tally.registered, seen.job.tally.failed), (1, 1));
    let failure = jobs.failures(&seen).unwrap()[0].to_string();
    assert!(failure.starts_with("upload:mine.json line 2 "), "{failure}");
    assert!(!file.exists(), "the file is not kept when the job has ended");

    // A crash during an upload leaves a folder without a job.
    let left = jobs.begin_upload(Format::Json, None).unwrap();
    let folder = jobs.folder(left.job());
    std::mem::forget(left);
    drop(house.jobs(0));
    assert!(!folder.exists());
}
