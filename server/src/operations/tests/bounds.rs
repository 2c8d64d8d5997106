//! Answers are bounded by their bytes, whatever is in them.

use pinport_model::{Application, Timestamp};

use super::*;
use crate::limits::PAGE_BYTES;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_at_its_bytes_and_its_token_leads_to_the_rest() {
    const APPS: u8 = 150;
    let house = House::new(1).await;
    for number in 0..APPS {
        let tags = (0..50).map(|tag| (format!("{tag:0>128}"), "v".repeat(256))).collect();
        let id = ApplicationId::from_bytes([number; 16]);
        let application = Application { id, name: number.to_string(), created: Timestamp::now(), tags };
        house.jobs.store().create_application(&application).unwrap();
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let answer = house.get(&format!("/v1/apps?page-size=1000&token={token}")).await;
        assert!(answer.body.len() < PAGE_BYTES + 1024, "{} bytes", answer.body.len());
        let page = answer.json();
        house.shapes.check_output("GetApps", &page);
        let items = page["Item"].as_array().unwrap();
        assert!(!items.is_empty());
        found.extend(items.iter().map(|item| item["Name"].as_str().unwrap().parse::<u8>().unwrap()));
        let Some(next) = page["NextToken"].as_str() else { break };
        token = next.to_owned();
    }
    assert_eq!(found, (0..APPS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_many_endpoints_is_answered_and_deleted_whole() {
    const ENDPOINTS: usize = 1300;
    let house = House::new(1).await;
    let records = (0..ENDPOINTS).map(|number| {
        format!("{{\"Id\":\"{number:04}\",\"Address\":\"a{number}\",\"ChannelType\":\"SMS\",\"User\":{{\"UserId\":\"u\"}}}}\n")
    });
    let url = house.file("many.json", &records.collect::<String>());
    let job = house.import(&json!({ "Format": "JSON", "S3Url": url, "RoleArn": "r" })).await;
    house.done(job["Id"].as_str().unwrap()).await;
    let path = format!("/v1/apps/{APP}/users/u");
    let all = house.call("GetUserEndpoints", "GET", &path, &Value::Null).await;
    let ids = |answer: &Value| -> Vec<usize> {
        let items = answer["Item"].as_array().unwrap().iter();
        items.map(|item| item["Id"].as_str().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(ids(&all), (0..ENDPOINTS).collect::<Vec<_>>());
    let gone = house.call("DeleteUserEndpoints", "DELETE", &path, &Value::Null).await;
    assert_eq!(ids(&gone).len(), ENDPOINTS);
    let message = house.fails("GET", &path, &Value::Null, 404, "NotFoundException").await;
    assert!(message.contains("no user"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_members_of_a_segment_that_goes_away_are_cut_off() {
    let house = House::new(1).await;
    // More than the buffers of a socket take.
    let long = "x".repeat(90);
    let attributes: Vec<_> = (0..80).map(|number| format!("\"a{number}\":[\"{long}\"]")).collect();
    let attributes = attributes.join(",");
    let records = (0..4000).map(|number| {
        format!("{{\"Id\":\"{number}\",\"Address\":\"a\",\"ChannelType\":\"SMS\",\"Attributes\":{{{attributes}}}}}\n")
    });
    let url = house.file("large.json", &records.collect::<String>());
    let body =
        json!({ "Format": "JSON", "S3Url": url, "RoleArn": "r", "DefineSegment": true, "SegmentName": "s" });
    let job = house.import(&body).await;
    house.done(job["Id"].as_str().unwrap()).await;
    let open = async || {
        let mut socket = TcpStream::connect(house.address).await.unwrap();
        let head = format!(
            "GET /pinport/v1/apps/{APP}/segments/s/members HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        socket
    };
    let rest = async |mut socket: TcpStream| {
        let mut all = Vec::new();
        // It may end with a reset.
        let _ = tokio::time::timeout(LONG, socket.read_to_end(&mut all)).await.expect("it ends");
        all
    };
    let whole = rest(open().await).await;
    assert!(whole.ends_with(b"\r\n0\r\n\r\n") && whole.len() > 25 << 20, "{} bytes", whole.len());
    let cut = open().await;
    let segment = format!("/v1/apps/{APP}/segments/{}", job["Definition"]["SegmentId"].as_str().unwrap());
    house.call("DeleteSegment", "DELETE", &segment, &Value::Null).await;
    let part = rest(cut).await;
    assert!(!part.ends_with(b"\r\n0\r\n\r\n"), "it ends as if these {} bytes were all", part.len());
}

#[tokio::test]
async fn names_have_bounds_and_messages_cut_what_a_request_brings() {
    let house = House::new(1).await;
    let url = house.file("a.json", "{\"Id\":\"a\",\"Address\":\"a\",\"ChannelType\":\"SMS\"}\n");
    let path = format!("/v1/apps/{APP}/jobs/import");
    let whole =
        json!({ "Format": "JSON", "S3Url": url, "RoleArn": "r", "ExternalId": "e", "DefineSegment": true });
    for (member, most) in [("SegmentName", 64), ("RoleArn", 2048), ("ExternalId", 1224), ("S3Url", 2048)] {
        let mut body = whole.clone();
        body[member] = json!("ü".repeat(most + 1));
        let message = house.fails("POST", &path, &body, 400, "BadRequestException").await;
        assert_eq!(message, format!("{member} has {} characters, the limit is {most}.", most + 1));
        if member != "S3Url" {
            body[member] = json!("ü".repeat(most));
            house.import(&body).await;
        }
    }
    let mut missing = whole.clone();
    missing["S3Url"] = json!(format!("{url}{}", "x".repeat(1500)));
    let message = house.fails("POST", &path, &missing, 400, "BadRequestException").await;
    assert!(message.chars().count() < 1000 && message.contains("…"), "{message}");

    let upload = |app: &str, query: &str| format!("/pinport/v1/apps/{app}/uploads?format=json&{query}");
    let long = "n".repeat(65);
    for path in [upload(&long, ""), upload("shop", &format!("segment={long}"))] {
        let message = house.fails("POST", &path, &json!({}), 400, "BadRequestException").await;
        assert!(message.contains("64"), "{message}");
    }
}
