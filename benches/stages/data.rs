//! Sample rows, made by the binary, and a folder that goes when the benchmark ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use pinport_model::Format;

/// The rows of an import in both formats, its re-import, and one with failures.
pub(crate) struct Data {
    folder: PathBuf,
    pub(crate) rows: u64,
    pub(crate) json: Vec<u8>,
    /// The same endpoints with other values.
    pub(crate) json_again: Vec<u8>,
    pub(crate) csv: Vec<u8>,
    pub(crate) broken: Broken,
}

/// Rows of which some fail.
pub(crate) struct Broken {
    pub(crate) json: Vec<u8>,
    /// Rows that fail whatever the store holds.
    pub(crate) failed: u64,
}

impl Data {
    /// Makes `rows` rows of each.
    pub(crate) fn make(rows: u64) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stages-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let rows_text = rows.to_string();
        let sample = |arguments: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_pinport"))
                .args(["sample", "--rows", &rows_text])
                .args(arguments)
                .output()
                .expect("the binary is built before its benchmarks");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let tally: serde_json::Value = serde_json::from_slice(&sample(&["--bad", "1%", "--tally"])).unwrap();
        let codes = tally["codes"].as_object().unwrap();
        // Whether an endpoint or a user exists is asked at the commit.
        let late = ["unknown_endpoint", "unknown_user"];
        let failed = codes.iter().filter(|(code, _)| !late.contains(&code.as_str()));
        let failed = failed.map(|(_, count)| count.as_u64().unwrap()).sum();
        Self {
            rows,
            json: sample(&[]),
            json_again: sample(&["--generation", "2"]),
            csv: sample(&["--format", "csv"]),
            broken: Broken { json: sample(&["--bad", "1%"]), failed },
            folder,
        }
    }

    pub(crate) fn of(&self, format: Format) -> &[u8] {
        match format {
            Format::Json => &self.json,
            Format::Csv => &self.csv,
        }
    }

    /// A place for a file or a store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The id of every n-th row.
    pub(crate) fn ids(&self, step: usize) -> Vec<String> {
        let lines = self.json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .step_by(step)
            .map(|line| {
                let row: serde_json::Value = serde_json::from_slice(line).unwrap();
                row["Id"].as_str().unwrap().to_owned()
            })
            .collect()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // What is left behind is in the target folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
