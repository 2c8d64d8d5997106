//! One tenant cannot hurt the others: attacks in small on the real server.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{serving::Serving, support::*};

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
    assert!(probed(&server, 100) < Duration::from_millis(100));
    // They can still be read whole.
    let whole = server.get(&paths[1]);
    assert_eq!(whole.json()["Item"].as_array().unwrap().len(), ENDPOINTS);
    let grown = peak(&server).saturating_sub(before);
    eprintln!("120 unread answers of {} MiB: {} MiB more", whole.body.len() >> 20, grown >> 20);
    assert!(grown < 200 << 20, "{} MiB more", grown >> 20);
}

#[test]
fn idle_connections_of_one_client_leave_probes_alone() {
    let lab = Lab::new();
    let server = Serving::start_with(&lab, "[http]\nconnections = 400\n", &[]);
    let address = server.url.strip_prefix("http://").unwrap();
    let idle: Vec<_> = (0..1000).map(|_| TcpStream::connect(address).unwrap()).collect();
    let p99 = probed(&server, 200);
    assert!(p99 < Duration::from_millis(100), "{p99:?}");
    drop(idle);
}
