//! Who sees which application, by its id and by its name.

use super::*;
use crate::access::Applications;

/// The operations after the house's server.
fn api(house: &House) -> Api {
    Api {
        jobs: house.jobs.clone(),
        options: ApiOptions::default(),
        metrics: Arc::new(Metrics::new("test")),
        tagging: Mutex::new(()),
        removing: Mutex::new(()),
        snapshots: Default::default(),
        creates: Default::default(),
        counts: counts::Counts::new(Arc::clone(house.jobs.store())),
    }
}

#[tokio::test]
async fn a_key_with_applications_sees_no_others() {
    let only: ApplicationId = APP.parse().unwrap();
    let config = KeyConfig {
        id: "KEY".into(),
        secret: crate::access::Secret::new("0123456789abcdef"),
        applications: Some([only].into()),
        read_only: false,
        rate: None,
    };
    assert!(KeyRing::new([config]).is_ok());
    let principal = Principal::new("KEY", Applications::Only(Arc::new([only].into())), false);
    let house = House::new(0).await;
    let api = api(&house);
    house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "foreign" })).await;
    // Foreign and absent look the same, by name and by id.
    let foreign = api.named_or_new(&principal, "foreign").unwrap_err().to_string();
    let absent = api.named_or_new(&principal, "absent").unwrap_err().to_string();
    assert_eq!(foreign.replace("foreign", "absent"), absent);
    assert_eq!(api.named_or_new(&principal, APP).unwrap().id, only);
}

/// M6: an application named as another's id caught what was meant for that one while it was not there yet.
#[tokio::test]
async fn what_has_the_form_of_an_id_is_no_name() {
    let house = House::new(0).await;
    let id: ApplicationId = APP.parse().unwrap();
    for name in [APP.to_owned(), APP.to_uppercase(), "0123456789abcdef".repeat(2)] {
        let body = json!({ "Name": name });
        let said = house.fails("POST", "/v1/apps", &body, 400, "BadRequestException").await;
        assert!(said.contains("form of an application's id"), "{said}");
    }
    let upload = format!("/pinport/v1/apps/{}/uploads?format=json", "ABCD".repeat(8));
    assert_eq!(house.send("POST", &upload, "", LINES.as_bytes()).await.status, 400);
    // One that was made before this rule.
    let squatter = new_application(ApplicationId::generate(), APP.to_owned());
    house.jobs.store().create_application(&squatter).unwrap();
    let api = api(&house);
    let anybody = Principal::anybody();
    assert!(api.find_named(&anybody, APP).unwrap().is_none());
    let tenant = Principal::new("KEY", Applications::Only(Arc::new([id].into())), false);
    for who in [&tenant, &anybody] {
        assert_eq!(api.named_or_new(who, APP).unwrap().id, id);
    }
    // It is found by its own id.
    assert_eq!(api.find_named(&anybody, &squatter.id.to_string()).unwrap().unwrap().id, squatter.id);
}
