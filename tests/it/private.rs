//! What pinport keeps, and files with secrets, are for their user alone.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{serving::Serving, support::*, two_roles::key};

/// M10: whatever the umask, what pinport keeps is for its user alone; what an older version left open is closed.
#[test]
fn what_is_kept_is_for_its_user_alone() {
    let lab = Lab::new();
    lab.write_sample("in/rows.json", "--rows 200 --bad 10%");
    let open = |run: Run| run.umask(0);
    open(lab.import("in/rows.json", "json", &["--segment", "all"])).expect(3);
    open(lab.import("in/rows.json", "json", &["--check"])).expect(3);
    // Folders as they were made before.
    for folder in ["data/store", "data/jobs"] {
        fs::set_permissions(lab.path(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    lab.write("pinport.toml", "");
    let server = Serving::spawn(open(lab.pinport(&["serve"]))).unwrap();
    let url = ["import", "in/rows.json", "--format", "json", "--app", "shop", "--server", &server.url];
    lab.pinport(&url).expect(3);
    // While it runs, too: its lock, its log, and what came by upload.
    assert_private(&lab.path("data"));
    server.stop();
    assert_private(&lab.path("data"));
}

/// That no one else may do anything with a folder and what is in it.
#[track_caller]
fn assert_private(folder: &Path) {
    let (mut folders, mut files) = (vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert!(files > 10, "only {files} files");
}

/// M10: files with secrets that every user can read are refused, with what to do.
#[test]
fn files_with_secrets_are_for_their_user_alone() {
    let lab = Lab::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    lab.write("server.crt", made.cert.pem());
    lab.write("server.key", made.signing_key.serialize_pem());
    lab.write("keys.toml", key("ADMIN", ""));
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(lab.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let keyed = key("ADMIN", "");
    let role = "[roles.a]\naccess_key_id = \"i\"\nsecret_access_key = \"hush\"\n";
    for (configuration, file) in [
        (keyed.as_str(), "pinport.toml"),
        ("[sources]\naccess_key_id = \"i\"\nsecret_access_key = \"hush\"\n", "pinport.toml"),
        (role, "pinport.toml"),
        ("keys_file = \"keys.toml\"\n", "keys.toml"),
        ("[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n", "server.key"),
    ] {
        lab.write("pinport.toml", configuration);
        for private in [0o600, 0o400, 0o640] {
            mode(file, private);
            lab.pinport(&["config", "check", "--listen", "127.0.0.1:0"]).expect(0);
        }
        for open in [0o644, 0o604, 0o666, 0o602] {
            mode(file, open);
            let outcome = lab.pinport(&["config", "check"]).expect(2);
            outcome.says(&[file, "holds secrets", "chmod 600"]);
            assert!(!outcome.err.contains("hush"), "{}", outcome.err);
            lab.pinport(&["serve", "--listen", "127.0.0.1:0"]).expect(2).says(&[file, "chmod 600"]);
        }
        mode(file, 0o600);
    }
    // One without secrets is anybody's to read.
    lab.write("pinport.toml", "[http]\nconnections = 10\n");
    mode("pinport.toml", 0o644);
    lab.pinport(&["config", "check", "--listen", "127.0.0.1:0"]).expect(0);
    // A running server keeps its keys when their file was opened.
    let server = Serving::start_with(&lab, &keyed, &[]);
    mode("pinport.toml", 0o644);
    server.signal(libc::SIGHUP);
    server.until_said("the keys stay as they were");
}
