//! A role that is assumed: what is asked of STS, and what of the store.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use serde_json::json;

use crate::{serving::Serving, support::*};

/// A role is assumed at an STS with the default credentials, and its objects are read with what STS gave.
#[test]
#[expect(clippy::too_many_lines, reason = "with the STS that it talks to")]
fn a_role_is_assumed_and_an_unknown_one_refused() {
    const ROWS: &[u8] = b"{\"Id\":\"a\",\"Address\":\"a@x\",\"ChannelType\":\"EMAIL\"}\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let asked = Arc::clone(&seen);
    // STS and S3 in one: they are told apart by their paths. It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, asked) = (stream.unwrap(), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let text = String::from_utf8(std::mem::take(&mut head)).unwrap().to_ascii_lowercase();
                    asked.lock().unwrap().push(text.clone());
                    let answer = answer(&text, ROWS);
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    fn answer(head: &str, rows: &[u8]) -> Vec<u8> {
        let say = |status: &str, more: &str, body: &[u8]| {
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n");
            [head.as_bytes(), body].concat()
        };
        if head.contains("action=assumerole") {
            let end = pinport_model::Timestamp::from_millis(
                pinport_model::Timestamp::now().as_millis() + 3_600_000,
            );
            let body = format!(
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>LENT</AccessKeyId>\
                 <SecretAccessKey>lent-secret</SecretAccessKey><SessionToken>lent-token</SessionToken>\
                 <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
            );
            return say("200 OK", "", body.as_bytes());
        }
        let listing = |key: &str| {
            format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag>\
                 <Size>{}</Size></Contents></ListBucketResult>",
                rows.len()
            )
        };
        if head.contains("list-type=2") {
            return say("200 OK", "", listing("in/rows.json").as_bytes());
        }
        if head.starts_with("head ") {
            return say("404 Not Found", "", b"");
        }
        let range = format!("ETag: \"e\"\r\nContent-Range: bytes 0-{}/{}\r\n", rows.len() - 1, rows.len());
        say("206 Partial Content", &range, rows)
    }
    let lab = Lab::new();
    let configuration = format!(
        "[sources]\nendpoint = \"http://{address}\"\nsts_endpoint = \"http://{address}\"\naccess_key_id = \"DEFAULT\"\n\
         secret_access_key = \"default-secret\"\nstrict_roles = true\n\
         [roles.\"arn:aws:iam::1:role/lent\"]\nassume_role = true\nallow = [\"bucket/in/\"]\n"
    );
    let server = Serving::start_with(&lab, &configuration, &[]);
    let app = server.post("/v1/apps", &json!({ "Name": "shop" }));
    let path = format!("/v1/apps/{}/jobs/import", app["Id"].as_str().unwrap());
    let import = |role: &str, url: &str| {
        let body = json!({ "Format": "JSON", "S3Url": url, "RoleArn": role, "ExternalId": "ext-1" });
        server.ask("POST", &path, Some(&body))
    };
    let (status, said) = import("arn:aws:iam::1:role/other", "s3://bucket/in/");
    assert!(status == 400 && said.contains("is not configured here"), "{status} {said}");
    let (status, said) = import("arn:aws:iam::1:role/lent", "s3://bucket/out/");
    assert!(status == 400 && said.contains("is not among the buckets"), "{status} {said}");
    assert!(seen.lock().unwrap().is_empty(), "nobody was asked for what is refused");
    let (status, said) = import("arn:aws:iam::1:role/lent", "s3://bucket/in/");
    assert_eq!(status, 201, "{said}");
    let done = lab.pinport(&["jobs", "wait", "last", "--json", "--server", &server.url]).expect(0).json();
    assert_eq!(counts(&done), (1, 1, 0));
    let seen = seen.lock().unwrap();
    let (sts, s3): (Vec<_>, Vec<_>) = seen.iter().partition(|head| head.contains("action=assumerole"));
    assert!(
        sts.iter().all(|head| head.contains("credential=default/")
            && head.contains("/sts/aws4_request")
            && head.contains("externalid=ext-1")
            && head.contains("rolearn=arn%3aaws%3aiam%3a%3a1%3arole%2flent")),
        "{sts:?}"
    );
    assert!(!sts.is_empty() && !s3.is_empty());
    assert!(
        s3.iter().all(
            |head| head.contains("credential=lent/") && head.contains("x-amz-security-token: lent-token")
        ),
        "{s3:?}"
    );
}
