//! How a server is told what to do and tells how it is: the environment, SIGHUP, `config check`, `doctor`, logs in JSON,
//! systemd.

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{serving::Serving, support::*};

#[test]
fn every_option_may_be_a_variable_and_unknown_ones_are_refused() {
    let lab = Lab::new();
    lab.write("pinport.toml", "[jobs]\nmax_failures = 7\n");
    let check = |name: &str, value: &str| {
        lab.pinport(&["config", "check", "--listen", "127.0.0.1:0"]).env(name, value).run()
    };
    assert_eq!(check("PINPORT_JOBS_MAX_FAILURES", "5%").code, Some(0));
    check("PINPORT_HTTP_HEAD_SECONDS", "0").says(&["PINPORT_HTTP_HEAD_SECONDS: 0 is not from 1 to 3600"]);
    check("PINPORT_JOBS_MAX_RUNNING", "many").says(&["PINPORT_JOBS_MAX_RUNNING: invalid type"]);
    check("PINPORT_METRICS_TOKEN", "short-secret").says(&["PINPORT_METRICS_TOKEN", "16 to 256"]);
    let keys = "[{ id = \"KEY\", secret = \"short\" }]";
    check("PINPORT_KEYS", keys).says(&["PINPORT_KEYS: the secret of key \"KEY\" is too short"]);
    for command in [&["serve"][..], &["config", "check"], &["jobs", "ls"], &["sample", "--rows", "1"]] {
        let refused = lab.pinport(command).env("PINPORT_JOBS_MAX_RUNING", "3").expect(2);
        refused.says(&["PINPORT_JOBS_MAX_RUNING: did you mean PINPORT_JOBS_MAX_RUNNING?"]);
    }
    lab.pinport(&["sample", "--rows", "1"]).env("PINPORT_SERVICE_HOST", "10.0.0.1").expect(0);

    // The variable comes before the file.
    lab.write_sample("rows.json", "--rows 200 --bad 50%");
    let serve = lab.pinport(&["serve", "--local-root", lab.path("").to_str().unwrap()]);
    let server = Serving::spawn(serve.env("PINPORT_JOBS_MAX_FAILURES", "150")).unwrap();
    let job = server.import(&lab, "rows.json");
    let app = server.get("/v1/apps").json()["Item"][0]["Id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&app, &job)["JobStatus"], "COMPLETED");
}

#[test]
fn sighup_applies_what_it_can_and_says_what_it_cannot() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 200 --bad 50%");
    let server = Serving::start_with(&lab, "[log]\nfilter = \"pinport::none=info\"\n", &[]);
    let job = server.import(&lab, "rows.json");
    let app = server.get("/v1/apps").json()["Item"][0]["Id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&app, &job)["JobStatus"], "COMPLETED");
    assert!(!server.has_said("operation="), "{}", server.log());
    let new = "region = \"eu-west-1\"\n[jobs]\nmax_failures = 7\ndrain_seconds = 3\n[http]\nheaders = 32\n";
    lab.write("pinport.toml", new);
    server.signal(libc::SIGHUP);
    server
        .until_said("these changed options wait for a restart options=\"region, jobs.drain_seconds, http\"");
    assert!(
        server.has_said("changed options are in force options=\"jobs.max_failures, log.filter\""),
        "{}",
        server.log()
    );
    let job = server.import(&lab, "rows.json");
    assert_eq!(server.ended(&app, &job)["JobStatus"], "FAILED");
    server.until_said("operation=\"GetImportJob\"");
    // A file with a mistake changes nothing; what waits is told again, what is in force is not.
    lab.write("pinport.toml", "[jobs]\nmax_failures = \"none\"\nmax_running = 3\n");
    server.signal(libc::SIGHUP);
    server.until_said("(jobs.max_failures)");
    lab.write("pinport.toml", new);
    let before = server.log().len();
    server.signal(libc::SIGHUP);
    let mut more = String::new();
    while !more.contains("wait for a restart") {
        pause(std::time::Duration::from_millis(2));
        more = server.log()[before..].to_owned();
    }
    assert!(!more.contains("are in force"), "{more}");
}

/// Every line of the log is an object, whatever happens: also what a server says that does not start.
#[test]
fn a_log_in_json_has_nothing_else() {
    let lab = Lab::new();
    let lines = |text: &str| -> Vec<Value> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}")));
        lines.collect()
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    lab.write("json.toml", "[log]\nformat = \"json\"\n");
    let failed = lab.pinport(&["serve", "--listen", &taken, "--config", "json.toml"]).expect(2);
    let said = lines(&failed.err);
    assert!(said.last().unwrap()["error"].as_str().unwrap().contains("is in use"), "{said:?}");
    lab.write("bad.toml", "[jobs]\nmax_runing = 3\n");
    let failed = lab.pinport(&["serve", "--config", "bad.toml"]).env("PINPORT_LOG_FORMAT", "json").expect(2);
    assert!(lines(&failed.err)[0]["error"].as_str().unwrap().contains("max_runing"));
    // It says where it listens in its first line.
    let mut server = lab.pinport(&["serve", "--listen", "127.0.0.1:0", "--config", "json.toml"]).command;
    let mut child = server.stderr(Stdio::piped()).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
    let mut said = child.stderr.take().unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.contains('\n') {
        let read = said.read(&mut bytes).unwrap();
        assert!(read > 0, "{text}");
        text.push_str(str::from_utf8(&bytes[..read]).unwrap());
    }
    // SAFETY: the child was not waited for, so its id is its own.
    #[allow(unsafe_code, reason = "calls libc")]
    let sent = unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    assert_eq!(sent, 0);
    said.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let all = lines(&text);
    assert!(all[0]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{all:?}");
    assert_eq!(all.last().unwrap()["message"], "stopped");
}

#[test]
fn systemd_is_notified_of_start_life_and_end() {
    let lab = Lab::new();
    let path = lab.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut bytes = [0; 512];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let until = |words: &str| while !next().contains(words) {};
    lab.write("pinport.toml", "");
    let serve =
        lab.pinport(&["serve"]).env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "100000");
    let server = Serving::spawn(serve).unwrap();
    let first = next();
    assert_eq!(first, format!("READY=1\nSTATUS=listens on {}", server.url));
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    server.signal(libc::SIGHUP);
    until("RELOADING=1");
    until("READY=1");
    server.signal(libc::SIGTERM);
    until("STOPPING=1");
    server.wait(Some(0));
}

#[test]
fn a_check_tries_what_the_server_will_need() {
    let lab = Lab::new();
    let check = |configuration: &str| {
        lab.write("pinport.toml", configuration);
        let done = lab.pinport(&["config", "check"]).run();
        (done.code, String::from_utf8(done.out).unwrap())
    };
    let line = |out: &str, what: &str| {
        let found = out.lines().find(|line| line.split_whitespace().nth(1) == Some(what));
        found.unwrap_or_else(|| panic!("nothing of {what}: {out}")).to_owned()
    };
    let (code, out) = check("listen = \"127.0.0.1:0\"\n");
    assert_eq!(code, Some(0), "{out}");
    assert!(
        line(&out, "data").contains("is not there yet") && line(&out, "listen").starts_with("ok"),
        "{out}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let (code, out) = check(&format!("listen = \"{taken}\"\n"));
    assert_eq!(code, Some(1));
    assert!(
        line(&out, "listen").starts_with("WRONG") && line(&out, "listen").ends_with("by another program"),
        "{out}"
    );
    let (_, out) = check(&format!("listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"{taken}\"\n"));
    assert!(line(&out, "metrics").starts_with("WRONG"), "{out}");
    // Certificates that end soon, and that have ended.
    let made = |days: i64| {
        let mut of = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .cast_signed();
        let day = |days: i64| {
            rcgen::date_time_ymd(1970, 1, 1)
                + std::time::Duration::from_secs((now + days * 86_400 + 3600) as u64)
        };
        (of.not_before, of.not_after) = (day(-100), day(days));
        lab.write("server.crt", of.self_signed(&key).unwrap().pem());
        lab.write("server.key", key.serialize_pem());
        check("listen = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n")
    };
    let (code, out) = made(5);
    assert_eq!(code, Some(0), "{out}");
    assert!(line(&out, "certificate").starts_with("note") && out.contains("ends in 5 days"), "{out}");
    let (code, out) = made(-3);
    assert_eq!(code, Some(1), "{out}");
    assert!(line(&out, "certificate").starts_with("WRONG"), "{out}");
    assert!(line(&made(100).1, "certificate").starts_with("ok"));
    // Modes, and a folder that is none.
    let keys = lab.write("keys.toml", "[[keys]]\nid = \"KEY\"\nsecret = \"0123456789abcdef\"\n");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, out) = check("listen = \"127.0.0.1:0\"\nkeys_file = \"keys.toml\"\n");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("note   keys file") && out.contains("ok     keys         1"), "{out}");
    lab.write("data", "no folder");
    let (code, out) = check("listen = \"127.0.0.1:0\"\n");
    assert_eq!(code, Some(1), "{out}");
    assert!(line(&out, "data").contains("is no folder"), "{out}");
}

#[test]
fn the_doctor_looks_at_the_store_the_machine_and_the_sources() {
    let lab = Lab::new();
    lab.write("pinport.toml", "listen = \"127.0.0.1:0\"\n");
    let doctor = || {
        let done = lab.pinport(&["doctor"]).run();
        (done.code, String::from_utf8(done.out).unwrap())
    };
    let (code, out) = doctor();
    assert_eq!(code, Some(0), "{out}");
    for what in
        ["data", "open files", "disk", "disk speed", "clock", "store        there is none yet", "sources"]
    {
        assert!(out.contains(what), "{what}: {out}");
    }
    lab.write_sample("rows.json", "--rows 100");
    lab.import("rows.json", "json", &[]).expect(0);
    let (code, out) = doctor();
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("ok     store        ") && out.contains("files, "), "{out}");
    let server = Serving::start(&lab);
    let (_, out) = doctor();
    assert!(out.contains(&format!("the server at {} has it open and is ready", server.url)), "{out}");
    drop(server);
    // A bucket that cannot be reached, and one that can.
    lab.write("root/x.json", "{}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    lab.write(
        "pinport.toml",
        format!("listen = \"127.0.0.1:0\"\n[sources]\nunsigned = true\nendpoint = \"http://{closed}\"\nallow = [\"contacts/in/\"]\n"),
    );
    let (code, out) = doctor();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("WRONG  source       s3://contacts/in/"), "{out}");
}

/// The units in the examples, by systemd's own measure, where that is there.
#[test]
fn the_units_are_closed() {
    for name in ["pinport.service", "pinport@.service"] {
        let unit = format!("{TOP}/examples/{name}");
        let analyzed = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20", "--no-pager", &unit])
            .output();
        let Ok(analyzed) = analyzed else {
            eprintln!("skipped: there is no systemd-analyze");
            return;
        };
        let said = String::from_utf8_lossy(&analyzed.stdout).into_owned()
            + &String::from_utf8_lossy(&analyzed.stderr);
        if said.contains("unrecognized option") {
            eprintln!("skipped: this systemd-analyze does not know --offline");
            return;
        }
        assert!(analyzed.status.success(), "{name}: {said}");
        // It hears of the server what the server sends.
        let text = fs::read_to_string(&unit).unwrap();
        for line in ["Type=notify", "WatchdogSec=60", "NotifyAccess=main"] {
            assert!(text.lines().any(|found| found == line), "{name}: {line}");
        }
    }
}
