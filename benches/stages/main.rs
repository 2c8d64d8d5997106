//! What each stage of an import costs on its own: `cargo bench --bench stages [-- FILTER… --rows N --runs N]`.
//!
//! Rows come from `pinport sample`. Each stage runs several times on one thread, its answer is checked against
//! the counts in its definition, and the run that took the least CPU time is printed. CPU time, not wall time:
//! it says the same on a machine that does other things. That is also why this is no harness from a crate,
//! which all measure wall time. Whole imports are measured by `benches/end_to_end`.

#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod clock;
mod data;
mod decode;
mod records;
mod store;

use clock::Cost;
use data::Data;

/// What the command line asks for.
struct Wanted {
    filters: Vec<String>,
    rows: u64,
    runs: u32,
}

fn main() {
    let wanted = Wanted::from_arguments();
    let data = Data::make(wanted.rows);
    println!("{:34} {:>9} {:>8} {:>12} {:>9}", "stage", "rows", "MB", "GB per CPU s", "ns a row");
    records::run(&wanted, &data);
    decode::run(&wanted, &data);
    store::run(&wanted, &data);
}

impl Wanted {
    fn from_arguments() -> Self {
        let mut wanted = Self { filters: Vec::new(), rows: 200_000, runs: 5 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                arguments
                    .next()
                    .and_then(|text| text.parse().ok())
                    .expect("a number follows --rows and --runs")
            };
            match argument.as_str() {
                "--rows" => wanted.rows = number(),
                "--runs" => wanted.runs = u32::try_from(number()).expect("a small number"),
                // Cargo's own.
                flag if flag.starts_with("--") => {}
                filter => wanted.filters.push(filter.into()),
            }
        }
        wanted
    }

    /// Whether any stage of these names is wanted.
    fn any(&self, names: &[&str]) -> bool {
        self.filters.is_empty()
            || names.iter().any(|name| self.filters.iter().any(|filter| name.contains(filter.as_str())))
    }

    /// Runs a stage so often, unless it is filtered out. `stage` returns what it cost; it checks its answer.
    fn measure(&self, name: &str, rows: u64, bytes: u64, mut stage: impl FnMut() -> Cost) {
        if self.any(&[name]) {
            let least = (0..self.runs).map(|_| stage()).min().expect("there is a run");
            print(name, rows, bytes, least);
        }
    }
}

/// A line of the table. `bytes` are the decoded bytes of the source; 0 where they say nothing.
fn print(name: &str, rows: u64, bytes: u64, cost: Cost) {
    let seconds = cost.seconds();
    let (megabytes, speed) = match bytes {
        0 => (String::new(), String::new()),
        _ => (format!("{:.1}", bytes as f64 / 1e6), format!("{:.3}", bytes as f64 / seconds / 1e9)),
    };
    println!("{name:34} {rows:>9} {megabytes:>8} {speed:>12} {:>9.0}", seconds * 1e9 / rows as f64);
}
