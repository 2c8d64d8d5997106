//! Stores with certificates of their own, and sources as people write them.

use std::time::{Duration, Instant};

use crate::{serving::Serving, support::*};

/// A pinport server stands for a store: the certificate is judged before anything is asked.
#[test]
fn a_private_authority_is_trusted_by_its_bundle_alone() {
    let lab = Lab::new();
    let server = Serving::start_tls(&lab, "");
    let ask = || {
        let run = lab.import("s3://bucket/x.csv", "csv", &[]).env("AWS_ENDPOINT_URL_S3", &server.url);
        run.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s")
    };
    let begun = Instant::now();
    ask().expect(1).says(&[
        "invalid peer certificate",
        "hint: the store's certificate is not trusted",
        "AWS_CA_BUNDLE",
    ]);
    assert!(begun.elapsed() < Duration::from_secs(5), "what stays wrong is not tried again");
    let answered = ask().env("AWS_CA_BUNDLE", "server.crt").expect(1);
    assert!(!answered.err.contains("certificate"), "{}", answered.err);
    answered.says(&["s3://bucket", "the store answered"]);
    ask().env("AWS_CA_BUNDLE", "absent.crt").expect(1).says(&["absent.crt (AWS_CA_BUNDLE)"]);
}

#[test]
fn other_forms_of_a_source_are_answered_with_the_right_one() {
    let lab = Lab::new();
    for (source, right) in [
        ("https://b.s3.eu-west-1.amazonaws.com/k.csv", "write s3://b/k.csv with AWS_REGION=eu-west-1"),
        ("https://storage.googleapis.com/b/k.csv", "write gs://b/k.csv"),
        ("arn:aws:s3:::b/k.csv", "write s3://b/k.csv"),
        ("https://example.com/k.csv", "curl -fsS ADDRESS | pinport import -"),
        ("s3://b/k.csv\n", "line break"),
    ] {
        lab.import(source, "csv", &[]).expect(2).says(&["is no source", right]);
    }
    lab.import("a.csv", "csv", &["b.csv"]).expect(2).says(&["b.csv is a second one", "name the folder"]);
    lab.import("data/*.csv", "csv", &[]).expect(1).says(&["name the folder"]);
    lab.write("empty.csv", "");
    lab.import("empty.csv", "csv", &[])
        .expect(1)
        .says(&["it is empty", "check whether what writes it is done"]);
}
