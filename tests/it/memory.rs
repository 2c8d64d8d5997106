//! Memory is a function of the configuration: once the block cache is full, more rows take no more of it. What is free goes
//! back to the system.

use crate::support::*;

const MOST: u64 = 512 << 20;
const ROWS: u64 = 200_000;

#[test]
fn more_rows_take_no_more_memory() {
    let lab = Lab::new();
    for part in 0..5 {
        let sample = format!("--rows {ROWS} --start {}", part * ROWS);
        lab.write_sample(&format!("in/part-{part}.json"), &sample);
    }
    let mut peaks = Vec::new();
    for part in 0..3 {
        let [from, to] = ["in", "few"].map(|folder| lab.path(&format!("{folder}/part-{part}.json")));
        std::fs::create_dir_all(lab.path("few")).unwrap();
        std::fs::hard_link(from, to).unwrap();
    }
    for (source, rows) in [("few", 3 * ROWS), ("in", 5 * ROWS)] {
        let outcome = lab.import_with(&format!("data-{rows}"), source, "json", &["--segment", "s"]).expect(0);
        assert_eq!(counts(&outcome.json()), (rows, rows, 0));
        eprintln!("{rows} rows: {} MiB at most", outcome.peak >> 20);
        assert!(outcome.peak < MOST, "{rows} rows took {} MiB", outcome.peak >> 20);
        peaks.push(outcome.peak as f64);
    }
    assert!(peaks[1] < peaks[0] * 1.1, "{peaks:?}");
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_allocator_follows_the_settings_of_the_program() {
    let lab = Lab::new();
    // It says what it was told, and by whom.
    let outcome = lab.pinport(&["--version"]).env("MALLOC_CONF", "confirm_conf:true").expect(0);
    for setting in ["background_thread:true", "dirty_decay_ms:200", "muzzy_decay_ms:0", "narenas:4"] {
        let is_set = |line: &str| line.ends_with(&format!("Set conf value: {setting}"));
        assert!(outcome.err.lines().any(is_set), "{setting}: {}", outcome.err);
    }
}
