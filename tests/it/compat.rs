//! docs/compat.md: every operation, member and error of the service model has a row, and every test it names exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::support::TOP;

/// Where the tests of a group are, and how a test begins there.
const GROUPS: [(&str, &str, &[&str]); 16] = [
    ("boto3", "tests/clients/boto3_cases.py", &["def "]),
    ("cli", "tests/clients/cli_cases.py", &["def "]),
    ("js", "tests/clients/js/cases.mjs", &["async function "]),
    ("rust", "tests/clients/rust/src/main.rs", &["async fn "]),
    ("roles", "tests/clients/roles_cases.py", &["def "]),
    ("operations", "server/src/operations/tests/mod.rs", &["async fn "]),
    ("imports", "server/src/operations/tests/imports.rs", &["async fn "]),
    ("exports", "server/src/operations/tests/exports.rs", &["async fn "]),
    ("rules", "server/src/operations/tests/rules.rs", &["async fn "]),
    ("also", "server/src/operations/tests/also.rs", &["async fn "]),
    ("segments", "server/src/operations/tests/segments.rs", &["async fn "]),
    ("raw", "server/src/http/tests/raw.rs", &["async fn "]),
    ("limits", "server/src/http/tests/limits.rs", &["async fn "]),
    ("stop", "server/src/http/tests/stop.rs", &["async fn "]),
    ("wire", "server/src/wire.rs", &["fn "]),
    ("it", "", &["fn "]),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(TOP).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of tests among them: `group::name`.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    quoted(text).filter(|word| word.split_once("::").is_some_and(|(_, name)| !name.is_empty()))
}

/// The rows of each section, by its heading: the first cell's name, how near, and the row.
fn rows(document: &str) -> BTreeMap<String, BTreeMap<String, (String, String)>> {
    let mut sections: BTreeMap<String, BTreeMap<String, (String, String)>> = BTreeMap::new();
    let mut heading = String::new();
    for line in document.lines() {
        if let Some(name) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')) {
            heading = name.to_owned();
        } else if line.starts_with("| `") {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = quoted(cells[1]).next().unwrap().to_owned();
            let row = (cells[2].to_owned(), line.to_owned());
            let before = sections.entry(heading.clone()).or_default().insert(name, row);
            assert!(before.is_none(), "twice in {heading}: {line}");
        }
    }
    sections
}

#[test]
fn every_test_it_names_exists() {
    let document = read("docs/compat.md");
    let names: BTreeSet<&str> = tests(&document).collect();
    assert!(names.len() > 40, "only {} tests are named", names.len());
    for test in names {
        let (group, name) = test.split_once("::").unwrap();
        let known = GROUPS.iter().find(|(known, ..)| *known == group);
        let (_, file, begins) = known.unwrap_or_else(|| panic!("docs/compat.md names {test}: no such group"));
        let (file, name) = match name.split_once("::") {
            Some((module, name)) => (format!("tests/it/{module}.rs"), name),
            None => ((*file).to_owned(), name),
        };
        let text = read(&file);
        let is_there = begins.iter().any(|begin| text.contains(&format!("{begin}{name}(")));
        assert!(is_there, "docs/compat.md names {test}, which is not in {file}");
    }
    for (section, rows) in rows(&document) {
        for (name, (near, row)) in rows {
            assert!(["exact", "approximate", "absent"].contains(&&*near), "{section} {name}: {near:?}");
            assert!(near == "absent" || tests(&row).count() > 0, "{section}: {name} is shown by no test");
        }
    }
}

#[test]
fn nothing_of_the_service_model_is_left_out() {
    let model: Value = serde_json::from_str(&read("server/tests/contract.json")).unwrap();
    let sections = rows(&read("docs/compat.md"));
    let section = |name: &str| sections.get(name).unwrap_or_else(|| panic!("there is no table of {name}"));
    let operations = section("Operations");
    let named: BTreeSet<&String> = operations.keys().collect();
    let known: BTreeSet<&String> = model["operations"].as_object().unwrap().keys().collect();
    assert_eq!(named, known);

    let mut errors = BTreeSet::new();
    let mut places = BTreeSet::new();
    let mut shapes = Vec::new();
    for (name, operation) in model["operations"].as_object().unwrap() {
        errors.extend(
            operation["errors"].as_array().unwrap().iter().map(|error| error["shape"].as_str().unwrap()),
        );
        if operations[name].0 == "absent" {
            continue;
        }
        for end in ["input", "output"] {
            let Some(shape) = operation[end]["shape"].as_str() else { continue };
            for (member, found) in model["shapes"][shape]["members"].as_object().unwrap() {
                if found["location"].is_string() {
                    places.insert(member.as_str());
                } else {
                    shapes.push(found["shape"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    for error in errors {
        assert!(section("Errors").contains_key(error), "{error} has no row");
    }
    for member in places {
        assert!(section("In paths and queries").contains_key(member), "{member} has no row");
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = shapes.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let shape = &model["shapes"][&name];
        for inner in ["member", "value"] {
            shapes.extend(shape[inner]["shape"].as_str().map(str::to_owned));
        }
        let Some(members) = shape["members"].as_object() else { continue };
        let rows = section(&name);
        assert_eq!(
            rows.keys().collect::<BTreeSet<_>>(),
            members.keys().collect::<BTreeSet<_>>(),
            "the members of {name}"
        );
        for (member, found) in members {
            if rows[member].0 != "absent" {
                shapes.push(found["shape"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(seen.len() > 15, "only {} shapes were looked at", seen.len());
}
