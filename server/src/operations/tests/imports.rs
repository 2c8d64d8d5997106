//! Imports: from their creation to their segment, their lists, and how they are watched.

use super::*;

#[tokio::test]
async fn an_import_from_creation_to_its_segment() {
    let house = House::new(2).await;
    let url = house.file("a b.json", LINES);
    let request = json!({
        "Format": "JSON", "RoleArn": "role", "S3Url": url, "DefineSegment": true, "SegmentName": "all", "More": 1,
    });
    let created = house.import(&request).await;
    let id = created["Id"].as_str().unwrap();
    assert_eq!(created["JobStatus"], "CREATED");
    assert_eq!(
        created["Definition"],
        json!({
            "DefineSegment": true, "ExternalId": "000000000000", "Format": "JSON", "RegisterEndpoints": true,
            "RoleArn": "role", "S3Url": url, "SegmentId": id, "SegmentName": "all",
        })
    );
    assert!(created.get("CompletionDate").is_none());
    // The segment can be asked for from the moment of the 201.
    let segment = format!("/v1/apps/{APP}/segments/{id}");
    house.call("GetSegment", "GET", &segment, &Value::Null).await;
    house.done(id).await;

    let job = format!("/v1/apps/{APP}/jobs/import/{id}");
    let job = house.call("GetImportJob", "GET", &job, &Value::Null).await;
    assert_eq!(job["JobStatus"], "COMPLETED");
    assert_eq!((&job["TotalProcessed"], &job["TotalFailures"]), (&json!(3), &json!(1)));
    assert_eq!(
        (&job["TotalPieces"], &job["CompletedPieces"], &job["FailedPieces"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let failure = job["Failures"][0].as_str().unwrap();
    assert!(failure.contains("a b.json line 3: ChannelType: \"PIGEON\" is not one of"), "{failure}");
    assert!(job["CompletionDate"].as_str().unwrap().ends_with('Z'));

    let found = house.call("GetSegment", "GET", &segment, &Value::Null).await;
    assert_eq!(
        (&found["Version"], &found["SegmentType"], &found["Name"]),
        (&json!(1), &json!("IMPORT"), &json!("all"))
    );
    assert_eq!(
        found["ImportDefinition"],
        json!({
            "ChannelCounts": { "EMAIL": 1, "SMS": 1 }, "ExternalId": "000000000000", "Format": "JSON",
            "RoleArn": "role", "S3Url": url, "Size": 2,
        })
    );
    // Added to: a new version.
    let more =
        json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url, "DefineSegment": true, "SegmentId": id });
    let second = house.import(&more).await;
    assert_eq!(second["Definition"]["SegmentId"], id);
    house.done(second["Id"].as_str().unwrap()).await;
    let versions =
        house.call("GetSegmentVersions", "GET", &format!("{segment}/versions"), &Value::Null).await;
    let numbers: Vec<_> =
        versions["Item"].as_array().unwrap().iter().map(|one| one["Version"].clone()).collect();
    assert_eq!(numbers, [json!(2), json!(1)]);
    house.call("GetSegmentVersion", "GET", &format!("{segment}/versions/1"), &Value::Null).await;
    house.fails("GET", &format!("{segment}/versions/3"), &Value::Null, 404, "NotFoundException").await;
    let of_segment =
        house.call("GetSegmentImportJobs", "GET", &format!("{segment}/jobs/import"), &Value::Null).await;
    assert_eq!(of_segment["Item"].as_array().unwrap().len(), 2);
    house.call("DeleteSegment", "DELETE", &segment, &Value::Null).await;
    house.fails("GET", &segment, &Value::Null, 404, "NotFoundException").await;
}

#[tokio::test]
async fn pages_are_newest_first_and_tokens_belong_to_their_list() {
    let house = House::new(0).await;
    let url = house.file("a.json", LINES);
    let mut made = Vec::new();
    for _ in 0..5 {
        let body = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url });
        made.insert(0, house.import(&body).await["Id"].clone());
    }
    let list = format!("/v1/apps/{APP}/jobs/import");
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let token_text = token.as_ref().map(|token| format!("&token={token}")).unwrap_or_default();
        let page = house
            .call("GetImportJobs", "GET", &format!("{list}?page-size=2{token_text}"), &Value::Null)
            .await;
        seen.extend(page["Item"].as_array().unwrap().iter().map(|job| job["Id"].clone()));
        let Some(next) = Some(&page["NextToken"]).filter(|next| !next.is_null()) else { break };
        token = Some(next.as_str().unwrap().to_owned());
    }
    assert_eq!(seen, made);
    let token = token.unwrap();
    let other = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "other" })).await;
    let other = format!("/v1/apps/{}/jobs/import", other["Id"].as_str().unwrap());
    let empty = house.call("GetImportJobs", "GET", &other, &Value::Null).await;
    assert_eq!(empty, json!({ "Item": [], "NextToken": null }));
    for path in [
        format!("{other}?token={token}"),
        format!("/v1/apps/{APP}/segments?token={token}"),
        format!("{list}?token=x"),
        format!("{list}?page-size=0"),
        format!("{list}?page-size=1001"),
    ] {
        house.fails("GET", &path, &Value::Null, 400, "BadRequestException").await;
    }
}

#[tokio::test]
async fn a_retried_post_makes_one_job() {
    let house = House::new(2).await;
    let url = house.file("a.json", LINES);
    let path = format!("/v1/apps/{APP}/jobs/import");
    let body = serde_json::to_vec(&json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url })).unwrap();
    let mut ids = Vec::new();
    for invocation in ["one", "one", "two"] {
        let header = format!("amz-sdk-invocation-id: {invocation}\r\n");
        ids.push(house.send("POST", &path, &header, &body).await.json()["Id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    // L9: what is asked for in the query belongs to the request.
    let asking = format!("{path}?max-failures=1");
    for (path, same) in [(&asking, false), (&asking, true), (&format!("{path}?max-failures=2"), false)] {
        ids.push(
            house.send("POST", path, "amz-sdk-invocation-id: one\r\n", &body).await.json()["Id"].clone(),
        );
        let (last, before) = ids.split_last().unwrap();
        assert_eq!(before.contains(last), same, "{path}");
    }
}

#[tokio::test]
async fn our_own_view_of_jobs() {
    let house = House::new(2).await;
    let upload = "/pinport/v1/apps/shop/uploads?format=json&segment=all&name=mine.json";
    let made = house.send("POST", upload, "", LINES.as_bytes()).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    house.done(&id).await;
    let jobs = house.get("/pinport/v1/jobs?app=shop&status=COMPLETED&ended=true").await.json();
    assert_eq!(jobs["jobs"][0]["id"], id.as_str());
    assert_eq!(house.get("/pinport/v1/jobs?ended=false").await.json(), json!({ "jobs": [] }));
    assert_eq!(house.get("/pinport/v1/jobs?status=DONE").await.status, 400);
    let detail = house.get(&format!("/pinport/v1/jobs/{id}")).await.json();
    assert_eq!(detail["job"]["progress"]["registered"], 2);
    assert_eq!(detail["objects"][0]["name"], "upload:mine.json");
    // L4: where the server keeps it is no one's business.
    assert!(!detail.to_string().contains(house.folder.path().to_str().unwrap()), "{detail}");
    assert_eq!(detail["failures"][0]["line"], 3);
    let failures = house.get(&format!("/pinport/v1/jobs/{id}/failures")).await;
    assert_eq!(failures.json()["code"], "unknown_value");
    let rejects = house.get(&format!("/pinport/v1/jobs/{id}/rejects")).await;
    assert_eq!(rejects.body, LINES.lines().last().map(|line| format!("{line}\n")).unwrap().into_bytes());
    assert_eq!(rejects.header("x-pinport-parts"), Some("1"));
    assert_eq!(house.get(&format!("/pinport/v1/jobs/{id}/rejects?part=2")).await.status, 404);
    for (path, status) in [("cancel", 409), ("pause", 409), ("resume", 409)] {
        assert_eq!(
            house.send("POST", &format!("/pinport/v1/jobs/{id}/{path}"), "", b"").await.status,
            status
        );
    }
    let text = String::from_utf8(house.get("/metrics").await.body).unwrap();
    assert!(!text.contains("ImportedEndpointFailure") && !text.contains("# EOF"), "{text}");
    let accept = "accept: application/openmetrics-text\r\n";
    let metrics = house.send("GET", "/metrics", accept, b"").await;
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "ImportedEndpointFailure_total 1",
        "ImportJobFailure_total 0",
        "ImportJobDuration_total ",
        "pinport_jobs_ended_total{status=\"COMPLETED\"} 1",
        "pinport_stage_busy_seconds_total{stage=\"parse\"} ",
        "pinport_build_info{version=\"test\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert_eq!(metrics.matches("# EOF").count(), 1);
    assert_eq!((house.get("/livez").await.status, house.get("/readyz").await.status), (200, 200));
    let jobs = house.jobs.clone();
    tokio::task::spawn_blocking(move || jobs.stop(LONG)).await.unwrap();
    assert_eq!((house.get("/livez").await.status, house.get("/readyz").await.status), (200, 503));
}

#[tokio::test]
async fn events_begin_with_how_things_stand_and_go_on_while_nothing_changes() {
    let house = House::new(0).await;
    let url = house.file("a.json", LINES);
    let job = house.import(&json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url })).await;
    // The last of them come because nothing happens.
    let samples: Vec<pinport_model::view::Sample> =
        house.events(3).await.into_iter().map(|event| serde_json::from_value(event).unwrap()).collect();
    for pair in samples.windows(2) {
        assert_eq!(pair[1].jobs[0].id.to_string(), job["Id"].as_str().unwrap());
        assert!(pair[1].time >= pair[0].time);
        // None seems to be lost, right after connecting least of all.
        assert!(pair[1].sequence - pair[0].sequence <= 1, "{} and {}", pair[0].sequence, pair[1].sequence);
    }
}
