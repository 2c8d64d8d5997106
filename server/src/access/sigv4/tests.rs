//! R9: the AWS SDK's own signer signs, and then something is changed.

use super::{AuthError, PayloadHash};
use crate::access::{Access, FixedClock, KeyConfig, KeyRing, Secret};

pub(crate) use super::signer::{KEY, NOW, REGION, SECRET, Sent, Signer};

pub(crate) fn key(id: &str, secret: &str) -> KeyConfig {
    KeyConfig { id: id.into(), secret: Secret::new(secret), applications: None, read_only: false, rate: None }
}

/// What the gate says of a request at `now`.
fn judge_at(sent: &Sent, now: i64, unhashed_allowed: bool) -> Result<String, AuthError> {
    let ring = KeyRing::new([key(KEY, SECRET), key("OTHERKEY", "another secret of another key")]).unwrap();
    let access = Access::with_keys(REGION, ring, std::sync::Arc::new(FixedClock::at(now)));
    let parts = sent.parts();
    let claim = access.claim(&parts, unhashed_allowed)?.expect("keys are configured");
    let body = if unhashed_allowed { claim.payload() } else { PayloadHash::of(&sent.body) };
    Ok(claim.verify(&parts, body)?.key_id().unwrap().to_owned())
}

fn judge(sent: &Sent) -> Result<String, AuthError> {
    judge_at(sent, NOW, false)
}

const TARGETS: [&str; 6] = [
    "/v1/apps",
    "/v1/apps/0123456789abcdef0123456789abcdef/jobs/import?page-size=10&token=a%2Fb%3D%3D",
    "/v1/apps/a/endpoints/user%40example.com%2F%2B1",
    "/v1/tags/arn%3Aaws%3Amobiletargeting%3Aus-east-1%3A1%3Aapps%2Fa?tagKeys=b&tagKeys=a&tagKeys=%20&empty=&bare",
    "/v1/apps/%E2%82%AC~-_.",
    "/v1/apps/a?b=%25&A=%C3%A9",
];

#[test]
fn the_sdks_signatures_hold() {
    let mut held = 0;
    for target in TARGETS {
        for (method, body) in [("GET", &b""[..]), ("POST", b"{\"a\":1}"), ("PUT", &[0xff; 70_000])] {
            for checksum in [false, true] {
                let sent = Signer { checksum, ..Signer::default() }.sign(method, target, body);
                assert_eq!(judge(&sent).as_deref(), Ok(KEY), "{method} {target} {checksum}");
                held += 1;
            }
        }
        let sent = Signer { presign: Some(300), ..Signer::default() }.sign("GET", target, b"");
        assert_eq!(judge(&sent).as_deref(), Ok(KEY), "presigned {target}");
        held += 1;
    }
    println!("R9: {held} signatures of the SDK's signer hold");
}

/// Signatures that botocore 1.43 made (region us-east-1, service mobiletargeting), so that two implementations
/// agree with ours.
#[test]
fn botocores_signatures_hold() {
    for (target, signature) in BOTOCORE {
        let sent = Sent {
            method: "GET".into(),
            target: (*target).into(),
            headers: vec![
                ("host".into(), "localhost".into()),
                ("x-amz-date".into(), "20260921T141320Z".into()),
                (
                    "authorization".into(),
                    format!(
                        "AWS4-HMAC-SHA256 Credential={KEY}/20260921/us-east-1/mobiletargeting/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature={signature}"
                    ),
                ),
            ],
            body: Vec::new(),
        };
        assert_eq!(judge(&sent).as_deref(), Ok(KEY), "{target}");
    }
}

const BOTOCORE: &[(&str, &str)] = &[
    (
        "/v1/apps?page-size=10&token=a%2Fb%3D%3D",
        "a6fc3f11e1269cd91fdcd4cd11b4acaff694f289681571e7011cb78406fd08fa",
    ),
    (
        "/v1/apps/a/endpoints/user%40example.com%2F%2B1",
        "9921f3927dd315511d45f452d35020bca0e4c5f30588bdb6dc835253f6070c23",
    ),
    (
        "/v1/tags/arn%3Aaws%3Amobiletargeting%3Aus-east-1%3A1%3Aapps%2Fa?tagKeys=b&tagKeys=a",
        "58d5c467c86e77f7af1f8fc56f9f6810c09c9582119eba18b0452a5a807de1e0",
    ),
];

type Change = fn(&mut Sent);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_change_is_refused() {
    let target = "/v1/apps/a%2Fb/jobs/import?page-size=10&token=x";
    let table: &[(&str, &str, Change)] = &[
        ("path", "mismatch", |sent| sent.target = sent.target.replace("/apps/a", "/apps/b")),
        ("path spelled otherwise", "mismatch", |sent| sent.target = sent.target.replace("%2F", "%2f")),
        ("path decoded", "mismatch", |sent| sent.target = sent.target.replace("%2F", "/")),
        ("path with dots", "mismatch", |sent| sent.target = sent.target.replace("/jobs", "/./jobs")),
        ("path with a double slash", "mismatch", |sent| sent.target = sent.target.replace("/jobs", "//jobs")),
        ("query value", "mismatch", |sent| sent.target = sent.target.replace("=10", "=11")),
        ("query added", "mismatch", |sent| sent.target += "&a=b"),
        ("query removed", "mismatch", |sent| sent.target = sent.target.replace("&token=x", "")),
        ("query doubled", "mismatch", |sent| sent.target += "&token=x"),
        ("query broken", "malformed", |sent| sent.target += "&a=%"),
        ("method", "mismatch", |sent| sent.method = "PUT".into()),
        ("body", "mismatch", |sent| sent.body.push(b' ')),
        ("no body", "mismatch", |sent| sent.body.clear()),
        ("signed header", "mismatch", |sent| sent.set("content-type", |_| "text/plain".into())),
        ("signed header's case", "mismatch", |sent| sent.set("x-a", str::to_uppercase)),
        ("host", "mismatch", |sent| sent.set("host", |_| "otherhost".into())),
        ("signed header gone", "header_missing", |sent| sent.headers.retain(|(name, _)| name != "x-a")),
        ("date gone", "header_not_signed", |sent| sent.headers.retain(|(name, _)| name != "x-amz-date")),
        ("date moved", "mismatch", |sent| sent.set("x-amz-date", |date| date.replace("20Z", "21Z"))),
        ("date on another day", "malformed", |sent| {
            sent.set("x-amz-date", |date| date.replace("20260921", "20260920"))
        }),
        ("date malformed", "malformed", |sent| sent.set("x-amz-date", |date| date.replace('T', " "))),
        ("signed header twice", "mismatch", |sent| sent.headers.push(("x-a".into(), "b c".into()))),
        ("date twice", "header_repeated", |sent| {
            let date = sent.headers.iter().find(|(name, _)| name == "x-amz-date").unwrap().clone();
            sent.headers.push(date);
        }),
        ("host not signed", "header_not_signed", |sent| sent.replace("host;", "")),
        ("date not signed", "header_not_signed", |sent| sent.replace(";x-amz-date", "")),
        ("one header not signed", "mismatch", |sent| sent.replace(";x-a;", ";")),
        ("headers unsorted", "malformed", |sent| sent.replace("content-type;host", "host;content-type")),
        ("headers doubled", "malformed", |sent| sent.replace("host;", "host;host;")),
        ("headers in capitals", "malformed", |sent| sent.replace("=content-type;", "=Content-Type;")),
        ("authorization twice", "repeated", |sent| {
            let auth = sent.headers.iter().find(|(name, _)| name == "authorization").unwrap().clone();
            sent.headers.push(auth);
        }),
        ("authorization beside another", "repeated", |sent| {
            sent.headers.push(("authorization".into(), "Basic YTpi".into()));
        }),
        ("header and query", "mixed", |sent| sent.target += "&X-Amz-Signature=00"),
        ("header and half a query", "mixed", |sent| sent.target += "&X-Amz%2dAlgorithm=AWS4-HMAC-SHA256"),
        ("no authorization", "missing", |sent| sent.headers.retain(|(name, _)| name != "authorization")),
        ("another scheme", "algorithm", |sent| sent.set("authorization", |_| "Basic YTpi".into())),
        ("another algorithm", "algorithm", |sent| sent.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")),
        ("signature altered", "mismatch", |sent| {
            sent.set("authorization", |value| {
                let last = if value.ends_with('0') { "1" } else { "0" };
                format!("{}{last}", &value[..value.len() - 1])
            })
        }),
        ("signature cut", "malformed", |sent| {
            sent.set("authorization", |value| value[..value.len() - 1].into())
        }),
        ("signature in capitals", "malformed", |sent| {
            sent.set("authorization", |value| {
                let (head, signature) = value.split_once("Signature=").unwrap();
                format!("{head}Signature={}", signature.to_uppercase().replace(char::is_numeric, "A"))
            })
        }),
        ("signature doubled", "repeated", |sent| {
            sent.set("authorization", |value| format!("{value}, Signature={}", "0".repeat(64)))
        }),
        ("unknown part", "malformed", |sent| sent.set("authorization", |value| format!("{value}, A=b"))),
        ("no signature", "malformed", |sent| {
            sent.set("authorization", |value| value.split(", Sig").next().unwrap().into())
        }),
        ("unknown key", "unknown_key", |sent| sent.replace(KEY, "AKIDEXAMPLF")),
        ("another's key", "mismatch", |sent| sent.replace(KEY, "OTHERKEY")),
        ("another date in the scope", "malformed", |sent| sent.replace("/20260921/", "/20260920/")),
        ("another region in the scope", "scope", |sent| sent.replace("us-east-1", "us-east-2")),
        ("another service in the scope", "scope", |sent| sent.replace("mobiletargeting", "s3")),
        ("another terminator", "scope", |sent| sent.replace("aws4_request", "aws5_request")),
        ("a longer scope", "scope", |sent| sent.replace("aws4_request", "aws4_request/x")),
        ("unsigned payload", "unsigned_payload", |sent| {
            sent.headers.push(("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into()));
        }),
        ("streaming payload", "streaming_payload", |sent| {
            sent.headers.push(("x-amz-content-sha256".into(), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".into()));
        }),
        ("another's hash", "payload_hash", |sent| {
            sent.headers.push(("x-amz-content-sha256".into(), "0".repeat(64)));
        }),
    ];
    let good = Signer::default().sign("POST", target, b"{\"Format\":\"CSV\"}");
    assert_eq!(judge(&good).as_deref(), Ok(KEY));
    for (what, reason, change) in table {
        let mut sent = good.clone();
        change(&mut sent);
        let error = judge(&sent).expect_err(what);
        assert_eq!(error.reason(), *reason, "{what}: {error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{what}");
    }
    println!("R9: {} mutations of a signed request refused", table.len());
}

/// `get-header-key-duplicate` and `get-header-value-order` of AWS's published suite for Signature Version 4, with its keys,
/// but for the date, which it does not sign.
#[test]
fn repeated_headers_are_joined_in_their_order() {
    let canonical = |values: &[&str]| {
        let mut headers = vec![
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
        ];
        headers.extend(values.iter().map(|value| ("my-header1".to_owned(), (*value).to_owned())));
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;my-header1;x-amz-date, Signature=";
        headers.push(("authorization".to_owned(), authorization.to_owned() + &"0".repeat(64)));
        let sent = Sent { method: "GET".into(), target: "/".into(), headers, body: Vec::new() };
        let parts = sent.parts();
        let presented = super::Presented::read(&parts).unwrap();
        let text = super::canonical::request(&parts, &presented, PayloadHash::of(b"")).unwrap();
        super::canonical::hex(&sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&text)))
    };
    // The hashes of the canonical requests that the suite publishes.
    assert_eq!(
        canonical(&["value2", "value2", "value1"]),
        "dc7f04a3abfde8d472b0ab1a418b741b7c67174dad1551b4117b15527fbe966c"
    );
    assert_eq!(
        canonical(&["value4", "value1", "value3", "value2"]),
        "31ce73cd3f3d9f66977ad3dd957dc47af14df92fcd8509f59b349e9137c58b86"
    );
}

#[test]
fn a_body_hash_that_is_sent_is_bound() {
    let good = Signer { checksum: true, ..Signer::default() }.sign("POST", "/v1/apps", b"a");
    let mut body = good.clone();
    body.body = b"b".to_vec();
    assert_eq!(judge(&body), Err(AuthError::PayloadHash));
    let mut both = body.clone();
    let super::PayloadHash::Sha256(hash) = PayloadHash::of(b"b") else { unreachable!() };
    both.set("x-amz-content-sha256", |_| super::canonical::hex(&hash));
    assert_eq!(judge(&both), Err(AuthError::Mismatch { known_key: true }));
    let mut gone = good.clone();
    gone.headers.retain(|(name, _)| name != "x-amz-content-sha256");
    assert!(judge(&gone).is_err());
}

#[test]
fn others_are_refused() {
    let reason = |signer: Signer| judge(&signer.sign("GET", "/v1/apps", b"")).unwrap_err().reason();
    let signer = Signer::default;
    assert_eq!(reason(Signer { secret: "not the secret at all", ..signer() }), "mismatch");
    assert_eq!(reason(Signer { secret: "another secret of another key", ..signer() }), "mismatch");
    assert_eq!(reason(Signer { key: "NOBODY", ..signer() }), "unknown_key");
    assert_eq!(reason(Signer { region: "eu-west-1", ..signer() }), "scope");
    assert_eq!(reason(Signer { service: "pinpoint", ..signer() }), "scope");
}

#[test]
fn a_signature_holds_for_fifteen_minutes_either_way() {
    let sent = Signer::default().sign("GET", "/v1/apps", b"");
    for (age, reason) in [
        (0, None),
        (900, None),
        (-900, None),
        (901, Some("stale")),
        (-901, Some("future")),
        (86_400, Some("stale")),
    ] {
        let got = judge_at(&sent, NOW + age, false).err().map(|error| error.reason());
        assert_eq!(got, reason, "{age} s after");
    }
}

#[test]
fn presigned_urls_hold_as_long_as_they_say() {
    let presign =
        |seconds| Signer { presign: Some(seconds), ..Signer::default() }.sign("GET", "/v1/apps?a=b", b"");
    let short = presign(60);
    let long = presign(604_800);
    for (sent, age, reason) in [
        (&short, 60, None),
        (&short, 61, Some("expired")),
        (&long, 901, None),
        (&long, 604_800, None),
        (&long, 604_801, Some("expired")),
        (&long, -900, None),
        (&long, -901, Some("future")),
    ] {
        let got = judge_at(sent, NOW + age, false).err().map(|error| error.reason());
        assert_eq!(got, reason, "{age} s after");
    }
    let table: &[(&str, &str, Change)] = &[
        ("longer", "mismatch", |sent| sent.replace("Expires=60", "Expires=61")),
        ("too long", "malformed", |sent| sent.replace("Expires=60", "Expires=604801")),
        ("endless", "malformed", |sent| sent.replace("Expires=60", "Expires=")),
        ("doubled", "repeated", |sent| sent.target += "&X-Amz-Expires=60"),
        ("another path", "mismatch", |sent| sent.replace("/v1/apps", "/v1/app")),
        ("another query", "mismatch", |sent| sent.replace("a=b", "a=c")),
        ("another date", "mismatch", |sent| sent.replace("20Z", "21Z")),
        ("host unsigned", "header_not_signed", |sent| {
            sent.replace("SignedHeaders=content-type%3Bhost%3B", "SignedHeaders=content-type%3B")
        }),
        ("both forms", "mixed", |sent| {
            sent.headers.push(("authorization".into(), "AWS4-HMAC-SHA256 x".into()))
        }),
        ("no algorithm", "algorithm", |sent| sent.replace("X-Amz-Algorithm", "x-amz-algorithm")),
        ("a body", "mismatch", |sent| sent.body = b"x".to_vec()),
    ];
    for (what, reason, change) in table {
        let mut sent = short.clone();
        change(&mut sent);
        let error = judge(&sent).expect_err(what);
        assert_eq!(error.reason(), *reason, "{what}: {error}");
    }
}

#[test]
fn uploads_may_be_unhashed_where_they_cannot_be_changed() {
    let signer = Signer { unsigned_payload: true, checksum: true, ..Signer::default() };
    let sent = signer.sign("POST", "/uploads", b"anything");
    assert_eq!(judge_at(&sent, NOW, true).as_deref(), Ok(KEY));
    assert_eq!(judge_at(&sent, NOW, false), Err(AuthError::UnsignedPayload));
    // Nothing said is not the same as said to be unhashed.
    let silent = Signer::default().sign("POST", "/uploads", b"anything");
    assert_eq!(judge_at(&silent, NOW, true), Err(AuthError::NoPayloadHash));
}
