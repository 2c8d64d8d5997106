//! One tenant cannot hurt the others: attacks in small on the real server. `scripts/torture --only tenants` has them large.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
use crate::attacker::{Attacker, Cage, descriptors, is_in_memory, is_torture, refusing_slowly};
use crate::{serving::Serving, support::*};

/// In which a probe is answered, with a wide margin for machines that run other tests beside this one.
const SOON: Duration = Duration::from_millis(500);

/// The most memory that a process has held so far.
fn peak(server: &Serving) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The time that a probe takes, at the 99th percentile.
fn probed(server: &Serving, probes: usize) -> Duration {
    let mut times: Vec<_> = (0..probes)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(server.get("/livez").status, 200);
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[probes * 99 / 100]
}

fn open(server: &Serving, path: &str) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    socket
}

#[test]
#[cfg(target_os = "linux")]
fn readers_that_do_not_read_cost_no_memory() {
    const ENDPOINTS: usize = 1000;
    let lab = Lab::new();
    let server = Serving::start(&lab);
    let value = "x".repeat(95);
    let attributes: Vec<_> = (0..120).map(|number| format!("\"a{number}\":[\"{value}\"]")).collect();
    let attributes = attributes.join(",");
    let records = (0..ENDPOINTS).map(|number| {
        format!(
            "{{\"Id\":\"{number}\",\"Address\":\"a{number}\",\"ChannelType\":\"SMS\",\"User\":{{\"UserId\":\"u\"}},\"Attributes\":{{{attributes}}}}}\n"
        )
    });
    lab.write("large.json", records.collect::<String>());
    let path = "/pinport/v1/apps/shop/uploads?format=json&name=large.json&segment=s";
    let made = server.send("POST", path, "", &std::fs::read(lab.path("large.json")).unwrap()).unwrap();
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let job = made.json();
    let (id, app) = (job["id"].as_str().unwrap(), job["application"].as_str().unwrap());
    lab.pinport(&["jobs", "wait", id, "--server", &server.url]).expect(0);

    let before = peak(&server);
    let paths = ["/pinport/v1/apps/shop/segments/s/members".to_owned(), format!("/v1/apps/{app}/users/u")];
    let mut unread: Vec<_> = (0..120).map(|number| open(&server, &paths[number % 2])).collect();
    for socket in &mut unread {
        let mut first = [0; 12];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    // They can still be read whole.
    let whole = server.get(&paths[1]);
    assert_eq!(whole.json()["Item"].as_array().unwrap().len(), ENDPOINTS);
    let grown = peak(&server).saturating_sub(before);
    eprintln!("120 unread answers of {} MiB: {} MiB more", whole.body.len() >> 20, grown >> 20);
    assert!(grown < 400 << 20, "{} MiB more", grown >> 20);
    // Nor a thread: those that read ahead end after a while, and the answer goes on where it was.
    let begun = Instant::now();
    while reading_ahead(&server) > 0 {
        assert!(begun.elapsed() < PATIENCE, "{} threads read ahead", reading_ahead(&server));
        pause(Duration::from_millis(20));
    }
    let whole = server.get(&paths[0]).body;
    assert_eq!(lines(&whole).len(), ENDPOINTS);
    let mut members = unread.swap_remove(0);
    let (mut answer, mut buffer) = (b"HTTP/1.1 200".to_vec(), [0; 64 << 10]);
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let read = members.read(&mut buffer).unwrap();
        assert!(read > 0, "it is cut off");
        answer.extend_from_slice(&buffer[..read]);
    }
    assert!(crate::http::reply(answer).unwrap().body == whole);
}

/// Threads of a server that read ahead of answers.
#[cfg(target_os = "linux")]
fn reading_ahead(server: &Serving) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap();
    let name =
        |thread: std::io::Result<std::fs::DirEntry>| std::fs::read(thread.ok()?.path().join("comm")).ok();
    threads.filter_map(name).filter(|name| name == b"ahead\n").count()
}

#[test]
fn idle_connections_of_one_client_leave_probes_alone() {
    let lab = Lab::new();
    let server = Serving::start_with(&lab, "[http]\nconnections = 400\n", &[]);
    let address = server.url.strip_prefix("http://").unwrap();
    let idle: Vec<_> = (0..1000).map(|_| TcpStream::connect(address).unwrap()).collect();
    let p99 = probed(&server, 200);
    assert!(p99 < SOON, "{p99:?}");
    drop(idle);
}

/// Sets how many descriptors a process may have.
#[cfg(target_os = "linux")]
fn allow_descriptors(process: u32, most: u64) {
    let (process, what) = (process.cast_signed(), libc::RLIMIT_NOFILE);
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the first call fills the limit, and the second reads it.
    let set = unsafe {
        libc::prlimit(process, what, std::ptr::null(), &raw mut limit);
        limit.rlim_cur = most.min(limit.rlim_max);
        libc::prlimit(process, what, &raw const limit, std::ptr::null_mut())
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
#[cfg(target_os = "linux")]
fn running_out_of_descriptors_stops_no_job() {
    const ROWS: u64 = 400_000;
    let lab = Lab::new();
    lab.write_sample("in.json", &format!("--rows {ROWS}"));
    lab.write_sample("small.json", "--rows 10");
    let server = Serving::start_with(&lab, "[jobs]\npiece_kib = 256\n", &[]);
    let job = server.import(&lab, "in.json");
    let app = server.get(&format!("/pinport/v1/jobs/{job}")).json()["job"]["application"]
        .as_str()
        .unwrap()
        .to_owned();
    // As if connections held all of them: whatever is opened now, by the engine too, fails with EMFILE.
    allow_descriptors(server.child.id(), 3);
    server.until_said("too many files are open");
    allow_descriptors(server.child.id(), 4096);
    let ended = server.ended(&app, &job);
    assert_eq!(
        (&ended["JobStatus"], &ended["TotalProcessed"]),
        (&"COMPLETED".into(), &ROWS.into()),
        "{ended}"
    );
    assert_eq!(server.get("/readyz").status, 200);
    let next = server.import(&lab, "small.json");
    assert_eq!(server.ended(&app, &next)["JobStatus"], "COMPLETED");
    assert!(!server.has_said("all jobs are stopped"), "{}", server.log());
}

/// Sends a request on a connection that stays open; the answer's status.
fn ask_again(socket: &mut TcpStream, method: &str, path: &str, body: &[u8]) -> u16 {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    socket.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head[9..12].parse().unwrap()
}

/// The engine itself stops when it cannot open a file in the background: a new log, or the table it writes its buffer to.
/// It is opened again when there are descriptors.
#[test]
#[cfg(target_os = "linux")]
fn an_engine_without_descriptors_goes_on_when_there_are_some() {
    const BATCHES: usize = 40;
    let lab = Lab::new();
    let server = Serving::start(&lab);
    let app = server.app("shop");
    let path = format!("/v1/apps/{app}/endpoints");
    let value = "x".repeat(95);
    let attributes: Vec<_> = (0..120).map(|number| format!("\"a{number}\":[\"{value}\"]")).collect();
    let attributes = attributes.join(",");
    let batch = |batch: usize| {
        let item = |number| {
            format!(
                "{{\"Id\":\"{batch}-{number}\",\"Address\":\"a{batch}-{number}\",\"ChannelType\":\"SMS\",\"Attributes\":{{{attributes}}}}}"
            )
        };
        format!("{{\"Item\":[{}]}}", (0..100).map(item).collect::<Vec<_>>().join(","))
    };
    let address = server.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(ask_again(&mut socket, "PUT", &path, batch(0).as_bytes()), 202);
    allow_descriptors(server.child.id(), 3);
    // Its buffer of 8 MiB is full after a few.
    let mut taken = vec![0];
    let refused = (1..BATCHES).find(|number| {
        let status = ask_again(&mut socket, "PUT", &path, batch(*number).as_bytes());
        if status == 202 {
            taken.push(*number);
        } else {
            assert_eq!(status, 503);
        }
        status == 503
    });
    assert!(refused.is_some(), "{} batches were taken", taken.len());
    allow_descriptors(server.child.id(), 4096);
    let begun = Instant::now();
    while ask_again(&mut socket, "PUT", &path, batch(BATCHES).as_bytes()) != 202 {
        assert!(begun.elapsed() < PATIENCE / 4, "it does not go on");
        pause(Duration::from_millis(50));
    }
    taken.push(BATCHES);
    for number in taken {
        for item in [0, 99] {
            let found = server.get(&format!("/v1/apps/{app}/endpoints/{number}-{item}"));
            assert_eq!(found.status, 200, "{number}-{item}");
        }
    }
    assert_eq!(server.get("/readyz").status, 200);
    lab.write_sample("small.json", "--rows 10");
    let job = server.import(&lab, "small.json");
    assert_eq!(server.ended(&app, &job)["JobStatus"], "COMPLETED");
}

#[test]
#[cfg(target_os = "linux")]
fn many_listeners_share_a_sample() {
    const LISTENERS: usize = 2000;
    let lab = Lab::new();
    lab.write_sample("in.json", "--rows 100000");
    let own = descriptors();
    if own < LISTENERS as u64 * 3 {
        return skip("many_listeners_share_a_sample", format!("{own} descriptors are too few"));
    }
    let server = Serving::start(&lab);
    // What the listeners hear of.
    let mut app = String::new();
    for _ in 0..60 {
        let job = server.import(&lab, "in.json");
        if app.is_empty() {
            let detail = server.get(&format!("/pinport/v1/jobs/{job}")).json();
            app = detail["job"]["application"].as_str().unwrap().to_owned();
            server.ended(&app, &job);
        }
    }
    let before = peak(&server);
    let mut listeners: Vec<_> = (0..LISTENERS).map(|_| open(&server, "/pinport/v1/events")).collect();
    for socket in &mut listeners {
        let mut first = [0; 12];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    // Beside other tests the machine itself may be late: the best of three counts.
    let rounds = if is_torture() { 1 } else { 3 };
    let p99 = (0..rounds).map(|_| probed(&server, 200)).min().unwrap();
    let grown = peak(&server).saturating_sub(before);
    eprintln!("{LISTENERS} listeners: a probe in {p99:?} at the 99th percentile, {} MiB more", grown >> 20);
    let soon = if is_torture() { Duration::from_millis(100) } else { SOON * 2 };
    assert!(p99 < soon, "{p99:?}");
    assert!(grown < 200 << 20, "{} MiB more", grown >> 20);
}

/// The time an import of the victim takes, and of its polls the 99th percentile.
#[cfg(target_os = "linux")]
fn imported(server: &Serving, lab: &Lab, rows: u64) -> (Duration, Duration) {
    let begun = Instant::now();
    let job = server.import(lab, "victim.json");
    let detail = server.get(&format!("/pinport/v1/jobs/{job}")).json();
    let app = detail["job"]["application"].as_str().unwrap().to_owned();
    let mut polls = Vec::new();
    loop {
        let asked = Instant::now();
        let found = server.get(&format!("/v1/apps/{app}/jobs/import/{job}")).json();
        polls.push(asked.elapsed());
        if found["JobStatus"] == "COMPLETED" {
            assert_eq!((&found["TotalProcessed"], &found["TotalFailures"]), (&rows.into(), &0.into()));
            break;
        }
        assert_ne!(found["JobStatus"], "FAILED", "{found}");
        assert!(begun.elapsed() < PATIENCE * 5, "it does not end: {found}");
        pause(Duration::from_millis(10));
    }
    polls.sort();
    (begun.elapsed(), polls[polls.len() * 99 / 100])
}

#[test]
#[cfg(target_os = "linux")]
fn another_tenant_goes_on_under_attack() {
    let (rows, idle, listeners, unread, creates, bodies) =
        if is_torture() { (1_000_000, 4096, 2000, 60, 3500, 400) } else { (50_000, 400, 100, 20, 100, 40) };
    if descriptors() < 10_000 {
        return skip("another_tenant_goes_on_under_attack", "too few descriptors");
    }
    let lab = Lab::new();
    if is_torture() {
        // What lies there counts as the server's memory, and fills its cgroup.
        assert!(!is_in_memory(&lab.path("")), "the test folder is a tmpfs: set PINPORT_TEST_DIR to a disk's");
    }
    lab.write_sample("victim.json", &format!("--rows {rows}"));
    let value = "x".repeat(95);
    let attributes: Vec<_> = (0..120).map(|number| format!("\"a{number}\":[\"{value}\"]")).collect();
    let attributes = attributes.join(",");
    let records = (0..1000).map(|number| {
        format!(
            "{{\"Id\":\"{number}\",\"Address\":\"a{number}\",\"ChannelType\":\"SMS\",\"User\":{{\"UserId\":\"u\"}},\"Attributes\":{{{attributes}}}}}\n"
        )
    });
    let source = refusing_slowly();
    let configuration = format!(
        "[sources]\nendpoint = \"http://{source}\"\naccess_key_id = \"A\"\nsecret_access_key = \"secret\"\n"
    );
    let cage;
    let server = Serving::start_with(&lab, &configuration, &[]);
    cage = if is_torture() { Cage::around(server.child.id(), 1 << 30) } else { None };
    let path = "/pinport/v1/apps/attacker/uploads?format=json&name=large.json&segment=s";
    let made = server.send("POST", path, "", records.collect::<String>().as_bytes()).unwrap();
    let made = made.json();
    let (id, app) = (made["id"].as_str().unwrap(), made["application"].as_str().unwrap());
    lab.pinport(&["jobs", "wait", id, "--server", &server.url]).expect(0);
    let (alone, _) = imported(&server, &lab, rows);
    let before = peak(&server);

    let attacker = Attacker::new(&server);
    let mut held = Vec::new();
    held.extend((0..listeners).map(|_| attacker.get("/pinport/v1/events")));
    held.extend((0..unread).map(|_| attacker.get("/pinport/v1/apps/attacker/segments/s/members")));
    held.extend((0..unread).map(|_| attacker.get(&format!("/v1/apps/{app}/users/u"))));
    let body = vec![b' '; 100_000];
    let head = format!(
        "PUT /v1/apps/{app}/endpoints HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n"
    );
    let begun = [head.as_bytes(), &body].concat();
    held.extend((0..bodies).map(|_| attacker.send(&begun)));
    held.extend((0..idle).map(|_| attacker.send(b"")));
    // Each look takes a second, and what it finds is refused.
    let create = serde_json::json!({ "Format": "JSON", "RoleArn": "r", "S3Url": "s3://bucket/" }).to_string();
    let create = format!(
        "POST /v1/apps/{app}/jobs/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{create}",
        create.len()
    );
    held.extend((0..creates).map(|_| attacker.send(create.as_bytes())));

    let probe = probed(&server, 200);
    let (attacked, poll) = imported(&server, &lab, rows);
    let most = peak(&server);
    eprintln!(
        "alone {alone:?}, attacked {attacked:?}; a poll {poll:?} and a probe {probe:?} at the 99th percentile; {} MiB before, {} MiB at most",
        before >> 20,
        most >> 20
    );
    match &cage {
        Some(cage) => {
            eprintln!("within a cgroup of 1 GiB: {} MiB at most, with cached files", cage.peak() >> 20)
        }
        None => eprintln!("by resident memory: no cgroup was made"),
    }
    drop(held);
    // On a busy machine both take longer.
    let (again, _) = imported(&server, &lab, rows);
    let alone = alone.max(again);
    assert!(most < 1 << 30, "{} MiB", most >> 20);
    let wide = if is_torture() { 1 } else { 5 };
    assert!(attacked < alone * 2 * wide, "{attacked:?} instead of {alone:?}");
    assert!(
        probe < Duration::from_millis(100) * wide && poll < Duration::from_millis(100) * wide,
        "{probe:?} {poll:?}"
    );
}
