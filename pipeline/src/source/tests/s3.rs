//! A real S3 server in the process.

use std::{fs, net::SocketAddr, path::Path};

use super::*;
use crate::source::{Compression, decode::tests::encode};

/// Serves the folders of `root` as buckets.
fn serve(root: &Path, runtime: &Runtime) -> SocketAddr {
    let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(s3s::auth::SimpleAuth::from_single("AKTEST", "secret/+key"));
    let service = builder.build();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    address
}

fn s3_options(address: SocketAddr) -> SourceOptions {
    SourceOptions {
        settings: Settings::empty()
            .with("AWS_ENDPOINT_URL", &format!("http://{address}"))
            .with("AWS_ACCESS_KEY_ID", "AKTEST")
            .with("AWS_SECRET_ACCESS_KEY", "secret/+key"),
        ..options()
    }
}

fn put(root: &Path, key: &str, bytes: &[u8]) {
    let path = root.join("bucket").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn prefixes_and_exact_keys_match_as_plain_text() {
    let (folder, server, runtime) = (tempfile::tempdir().unwrap(), runtime(), runtime());
    let root = folder.path();
    let odd = [
        "con%20t/ü b+c.json",
        "con/a&b.json",
        "con/sub/x y.json",
        "contacts/1.json",
        "contacts/2.json.gz",
        "cöñ.json",
    ];
    for key in odd {
        put(
            root,
            key,
            &if key.ends_with("gz") {
                encode(Compression::Gzip, key.as_bytes())
            } else {
                key.as_bytes().to_vec()
            },
        );
    }
    put(root, "other.csv", b"Id");
    put(root, "look", b"{}");
    let address = serve(root, &server);
    let keys_of = |location: &str| {
        let source = open(location, s3_options(address), &runtime).unwrap();
        list(&source, Format::Json).map(|all| keys(&all).0.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(keys_of("s3://bucket/con").unwrap(), &odd[..5]);
    assert_eq!(keys_of("s3://bucket/con/").unwrap(), &odd[1..3]);
    assert_eq!(keys_of("s3://bucket/con%").unwrap(), &odd[..1]);
    assert_eq!(keys_of("s3://bucket/contacts/1.json").unwrap(), ["contacts/1.json"]);
    assert_eq!(keys_of("s3://bucket/contacts/1.js").unwrap(), ["contacts/1.json"]);
    assert_eq!(keys_of("s3://bucket/cö").unwrap(), ["cöñ.json"]);
    assert_eq!(
        keys_of("s3://bucket/other.csv").unwrap(),
        ["other.csv"],
        "an exact key is not judged by its name"
    );
    assert!(matches!(keys_of("s3://bucket/nothing"), Err(SourceError::NoMatch { .. })));
    assert!(matches!(keys_of("s3://nobucket/x"), Err(SourceError::NoSuchBucket { .. })));
    let source = open("s3://bucket", s3_options(address), &runtime).unwrap();
    let all = list(&source, Format::Json).unwrap();
    assert_eq!(keys(&all), ([&odd[..5], &["cöñ.json", "look"]].concat(), vec!["other.csv"]));
    for (key, bytes) in drain(source.read(readable(all), 0)) {
        let expected = if key == "look" { "{}" } else { &key };
        assert_eq!(bytes.unwrap(), expected.as_bytes());
    }
    let wrong = SourceOptions {
        settings: s3_options(address).settings.with("AWS_SECRET_ACCESS_KEY", "wrong"),
        ..options()
    };
    let source = open("s3://bucket", wrong, &runtime).unwrap();
    assert!(matches!(list(&source, Format::Json), Err(SourceError::AccessDenied { credentials: true, .. })));
}

#[test]
fn many_small_objects_arrive_in_order() {
    let (folder, server, runtime) = (tempfile::tempdir().unwrap(), runtime(), runtime());
    for number in 0..2000 {
        put(folder.path(), &format!("p/{number:05}.json"), format!("{number}\n").repeat(20).as_bytes());
    }
    let source = open("s3://bucket/p", s3_options(serve(folder.path(), &server)), &runtime).unwrap();
    let all = list(&source, Format::Json).unwrap();
    assert_eq!(all.len(), 2000);
    let contents = drain(source.read(readable(all), 0));
    for (number, (key, bytes)) in contents.into_iter().enumerate() {
        assert_eq!(key, format!("p/{number:05}.json"));
        assert_eq!(bytes.unwrap(), format!("{number}\n").repeat(20).into_bytes());
    }
}

#[test]
fn a_large_object_arrives_by_ranges_and_goes_on_in_the_middle() {
    let (folder, server, runtime) = (tempfile::tempdir().unwrap(), runtime(), runtime());
    let data = noise(64 << 20, 5);
    put(folder.path(), "big.json", &data);
    put(folder.path(), "big.json.zst", &encode(Compression::Zstd, &data[..9 << 20]));
    let address = serve(folder.path(), &server);
    let options = SourceOptions { request_bytes: 5_000_000, ..s3_options(address) };
    let source = open("s3://bucket/big", options, &runtime).unwrap();
    let all = list(&source, Format::Json).unwrap();
    let contents = drain(source.read(readable(all.clone()), 0));
    assert!(contents[0].1.as_ref().unwrap() == &data);
    assert!(contents[1].1.as_ref().unwrap() == &data[..9 << 20]);
    let contents = drain(source.read(readable(all.clone()), 60 << 20));
    assert!(contents[0].1.as_ref().unwrap() == &data[60 << 20..]);
    assert!(contents[1].1.as_ref().unwrap() == &data[..9 << 20]);
    let contents = drain(source.read(readable(all[1..].to_vec()), 8 << 20));
    assert!(contents[0].1.as_ref().unwrap() == &data[8 << 20..9 << 20]);
    assert_eq!(source.head(&all[1], 100).unwrap(), &data[..100]);
    // Moving on drops what is left.
    let mut stream = source.read(readable(all), 0);
    let mut buf = [0; 100];
    stream.next_object().unwrap().unwrap().read(&mut buf).unwrap();
    let mut second = stream.next_object().unwrap().unwrap();
    assert_eq!(second.object().key, "big.json.zst");
    assert_eq!(second.compression(), Compression::Zstd);
    assert!(second.read(&mut buf).unwrap() > 0);
    assert_eq!(buf[..10], data[..10]);
}
