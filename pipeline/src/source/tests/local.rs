//! Files, folders and pipes.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;
use crate::source::{Compression, decode::tests::encode};

pub(super) fn write(root: &Path, key: &str, bytes: &[u8]) {
    let path = root.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn folder(root: &Path, runtime: &Runtime) -> Source {
    open(root.to_str().unwrap(), options(), runtime).unwrap()
}

#[test]
fn a_folder_is_listed_in_key_order_and_judged() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let root = folder_.path();
    for key in [
        "a/b.json",
        "a-b.json",
        "a.json",
        "a0.json",
        "a/c/ü b%20.json.gz",
        "Z.ndjson",
        "b.csv",
        "a/look",
        "look.gz",
    ] {
        let bytes = b"{\"Id\":\"1\"}\n";
        write(
            root,
            key,
            &if key.ends_with(".gz") { encode(Compression::Gzip, bytes) } else { bytes.to_vec() },
        );
    }
    write(root, "table", b"Id,Address\n");
    write(root, "_SUCCESS", b"x");
    write(root, "empty.json", b"");
    write(root, "empty.json.gz", b"");
    symlink(root.join("a.json"), root.join("link.json")).unwrap();
    symlink(root.join("nowhere"), root.join("broken.json")).unwrap();
    symlink(root, root.join("loop")).unwrap();
    let source = folder(root, &runtime);
    let all = list(&source, Format::Json).unwrap();
    let (read, skipped) = keys(&all);
    assert_eq!(
        read,
        [
            "Z.ndjson",
            "a-b.json",
            "a.json",
            "a/b.json",
            "a/c/ü b%20.json.gz",
            "a/look",
            "a0.json",
            "empty.json.gz",
            "link.json",
            "look.gz"
        ]
    );
    assert_eq!(skipped, ["_SUCCESS", "b.csv", "broken.json", "empty.json", "loop", "table"]);
    let contents = drain(source.read(readable(all.clone()), 0));
    for (key, bytes) in &contents {
        match bytes {
            Ok(bytes) => assert_eq!(bytes, b"{\"Id\":\"1\"}\n", "{key}"),
            Err(error) => {
                assert!(
                    matches!(error, SourceError::Truncated { url, .. } if url.ends_with("empty.json.gz")),
                    "{error}"
                );
            }
        }
    }
    assert_eq!(contents.len(), read.len(), "an object that is lost does not take others with it");
    assert_eq!(contents.iter().filter(|(_, bytes)| bytes.is_err()).count(), 1);
}

#[test]
fn a_single_file_is_read_whatever_its_name() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    write(folder_.path(), "x.csv", b"hello");
    let path = folder_.path().join("x.csv");
    let source = folder(&path, &runtime);
    let all = list(&source, Format::Json).unwrap();
    assert_eq!(keys(&all).0, ["x.csv"]);
    assert_eq!(source.url("x.csv"), path.to_str().unwrap());
    assert_eq!(source.head(&all[0], 3).unwrap(), b"hel");
    assert_eq!(drain(source.read(readable(all), 0)), [("x.csv".to_owned(), Ok(b"hello".to_vec()))]);
}

#[test]
fn nothing_to_read_is_an_error() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let source = folder(folder_.path(), &runtime);
    assert!(matches!(list(&source, Format::Json), Err(SourceError::NoMatch { skipped: 0, .. })));
    write(folder_.path(), "x.csv", b"hello");
    assert!(matches!(list(&source, Format::Json), Err(SourceError::NoMatch { skipped: 1, .. })));
    let missing = open(folder_.path().join("none").to_str().unwrap(), options(), &runtime);
    assert!(matches!(missing.err(), Some(SourceError::Unreadable { .. })));
}

#[test]
fn an_error_of_an_object_takes_its_place_and_any_other_is_the_end() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    write(folder_.path(), "a.json", b"{}");
    let source = folder(folder_.path(), &runtime);
    let listed = list(&source, Format::Json).unwrap();
    for object in [true, false] {
        let error = SourceError::Other { url: "b.json".into(), reason: "it is damaged".into(), object };
        let objects = [Err(error), Ok(listed[0].clone())];
        let mut stream = source.read(objects.into_iter(), 0);
        assert!(matches!(stream.next_object(), Some(Err(SourceError::Other { .. }))));
        assert_eq!(matches!(stream.next_object(), Some(Ok(_))), object);
    }
}

#[test]
fn reading_goes_on_in_mid_object() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let root = folder_.path();
    let data = noise(3000, 7);
    let text: Vec<u8> = data.iter().map(|byte| b'a' + byte % 26).collect();
    for (key, codec) in [
        ("0.json", Compression::None),
        ("1.json", Compression::Gzip),
        ("2.json", Compression::Zstd),
        ("3.json", Compression::Bzip2),
        ("4.json", Compression::Xz),
    ] {
        write(root, key, &encode(codec, &text));
    }
    let source = folder(root, &runtime);
    let all = list(&source, Format::Json).unwrap();
    for first in 0..5 {
        for start in [1, 5, 9, 10, 11, 12, 2999, 3000] {
            let contents = drain(source.read(readable(all[first..].to_vec()), start as u64));
            assert_eq!(contents.len(), 5 - first);
            assert_eq!(contents[0].1.as_ref().unwrap(), &text[start..], "{first} {start}");
            assert!(contents[1..].iter().all(|(_, bytes)| bytes.as_ref().unwrap() == &text));
        }
        let contents = drain(source.read(readable(all[first..].to_vec()), 3001));
        assert!(matches!(contents[0].1, Err(SourceError::Truncated { .. })));
        assert_eq!(contents.len(), 5 - first);
    }
}

#[test]
fn a_file_that_changes_is_noticed() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let root = folder_.path();
    let data = vec![b'x'; 100_000];
    type Change = (&'static str, &'static dyn Fn(&Path));
    let cases: [Change; 4] = [
        ("appended", &|path| {
            fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"y").unwrap()
        }),
        ("cut", &|path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(50_000).unwrap()),
        ("touched", &|path| {
            fs::File::options().write(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()
        }),
        ("removed", &|path| fs::remove_file(path).unwrap()),
    ];
    for (name, change) in cases {
        for before in [true, false] {
            write(root, "x.json", &data);
            let source = folder(root, &runtime);
            let all = list(&source, Format::Json).unwrap();
            if before {
                change(&root.join("x.json"));
            }
            let mut stream = source.read(readable(all), 0);
            let mut buf = [0; 1000];
            let result = (|| {
                let mut reader = stream.next_object().unwrap()?;
                reader.read(&mut buf)?;
                change(&root.join("x.json"));
                while reader.read(&mut buf)? > 0 {}
                Ok(())
            })();
            match (name, before) {
                // A file that is open stays whole when its name goes.
                ("removed", false) => assert_eq!(result, Ok(())),
                ("removed", true) => {
                    assert!(matches!(result, Err(SourceError::NotFound { .. })), "{result:?}")
                }
                _ => {
                    assert!(matches!(result, Err(SourceError::Changed { .. })), "{name} {before} {result:?}")
                }
            }
            if name == "removed" {
                continue;
            }
        }
    }
}

#[test]
fn a_pipe_is_looked_at_and_read_once() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let path = folder_.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let data = noise(700_000, 3);
    let encoded = encode(Compression::Zstd, &data);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(path).unwrap();
            encoded.chunks(3).take(20).for_each(|chunk| pipe.write_all(chunk).unwrap());
            pipe.write_all(&encoded[60..]).unwrap();
        }
    });
    let source = folder(&path, &runtime);
    let all = list(&source, Format::Json).unwrap();
    assert_eq!(source.head(&all[0], 1000).unwrap(), &data[..1000]);
    assert_eq!(source.head(&all[0], 10).unwrap(), &data[..10]);
    let mut stream = source.read(readable(all.clone()), 0);
    let mut reader = stream.next_object().unwrap().unwrap();
    let (mut read, mut buf) = (Vec::new(), vec![0; 9999]);
    loop {
        match reader.read(&mut buf).unwrap() {
            0 => break,
            bytes => read.extend_from_slice(&buf[..bytes]),
        }
    }
    assert!(read == data);
    writer.join().unwrap();
    let again = drain(source.read(readable(all), 0));
    assert!(matches!(again[0].1, Err(SourceError::Unreadable { .. })));
}

#[test]
fn a_silent_pipe_does_not_hold_up_cancelling() {
    let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let path = folder_.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opened for both directions, a pipe neither blocks nor ends.
    let _open = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let options = options();
    let cancel = options.cancel.clone();
    let source = open(path.to_str().unwrap(), options, &runtime).unwrap();
    let object = list(&source, Format::Json).unwrap().remove(0);
    let fired = std::thread::spawn(move || {
        cancel.cancel();
        Instant::now()
    });
    assert_eq!(source.head(&object, 10), Err(SourceError::Cancelled));
    assert!(fired.join().unwrap().elapsed() < Duration::from_millis(100));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// The walk's order is the order of the whole keys.
    #[test]
    fn folders_are_walked_in_key_order(names in prop::collection::btree_set("[a-c.0!-]{1,2}(/[a-c.0!-]{1,2}){0,2}", 1..12)) {
        let (folder_, runtime) = (tempfile::tempdir().unwrap(), runtime());
        for name in &names {
            let path = folder_.path().join(format!("{name}.json"));
            if name.split('/').all(|part| part != "." && part != "..")
                && fs::create_dir_all(path.parent().unwrap()).is_ok()
            {
                let _ = fs::write(path, "x");
            }
        }
        if let Ok(all) = list(&folder(folder_.path(), &runtime), Format::Json) {
            let (read, _) = keys(&all);
            let mut sorted = read.clone();
            sorted.sort_unstable();
            prop_assert_eq!(read, sorted);
        }
    }
}
