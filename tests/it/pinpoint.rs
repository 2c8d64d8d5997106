//! Pinpoint's own rules, by the commands and over the wire: endpoints without an address, what exports bring, ids of any
//! text, names that several applications have, and pages in a browser.

use serde_json::{Value, json};

use crate::{http::Reply, serving::Serving, support::*};

const ROWS: &str = r#"{"Id":"web","Attributes":{"page":["home"]},"User":{"UserId":"u"}}
{"Id":"exported","CohortId":"63","CreationDate":"2020-01-02T03:04:05.678Z","EffectiveDate":"2021-01-02T03:04:05.678Z","EndpointStatus":"ACTIVE","OptOut":"ALL"}
{"Id":"whole","Address":"a@example.com","ChannelType":"EMAIL","CohortId":"7"}
"#;

#[test]
fn an_import_takes_endpoints_without_an_address_that_were_exported() {
    let lab = Lab::new();
    lab.write("rows.json", ROWS);
    let outcome = lab.import("rows.json", "json", &["--segment", "all"]).expect(3).json();
    assert_eq!(counts(&outcome), (3, 2, 1));
    assert_eq!(codes(&outcome).into_keys().collect::<Vec<_>>(), ["unknown_endpoint"]);
    let exported = lab.endpoint("exported");
    assert!(exported.get("Address").is_none(), "{exported}");
    assert_eq!((&exported["CohortId"], &exported["OptOut"]), (&json!("63"), &json!("ALL")));
    assert_eq!(exported["CreationDate"], "2020-01-02T03:04:05.678Z");
    assert_eq!(lab.endpoint("whole")["CohortId"], "7");
    let members = lines(&lab.members("data", "all"));
    assert_eq!(members.iter().map(|member| &member["Id"]).collect::<Vec<_>>(), ["exported", "whole"]);
    // What is printed can be imported, and says the same again.
    lab.write("again.json", lab.members("data", "all"));
    assert_eq!(counts(&lab.import_with("other", "again.json", "json", &[]).expect(0).json()), (2, 2, 0));
    let again = lab.pinport_with("other", &["endpoint", "get", "exported"]).expect(0).json();
    assert_eq!(
        (&again["CohortId"], &again["CreationDate"]),
        (&exported["CohortId"], &exported["CreationDate"])
    );
}

#[test]
fn allow_incomplete_takes_every_record_with_an_id() {
    let lab = Lab::new();
    lab.write("rows.json", ROWS);
    lab.write("rows.csv", "Id,ChannelType,Address,User.UserId,CohortId\nweb,,,u,\nadm,ADM,,,5\n,ADM,,,\n");
    let outcome = lab.import("rows.json", "json", &["--allow-incomplete"]).expect(0).json();
    assert_eq!(counts(&outcome), (3, 3, 0));
    let web = lab.endpoint("web");
    assert_eq!((&web["OptOut"], &web["Attributes"]["page"]), (&json!("ALL"), &json!(["home"])));
    let outcome = lab.import_with("csv", "rows.csv", "csv", &["--allow-incomplete"]).expect(3).json();
    assert_eq!(counts(&outcome), (3, 2, 1), "an id is needed all the same");
    let adm = lab.pinport_with("csv", &["endpoint", "get", "adm"]).expect(0).json();
    assert_eq!((&adm["ChannelType"], &adm["CohortId"]), (&json!("ADM"), &json!("5")));
    // A server is told the same.
    let server = Serving::start_in(&lab, "served", "");
    let arguments =
        ["import", "rows.json", "--format", "json", "--json", "--allow-incomplete", "--server", &server.url];
    assert_eq!(counts(&lab.pinport(&arguments).expect(0).json()), (3, 3, 0));
}

/// Derived ids are base64, which has slashes and plus signs.
#[test]
fn ids_with_slashes_and_plus_signs_work_everywhere() {
    const DERIVED: &str = "eqmj8wpxszeqy/b3vch04sn41yw";
    let lab = Lab::new();
    lab.write(
        "rows.csv",
        "Id,Address,ChannelType\n,4d5e6f1a2b3c4d5e6f7g8h9i0j1a2b3c,APNS\na/b+c d%2F?#é,1,APNS\n..,2,APNS\n",
    );
    lab.import("rows.csv", "csv", &["--segment", "all"]).expect(0);
    let ids = [DERIVED, "a/b+c d%2F?#é"];
    for id in ids {
        assert_eq!(lab.endpoint(id)["Id"], id);
    }
    let server = Serving::start_in(&lab, "data", "");
    let app = server.get("/v1/apps").json()["Item"][0]["Id"].as_str().unwrap().to_owned();
    for id in ids {
        let found = lab.pinport(&["endpoint", "get", id, "--server", &server.url]).expect(0).json();
        assert_eq!(found["Id"], id);
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/v1/apps/{app}/endpoints/{encoded}");
        assert_eq!(server.get(&path).json()["Id"], id);
        assert_eq!(server.ask("PUT", &path, Some(&json!({ "OptOut": "ALL" }))).0, 202);
        let found = lab.pinport(&["endpoint", "get", id, "--server", &server.url]).expect(0).json();
        assert_eq!(found["OptOut"], "ALL");
    }
    // A plus sign in a path is itself, and a slash is not part of an id.
    assert_eq!(server.ask("PUT", &format!("/v1/apps/{app}/endpoints/a+b"), Some(&json!({}))).0, 202);
    assert_eq!(server.get(&format!("/v1/apps/{app}/endpoints/a%2Bb")).json()["Id"], "a+b");
    assert_eq!(server.get(&format!("/v1/apps/{app}/endpoints/{DERIVED}")).status, 404);
    let members = lab.pinport(&["segment", "members", "all", "--server", &server.url]).expect(0);
    let members = lines(&members.out);
    assert!(ids.iter().all(|id| members.iter().any(|member| member["Id"] == *id)), "{members:?}");
}

#[test]
fn a_name_that_several_applications_have_asks_for_the_id() {
    let lab = Lab::new();
    lab.write("rows.json", "{\"Id\":\"a\",\"Address\":\"1\",\"ChannelType\":\"SMS\"}\n");
    let server = Serving::start(&lab);
    let ids = [server.app("shop"), server.app("shop")];
    assert_ne!(ids[0], ids[1]);
    let import = ["import", "rows.json", "--format", "json", "--json", "--app"];
    let says = ["2 applications are named", "give the id of one", ids[0].as_str(), ids[1].as_str()];
    lab.pinport(&[&import[..], &["shop", "--server", &server.url]].concat()).expect(1).says(&says);
    lab.pinport(&[&import[..], &[ids[1].as_str(), "--server", &server.url]].concat()).expect(0);
    let get = ["endpoint", "get", "a", "--app"];
    lab.pinport(&[&get[..], &["shop", "--server", &server.url]].concat()).expect(1).says(&says);
    let found =
        lab.pinport(&[&get[..], &[ids[1].as_str(), "--server", &server.url]].concat()).expect(0).json();
    assert_eq!(found["ApplicationId"], ids[1].as_str());
    let apps = server.get("/v1/apps").json();
    assert_eq!(apps["Item"].as_array().unwrap().len(), 2, "no third one was made");
    server.stop();
    // The same with the data folder.
    lab.pinport(&[&import[..], &["shop"]].concat()).expect(2).says(&says);
    lab.pinport(&[&get[..], &["shop"]].concat()).expect(2).says(&says);
    lab.pinport(&[&get[..], &[ids[1].as_str()]].concat()).expect(0);
}

#[test]
fn pages_of_configured_origins_may_call() {
    let lab = Lab::new();
    let server = Serving::start_with(&lab, "[http]\ncors_origins = [\"https://app.example.com\"]\n", &[]);
    let allowed =
        |reply: &Reply| reply.head.contains("access-control-allow-origin: https://app.example.com\r\n");
    let preflight = |origin: &str| {
        let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n");
        server.send("OPTIONS", "/v1/apps/a/endpoints/b", &headers, b"").unwrap()
    };
    let reply = preflight("https://app.example.com");
    assert_eq!((reply.status, allowed(&reply)), (200, true));
    assert!(reply.head.contains("vary: origin"), "{}", reply.head);
    assert!(!allowed(&preflight("https://other.example.com")));
    let reply = server.send("GET", "/v1/apps", "Origin: https://app.example.com\r\n", b"").unwrap();
    assert!(allowed(&reply));
    assert_eq!(reply.json()["Item"], Value::Array(Vec::new()));
    assert_eq!(
        server.send("GET", "/v1/apps", "Origin: https://other.example.com\r\n", b"").unwrap().status,
        403
    );
}
