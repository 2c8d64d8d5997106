//! What may happen to servers that share a database, and to the database: whatever it is, what the job comes to is what one
//! server comes to that nobody disturbed.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use crate::{
    cluster::Cluster,
    pair::{PIECES, Pair, SAMPLE, Setting, number, start, until, until_more},
    serving::Serving,
};

/// Kills of servers; more with `PINPORT_TORTURE_KILLS`.
const KILLS: u32 = 20;

#[test]
fn servers_that_are_killed_again_and_again_lose_nothing() {
    let kills = std::env::var("PINPORT_TORTURE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    // So that the import lasts as long as the kills: each costs a piece and more.
    let sample = SAMPLE.replace("20000", &(20_000 / KILLS * kills.max(KILLS)).to_string()).leak();
    let rate = 400;
    let second = format!("rows_per_second = {rate}\n").leak();
    let mut pair = Pair::start(Setting { sample, lease: 1, rate, second, ..Setting::default() });
    let slow = format!("[jobs]\npiece_kib = 64\nrows_per_second = {rate}\n{}", pair.sources);
    for _ in 0..kills {
        until_more(&pair.cluster, 1);
        let owner = pair.cluster.ask("SELECT split_part(owner, '/', 1) FROM pinport.parts");
        let works =
            |server: &Serving| server.url.rsplit_once(':').unwrap().1 == owner.rsplit_once(':').unwrap().1;
        let (name, server) = match works(&pair.first) {
            true => ("first", &mut pair.first),
            false => ("second", &mut pair.second),
        };
        server.signal(libc::SIGKILL);
        server.child.wait().unwrap();
        *server = start(&pair.lab, name, &pair.url, &slow);
    }
    let tokens = number(&pair.cluster, "SELECT count(DISTINCT token) FROM pinport.pieces");
    assert!(tokens > u64::from(kills) / 2, "{tokens} claims committed something");
    for server in [&pair.first, &pair.second] {
        server.signal(libc::SIGTERM);
    }
    let last = start(&pair.lab, "third", &pair.url, &pair.sources);
    pair.check(&last);
}

#[test]
fn a_server_that_is_cut_off_from_the_database_is_replaced() {
    let pair = Pair::start(Setting { proxied: [true, false], ..Setting::default() });
    pair.proxy.block();
    let ended = pair.second.ended(&pair.app, &pair.job);
    let pieces = number(&pair.cluster, PIECES);
    pair.proxy.open();
    pair.first.until_said("another server ");
    assert_eq!(number(&pair.cluster, PIECES), pieces);
    assert_eq!(pair.job_of(&pair.first)["TotalProcessed"], ended["TotalProcessed"]);
    pair.check(&pair.first);
}

/// Runs a test in a network of its own, whose loopback it may change; skips it where this process may not have one.
#[expect(unsafe_code, reason = "it takes a number")]
fn in_a_network_of_its_own(test: impl FnOnce() + Send + 'static) {
    // It is the thread's, and that of all processes that it starts.
    let thread = thread::spawn(|| {
        // SAFETY: it takes a number, and changes nothing but this thread's network.
        let is_apart = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
        if !is_apart || !ip("link set lo up") {
            return eprintln!("skipped: this process may not have a network of its own, or lacks `ip`");
        }
        test();
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).status().is_ok_and(|status| status.success())
}

#[test]
fn a_network_that_drops_everything_costs_a_server_its_jobs_and_no_more() {
    in_a_network_of_its_own(|| {
        let proxy = "127.0.0.9".parse().unwrap();
        let pair = Pair::start(Setting { proxied: [true, false], proxy, ..Setting::default() });
        assert!(ip("route add blackhole 127.0.0.9/32 table local"));
        let ended = pair.second.ended(&pair.app, &pair.job);
        let pieces = number(&pair.cluster, PIECES);
        assert!(ip("route del blackhole 127.0.0.9/32 table local"));
        pair.first.until_said("another server ");
        assert_eq!(number(&pair.cluster, PIECES), pieces);
        assert_eq!(pair.job_of(&pair.first)["TotalProcessed"], ended["TotalProcessed"]);
        pair.check(&pair.first);
    });
}

#[test]
fn a_database_that_crashes_and_comes_back_gets_the_rest() {
    let mut pair = Pair::start(Setting::default());
    for _ in 0..3 {
        pair.cluster.crash();
        pair.cluster.run();
        until_more(&pair.cluster, 2);
    }
    pair.check(&pair.second);
}

/// A session that does something until it is dropped.
struct Session(Child);

impl Session {
    fn start(cluster: &Cluster, sql: &str) -> Self {
        let mut psql = cluster.command("psql");
        psql.args(["-XAtq", "-U", "pinport", "-d", "postgres", "-c", sql, "-h"]);
        psql.arg(cluster.socket().parent().unwrap());
        Self(psql.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_lock_that_is_held_for_long_delays_a_job_and_no_more() {
    let pair = Pair::start(Setting { lease: 2, ..Setting::default() });
    for table in ["pieces", "parts"] {
        let sql = format!("BEGIN; LOCK TABLE pinport.{table} IN EXCLUSIVE MODE; SELECT pg_sleep(1000)");
        let session = Session::start(&pair.cluster, &sql);
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        until(&pair.cluster, waits, |count| count != "0");
        pair.first.until_said("lock timeout");
        drop(session);
        let held = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE pinport.{table} %'"
        );
        pair.cluster.ask(&held);
        until_more(&pair.cluster, 1);
    }
    pair.check(&pair.second);
}

#[test]
fn a_database_that_says_its_disk_is_full_delays_a_job_and_no_more() {
    let pair = Pair::start(Setting::default());
    pair.cluster.ask(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING \
         ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON pinport.ops EXECUTE FUNCTION refuse()",
    );
    pair.first.until_said("the database's disk is full, trying again");
    let pieces = number(&pair.cluster, PIECES);
    // It goes on to answer.
    assert_eq!(pair.first.get("/readyz").status, 200);
    assert_eq!(number(&pair.cluster, PIECES), pieces);
    pair.cluster.ask("DROP TRIGGER full_disk ON pinport.ops");
    pair.check(&pair.second);
}

/// A disk in memory that is as full as it gets, until there is room again.
struct SmallDisk(PathBuf);

impl SmallDisk {
    const FILLER: &str = "filler";

    /// Of so many bytes. Nothing where this process may not mount one.
    fn mount(bytes: u64) -> Option<Self> {
        let place = PathBuf::from(format!("/dev/shm/pinport-disk-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "pinport-disk"])
            .arg(&place)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(place));
        }
        fs::remove_dir(&place).unwrap();
        None
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler = File::create(self.0.join(Self::FILLER)).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join(Self::FILLER)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_disk_of_the_database_that_is_really_full_delays_a_job_and_no_more() {
    let Some(disk) = SmallDisk::mount(256 << 20) else {
        eprintln!("skipped: this process may not mount a disk");
        return;
    };
    let pair = Pair::start(Setting::default());
    let space = disk.0.join("space");
    fs::create_dir(&space).unwrap();
    let owner = fs::metadata(pair.cluster.socket().parent().unwrap()).unwrap();
    std::os::unix::fs::chown(&space, Some(owner.uid()), Some(owner.gid())).unwrap();
    pair.cluster.ask(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    pair.cluster.ask("ALTER TABLE pinport.ops SET TABLESPACE small");
    disk.fill();
    pair.first.until_said("the database's disk is full, trying again");
    let pieces = number(&pair.cluster, PIECES);
    assert_eq!(pair.first.get("/readyz").status, 200);
    assert_eq!(number(&pair.cluster, PIECES), pieces);
    disk.make_room();
    pair.check(&pair.second);
}

#[test]
fn a_standby_that_is_promoted_gets_again_what_it_lost() {
    let setting = Setting { proxied: [true, true], rate: 2000, ..Setting::default() };
    let mut pair = Pair::start(setting);
    let standby = pair.cluster.standby();
    until(&standby, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", |count| {
        count == "1"
    });
    until_more(&standby, 1);
    // From here on it receives nothing.
    standby.ask("ALTER SYSTEM SET primary_conninfo = ''");
    standby.ask("SELECT pg_reload_conf()");
    until(&standby, "SELECT count(*) FROM pg_stat_wal_receiver", |count| count == "0");
    until_more(&pair.cluster, 5);
    let before = number(&pair.cluster, PIECES);
    pair.proxy.lead_to("/nowhere".into());
    pair.cluster.crash();
    standby.ask("SELECT pg_promote()");
    let after = number(&standby, PIECES);
    assert!(after < before, "nothing was lost: {after} of {before} pieces");
    pair.proxy.lead_to(standby.socket());
    let ended = pair.second.ended(&pair.app, &pair.job);
    pair.check_in(&standby, &pair.second, &ended);
}
