//! How long an import still takes, as the real program says it, held against how long it then took.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use pinport_model::view::{JobView, Sample};
use pinport_tui::ProgressLines;

use crate::{serving::Serving, support::*};

/// Decoded bytes a second. With this an import takes about 15 seconds on any machine.
const RATE: u64 = 3_000_000;
/// Decoded bytes of each of the four objects.
const OBJECT: usize = 11_000_000;
/// What may be missing of the last block, which is let through whole.
const BLOCK: f64 = (512 << 10) as f64;
/// Samples come four times a second, and times are shown in whole seconds.
const GRAIN: f64 = 1.25;

/// What was said at one moment.
struct Said {
    at: Instant,
    bytes: u64,
    /// Decoded bytes that are left.
    bytes_left: f64,
    /// Seconds that are left: of the progress lines of `import` and `jobs wait`, and of `top`.
    seconds: [f64; 2],
}

/// The seconds in `…, 1m05s left, …`; 0 if nothing is said.
fn shown(line: &str) -> f64 {
    let Some((before, _)) = line.split_once("s left") else { return 0.0 };
    let span = before.rsplit(' ').next().unwrap();
    let (minutes, seconds) = span.split_once('m').unwrap_or(("0", span));
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}

/// Imports the folder `in`; what was said until it had ended, and when that was.
fn follow(lab: &Lab, server: &Serving) -> (Vec<Said>, Instant, JobView) {
    let mut top = lab.pinport(&["top", "--json", "--server", &server.url]).command;
    let mut top = top.stdout(Stdio::piped()).spawn().unwrap();
    let job = server.import(lab, "in");
    let (mut lines, mut said) = (ProgressLines::default(), Vec::new());
    let mut samples = BufReader::new(top.stdout.take().unwrap()).lines();
    let (ended, view) = loop {
        let sample: Sample = serde_json::from_str(&samples.next().expect("it goes on").unwrap()).unwrap();
        let at = Instant::now();
        lines.record(&sample);
        let line = lines.lines(&sample).into_iter().find(|line| line.contains(&job[job.len() - 8..]));
        let Some(view) = sample.jobs.into_iter().find(|view| view.id.to_string() == job) else { continue };
        let progress = &view.progress;
        if progress.status.is_terminal() {
            break (at, view);
        }
        said.push(Said {
            at,
            bytes: progress.bytes,
            bytes_left: progress.bytes_left().unwrap_or_default() as f64,
            seconds: [progress.seconds_left().unwrap_or_default(), line.as_deref().map_or(0.0, shown)],
        });
    };
    let _ = top.kill();
    top.wait().unwrap();
    (said, ended, view)
}

/// From a tenth of the run on, what is said is within a quarter of what is true, although half of the objects are
/// compressed, and better than anybody would guess. The rate is bounded, so that the truth does not depend on the machine;
/// where the machine is too busy even for that, the times are measured again. The bytes are right on any machine.
#[test]
fn the_time_left_is_right_from_a_tenth_of_the_run_on() {
    let lab = Lab::new();
    let rows = lab.sample("--rows 2000");
    let repeated = rows.split_inclusive(|byte| *byte == b'\n').flat_map(|row| row.repeat(12));
    let mut text: Vec<u8> = repeated.take(OBJECT).collect();
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').unwrap() + 1);
    let packed = gzip(&[&text]);
    assert!(packed.len() * 10 < text.len(), "{} bytes", packed.len());
    for (name, bytes) in
        [("1.json", &text), ("2.json.gz", &packed), ("3.json", &text), ("4.json.gz", &packed)]
    {
        lab.write(&format!("in/{name}"), bytes);
    }
    let total = 4 * text.len() as u64;
    let wanted = total as f64 / RATE as f64;
    let server =
        Serving::start_with(&lab, &format!("[jobs]\npiece_kib = 2048\nbytes_per_second = {RATE}\n"), &[]);
    for _ in 0..4 {
        let begun = Instant::now();
        let (said, ended, view) = follow(&lab, &server);
        assert_eq!((view.progress.bytes, view.progress.bytes_total), (total, total));
        let took = ended.duration_since(begun).as_secs_f64();
        assert!(took > wanted * 0.9, "it took {took:.1} s, where {wanted:.1} s were allowed");
        let judged: Vec<&Said> =
            said.iter().filter(|said| (total / 10..total).contains(&said.bytes)).collect();
        assert!(judged.len() > 20, "only {} samples", judged.len());
        let mut wrong = Vec::new();
        for Said { at, bytes, bytes_left, seconds } in judged {
            let truth = (total - bytes) as f64;
            assert!(
                (bytes_left - truth).abs() <= truth / 4.0 + BLOCK,
                "{bytes_left} left at {bytes} of {total}"
            );
            let truth = ended.duration_since(*at).as_secs_f64();
            if seconds.iter().any(|seconds| (seconds - truth).abs() > truth / 4.0 + GRAIN) {
                wrong.push(format!("{seconds:.1?} s at {bytes} of {total} instead of {truth:.1} s"));
            }
        }
        if wrong.is_empty() {
            return;
        }
        assert!(took > wanted * 1.15, "{}", wrong.join("\n"));
        eprintln!("the machine is too busy: {took:.1} s instead of {wanted:.1} s");
        pause(Duration::from_secs(1));
    }
    skip("the time left", "the machine is too busy: only the bytes left were judged");
}
