//! Commands that ask a server: imports by upload, jobs, segments and endpoints, with the same words and exit codes
//! as with a data folder.

use serde_json::Value;

use crate::{serving::Serving, support::*};

fn at<'a>(server: &'a Serving, arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--server", &server.url]].concat()
}

fn import<'a>(lab: &Lab, server: &'a Serving, file: &'a str, more: &[&'a str]) -> Run {
    lab.pinport(&at(server, &["import", file, "--format", "json", "--app", "shop", "--json"])).args(more)
}

/// All failures of a job are searched, by the command and through the API in pages.
#[test]
fn failures_are_searched_where_they_are() {
    let lab = Lab::new();
    lab.write_sample("in/rows.json", "--rows 30000 --bad 10%");
    let server = Serving::start(&lab);
    let job = server.import(&lab, "in/rows.json");
    lab.pinport(&at(&server, &["jobs", "wait", &job, "--quiet"])).expect(3);
    let path = format!("/pinport/v1/jobs/{job}/failures");
    let all = lines(&server.get(&path).body);
    assert!(all.len() > 2500, "more than one page of the dashboard: {}", all.len());
    let last = all.last().unwrap();
    // The last of them, by words in another order and case.
    let words = format!("ROWS.json \"line {}", last["line"]).replace('"', "");
    let found = lab.pinport(&at(&server, &["jobs", "failures", &job, "--search", &words])).expect(0);
    assert!(lines(&found.out).contains(last), "{words}");
    let nothing = lab.pinport(&at(&server, &["jobs", "failures", &job, "--search", "no such words"]));
    assert!(nothing.expect(0).out.is_empty());

    // Pages give the same as the whole.
    let pages = |narrowed: &str| {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{path}?page-size=70&{narrowed}&token={token}"));
            assert_eq!(page.status, 200);
            let part = lines(&page.body);
            assert!(part.len() <= 70);
            found.extend(part);
            match page.head.lines().find_map(|line| line.strip_prefix("x-pinport-next-token: ")) {
                Some(next) => token = next.to_owned(),
                None => return found,
            }
        }
    };
    assert_eq!(pages("search="), all);
    let of_code: Vec<_> = all.iter().filter(|failure| failure["code"] == "wrong_type").cloned().collect();
    assert!(!of_code.is_empty() && of_code.len() < all.len());
    assert_eq!(pages("code=wrong_type"), of_code);
    let of_member = pages("member=ChannelType&search=pigeon");
    assert!(!of_member.is_empty());
    assert!(of_member.iter().all(|failure| failure["member"] == "ChannelType"));
    for wrong in ["code=none", "token=1", "token=x", "page-size=0"] {
        assert_eq!(server.get(&format!("{path}?{wrong}")).status, 400, "{wrong}");
    }

    // The same of a data folder that no server has open.
    server.stop();
    let local = lab.pinport(&["jobs", "failures", &job, "--search", &words, "--data", "data"]).run();
    assert_eq!(local.out, found.out, "{}", local.err);
}

#[test]
fn an_uploaded_file_gives_what_an_import_gives() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 3000 --bad 2%");
    let server = Serving::start(&lab);
    let served = import(&lab, &server, "rows.json", &["--segment", "all"]).expect(3).json();
    let own = ["import", "rows.json", "--format", "json", "--app", "shop", "--json", "--segment", "all"];
    let own = lab.pinport_with("own", &own).expect(3).json();
    assert_eq!(counts(&served), counts(&own));
    assert_eq!(codes(&served), codes(&own));
    for name in ["JobStatus", "Objects", "Bytes", "SourceBytes", "CompletedPieces", "TotalPieces", "Warnings"]
    {
        assert_eq!(served[name], own[name], "{name}");
    }
    assert_eq!(served["Definition"]["S3Url"], "upload:rows.json");

    // The segment and its endpoints are the same but for what a job gives its own: time and application.
    let members = lab.pinport(&at(&server, &["segment", "members", "all", "--app", "shop"])).expect(0);
    let own_members = lab.pinport_with("own", &["segment", "members", "all", "--app", "shop"]).expect(0);
    let (members, own_members) = (masked(&members.out, &served), masked(&own_members.out, &own));
    same_lines(&members, &own_members, "the members");
    let member: Value = serde_json::from_str(members.lines().next().unwrap()).unwrap();
    let id = member["Id"].as_str().unwrap();
    let endpoint = lab.pinport(&at(&server, &["endpoint", "get", id, "--app", "shop"])).expect(0);
    assert_eq!(masked(&endpoint.out, &served).trim_end(), members.lines().next().unwrap());
    let listed = lab.pinport(&at(&server, &["segment", "ls", "--app", "shop", "--json"])).expect(0);
    let listed = lines(&listed.out);
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["name"], &listed[0]["current"]["size"]), (&"all".into(), &served["Registered"]));

    // Every failed record, and its bytes, which fail again.
    let failures = lab.pinport(&at(&server, &["jobs", "failures", "last"])).expect(0);
    assert_eq!(lines(&failures.out).len() as u64, served["Failed"].as_u64().unwrap());
    let rejects = lab.pinport(&at(&server, &["jobs", "rejects", "last"])).expect(0);
    lab.write("rejects.json", &rejects.out);
    let again = import(&lab, &server, "rejects.json", &[]).expect(3).json();
    assert_eq!(again["Failed"], again["TotalProcessed"]);

    // Standard input, twice the same: nothing is doubled.
    for _ in 0..2 {
        let rows = lab.sample("--rows 500");
        import(&lab, &server, "-", &["--segment", "piped"]).input(rows).expect(0);
    }
    let piped = lab.pinport(&at(&server, &["segment", "members", "piped", "--app", "shop"])).expect(0);
    assert_eq!(lines(&piped.out).len(), 500);
    let first = ["segment", "members", "piped", "--app", "shop", "--version", "1"];
    assert_eq!(lines(&lab.pinport(&at(&server, &first)).expect(0).out).len(), 500);
    let none = ["segment", "members", "piped", "--app", "shop", "--version", "9"];
    lab.pinport(&at(&server, &none)).expect(1).says(&["no version \"9\""]);

    // What is not there is told as it is with a data folder.
    lab.pinport(&at(&server, &["segment", "members", "none", "--app", "shop"])).expect(1).says(&["segment"]);
    lab.pinport(&at(&server, &["segment", "ls", "--app", "none"])).expect(1).says(&["application"]);
    lab.pinport(&at(&server, &["endpoint", "get", "none", "--app", "shop"])).expect(1).says(&["endpoint"]);
    lab.pinport(&at(&server, &["jobs", "show", "ffff"])).expect(1).says(&["there is no job"]);
    import(&lab, &server, "none.json", &[]).expect(1).says(&["failed to read none.json"]);
    lab.write("folder/a.json", "{}");
    import(&lab, &server, "folder", &[]).expect(2).says(&["is a folder", "local_root"]);
    for flag in [&["--check"][..], &["--fresh"], &["--limit", "max_value=5"]] {
        import(&lab, &server, "rows.json", flag).expect(2).says(&[flag[0], "data folder"]);
    }
}

#[test]
fn a_server_reads_what_a_url_names_and_budgets_hold() {
    let lab = Lab::new();
    let file = lab.write_sample("in/rows.json", "--rows 2000 --bad 5%");
    let server = Serving::start(&lab);
    let url = format!("file://{}", file.parent().unwrap().display());
    for _ in 0..2 {
        import(&lab, &server, &url, &["--segment", "all"]).expect(3);
    }
    let listed = lab.pinport(&at(&server, &["segment", "ls", "--app", "shop", "--json"])).expect(0);
    let listed = lines(&listed.out);
    assert_eq!((listed.len(), &listed[0]["current"]["version"]), (1, &2.into()));
    import(&lab, &server, &url, &["--max-failures", "1"]).expect(2).says(&["its own budget"]);
    import(&lab, &server, "file:///nowhere", &[]).expect(1).says(&["refused (400)", "/nowhere"]);
    let over = import(&lab, &server, "in/rows.json", &["--max-failures", "1%"]).expect(4).json();
    assert_eq!(over["JobStatus"], "FAILED");

    let jobs = lines(&lab.pinport(&at(&server, &["jobs", "ls", "--json", "--limit", "2"])).expect(0).out);
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0]["id"], over["Id"]);
    let text = lab.pinport(&at(&server, &["jobs", "ls"])).expect(0).out;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("FAILED") && text.contains("upload:rows.json"), "{text}");
    let id = over["Id"].as_str().unwrap();
    let shown = lab.pinport(&at(&server, &["jobs", "show", &id[..31]])).expect(0).out;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(id) && shown.contains("pinport jobs failures"), "{shown}");
    let shown = lab.pinport(&at(&server, &["jobs", "show", "last", "--json"])).expect(0).json();
    assert_eq!((&shown["Id"], &shown["Failed"]), (&over["Id"], &over["Failed"]));
    // Who waits for an ended job hears at once what an import would have said.
    let waited = lab.pinport(&at(&server, &["jobs", "wait", "last"])).expect(4);
    waited.says(&["FAILED: upload:rows.json", "failure budget"]);
    lab.pinport(&at(&server, &["jobs", "cancel", "last"])).expect(1).says(&["refused (409)", "has ended"]);
}

/// A job that takes long enough to be stopped: the server reads rows for seconds.
#[test]
fn running_jobs_are_paused_resumed_cancelled_and_waited_for() {
    let lab = Lab::new();
    lab.write_sample("in/rows.json", "--rows 400000");
    let server = Serving::start_with(&lab, "[jobs]\npiece_kib = 512\n[engine]\nthreads = 1\n", &[]);
    let job = server.import(&lab, "in/rows.json");
    let ask = |what: &str| lab.pinport(&at(&server, &["jobs", what, &job, "--json"]));
    assert_eq!(ask("pause").expect(0).json()["paused"], true);
    lab.pinport(&at(&server, &["jobs", "ls"])).expect(0);
    let waiting = ask("wait").start();
    assert_eq!(ask("resume").expect(0).json()["paused"], false);
    lab.pinport(&at(&server, &["jobs", "resume", &job])).expect(1).says(&["is not paused"]);
    let cancelled = ask("cancel").expect(0).json();
    let status = cancelled["progress"]["status"].as_str().unwrap();
    assert!(["CANCELLING", "CANCELLED"].contains(&status), "{status}");
    let waited = waiting.wait();
    assert_eq!(waited.code, Some(5), "{}", waited.err);
    let outcome = waited.json();
    assert_eq!(outcome["JobStatus"], "CANCELLED");
    let (read, registered, failed) = counts(&outcome);
    assert!(read == registered + failed && read < 400_000, "{read}");
}

#[test]
fn a_signal_cancels_what_import_follows() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 400000");
    let server = Serving::start_with(&lab, "[jobs]\npiece_kib = 512\n[engine]\nthreads = 1\n", &[]);
    let running = import(&lab, &server, "rows.json", &[]).start();
    let begun = || {
        let (_, jobs) = server.ask("GET", "/pinport/v1/jobs", None);
        let jobs: Value = serde_json::from_str(&jobs).unwrap();
        jobs["jobs"][0]["progress"]["pieces_done"].as_u64().is_some_and(|pieces| pieces > 0)
    };
    assert!(running.until(begun));
    running.signal(libc::SIGINT);
    let stopped = running.wait();
    assert_eq!(stopped.code, Some(5), "{}", stopped.err);
    assert_eq!(stopped.json()["JobStatus"], "CANCELLED");
}

#[test]
fn uploads_are_signed_over_tls() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 300");
    let server = Serving::start_tls(
        &lab,
        "auto_create_apps = true\n[[keys]]\nid = \"ITKEY\"\nsecret = \"it-secret-0123456789\"\n",
    );
    let signed = |run: Run| {
        run.env("AWS_ACCESS_KEY_ID", "ITKEY")
            .env("AWS_SECRET_ACCESS_KEY", "it-secret-0123456789")
            .env("PINPORT_CA", "server.crt")
            .env("PINPORT_SERVER", &server.url)
    };
    for input in ["rows.json", "-"] {
        let run = lab.pinport(&[
            "import",
            input,
            "--format",
            "json",
            "--app",
            "a b/ü",
            "--segment",
            "s/1",
            "--json",
        ]);
        let done = signed(run.input(lab.sample("--rows 300"))).expect(0).json();
        assert_eq!(counts(&done), (300, 300, 0));
    }
    let members = signed(lab.pinport(&["segment", "members", "s/1", "--app", "a b/ü"])).expect(0).out;
    assert_eq!(lines(&members).len(), 300);
    signed(lab.pinport(&["jobs", "wait", "last"])).expect(0).says(&["imported upload:stdin"]);
    lab.pinport(&["jobs", "ls"])
        .env("PINPORT_CA", "server.crt")
        .env("PINPORT_SERVER", &server.url)
        .expect(1)
        .says(&["wants signed requests"]);
}

#[test]
fn a_folder_on_the_command_line_is_meant_whatever_server_the_environment_names() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 10");
    lab.import("rows.json", "json", &[]).expect(0);
    // No one listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    let elsewhere = |arguments: &[&str]| lab.pinport(arguments).env("PINPORT_SERVER", &closed);
    let data = lab.path("data");
    let named = ["jobs", "ls", "--json", "--data", data.to_str().unwrap()];
    assert_eq!(lines(&elsewhere(&named).expect(0).out).len(), 1);
    let named = ["segment", "ls", "--json", "--data", data.to_str().unwrap()];
    elsewhere(&named).expect(0);
    // Without one, the server is meant, although the environment names a folder, too.
    elsewhere(&["jobs", "ls"]).expect(1).says(&[&closed]);
    let both = [&named[..], &["--server", &closed]].concat();
    lab.pinport(&both).expect(2).says(&["--data", "--server", "only one"]);
}

/// A body of any size goes to the job's folder as it comes.
#[test]
fn an_upload_is_never_held_in_memory() {
    const RECORDS: usize = 400;
    let lab = Lab::new();
    let server = Serving::start_with(&lab, "[engine]\nthreads = 1\nmemory_mib = 64\n", &[]);
    let mut body = Vec::new();
    for number in 0..RECORDS {
        // What is between the members costs little to read.
        let space = " ".repeat(900_000);
        body.extend(
            format!("{{\"Id\":\"{number}\",{space}\"Address\":\"a\",\"ChannelType\":\"SMS\"}}\n").bytes(),
        );
    }
    let path = "/pinport/v1/apps/shop/uploads?format=json&name=large.json";
    let made = server.send("POST", path, "", &body).unwrap();
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let done = lab.pinport(&["jobs", "wait", &id, "--json", "--server", &server.url]).expect(0).json();
    assert_eq!(counts(&done), (RECORDS as u64, RECORDS as u64, 0));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    eprintln!("an upload of {} MiB: {} MiB at most", body.len() >> 20, peak >> 10);
    assert!(peak << 10 < body.len() / 2, "{peak} kB");
}

/// Whoever works on the server's machine need not know where it listens.
#[test]
fn commands_find_the_server_of_a_data_folder() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 30");
    let server = Serving::start(&lab);
    import(&lab, &server, "rows.json", &["--segment", "all"]).expect(0);
    let jobs = lines(&lab.pinport(&["jobs", "ls", "--json"]).expect(0).out);
    assert_eq!(jobs.len(), 1);
    let id = jobs[0]["id"].as_str().unwrap();
    lab.pinport(&["jobs", "show", &id[24..]]).expect(0);
    let members = lab.pinport(&["segment", "members", "all", "--app", "shop"]).expect(0);
    assert_eq!(lines(&members.out).len(), 30);
    assert_eq!(lines(&lab.pinport(&["segment", "ls", "--app", "shop", "--json"]).expect(0).out).len(), 1);
    let member = lines(&members.out)[0]["Id"].as_str().unwrap().to_owned();
    lab.pinport(&["endpoint", "get", &member, "--app", "shop"]).expect(0);
    // Who writes into the folder is told as before.
    lab.import("rows.json", "json", &[]).expect(1).says(&["process"]);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    for short in
        [address.clone(), address.replace("127.0.0.1", "localhost"), address.replace("127.0.0.1", "")]
    {
        lab.pinport(&["jobs", "ls", "--server", &short]).expect(0);
    }
    // A server that was killed leaves its address, which no one follows.
    server.signal(libc::SIGKILL);
    server.wait(None);
    let jobs = lines(&lab.pinport(&["jobs", "ls", "--json"]).expect(0).out);
    assert_eq!(jobs[0]["Id"], id);
}

#[test]
fn a_wait_may_have_an_end_and_be_quiet() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 30");
    let server = Serving::start(&lab);
    let quiet = import(&lab, &server, "rows.json", &["--quiet"]).expect(0);
    assert_eq!(quiet.err, "", "with --json there is one object, and nothing else");
    lab.pinport(&at(&server, &["jobs", "pause", "last"])).expect(1);
    let wait = |more: &[&str]| lab.pinport(&at(&server, &[&["jobs", "wait", "last"], more].concat()));
    assert_eq!(wait(&["--quiet", "--timeout", "1m"]).expect(0).err, "");
    wait(&["--timeout", "soon"]).expect(2).says(&["90s"]);
    // A job whose source says nothing does not end.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    server.stop();
    let server =
        Serving::start_with(&lab, &format!("[sources]\nendpoint = \"{endpoint}\"\nunsigned = true\n"), &[]);
    let app = server.app("quiet");
    let body = serde_json::json!({
        "Format": "JSON", "S3Url": "s3://bucket/key.json", "RoleArn": "arn:aws:iam::000000000000:role/x",
        "RegisterEndpoints": true, "DefineSegment": false,
    });
    server.post(&format!("/v1/apps/{app}/jobs/import"), &body);
    let wait = lab.pinport(&at(&server, &["jobs", "wait", "last", "--timeout", "1s"]));
    wait.expect(6).says(&["has not ended after 1 s; it goes on"]);
}

#[test]
fn the_format_is_detected_from_name_or_content() {
    let lab = Lab::new();
    let json = lab.sample("--rows 20");
    let csv = lab.sample("--rows 20 --format csv");
    lab.write("a.json", &json);
    lab.write("b.csv", &csv);
    lab.write("plain", &json);
    lab.write("table", &csv);
    lab.write("folder/one.csv", &csv);
    lab.write("folder/two.csv.gz", gzip(&[&csv]));
    lab.write("both/one.csv", &csv);
    lab.write("both/two.json", &json);
    for source in ["a.json", "b.csv", "plain", "table", "folder"] {
        let done = lab.pinport(&["import", source, "--json", "--app", source]).expect(0).json();
        let rows = if source == "folder" { 40 } else { 20 };
        assert_eq!(done["TotalProcessed"], rows, "{source}");
    }
    lab.pinport(&["import", "both"]).expect(2).says(&["side by side", "--format csv"]);
    for (input, app) in [(&json, "piped"), (&gzip(&[&csv]), "packed")] {
        let done =
            lab.pinport(&["import", "-", "--json", "--app", app]).input(input.clone()).expect(0).json();
        assert_eq!(done["TotalProcessed"], 20, "{app}");
    }
    for format in [&["--format", "csv"][..], &[]] {
        let empty = lab.pinport(&["import", "-"]).args(format).input([]).expect(1);
        empty.says(&["standard input", "it is empty", "check whether what writes it is done"]);
    }
    assert_eq!(lab.pinport(&["import", "a.json", "--quiet", "--app", "quiet"]).expect(0).err, "");
    lab.write("bad.json", [&json[..], b"{}\n"].concat());
    lab.pinport(&["import", "bad.json", "--quiet"]).expect(3).says(&["1 failed"]);
    let server = Serving::start_in(&lab, "served", "");
    for source in ["a.json", "plain", "table"] {
        lab.pinport(&at(&server, &["import", source, "--json"])).expect(0);
    }
}
