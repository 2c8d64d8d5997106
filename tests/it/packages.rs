//! What packages bring beside the program: manual pages. scripts/try-packages installs the packages themselves.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::support::*;

/// The names of the pages that the commands below `path` must have.
fn wanted(lab: &Lab, path: &[&str], found: &mut BTreeSet<String>) {
    found.insert(format!("{}.1", [&["pinport"], path].concat().join("-")));
    let help = String::from_utf8(lab.pinport(path).args(["--help"]).expect(0).out).unwrap();
    let Some((_, list)) = help.split_once("Commands:\n") else { return };
    for line in list.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
            wanted(lab, &[path, &[name]].concat(), found);
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let lab = Lab::new();
    lab.pinport(&["man", "share/man1"]).expect(0);
    let folder = lab.path("share/man1");
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut commands = BTreeSet::new();
    wanted(&lab, &[], &mut commands);
    assert!(commands.len() > 20, "{commands:?}");
    assert_eq!(pages, commands);
    // Everybody may read them, whatever pinport does with its data.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("pinport.1"))), (0o755, 0o644));

    let page = fs::read_to_string(folder.join("pinport-import.1")).unwrap();
    let example =
        "pinport import s3://bucket/exports/ \\-\\-format json \\-\\-app shop \\-\\-segment customers\n";
    for text in
        [".TH pinport-import 1", "pinport 0.", "\\-\\-max\\-failures", "PINPORT_FORMAT", ".nf\n", example]
    {
        assert!(page.contains(text), "{text:?}: {page}");
    }
    let (before, after) = page.split_once(example).unwrap();
    assert!(before.rfind(".nf\n") > before.rfind(".fi\n") && after.contains(".fi\n"), "{page}");
}

#[test]
fn pages_that_cannot_be_written_are_named() {
    let lab = Lab::new();
    lab.write("file", "");
    lab.pinport(&["man", "file/man1"]).expect(1).says(&["writing manual pages into file/man1"]);
}

/// What is run of the repository in a text of shell commands, each with its flags.
fn scripts_called(text: &str) -> Vec<(&str, Vec<&str>)> {
    let commands = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let calls = commands.flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_script = |word: &&str| word.starts_with("scripts/") || word.starts_with(".ci/");
        let at = words.iter().position(is_script)?;
        let flags = words[at + 1..].iter().copied().filter(|word| word.starts_with('-'));
        Some((words[at], flags.collect()))
    });
    calls.collect()
}

/// The workflows run the scripts that everybody runs, pin what they take from others, and may write only to publish.
#[test]
fn workflows_pin_their_actions_and_call_the_scripts() {
    let folder = Path::new(TOP).join(".github/workflows");
    for (name, scripts) in [
        ("ci.yml", &[".ci/run"][..]),
        ("release.yml", &["scripts/setup", "scripts/package", "scripts/try-packages"]),
    ] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let calls = scripts_called(&text);
        assert_eq!(calls.iter().map(|(script, _)| *script).collect::<Vec<_>>(), scripts, "{name}");
        for (script, flags) in calls {
            let path = Path::new(TOP).join(script);
            let source =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {script}: {error}"));
            assert!(fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0, "{name}: {script}");
            for flag in flags {
                assert!(source.contains(flag), "{name}: {script} has no {flag}");
            }
        }
        let actions: Vec<_> = text.lines().filter_map(|line| line.split_once("uses: ")).collect();
        assert!(!actions.is_empty(), "{name}");
        for (_, action) in actions {
            let (revision, version) = action.split_once('@').unwrap().1.split_once(" # v").unwrap();
            let pinned = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(pinned && !version.is_empty(), "{name}: {action} is not pinned to a revision");
        }
        let (top, jobs) = text.split_once("\njobs:\n").unwrap();
        assert!(top.contains("\npermissions:\n  contents: read\n"), "{name}");
        assert!(!jobs.split("\n  publish:").next().unwrap().contains(": write"), "{name}");
    }
}
