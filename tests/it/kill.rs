//! kill -9 at random moments: nothing is lost, nothing counted twice, and every file is byte for byte that
//! of an import that was left alone.
//!
//! `PINPORT_TORTURE_KILLS` and `PINPORT_TORTURE_ROWS` ask for more (`scripts/torture`), `PINPORT_TORTURE_SEED`
//! repeats their times.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::*;

fn wanted(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

fn kills_wanted() -> u64 {
    wanted("PINPORT_TORTURE_KILLS").unwrap_or(20)
}

/// Four objects, two of them gzip files of several members whose borders fall anywhere in a row.
fn write_objects(lab: &Lab, format: &str, rows: u64) {
    for part in 0..4 {
        let start = part * rows / 4;
        let sample = format!("--rows {} --start {start} --bad 1% --updates 3% --format {format}", rows / 4);
        let bytes = lab.sample(&sample);
        if part % 2 == 1 {
            let members: Vec<&[u8]> = bytes.chunks(bytes.len() / 5 + 17).collect();
            lab.write(&format!("in/{part}.{format}.gz"), gzip(&members));
        } else {
            lab.write(&format!("in/{part}.{format}"), bytes);
        }
    }
}

/// Kills imports of `rows` rows in pieces of `piece` KiB; of more rows in larger ones, so that there are as many.
fn torture(format: &str, rows: u64, piece: u64) {
    let (rows, piece) = match wanted("PINPORT_TORTURE_ROWS") {
        Some(wanted) => (wanted, (piece * wanted / rows).clamp(piece, 32 << 10)),
        None => (rows, piece),
    };
    let lab = Lab::new();
    write_objects(&lab, format, rows);
    let expected = lab.sample_tally(&format!("--rows {rows} --bad 1% --updates 3% --format {format}"));
    // All begin with the same application, so that its id is the same too.
    lab.write_sample("one.json", "--rows 1 --seed 99");
    lab.import_with("base", "one.json", "json", &[]).expect(0);

    let more = ["--segment", "s", "--piece", &piece.to_string()];
    copy_folder(&lab.path("base"), &lab.path("whole"));
    let begun = Instant::now();
    let whole = lab.import_with("whole", "in", format, &more).expect(3).json();
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert_eq!(whole["Registered"], expected["registered"]);
    assert_eq!(whole["Failed"], expected["failed"]);
    let pieces = whole["TotalPieces"].as_u64().unwrap();
    assert!(pieces > 25, "only {pieces} pieces");
    let members = masked(&lab.members("whole", "s"), &whole);
    assert_eq!(members.lines().count() as u64, expected["endpoints"].as_u64().unwrap());

    let mut random = Random::seeded(&format!("kill -9 over {format}"));
    let (mut kills, mut early, mut rounds) = (0, 0, 0);
    while kills < kills_wanted() {
        rounds += 1;
        let data = format!("torn-{rounds}");
        copy_folder(&lab.path("base"), &lab.path(&data));
        let json = loop {
            // Some fall into the recovery from the one before; when there were enough, it is left alone.
            let recovery = random.below(4) == 0;
            let most = if recovery { 60 } else { took / 6 + 150 };
            let time =
                if kills < kills_wanted() { Duration::from_millis(random.below(most)) } else { PATIENCE };
            let (killed, outcome) = lab.import_with(&data, "in", format, &more).start().kill_after(time);
            if !killed {
                assert_eq!(outcome.code, Some(3), "{}", outcome.err);
                break outcome.json();
            }
            kills += 1;
            early += u64::from(recovery);
            // After its whole report there is nothing left to go on with.
            if let Ok(json) = serde_json::from_slice::<Value>(&outcome.out) {
                break json;
            }
        };
        same_outcome(&json, &whole);
        same_lines(&masked(&lab.members(&data, "s"), &json), &members, "the members");
        assert_eq!(job_folders(&lab.path(&data)).len(), 2, "the first row's, and one that all went on with");
        let segment = lines(&lab.pinport_with(&data, &["segment", "ls", "--json"]).expect(0).out);
        assert_eq!(segment[0]["current"]["size"], expected["endpoints"]);
        std::fs::remove_dir_all(lab.path(&data)).unwrap();
    }
    eprintln!(
        "{format}: {kills} kills ({early} at once) in {rounds} imports of {pieces} pieces, {took} ms each"
    );
}

#[test]
fn killed_imports_of_json_end_as_if_left_alone() {
    torture("json", 60_000, 700);
}

#[test]
fn killed_imports_of_csv_end_as_if_left_alone() {
    torture("csv", 40_000, 300);
}

/// A job over its budget of failures keeps the same sample, however often it is killed.
#[test]
fn killed_imports_over_their_budget_of_failures_keep_and_count_the_same() {
    let lab = Lab::new();
    let bad = |rows: std::ops::Range<u32>| -> Vec<u8> {
        rows.flat_map(|row| format!("{{\"Id\":\"{row}\",\"ChannelType\":\"PIGEON\"}}\n").into_bytes())
            .collect()
    };
    for part in 0..4 {
        lab.write(&format!("in/{part}.json"), bad(part * 8000..(part + 1) * 8000));
    }
    lab.write_sample("one.json", "--rows 1 --seed 99");
    lab.import_with("base", "one.json", "json", &[]).expect(0);
    copy_folder(&lab.path("base"), &lab.path("whole"));
    let more = ["--piece", "20", "--kept-failures", "1"];
    let begun = Instant::now();
    let whole = lab.import_with("whole", "in", "json", &more).expect(3).json();
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert!(whole["UnkeptFailures"].as_u64().unwrap() > 20_000, "{}", whole["UnkeptFailures"]);

    let mut random = Random::seeded("kill -9 over a budget of failures");
    let mut most = took / 2 + 50;
    for round in 0..3 {
        let data = format!("torn-{round}");
        let mut kills = 0;
        let json = loop {
            if kills == 0 {
                let _ = std::fs::remove_dir_all(lab.path(&data));
                copy_folder(&lab.path("base"), &lab.path(&data));
            }
            let time = if kills < 4 { Duration::from_millis(random.below(most)) } else { PATIENCE };
            let (killed, outcome) = lab.import_with(&data, "in", "json", &more).start().kill_after(time);
            if let Ok(json) = serde_json::from_slice::<Value>(&outcome.out) {
                if kills > 0 {
                    break json;
                }
                // It ended before its time: the first run took longer than one takes now. The round begins anew.
                most = (most / 2).max(1);
                continue;
            }
            assert!(killed, "{}", outcome.err);
            kills += 1;
        };
        same_outcome(&json, &whole);
        assert_eq!(json["UnkeptFailures"], whole["UnkeptFailures"]);
    }
}
