//! What importing programs also call: settings, lists of what is not here, attributes that are removed, phone numbers and
//! events.

use super::*;

const NULL: Value = Value::Null;

async fn app(house: &House) -> String {
    let made = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "a" })).await;
    format!("/v1/apps/{}", made["Id"].as_str().unwrap())
}

#[tokio::test]
async fn settings_are_kept_and_given_back() {
    let house = House::new(0).await;
    let app = app(&house).await;
    let path = format!("{app}/settings");
    let found = house.call("GetApplicationSettings", "GET", &path, &NULL).await;
    assert!(found["LastModifiedDate"].is_string() && found.get("Limits").is_none(), "{found}");
    let limits =
        json!({ "Daily": 5, "MaximumDuration": 60, "MessagesPerSecond": 50, "Session": 1, "Total": 100 });
    let hook = json!({ "LambdaFunctionName": "arn", "Mode": "FILTER", "WebUrl": "https://x" });
    let request = json!({
        "CampaignHook": hook, "CloudWatchMetricsEnabled": true, "EventTaggingEnabled": true, "Limits": limits,
        "QuietTime": { "Start": "22:00", "End": "07:00" },
    });
    let updated = house.call("UpdateApplicationSettings", "PUT", &path, &request).await;
    assert_eq!((&updated["CampaignHook"], &updated["Limits"]), (&hook, &limits));
    assert_eq!(house.call("GetApplicationSettings", "GET", &path, &NULL).await, updated);
    // What is not given stays.
    let journeys = json!({ "DailyCap": 1, "TimeframeCap": { "Cap": 2, "Days": 3 }, "TotalCap": 4 });
    let request = json!({ "JourneyLimits": journeys, "QuietTime": {} });
    let updated = house.call("UpdateApplicationSettings", "PUT", &path, &request).await;
    assert_eq!((&updated["JourneyLimits"], &updated["Limits"]), (&journeys, &limits));
    assert_eq!(updated["QuietTime"], json!({}));
    for (request, said) in [
        (json!([]), "invalid type"),
        (json!({ "Limits": { "Daily": "x" } }), "Limits.Daily"),
        (json!({ "CampaignHook": { "Mode": "LATER" } }), "CampaignHook.Mode"),
        (json!({ "QuietTime": { "Start": "0".repeat(3000) } }), "QuietTime.Start has 3000 characters"),
    ] {
        let reason = house.fails("PUT", &path, &request, 400, "BadRequestException").await;
        assert!(reason.contains(said), "{reason}");
    }
    house.call("DeleteApp", "DELETE", &app, &NULL).await;
    house.fails("GET", &path, &NULL, 404, "NotFoundException").await;
}

#[tokio::test]
async fn what_is_not_here_is_an_empty_list() {
    let house = House::new(0).await;
    let app = app(&house).await;
    let channels = house.call("GetChannels", "GET", &format!("{app}/channels"), &NULL).await;
    assert_eq!(channels, json!({ "Channels": {} }));
    for (operation, path) in [
        ("GetCampaigns", format!("{app}/campaigns")),
        ("ListJourneys", format!("{app}/journeys")),
        ("ListTemplates", "/v1/templates".into()),
        ("GetRecommenderConfigurations", "/v1/recommenders".into()),
    ] {
        let list = house.call(operation, "GET", &format!("{path}?page-size=10"), &NULL).await;
        assert_eq!(list, json!({ "Item": [], "NextToken": null }), "{operation}");
        let token = if operation == "ListTemplates" { "next-token" } else { "token" };
        for wrong in ["page-size=0", &format!("{token}=00")] {
            house.fails("GET", &format!("{path}?{wrong}"), &NULL, 400, "BadRequestException").await;
        }
    }
    let path = format!("{app}/eventstream");
    let reason = house.fails("GET", &path, &NULL, 404, "NotFoundException").await;
    assert!(reason.contains("has no event stream"), "{reason}");
    let none = format!("/v1/apps/{}", "0".repeat(32));
    for path in ["channels", "campaigns", "journeys", "eventstream", "settings"] {
        let reason = house.fails("GET", &format!("{none}/{path}"), &NULL, 404, "NotFoundException").await;
        assert!(reason.contains("application"), "{reason}");
    }
}

#[tokio::test]
async fn attributes_are_removed_by_name_and_pattern() {
    let house = House::new(0).await;
    let app = app(&house).await;
    for id in ["a", "b"] {
        let endpoint = json!({
            "Address": id, "ChannelType": "EMAIL", "Attributes": { "plan": ["x"], "old_a": ["1"], "old_b": ["2"] },
            "Metrics": { "visits": 1.0, "old": 2.0 },
            "User": { "UserId": "u", "UserAttributes": { "name": ["n"], "old": ["o"] } },
        });
        house.call("UpdateEndpoint", "PUT", &format!("{app}/endpoints/{id}"), &endpoint).await;
    }
    let remove = async |kind: &str, patterns: Value| {
        let path = format!("{app}/attributes/{kind}");
        house.call("RemoveAttributes", "PUT", &path, &json!({ "Blacklist": patterns })).await
    };
    let removed = remove("endpoint-custom-attributes", json!(["old_*", "none"])).await;
    assert_eq!(
        (&removed["Attributes"], &removed["AttributeType"]),
        (&json!(["old_a", "old_b"]), &json!("endpoint-custom-attributes"))
    );
    assert_eq!(remove("endpoint-metric-attributes", json!(["old"])).await["Attributes"], json!(["old"]));
    assert_eq!(remove("endpoint-user-attributes", json!(["*ld"])).await["Attributes"], json!(["old"]));
    assert_eq!(remove("endpoint-user-attributes", json!(["*ld"])).await["Attributes"], json!([]));
    for id in ["a", "b"] {
        let found = house.call("GetEndpoint", "GET", &format!("{app}/endpoints/{id}"), &NULL).await;
        assert_eq!(found["Attributes"], json!({ "plan": ["x"] }));
        assert_eq!(found["Metrics"], json!({ "visits": 1.0 }));
        assert_eq!(found["User"]["UserAttributes"], json!({ "name": ["n"] }));
    }
    for (kind, request, said) in [
        ("attributes", json!({ "Blacklist": [] }), "is not one of endpoint-custom-attributes"),
        ("endpoint-custom-attributes", json!({}), "Blacklist is missing"),
        ("endpoint-custom-attributes", json!({ "Blacklist": vec!["a"; 101] }), "101 patterns"),
        ("endpoint-custom-attributes", json!({ "Blacklist": ["a".repeat(257)] }), "Blacklist[0] has 257"),
    ] {
        let path = format!("{app}/attributes/{kind}");
        let reason = house.fails("PUT", &path, &request, 400, "BadRequestException").await;
        assert!(reason.contains(said), "{reason}");
    }
}

#[tokio::test]
async fn phone_numbers_are_looked_at_without_asking_anybody() {
    let house = House::new(0).await;
    let path = "/v1/phone/number/validate";
    let ask = async |request: Value| house.call("PhoneNumberValidate", "POST", path, &request).await;
    let found = ask(json!({ "IsoCountryCode": "US", "PhoneNumber": "(206) 555-0142" })).await;
    assert_eq!(
        found,
        json!({
            "CleansedPhoneNumberE164": "+12065550142", "CleansedPhoneNumberNational": "2065550142",
            "Country": "United States of America", "CountryCodeIso2": "US", "CountryCodeNumeric": "1",
            "OriginalCountryCodeIso2": "US", "OriginalPhoneNumber": "(206) 555-0142", "PhoneType": "MOBILE",
            "PhoneTypeCode": 0,
        })
    );
    let found = ask(json!({ "PhoneNumber": "+4930901820" })).await;
    assert_eq!((&found["PhoneType"], &found["PhoneTypeCode"]), (&json!("LANDLINE"), &json!(1)));
    let found = ask(json!({ "PhoneNumber": "17" })).await;
    assert_eq!(found, json!({ "OriginalPhoneNumber": "17", "PhoneType": "INVALID", "PhoneTypeCode": 3 }));
    for (request, said) in [
        (json!({}), "PhoneNumber is missing"),
        (json!({ "PhoneNumber": "1".repeat(65) }), "PhoneNumber has 65"),
        (json!({ "PhoneNumber": "1", "IsoCountryCode": "USA" }), "IsoCountryCode has 3"),
        (json!({ "PhoneNumber": "1", "IsoCountryCode": "1." }), "IsoCountryCode is no country code"),
    ] {
        let reason = house.fails("POST", path, &request, 400, "BadRequestException").await;
        assert!(reason.contains(said), "{reason}");
    }
}

#[tokio::test]
async fn events_update_their_endpoints_and_are_dropped() {
    let house = House::new(0).await;
    let app = app(&house).await;
    let path = format!("{app}/events");
    let event = json!({ "EventType": "_session.start", "Timestamp": "2026-01-01T00:00:00Z", "Metrics": { "m": 1.5 } });
    let request = json!({ "BatchItem": {
        "a": {
            "Endpoint": { "Address": "a@x", "ChannelType": "EMAIL", "Attributes": { "k": ["v"] } },
            "Events": { "one": event, "two": event, "wrong": { "EventType": "x" } },
        },
        "b": { "Endpoint": { "ChannelType": "PIGEON" }, "Events": { "three": event } },
        "c": { "Endpoint": {}, "Events": {} },
    } });
    let answer = house.call("PutEvents", "POST", &path, &request).await;
    let results = &answer["Results"];
    let accepted = json!({ "Message": "Accepted", "StatusCode": 202 });
    assert_eq!(
        results["a"],
        json!({
            "EndpointItemResponse": accepted,
            "EventsItemResponse": {
                "one": accepted, "two": accepted,
                "wrong": { "Message": "Timestamp is missing or empty.", "StatusCode": 400 },
            },
        })
    );
    let refused = &results["b"]["EndpointItemResponse"];
    assert_eq!(refused["StatusCode"], 400);
    assert!(refused["Message"].as_str().unwrap().starts_with("ChannelType: \"PIGEON\""), "{refused}");
    assert_eq!(results["b"]["EventsItemResponse"]["three"], accepted);
    let found = house.call("GetEndpoint", "GET", &format!("{app}/endpoints/a"), &NULL).await;
    assert_eq!((&found["Address"], &found["Attributes"]), (&json!("a@x"), &json!({ "k": ["v"] })));
    house.fails("GET", &format!("{app}/endpoints/b"), &NULL, 404, "NotFoundException").await;
    house.call("GetEndpoint", "GET", &format!("{app}/endpoints/c"), &NULL).await;
    let metrics = String::from_utf8(house.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("pinport_events_total 3"), "{metrics}");

    // One that has no room is refused by itself.
    let full: serde_json::Map<_, _> =
        (0..140).map(|number| (format!("n{number}"), json!(["v".repeat(90)]))).collect();
    let request = json!({ "BatchItem": { "a": { "Endpoint": { "Attributes": full }, "Events": {} } } });
    house.call("PutEvents", "POST", &path, &request).await;
    let more: serde_json::Map<_, _> =
        (0..100).map(|number| (format!("m{number}"), json!(["v".repeat(90)]))).collect();
    let request = json!({ "BatchItem": {
        "a": { "Endpoint": { "Attributes": more }, "Events": {} },
        "d": { "Endpoint": { "Address": "d", "ChannelType": "SMS" }, "Events": {} },
    } });
    let answer = house.call("PutEvents", "POST", &path, &request).await;
    let codes = ["a", "d"].map(|id| answer["Results"][id]["EndpointItemResponse"]["StatusCode"].clone());
    assert_eq!(codes, [json!(400), json!(202)], "{answer}");
    house.call("GetEndpoint", "GET", &format!("{app}/endpoints/d"), &NULL).await;

    let many: serde_json::Map<_, _> = (0..101).map(|number| (number.to_string(), event.clone())).collect();
    for (request, said) in [
        (json!({}), "missing field `BatchItem`"),
        (json!({ "BatchItem": { "a": { "Events": {} } } }), "BatchItem.a: missing field `Endpoint`"),
        (json!({ "BatchItem": { "a": { "Endpoint": {}, "Events": many } } }), "101 events"),
    ] {
        let reason = house.fails("POST", &path, &request, 400, "BadRequestException").await;
        assert!(reason.contains(said), "{reason}");
    }
}
