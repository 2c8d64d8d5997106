//! Rules of the house that a compiler does not check: who may depend on whom, how long a file may be, that
//! documents speak of things that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// Who may depend on whom. An edge that is not here is a decision: change ARCHITECTURE.md with it.
const ALLOWED: &[(&str, &[&str])] = &[
    ("pinport", &["pinport-server", "pinport-pipeline", "pinport-store", "pinport-model", "pinport-tui"]),
    ("pinport-server", &["pinport-pipeline", "pinport-store", "pinport-model"]),
    ("pinport-pipeline", &["pinport-store", "pinport-model"]),
    ("pinport-store", &["pinport-model"]),
    ("pinport-tui", &["pinport-model"]),
    ("pinport-model", &[]),
];

/// Crates that belong to one room, so that no one else waits for them or learns their types.
const AT_HOME_IN: &[(&str, &[&str])] = &[
    ("rocksdb", &["pinport-store"]),
    ("postgres", &["pinport-store"]),
    ("object_store", &["pinport-pipeline"]),
    ("parquet", &["pinport-pipeline"]),
    ("simd-json", &["pinport-pipeline"]),
    ("hyper", &["pinport-server"]),
    ("ratatui", &["pinport-tui"]),
    ("clap", &["pinport"]),
    ("clap_complete", &["pinport"]),
    ("clap_mangen", &["pinport"]),
    ("indicatif", &["pinport"]),
    ("anyhow", &["pinport"]),
];

/// What the nouns must do without: they neither wait nor read.
const NOT_IN_MODEL: &[&str] =
    &["tokio", "tokio-util", "bytes", "hyper", "object_store", "rocksdb", "postgres", "simd-json", "futures"];

/// A file has one job and about 200 lines. One with more lines of code than this is split.
const MAX_CODE: usize = 400;
/// With comments, and with tests at its end.
const MAX_LINES: usize = 700;

/// The packages of the workspace with their dependencies.
static PACKAGES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(TOP)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
});

/// The names of what a package depends on; of development dependencies only with `dev`.
fn dependencies(package: &Value, dev: bool) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| dev || dependency["kind"] != "dev")
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let names: BTreeSet<&str> = PACKAGES.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "every package of the workspace has a line in ALLOWED"
    );
    for package in PACKAGES.iter() {
        let name = package["name"].as_str().unwrap();
        for dependency in dependencies(package, true) {
            assert!(
                !names.contains(dependency) || allowed[name].contains(&dependency),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn crates_stay_at_home() {
    for package in PACKAGES.iter() {
        let name = package["name"].as_str().unwrap();
        for dependency in dependencies(package, false) {
            if let Some((_, homes)) = AT_HOME_IN.iter().find(|(guest, _)| *guest == dependency) {
                assert!(homes.contains(&name), "{dependency} belongs to {homes:?}, not to {name}");
            }
            assert!(
                name != "pinport-model" || !NOT_IN_MODEL.contains(&dependency),
                "pinport-model does no input or output and does not wait: it must not depend on {dependency}"
            );
        }
    }
}

/// Only development dependencies turn the features on that let tests and fuzz targets see inside.
#[test]
fn what_tests_see_of_the_inside_is_in_no_build_that_is_used() {
    let mut seen = 0;
    for package in PACKAGES.iter() {
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["features"].as_array().unwrap().contains(&"fuzzing".into()) {
                assert_eq!(dependency["kind"], "dev", "{} of {}", dependency["name"], package["name"]);
                seen += 1;
            }
        }
        assert!(package["features"].get("default").is_none(), "{} has default features", package["name"]);
    }
    assert_eq!(seen, 3);
    for path in files(&["rs"]).iter().filter(|path| path.file_name().unwrap() == "fuzzing.rs") {
        let folder = path.parent().unwrap();
        let parent = ["lib.rs", "mod.rs"].iter().find_map(|name| fs::read_to_string(folder.join(name)).ok());
        let parent = parent.unwrap().replace("#[doc(hidden)]\n", "");
        let gated = "#[cfg(any(test, feature = \"fuzzing\"))]\n";
        let is_gated = ["pub", "pub(crate)", "pub(super)"]
            .iter()
            .any(|how| parent.contains(&format!("{gated}{how} mod fuzzing;")));
        assert!(is_gated, "{} is in every build", path.display());
    }
}

#[test]
fn every_package_follows_the_workspace() {
    for package in PACKAGES.iter() {
        let path = package["manifest_path"].as_str().unwrap();
        let manifest = fs::read_to_string(path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{path} has its own lints");
        for dependency in own_dependencies(&manifest) {
            assert!(
                dependency.contains("workspace = true"),
                "{path}: versions belong into [workspace.dependencies]: {dependency}"
            );
        }
        assert_eq!(package["license"], "Apache-2.0", "{path}");
        assert!(package["publish"] == Value::Array(Vec::new()), "{path} could be published by accident");
    }
}

/// The lines of a manifest's own tables of dependencies.
fn own_dependencies(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.starts_with("[workspace");
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            found.push(line);
        }
    }
    found
}

/// Files below the top with one of these extensions, without what is built or fetched.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(TOP)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.')
                    && !["target", "dist", "node_modules", "corpus", "artifacts"].contains(&name)
                {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|extension| extensions.iter().any(|known| extension == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(TOP).unwrap_or(path).display().to_string()
}

#[test]
fn no_file_is_too_long() {
    let sources = files(&["rs"]);
    assert!(sources.len() > 20, "the walk found only {} files", sources.len());
    let with_all: Vec<String> = sources
        .iter()
        .filter(|path| fs::read_to_string(path).unwrap().lines().count() > MAX_LINES)
        .map(|path| shown(path))
        .collect();
    assert!(with_all.is_empty(), "split what has more than {MAX_LINES} lines: {with_all:?}");
    let long: Vec<(String, usize)> = sources
        .iter()
        .map(|path| (shown(path), lines_of_code(&fs::read_to_string(path).unwrap())))
        .filter(|(_, lines)| *lines > MAX_CODE)
        .collect();
    assert!(long.is_empty(), "split what has more than {MAX_CODE} lines of code: {long:?}");
}

/// Lines that are neither blank nor comments, up to tests that stand at the end of their file.
fn lines_of_code(source: &str) -> usize {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent: Vec<String> = files(&["rs"])
        .iter()
        .filter(|path| path.file_name().unwrap() != "tests.rs")
        .filter(|path| {
            !fs::read_to_string(path).unwrap().trim_start_matches("#![no_main]\n").starts_with("//!")
        })
        .map(|path| shown(path))
        .collect();
    assert!(silent.is_empty(), "begin with a `//!` that says what the file is for:\n{}", silent.join("\n"));
}

#[test]
fn documents_link_to_what_exists() {
    let mut links = 0;
    for path in files(&["md"]) {
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            assert!(path.parent().unwrap().join(target).exists(), "{} links to {target}", shown(&path));
        }
    }
    assert!(links > 5, "only {links} links were found");
}

/// Lines of the indented or fenced commands of a document.
fn commands(document: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(TOP).join(document)).unwrap();
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.push(line.trim().trim_start_matches("$ ").to_owned());
        }
    }
    found
}

/// The names of the bounds in a `limits.rs`: public fields and constants.
fn bounds(source: &str) -> Vec<&str> {
    source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub "))
        .map(|line| line.strip_prefix("const ").unwrap_or(line))
        .filter(|line| !line.starts_with("struct ") && !line.starts_with("fn "))
        .filter_map(|line| Some(&line[..line.find(':')?]))
        .collect()
}

#[test]
fn every_limit_is_documented() {
    let page = fs::read_to_string(Path::new(TOP).join("docs/limits.md")).unwrap();
    let mut found = 0;
    for path in files(&["rs"]) {
        if !path.ends_with("src/limits.rs") {
            continue;
        }
        for bound in bounds(&fs::read_to_string(&path).unwrap()) {
            found += 1;
            assert!(
                page.contains(&format!("| `{bound}` |")),
                "docs/limits.md has no row for {bound} of {}",
                shown(&path)
            );
        }
    }
    assert!(found >= 20, "only {found} bounds were found: does this test still know how they are written?");

    let defaults = serde_json::to_value(pinport_model::RecordLimits::default()).unwrap();
    for (name, value) in defaults.as_object().unwrap() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let default = row.split('|').nth(2).unwrap().trim().replace(',', "");
        assert_eq!(default, value.to_string(), "the default of {name} in docs/limits.md");
    }
}

/// What a documented command gives pinport, if it runs pinport: `cargo run` from the clone's root, or
/// outside the README also an installed `pinport`.
fn pinport_arguments<'a>(document: &str, words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    if let ["pinport", arguments @ ..] = words {
        assert!(document != "README.md", "README.md: no step puts pinport into PATH: {}", words.join(" "));
        return Some(arguments);
    }
    // Also as the last words of a command that runs another, such as scripts/s3-server.
    let run = ["cargo", "run", "--release", "--"];
    let at = words.windows(run.len()).position(|window| window == run)?;
    Some(&words[at + run.len()..])
}

#[test]
fn documented_commands_exist() {
    let mut checked = 0;
    for document in ["README.md", "CONTRIBUTING.md", "examples/README.md"] {
        for command in commands(document) {
            let words: Vec<&str> = command.split_whitespace().take_while(|word| *word != "#").collect();
            for word in &words {
                if ["scripts/", "benches/", "examples/", "tests/", "fuzz/", ".ci/"]
                    .iter()
                    .any(|folder| word.starts_with(folder))
                {
                    assert!(Path::new(TOP).join(word).exists(), "{document}: {command}: there is no {word}");
                    checked += 1;
                }
            }
            let Some(arguments) = pinport_arguments(document, &words) else { continue };
            let is_name = |word: &&&str| word.chars().all(|character| character.is_ascii_lowercase());
            let depth =
                if matches!(arguments, ["config" | "endpoint" | "jobs" | "segment", ..]) { 2 } else { 1 };
            let name: Vec<&str> = arguments.iter().take(depth).take_while(is_name).copied().collect();
            let output =
                Command::new(env!("CARGO_BIN_EXE_pinport")).args(&name).arg("--help").output().unwrap();
            assert!(output.status.success(), "{document}: {command}: pinport has no command {name:?}");
            let help = String::from_utf8(output.stdout).unwrap();
            for flag in arguments.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(help.contains(flag), "{document}: {command}: there is no {flag}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands were found");
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt as _;

    for script in [
        ".ci/run",
        "scripts/check-workflows",
        "scripts/demo",
        "scripts/test",
        "scripts/setup",
        "scripts/deny",
        "scripts/package",
        "scripts/s3-server",
        "scripts/torture",
        "scripts/try-emulators",
        "scripts/try-otlp",
        "scripts/try-packages",
        "scripts/try-prometheus",
        "scripts/try-seaweedfs",
        "scripts/try-server",
        "scripts/walk-readme",
        "tests/clients/run",
        "benches/end_to_end",
        "benches/memory",
        "benches/peers/run",
    ] {
        let path = Path::new(TOP).join(script);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert!(mode & 0o111 == 0o111, "{script} is not executable");
        assert!(fs::read_to_string(path).unwrap().starts_with("#!"), "{script} has no #! line");
    }
}

#[test]
fn nothing_committed_names_a_home_folder() {
    let of_machines = ["/home/", "/Users/", "/root/", "/work/"];
    for path in files(&["rs", "md", "toml", "py", "sh"]) {
        if path.ends_with(file!()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for folder in of_machines {
            assert!(!text.contains(folder), "{} speaks of {folder}", shown(&path));
        }
    }
}

/// A module with files below it is `foo/mod.rs`, never `foo.rs` beside `foo/`: one folder holds the whole room.
#[test]
fn a_folder_holds_its_module() {
    for file in files(&["rs"]) {
        let folder = file.with_extension("");
        assert!(!folder.is_dir(), "{} belongs into {}/mod.rs", file.display(), folder.display());
    }
}

/// Text wraps at 100 columns. Tables, commands and screens do not wrap.
#[test]
fn documents_wrap_at_100_columns() {
    for path in files(&["md"]) {
        let mut fenced = false;
        for (number, line) in (1..).zip(fs::read_to_string(&path).unwrap().lines()) {
            fenced ^= line.starts_with("```");
            let wraps = !fenced && !line.starts_with('|') && !line.starts_with("    ");
            let width = line.chars().count();
            assert!(!wraps || width <= 100, "{}:{number} has {width} columns, wrap at 100", shown(&path));
        }
    }
}
