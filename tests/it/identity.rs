//! What a key of a server reaches: whose roles, sources and files its jobs read, and with whose credentials.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use aws_sigv4::http_request::SignableBody;
use serde_json::Value;

use crate::{
    fault_store::{Answer, FaultStore},
    http::{send, signature},
    serving::Serving,
    support::*,
    two_roles::{House, ROLES, ROW, app, configuration, key},
};

/// H3: a key for one application made a job with another tenant's role and read that tenant's bucket.
#[test]
fn a_key_reads_by_its_own_roles_only() {
    let house = House::new(
        "",
        &[
            key("ADMIN", ""),
            key("TENANTA", &format!("applications = [\"{}\"]\nroles = [\"{}\"]", app(1), ROLES[0])),
            key("NOTHING", &format!("applications = [\"{}\"]", app(3))),
        ],
    );
    house.works("TENANTA", &app(1), "s3://bucket-a/in.json", ROLES[0]);
    let not_open = "is not open to this key";
    house.refused("TENANTA", &app(1), "s3://bucket-b/in.json", ROLES[1], &[not_open, ROLES[1]]);
    house.refused("TENANTA", &app(1), "s3://bucket-b/in.json", ROLES[0], &["not among the buckets"]);
    for role in ROLES {
        house.refused("NOTHING", &app(3), "s3://bucket-a/in.json", role, &[not_open]);
    }
    // A role that no one has sounds like one that another has.
    let unknown = "arn:aws:iam::1:role/x";
    let says =
        |role: &str| house.import("TENANTA", &app(1), "s3://bucket-a/in.json", role).err.replace(role, "");
    assert_eq!(says(unknown), says(ROLES[1]));
    // Who sees every application may use every role, and none that is not configured: that is the default with keys.
    house.works("ADMIN", &app(2), "s3://bucket-b/in.json", ROLES[1]);
    let words = ["is not configured here", "strict_roles = false"];
    house.refused("ADMIN", &app(2), "s3://bucket-a/in.json", unknown, &words);
}

/// Who types a source sees what an import of the key could read, and nothing else.
#[test]
fn sources_are_listed_as_far_as_the_key_may_read_them() {
    let one = format!("applications = [\"{}\"]\nsources = [\"own/in\"]\nlocal_root = \"a\"", app(1));
    let none = format!("applications = [\"{}\"]", app(2));
    let keys = [key("ADMIN", ""), key("ONE", &one), key("NONE", &none), key("WATCH", "read_only = true")];
    let house = House::new("strict_roles = false\nallow = [\"own/\", \"shared/\"]", &keys);
    let root = house.lab.path("root").canonicalize().unwrap();
    let ask = |id: &str, prefix: &str| {
        let prefix = prefix.replace(':', "%3A").replace('/', "%2F");
        house.ask(id, "GET", &format!("/pinport/v1/sources?prefix={prefix}"), &Value::Null)
    };
    let listed = |id: &str, prefix: &str| -> Vec<String> {
        let reply = ask(id, prefix);
        assert_eq!(reply.status, 200, "{id} {prefix}: {}", String::from_utf8_lossy(&reply.body));
        let places = reply.json()["places"].as_array().unwrap().clone();
        places.iter().map(|place| place["url"].as_str().unwrap().to_owned()).collect()
    };
    let local = |rest: &str| format!("file://{}/{rest}", root.display());
    assert_eq!(listed("ADMIN", ""), [local(""), "s3://own/".into(), "s3://shared/".into()]);
    assert_eq!(listed("ADMIN", &local("")), [local("a/"), local("b/")]);
    assert_eq!(listed("ADMIN", "s3://own/in"), ["s3://own/in.json"]);
    assert_eq!(listed("ONE", ""), [local("a/"), "s3://own/in".into()]);
    assert_eq!(listed("ONE", &local("a/i")), [local("a/in.json")]);
    assert_eq!(listed("ONE", "s3://own/in"), ["s3://own/in.json"]);
    assert_eq!(listed("NONE", ""), [""; 0]);
    let before = house.store.requests();
    for (id, prefix) in [
        ("ONE", local("b/")),
        ("ONE", local("a/../b/")),
        ("ONE", "s3://shared/".into()),
        ("NONE", "s3://own/in".into()),
        ("ADMIN", "s3://other/".into()),
        ("ADMIN", "file:///etc/".into()),
        ("ADMIN", "ftp://x/".into()),
    ] {
        assert_eq!(ask(id, &prefix).status, 400, "{id} {prefix}");
    }
    assert_eq!(ask("WATCH", "").status, 403);
    assert_eq!(house.store.requests(), before, "no store was asked for them");
}

/// Who may read every bucket of an account sees them all. For others no one is asked: theirs are known.
#[test]
fn buckets_are_listed_for_whom_no_list_bounds() {
    let one = format!("applications = [\"{}\"]\nsources = [\"own/in\"]", app(1));
    let house = House::new("strict_roles = false", &[key("ADMIN", ""), key("ONE", &one)]);
    let body = "<ListAllMyBucketsResult><Buckets><Bucket><Name>own</Name></Bucket><Bucket><Name>old</Name></Bucket>\
        <Bucket><Name>secret</Name></Bucket></Buckets></ListAllMyBucketsResult>";
    house.store.script(move |ask| match ask {
        ask if ask.is_of_account() => Answer::Body(body.into()),
        _ => Answer::Right,
    });
    let ask = |id: &str, query: &str| {
        let path = format!("/pinport/v1/sources{}", query.replace(':', "%3A").replace('/', "%2F"));
        house.ask(id, "GET", &path, &Value::Null)
    };
    let listed = |id: &str, query: &str| -> Vec<String> {
        let reply = ask(id, query);
        assert_eq!(reply.status, 200, "{id} {query}: {}", String::from_utf8_lossy(&reply.body));
        let places = reply.json()["places"].as_array().unwrap().clone();
        places.iter().map(|place| place["url"].as_str().unwrap().to_owned()).collect()
    };
    let root = format!("file://{}/", house.lab.path("root").canonicalize().unwrap().display());
    assert_eq!(listed("ADMIN", ""), [&*root, "s3://old/", "s3://own/", "s3://secret/"]);
    assert_eq!(listed("ADMIN", "?prefix=s3://o"), ["s3://old/", "s3://own/"]);
    assert_eq!(house.store.requests(), 2);
    assert_eq!(listed("ONE", "?prefix=s3://"), ["s3://own/in"]);
    let role = format!("?prefix=s3://&role={}", ROLES[0]);
    assert_eq!(listed("ADMIN", &role), ["s3://bucket-a/"], "the role has a list");
    assert_eq!(ask("ADMIN", "?prefix=gs://").status, 400);
    assert_eq!(house.store.requests(), 2, "no store was asked for them");

    house.store.script(|_| Answer::Error(403, None, "AccessDenied"));
    let refused = String::from_utf8(ask("ADMIN", "?prefix=s3://").body).unwrap();
    assert!(refused.contains("AccessDenied") && refused.contains("type s3://bucket/"), "{refused}");
    assert_eq!(listed("ADMIN", ""), [root], "what is known without asking is there");
}

/// H3: the default source and the local files are no one's by default either.
#[test]
fn a_key_reads_its_own_sources_and_files_only() {
    let mine = format!("applications = [\"{}\"]\n", app(1));
    let house = House::new(
        "strict_roles = false",
        &[
            key("ADMIN", ""),
            key("NOTHING", &mine),
            key("SOME", &format!("{mine}sources = [\"s3://shared/in\"]\nlocal_root = \"a\"")),
            key("ALL", &format!("{mine}sources = [\"*\"]\nlocal_root = true")),
            key("NARROW", "roles = []\nsources = []\nlocal_root = false"),
        ],
    );
    let file = |name: &str| format!("file://{}", house.lab.path("root").join(name).display());
    for (source, words) in [
        ("s3://shared/in.json".to_owned(), "is not among the sources of this key"),
        (file("a/in.json"), "is not open to this key"),
    ] {
        house.refused("NOTHING", &app(1), &source, "role", &[words]);
        house.refused("NARROW", &app(1), &source, "role", &[words]);
        for id in ["SOME", "ALL", "ADMIN"] {
            house.works(id, &app(1), &source, "role");
        }
    }
    house.refused("SOME", &app(1), "s3://other/in.json", "role", &["is not among the sources of this key"]);
    for name in ["b/in.json", "a/../b/in.json", "none.json"] {
        house.refused("SOME", &app(1), &file(name), "role", &["is not below the folder"]);
    }
    house.works("ALL", &app(1), &file("b/in.json"), "role");
    house.refused("ALL", &app(1), "s3://bucket-a/in.json", ROLES[0], &["is not open to this key"]);
    house.refused("NARROW", &app(1), "s3://bucket-a/in.json", ROLES[0], &["is not open to this key"]);
    // An upload reads nothing of the server's.
    house.works("NOTHING", &app(1), "up.json", "role");
}

/// H3: the key that made a job is stored with it, shown to those who may know it, and asked when its source is opened.
#[test]
fn a_job_carries_the_key_that_made_it() {
    let mine = format!("applications = [\"{}\"]\n", app(1));
    let tenant = |id: &str, roles: &str| key(id, &format!("{mine}roles = [{roles}]"));
    let role = format!("\"{}\"", ROLES[0]);
    let (admin, reader) = (key("ADMIN", ""), key("READER", &format!("{mine}read_only = true")));
    let tenants = ["KEEPS", "NARROWED", "REMOVED", "READONLY"];
    let mut keys: Vec<_> = tenants.iter().map(|id| tenant(id, &role)).collect();
    keys.extend([admin.clone(), reader]);
    let mut house = House::new("", &keys);
    // The first one keeps the only place, because its store says nothing; the others wait.
    house.store.script(|_| Answer::Silence);
    let url = "s3://bucket-a/in.json";
    house.create("ADMIN", &app(1), url, ROLES[0]);
    let made = tenants.map(|id| house.create(id, &app(1), url, ROLES[0]));
    let principal = |id: &str| house.job(id, &made[0])["principal"].clone();
    assert_eq!([principal("ADMIN"), principal("KEEPS")], ["KEEPS", "KEEPS"]);
    assert_eq!([principal("READER"), principal("NARROWED")], [Value::Null, Value::Null]);

    // What they may read is decided when their sources are opened: here after a restart.
    let keys = [
        tenant("KEEPS", &role),
        tenant("NARROWED", ""),
        key("READONLY", &format!("{mine}roles = [{role}]\nread_only = true")),
        admin,
    ];
    house.restart(&keys);
    house.store.script(|_| Answer::Right);
    for (job, (status, words)) in made.iter().zip([
        ("COMPLETED", ""),
        ("FAILED", "is not open to this key"),
        ("FAILED", "the key that made this job is not configured any more"),
        ("FAILED", "the key that made this job may not change its application any more"),
    ]) {
        let waited = house.by("ADMIN", &["jobs", "wait", job, "--json"]).json();
        assert_eq!(waited["JobStatus"], status, "{words}: {waited}");
        assert!(waited["Error"].as_str().unwrap_or("").contains(words), "{waited}");
    }
}

/// M12: what one tenant's jobs do neither shows in another's events and totals, nor pushes its own out of them.
#[test]
fn a_tenant_sees_only_its_own_jobs() {
    const MANY: usize = 520;
    let mine = |number| format!("applications = [\"{}\"]\nlocal_root = true\n", app(number));
    let keys = [key("ADMIN", ""), key("ONE", &mine(1)), key("TWO", &mine(2))];
    let house = House::new("", &keys);
    // The only place is taken by a job whose store says nothing.
    house.store.script(|_| Answer::Silence);
    let held = house.create("ADMIN", &app(3), "s3://bucket-a/in.json", ROLES[0]);
    house.sample("ADMIN", |sample| {
        let jobs = sample["jobs"].as_array().unwrap();
        jobs.iter().any(|job| job["id"] == held.as_str() && job["progress"]["status"] == "INITIALIZING")
    });
    let url = format!("file://{}", house.lab.path("root/a/in.json").display());
    for _ in 0..MANY {
        house.create("TWO", &app(2), &url, "role");
    }
    let own = house.create("ONE", &app(1), &url, "role");

    let of = |sample: &Value, number| {
        let jobs = sample["jobs"].as_array().unwrap();
        jobs.iter().filter(|job| job["application"] == app(number).as_str()).count()
    };
    // With the upload that made its application.
    let heard = house.sample("ONE", |sample| sample["jobs_total"] == 2);
    assert_eq!((of(&heard, 1), of(&heard, 2), of(&heard, 3)), (2, 0, 0), "{heard}");
    assert!(heard["jobs"].as_array().unwrap().iter().any(|job| job["id"] == own.as_str()));
    assert_eq!(heard["bytes_in_flight"], 0);
    let heard = house.sample("TWO", |sample| sample["jobs_total"] == MANY + 1);
    assert_eq!((of(&heard, 1), of(&heard, 3)), (0, 0));
    // Whoever sees all sees that many, of each application its share.
    let heard = house.sample("ADMIN", |sample| sample["jobs_total"] == MANY + 5);
    assert_eq!((of(&heard, 1), of(&heard, 3)), (2, 2));
    assert!((490..=500).contains(&of(&heard, 2)), "{}", of(&heard, 2));

    // What happens to a job is told to those who may see it, and to no one else.
    let cancel =
        |id: &str, job: &str| house.ask(id, "POST", &format!("/pinport/v1/jobs/{job}/cancel"), &Value::Null);
    let told = |sample: &Value| {
        let told = sample["events"].as_array().unwrap();
        assert!(told.iter().all(|told| told["job"] == own.as_str()), "{sample}");
        !told.is_empty()
    };
    let (heard, hears) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Its first sample says that it listens.
            house.sample("ONE", |sample| {
                let _ = heard.try_send(());
                told(sample)
            })
        });
        hears.recv_timeout(PATIENCE).unwrap();
        let next = house.create("TWO", &app(2), &url, "role");
        for (id, job) in [("TWO", &next), ("ONE", &own)] {
            assert_eq!(cancel(id, job).status, 200);
        }
    });
}

/// M11: what a key uploads is cut off when the key goes.
#[test]
fn the_upload_of_a_key_that_goes_is_cut_off() {
    let keys = [key("ADMIN", ""), key("GOES", &format!("applications = [\"{}\"]\n", app(1)))];
    let house = House::new("", &keys);
    let path = format!("/pinport/v1/apps/{}/uploads?format=json&name=in.json", app(1));
    let before = job_folders(&house.lab.path("data")).len();
    let mut socket = house.begin("GOES", "POST", &path, ROW.len() * 2);
    socket.write_all(ROW).unwrap();
    let since = Instant::now();
    while job_folders(&house.lab.path("data")).len() == before {
        assert!(since.elapsed() < PATIENCE, "the upload does not begin");
        pause(Duration::from_millis(5));
    }
    house.lab.write("pinport.toml", configuration(&house.store, "", &keys[..1]));
    house.server.signal(libc::SIGHUP);
    let mut said = String::new();
    socket.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
    assert!(
        said.contains("The key was removed, or may do less than before, while the upload came."),
        "{said}"
    );
    // Nothing of it stays.
    let jobs = house.ask("ADMIN", "GET", &format!("/pinport/v1/jobs?app={}", app(1)), &Value::Null);
    assert_eq!(jobs.json()["jobs"].as_array().unwrap().len(), 1, "the one that made the application");
}

/// L1, L7: whether a key is there shows neither in the answer nor in the time it takes.
#[test]
fn known_and_unknown_keys_answer_alike() {
    const ASKED: usize = 500;
    let house = House::new("", &[key("ADMIN", "")]);
    let address = house.server.url.strip_prefix("http://").unwrap();
    let ask = |id: &str| {
        let headers = signature(
            address,
            (id, "another-secret-0123456789"),
            "GET",
            "/v1/apps",
            SignableBody::Bytes(b""),
        );
        let begun = Instant::now();
        let reply = send(address, "GET", "/v1/apps", &headers, b"").unwrap();
        let took = begun.elapsed();
        let said = reply.json()["Message"].as_str().unwrap().replace(id, "KEY");
        (took, (reply.status, said))
    };
    let mut times = [Vec::new(), Vec::new()];
    let mut answers = [(0, String::new()), (0, String::new())];
    for _ in 0..ASKED {
        for (index, id) in ["ADMIN", "NOBODY"].into_iter().enumerate() {
            let (took, said) = ask(id);
            times[index].push(took);
            answers[index] = said;
        }
    }
    assert_eq!(answers[0], answers[1]);
    let [known, unknown] = times.map(|mut times| {
        times.sort();
        times[ASKED / 2]
    });
    eprintln!("the median of {ASKED}: a known key {known:?}, an unknown one {unknown:?}");
    let (least, most) = (known.min(unknown), known.max(unknown));
    assert!(most < least * 5 / 4 + Duration::from_micros(100), "{known:?} and {unknown:?}");
}

/// H2: where a source names no credentials, object_store's builders ask the machine for its own by themselves.
#[test]
fn the_machines_credentials_are_used_only_where_the_source_says_so() {
    // In place of the metadata services of all clouds; it counts who comes.
    let metadata = FaultStore::start(BTreeMap::new());
    metadata.script(|_| Answer::Error(404, None, "NotFound"));
    let url = metadata.url();
    let host = url.strip_prefix("http://").unwrap();
    let lab = Lab::new();
    // Whoever signed in on the machine with Google's tools.
    lab.write(
        ".config/gcloud/application_default_credentials.json",
        r#"{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"t"}"#,
    );
    lab.write(".aws/config", "[profile empty]\nregion = us-east-1\n");
    let token = lab.write("token", "token");
    let start = |lab: &Lab, configuration: &str| {
        lab.write("pinport.toml", configuration);
        let mut serve = lab.pinport(&["serve"]);
        for (name, value) in [
            ("AWS_METADATA_ENDPOINT", &*url),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("GCE_METADATA_HOST", host),
            ("GCE_METADATA_ROOT", host),
            ("GCE_METADATA_IP", host),
            ("IDENTITY_ENDPOINT", &url),
            ("IDENTITY_HEADER", "header"),
            ("MSI_ENDPOINT", &url),
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ] {
            serve = serve.env(name, value);
        }
        Serving::spawn(serve.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap())).unwrap()
    };
    // What would be asked if the environment were not read is named in the settings, which say nothing of whom to trust.
    let settings = format!(
        "[sources.settings]\nAZURE_STORAGE_ACCOUNT_NAME = \"account\"\nAWS_METADATA_ENDPOINT = \"{url}\"\n"
    );
    let keys = "access_key_id = \"STATIC\"\nsecret_access_key = \"s\"\n";
    let admin = key("ADMIN", "");
    let store = FaultStore::start(BTreeMap::new());
    let configuration = format!(
        "auto_create_apps = true\n[sources]\nendpoint = \"{}\"\nsts_endpoint = \"{url}\"\n{keys}{settings}\
         [roles.static]\n{keys}settings = {{ AZURE_MSI_ENDPOINT = \"{url}\" }}\n[roles.empty]\nprofile = \"empty\"\n\
         [roles.assumed]\nprofile = \"empty\"\nassume_role = true\n{admin}",
        store.url()
    );
    let server = start(&lab, &configuration);
    let house = House { lab, store, server };
    house.by("ADMIN", &["import", "token", "--format", "json", "--app", &app(1)]);
    for (source, role) in [
        ("gs://bucket/in.json", "static"),
        ("az://container/in.json", "static"),
        ("s3://bucket/in.json", "empty"),
        ("s3://bucket/in.json", "assumed"),
    ] {
        house.refused("ADMIN", &app(1), source, role, &["no credentials", "environment = true"]);
    }
    assert_eq!(metadata.requests(), 0, "the machine was asked for its credentials");

    // The fakes are where the builders look: a source that says so asks them.
    let House { lab, store, server } = house;
    drop(server);
    fs::remove_dir_all(lab.path(".config")).unwrap();
    let server = start(
        &lab,
        &format!("auto_create_apps = true\n[sources]\nenvironment = true\nstrict_roles = false\n{admin}"),
    );
    let house = House { lab, store, server };
    for source in ["gs://bucket/in.json", "az://container/in.json", "s3://bucket/in.json"] {
        let before = metadata.requests();
        house.import("ADMIN", &app(1), source, "role");
        assert!(metadata.requests() > before, "{source}: nobody came");
    }
}
