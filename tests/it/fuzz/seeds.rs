//! Realistic inputs to begin fuzzing with: sample rows, hostile rows, real compressed members, real requests.
//!
//! Each input begins with the bytes by which its target says how the rest arrives.

use std::{fs, io::Write as _, path::PathBuf};

use crate::{support::Lab, targets::TARGETS};

/// Where the seeds go: `PINPORT_SEEDS`.
struct Seeds {
    folder: PathBuf,
    count: usize,
}

impl Seeds {
    fn add(&mut self, target: &str, heads: &[&[u8]], body: impl AsRef<[u8]>) {
        assert!(TARGETS.iter().any(|known| known.0 == target));
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).unwrap();
        for head in heads {
            self.count += 1;
            let bytes = [head, body.as_ref()].concat();
            fs::write(folder.join(format!("seed-{:04}", self.count)), bytes).unwrap();
        }
    }
}

#[test]
#[ignore = "it writes files: fuzz/run calls it"]
fn write_seeds() {
    let folder = std::env::var_os("PINPORT_SEEDS").expect("PINPORT_SEEDS names a folder");
    let mut seeds = Seeds { folder: folder.into(), count: 0 };
    let lab = Lab::new();
    for (format, split, whole) in [("json", "split_json", "json_record"), ("csv", "split_csv", "csv_object")]
    {
        for options in
            ["--rows 3", "--rows 12 --bad 60%", "--rows 6 --updates 50% --seed 7", "--rows 2 --generation 3"]
        {
            let rows = lab.sample(&format!("{options} --format {format}"));
            let windows = String::from_utf8_lossy(&rows).replace('\n', "\r\n");
            for rows in [&rows, windows.as_bytes()] {
                objects(&mut seeds, split, whole, rows);
            }
            compressed(&mut seeds, &rows);
        }
    }
    for line in JSON {
        objects(&mut seeds, "split_json", "json_record", line);
    }
    for rows in CSV {
        objects(&mut seeds, "split_csv", "csv_object", [b"Id,Address,ChannelType\n", *rows].concat());
    }
    for text in LOCATIONS {
        seeds.add("location", &[b""], text);
    }
    for text in CRITERIA {
        seeds.add("where_text", &[b""], text);
    }
    for body in LISTINGS {
        seeds.add("listing", &[b"\0", b"\xff\0\x05token", b"\xff\xff"], body);
    }
    requests(&mut seeds);
    jobs(&mut seeds, &lab);
    for text in [
        "",
        "plain",
        "\u{1b}[2J",
        "a\u{202e}b\u{200b}",
        "\u{feff}\u{7f}\u{85}é\n",
        "key",
        &"long ".repeat(80),
    ] {
        seeds.add("failure", &[b"\x0b\x11\0\x02\0\x0cs3://b/k.csv\x0fAttributes.plan"], text);
    }
    for body in [&b"\x04jobs\x10aaaaaaaaaaaaaaaa0123456789abcdef\x08segments\x03bbb\x07z"[..], b"\0\0"] {
        seeds.add("token", &[b""], body);
    }
    println!("{} seeds in {}", seeds.count, seeds.folder.display());
}

/// An object for the target that varies how it arrives and for the one that reads it whole.
fn objects(seeds: &mut Seeds, split: &str, whole: &str, object: impl AsRef<[u8]>) {
    let object = object.as_ref();
    seeds.add(split, &[&[7, 64, 90, 0, 3, 1], &[1, 1, 0xff, 3, 60, 0]], &object[..object.len().min(3000)]);
    seeds.add(whole, &[&[0], &[255]], &object[..object.len().min(4000)]);
}

const JSON: &[&[u8]] = &[
    br#"{"Id":"a","Attributes":{"x":["1",2,-3.5,true,null],"y":"z","w":[]},"Metrics":{"m":1e3,"n":18446744073709551616}}"#,
    br#"{"Id":"a","Id":"b","Location":{"City":"c","City":null,"Latitude":47.60621,"Longitude":-122.3},"User":{"UserId":"u"}}"#,
    br#"{"I\u0064":"\ud83d\ude00","Address":"\/\b\f\n\r\t\"\\","ChannelType":"sms"}"#,
    br#"{"Id":"x","other":"\ud800"}"#,
    b"\xef\xbb\xbf{\"Id\":\"x\",\"y\":[[[[[[[[[]]]]]]]]]}\n\n{}\n[1]\n\"x\"\nnull\n{\"Id\":42}\n",
    b"{\"Id\":\"\xff\"}\n{\"Id\":\"a\0b\"}\n{\"Id\":\"x\"}}\n{\"Id\":\"x\"\n{\"Id\":\"x\",}\n{\"User\":{\"UserId\":\"u\"}}",
    br#"{"Id":"a","Metrics":{"m":0.1,"n":-0,"o":123456789012345678,"p":1234567890.12345678},"OptOut":"none","EndpointStatus":"Inactive"}"#,
];

const CSV: &[&[u8]] = &[
    b"1,a@b.c,EMAIL\n2,\"+1, 2\",sms\n",
    b"1,\"say \"\"hi\"\"\",PUSH\r\n2,\"two\nlines\",GCM\r\n\r\n3,,\n",
    b"1,\"unterminated,EMAIL\n2,b,SMS\n3,c,SMS\n",
    b"1,\"2\"x,SMS\n\"\",\"\"\"\",\"\"\"\n\"\"\"\n1,2\n1,2,3,4\n1,2,PIGEON\n",
    b"x\",\"y\nx\",\"y\n1,2,SMS\nx\",\"y\n1,\xff,SMS",
];

const CRITERIA: &[&str] = &[
    "Location.Country = 'CAN' and Attributes.plan in ('gold', 'it''s') and not Attributes.\"a b\" = 7",
    "UserAttributes.since between '2026-01-01' and '2026-02-01' or Metrics.visits >= -1.5e3",
    "Location.GPSPoint within 10 km of (43.7, -79.4)",
    "not (Segment not in ('0123456789abcdef0123456789abcdef@2') and Behavior.Recency active within DAY_30)",
];

const LOCATIONS: &[&str] = &[
    "s3://open/exports/2026/part-0001.json.gz",
    "s3://half/exports/a b%20+\u{fc}?#&",
    "s3://half/other//key",
    "s3://b/a/../b",
    "gs://half/exports/x",
    "az://container/p//q",
    "file:///etc/passwd",
    "file://relative",
    "/in/a.json",
    "/out/secret.json",
    "/in/../../secret.json",
    "-",
    "s3://user:secret@host/key",
    "http://169.254.169.254/latest",
];

const LISTINGS: &[&str] = &[
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken><Contents><Key>a&amp;b/&#x1;.json</Key><ETag>&quot;abc&quot;</ETag><Size>12</Size></Contents></ListBucketResult>",
    "<EnumerationResults><Blobs><Blob><Name Encoded=\"true\">a%20b</Name><Properties><Content-Length>3</Content-Length><Etag>0x8</Etag></Properties></Blob></Blobs><NextMarker>m</NextMarker></EnumerationResults>",
    "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>",
];

fn compressed(seeds: &mut Seeds, rows: &[u8]) {
    let rows = &rows[..rows.len().min(1500)];
    for codec in ["gzip", "zstd", "bzip2", "xz"] {
        let member = member(codec, rows);
        seeds.add("decode", &[&[0, 16, 99, 1]], &member);
        seeds.add("decode", &[&[0, 3, 7, 0]], [&member[..], &member].concat());
        seeds.add("decode", &[&[0, 200, 0, 1]], [&member[..], &[0; 16]].concat());
        seeds.add("decode", &[&[0, 50, 60, 0]], &member[..member.len() / 2]);
    }
    for codec in 0..4 {
        for harm in 0..4 {
            let head = [200, 9, 80, 0, codec, harm, 77, 0, 100, 0];
            seeds.add("decode", &[&head], rows);
        }
    }
}

/// A real member, by the codec's own writer.
fn member(codec: &str, bytes: &[u8]) -> Vec<u8> {
    match codec {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        "bzip2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

const TARGETS_OF_REQUESTS: &[&str] = &[
    "/v1/apps",
    "/v1/apps/0123456789abcdef0123456789abcdef/jobs/import?page-size=10&token=a%2Fb%3D%3D",
    "/v1/apps/a/endpoints/user%40example.com%2F%2B1",
    "/v1/apps/a/users/u%20/endpoints",
    "/v1/tags/arn%3Aaws%3Amobiletargeting%3Aus-east-1%3A1%3Aapps%2Fa?tagKeys=b&tagKeys=a&empty=&bare",
    "/pinport/v1/jobs?status=PROCESSING",
    "/pinport/v1/apps/a/uploads?format=csv&segment=s",
    "/v1/apps/%E2%82%AC~-_.?b=%25&A=%C3%A9",
    "/v1/apps/a/../b",
    "/metrics",
];

fn requests(seeds: &mut Seeds) {
    for target in TARGETS_OF_REQUESTS {
        seeds.add("route", &[&[0], &[1], &[5], &[6]], target);
        for harm in 0..6 {
            let body = b"{\"Format\":\"CSV\"}";
            let head = [99, 1, harm & 1, 3 - harm % 4, harm, 5, 0, b'x', body.len() as u8];
            seeds.add("signature", &[&head], [body, target.as_bytes()].concat());
        }
    }
    let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260921/us-east-1/mobiletargeting/aws4_request, SignedHeaders=host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let presigned = "/v1/apps?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260921%2Fus-east-1%2Fmobiletargeting%2Faws4_request&X-Amz-Date=20260921T141320Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let len = (header.len() as u16).to_le_bytes();
    let mut raw = vec![0, 0, len[0], len[1]];
    raw.extend(header.as_bytes());
    raw.extend([0, 0]);
    seeds.add("signature", &[&raw], "/v1/apps");
    seeds.add("signature", &[&[0, 1, 0, 0, 0, 0]], presigned);
    for request in [
        "GET /v1/apps HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nhost: h\r\n\r\n",
        "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: v\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n",
    ] {
        seeds.add("framing", &[&[0], &[5], &[63]], request);
    }
    for body in [&b"\x01\x03"[..], b"\0"] {
        seeds.add(
            "record",
            &[body],
            b"\x02\x01\x03a@b\x01\x09EMAIL\x16\x01a\x03xyz\x02\x16\x01a\0\x06\x04date",
        );
    }
    let record = b"\x01\x05a@b.c\x02\x01\x09\x06\x0b\x002026-01-01\x20\x03Ulm\x24\x08\x40\x48\x40\0\0\0\0\0\x30\x02u1\x40\x01a\x02\x01x\x41\x01m\x08\x40\0\0\0\0\0\0\0\x50\x04plan\x02\x01x";
    let len = (record.len() as u16).to_le_bytes();
    seeds.add("record", &[&[2, len[0], len[1]]], [&record[..], record].concat());
}

/// The files of a real job, and records of pieces made up.
fn jobs(seeds: &mut Seeds, lab: &Lab) {
    lab.write("in/a.json", lab.sample("--rows 20 --bad 20%"));
    lab.write("in/b.csv", "Id\n");
    lab.import("in", "json", &["--segment", "s"]).expect(3);
    let mut found = vec![lab.path("data")];
    while let Some(folder) = found.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match name.as_str() {
                _ if path.is_dir() => found.push(path),
                "plan.ndjson" => seeds.add("checkpoint", &[&[2]], fs::read(path).unwrap()),
                "failures.ndjson" => {
                    for line in fs::read(path).unwrap().split(|byte| *byte == b'\n').take(5) {
                        seeds.add("failure", &[&[0; 7]], line);
                    }
                }
                _ => {}
            }
        }
    }
    let piece = r#"{"piece":0,"end":{"object":0,"byte":90,"line":4,"stream":90},"tally":{"read":3,"registered":2,"failed":1,"bytes":90,"channels":[0,0,0,0,0,0,0,0,2,0,0,0,0],"classes":[{"code":"missing_member","member":"Id","count":1,"example":"a line 2: Id: is missing"}]},"total":{"read":3,"registered":2,"failed":1,"bytes":90},"objects":[{"object":0,"read":3,"failed":1,"bytes":90,"complete":true}],"failures_len":120,"rejects_file":1,"rejects_len":30,"failed_pieces":0}"#;
    seeds.add("checkpoint", &[&[0], &[1]], piece);
    seeds.add(
        "checkpoint",
        &[&[3, 40, 0], &[4]],
        b"\x08in/a.txt\x10\0\x04etag\0\x05b.csv\x03\0\0\x08it is no",
    );
}
