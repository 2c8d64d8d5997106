//! A commit whose connection is cut at each of its messages to the database: it comes to be once, or its caller hears that it
//! did not, and then it did not.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
};

use pinport_model::JobStatus;

use crate::{
    database::{open, started},
    support::{Bench, batches, job, new, piece_record, segment_job},
};

/// Counts the messages of clients, and cuts the connection at one of them.
struct Cutter {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: PathBuf,
    /// Messages that pass before the one at which a connection is cut; none is if it is below zero.
    left: AtomicI64,
    /// Whether that one passes: then its answer is lost.
    is_after: AtomicI64,
}

impl Cutter {
    fn start(target: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { target, left: AtomicI64::new(-1), is_after: AtomicI64::new(0) });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = UnixStream::connect(&of_thread.target).unwrap();
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || answer(from, to));
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.pass(client, server));
            }
        });
        Self { port, shared }
    }

    fn url(&self) -> String {
        format!("postgres://pinport@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Cuts at a message from now on, before it passes or before its answer does.
    fn arm(&self, message: i64, is_after: bool) {
        self.shared.is_after.store(is_after.into(), Ordering::SeqCst);
        self.shared.left.store(message, Ordering::SeqCst);
    }

    /// Whether it was cut since; no more is.
    fn disarm(&self) -> bool {
        self.shared.left.swap(-1, Ordering::SeqCst) < 0
    }
}

fn answer(mut from: UnixStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

impl Shared {
    fn pass(&self, mut client: TcpStream, mut server: UnixStream) {
        // The first message has no type.
        let mut message = Vec::new();
        let mut is_first = true;
        while read(&mut client, &mut message, is_first).is_ok() {
            // Connections that are only made are not of the commit.
            let is_cut = !is_first
                && self.left.load(Ordering::SeqCst) >= 0
                && self.left.fetch_sub(1, Ordering::SeqCst) == 0;
            is_first = false;
            if is_cut && self.is_after.load(Ordering::SeqCst) == 0 {
                break;
            }
            if is_cut {
                // What the database answers to this reaches nobody.
                let _ = client.shutdown(Shutdown::Both);
            }
            if server.write_all(&message).is_err() {
                break;
            }
            if is_cut {
                // The database has read it when it has closed its end too.
                let _ = server.shutdown(Shutdown::Write);
                return;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
}

/// Reads a message: its type, if it has one, its length, and the rest.
fn read(client: &mut TcpStream, message: &mut Vec<u8>, is_first: bool) -> std::io::Result<()> {
    let head = if is_first { 4 } else { 5 };
    message.resize(head, 0);
    client.read_exact(message)?;
    let len = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    message.resize(head + len - 4, 0);
    client.read_exact(&mut message[head..])
}

#[test]
fn a_commit_is_cut_at_each_of_its_messages() {
    let (cluster, url) = started();
    let cutter = Cutter::start(cluster.socket());
    let direct = Bench::of(open(&url, "direct").unwrap());
    let application = direct.application("a");
    let count = |sql: &str| cluster.ask(sql).parse::<u64>().unwrap();
    let mut cuts = 0;
    for is_after in [false, true] {
        for message in 0.. {
            // A new process each time: it has nothing prepared.
            let store = open(&cutter.url(), "cut").unwrap();
            let job = segment_job(application);
            direct.store().create_job(&job).unwrap();
            let number = count("SELECT max(job) FROM pinport.jobs");
            let bench = Bench::of(store);
            let writer = bench.store().writer(&job).unwrap();
            let mut prepared =
                writer.prepare(0, batches(&[new("one", "1").user("u"), new("two", "2")])).unwrap();
            assert_eq!(prepared.resolve().unwrap(), []);
            cutter.arm(message, is_after);
            let done = prepared.commit(&piece_record(0));
            let was_cut = cutter.disarm();
            cuts += u64::from(was_cut);
            done.unwrap_or_else(|error| panic!("cut at {message}, {is_after}: {error}"));
            // One cut is mended by another try: the piece is there, and each of its rows once.
            for (table, rows) in [("ops", 2), ("uops", 1), ("pieces", 1)] {
                let found = count(&format!("SELECT count(*) FROM pinport.{table} WHERE job = {number}"));
                assert_eq!(found, rows, "{table}, cut at {message}, {is_after}");
            }
            let layer =
                "SELECT count(*) FROM pinport.members WHERE layer = (SELECT max(layer) FROM pinport.layers)";
            assert_eq!(count(layer), 2, "members, cut at {message}, {is_after}");
            assert_eq!(bench.store().last_piece(job.id).unwrap(), Some(piece_record(0)));
            bench.finish(&job, JobStatus::Completed, 2, false);
            if !was_cut {
                break;
            }
        }
    }
    assert!(cuts > 40, "{cuts} messages are no commit");
}

#[test]
fn an_end_is_cut_at_each_of_its_messages() {
    let (cluster, url) = started();
    let cutter = Cutter::start(cluster.socket());
    let direct = Bench::of(open(&url, "direct").unwrap());
    let application = direct.application("a");
    let mut cuts = 0;
    for is_after in [false, true] {
        for message in 0.. {
            let store = open(&cutter.url(), "cut").unwrap();
            let mut job = job(application);
            direct.store().create_job(&job).unwrap();
            let bench = Bench::of(store);
            bench.store().claim(job.id).unwrap();
            job.status = JobStatus::Completed;
            cutter.arm(message, is_after);
            let done = bench.store().finish_job(&job, false);
            let was_cut = cutter.disarm();
            cuts += u64::from(was_cut);
            // What was asked of the database may come to be after its caller has gone.
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
            while cluster.ask(busy) != "0" {}
            // Whoever is not told asks; what is there is whole.
            let found = direct.store().job(job.id).unwrap().unwrap();
            let has_ended = cluster.ask("SELECT ended FROM pinport.jobs ORDER BY job DESC LIMIT 1") == "t";
            assert_eq!(found.status.is_terminal(), has_ended);
            let open = cluster.ask("SELECT count(*) FROM pinport.parts p JOIN pinport.jobs j USING (job) WHERE p.state = 'open' AND j.ended");
            assert_eq!(open, "0");
            match done {
                Ok(()) => assert!(has_ended),
                Err(error) => {
                    assert!(matches!(error, pinport_store::StoreError::Unavailable { .. }), "{error:?}");
                    if !has_ended {
                        bench.store().finish_job(&job, false).unwrap();
                    }
                }
            }
            if !was_cut {
                break;
            }
        }
    }
    assert!(cuts > 20, "{cuts}");
}
