//! What records make of endpoints and users.

use std::collections::BTreeMap;

use pinport_model::{Channel, EndpointStatus, FailureCode, OptOut, Timestamp};

use crate::support::{Bench, Record, job, new, origin, segment_job, update, user_only};

pub(crate) fn a_new_endpoint_has_its_defaults(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").attribute("plan", "gold")]);
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.application_id, app.to_string());
    assert_eq!(endpoint.channel_type, Some(Channel::Email));
    assert_eq!(endpoint.opt_out, OptOut::None);
    assert_eq!(endpoint.endpoint_status, EndpointStatus::Active);
    assert_eq!(endpoint.cohort_id, pinport_model::endpoint::cohort("a"));
    assert_eq!(endpoint.creation_date, Timestamp::from_millis(2000).to_string());
    assert_eq!(endpoint.effective_date, endpoint.creation_date);
    assert_eq!(endpoint.attributes, BTreeMap::from([("plan".into(), vec!["gold".into()])]));
    assert!(endpoint.user.is_empty());
}

pub(crate) fn the_later_record_wins(bench: Bench) {
    let app = bench.application("a");
    let first = [new("a", "1").city("Ulm"), new("b", "1"), new("a", "2"), new("a", "3").attribute("x", "1")];
    bench.import(&job(app), &first);
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.address.as_deref(), Some("3"));
    assert_eq!(endpoint.location.city.as_deref(), Some("Ulm"), "absent members stay");

    let next = job(app);
    bench.store().create_job(&next).unwrap();
    bench.commit(&next, 0, &[new("a", "4"), new("b", "4")]);
    bench.commit(&next, 1, &[new("a", "5").attribute("x", "2").attribute("y", "1")]);
    bench.store().settle().unwrap();
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.address.as_deref(), Some("5"));
    assert_eq!(endpoint.attributes["x"], ["2"]);
    assert_eq!(endpoint.attributes.len(), 2);
    assert_eq!(bench.endpoint(app, "b").unwrap().address.as_deref(), Some("4"));
}

pub(crate) fn the_first_creation_date_stays(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").created("2019"), new("a", "2").created("2020"), new("b", "1")]);
    bench.import(&job(app), &[new("a", "3").created("2021"), new("b", "2").created("2022")]);
    assert_eq!(bench.endpoint(app, "a").unwrap().creation_date, "2019");
    assert_eq!(bench.endpoint(app, "b").unwrap().creation_date, Timestamp::from_millis(2000).to_string());
}

pub(crate) fn an_attribute_without_values_is_removed(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").attribute("x", "1").attribute("y", "1").without("z")]);
    bench.import(&job(app), &[update("a").without("x")]);
    for settled in [false, true] {
        let attributes = bench.endpoint(app, "a").unwrap().attributes;
        assert_eq!(attributes.into_keys().collect::<Vec<_>>(), ["y"], "settled: {settled}");
        bench.store().settle().unwrap();
    }
    bench.import(&job(app), &[update("a").attribute("x", "2").without("y"), update("a").without("x")]);
    assert!(bench.endpoint(app, "a").unwrap().attributes.is_empty());
}

pub(crate) fn a_user_shares_attributes_over_endpoints(bench: Bench) {
    let app = bench.application("a");
    let records = [
        new("a", "1").user("u").user_attribute("plan", "gold"),
        new("b", "2").user("u"),
        new("c", "3").user("uu").user_attribute("plan", "tin"),
    ];
    bench.import(&job(app), &records);
    let plan = |id: &str| bench.endpoint(app, id).unwrap().user.user_attributes.get("plan").cloned();
    assert_eq!(plan("b"), Some(vec!["gold".into()]));
    assert_eq!(plan("c"), Some(vec!["tin".into()]));
    bench.import(&job(app), &[update("b").user("u").user_attribute("plan", "silver")]);
    assert_eq!(plan("a"), Some(vec!["silver".into()]));

    let ids = |user: &str, limit| {
        let found = bench.store().user_endpoints(app, user, None, limit).unwrap();
        found.into_iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("u", 9), ["a", "b"]);
    assert_eq!(ids("u", 1), ["a"]);
    assert_eq!(ids("uu", 9), ["c"]);
    assert_eq!(ids("none", 9), [""; 0]);
    let behind = |id| bench.store().user_endpoints(app, "u", Some(id), 9).unwrap().len();
    assert_eq!((behind(""), behind("a"), behind("b")), (2, 1, 0));
}

pub(crate) fn user_attributes_without_a_user_find_it(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").user("u"), new("b", "2").user("u"), new("c", "3")]);
    // Blind, an update, and one of an endpoint that has no user.
    bench.import(
        &job(app),
        &[
            new("a", "1").user_attribute("x", "1"),
            update("b").user_attribute("y", "2"),
            update("c").user_attribute("z", "3"),
        ],
    );
    let names = |id: &str| {
        let endpoint = bench.endpoint(app, id).unwrap();
        endpoint.user.user_attributes.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names("a"), ["x", "y"]);
    assert_eq!(names("b"), ["x", "y"]);
    assert_eq!(names("c"), ["z"]);
}

pub(crate) fn an_endpoint_may_change_its_user(bench: Bench) {
    let app = bench.application("a");
    let first = [
        new("a", "1").user("u").user_attribute("plan", "gold"),
        new("b", "2").user("v").user_attribute("plan", "tin"),
    ];
    bench.import(&job(app), &first);
    bench.import(&job(app), &[update("a").user("v")]);
    assert_eq!(bench.endpoint(app, "a").unwrap().user.user_attributes["plan"], ["tin"]);
    assert!(bench.store().user_endpoints(app, "u", None, 9).unwrap().is_empty());
    assert_eq!(bench.store().user_endpoints(app, "v", None, 9).unwrap().len(), 2);
    let failed = bench.import(&job(app), &[user_only("u")]);
    assert_eq!(failed[0].reason.code, FailureCode::UnknownUser, "a user without endpoints is none");
    // And to no user at all.
    bench.import(&job(app), &[update("b").user("")]);
    assert!(bench.endpoint(app, "b").unwrap().user.is_empty());
    assert_eq!(bench.store().user_endpoints(app, "v", None, 9).unwrap().len(), 1);
}

pub(crate) fn updates_need_an_endpoint(bench: Bench) {
    let app = bench.application("a");
    let records = [
        update("late").city("Ulm"),
        new("a", "1"),
        update("a").city("Bonn"),
        update("none").city("Köln"),
        new("late", "2"),
        update("late").city("Rom"),
        Record { address: Some("x".into()), ..update("half") },
        Record { channel: Some(Channel::Sms), ..update("half") },
    ];
    let failed = bench.import(&job(app), &records);
    let places: Vec<_> = failed.iter().map(|failed| failed.origin).collect();
    assert_eq!(places, [origin(0), origin(3), origin(6), origin(7)]);
    assert_eq!(failed[0].reason.code, FailureCode::UnknownEndpoint);
    assert_eq!(
        failed[1].reason.message,
        "no endpoint \"none\" to update; a new endpoint needs Address and ChannelType"
    );
    assert_eq!(failed[1].raw, Some(records[3].raw().into_bytes()));
    assert_eq!(failed[3].channel, Some(Channel::Sms));
    let city = |id: &str| bench.endpoint(app, id).and_then(|endpoint| endpoint.location.city);
    assert_eq!(city("a").as_deref(), Some("Bonn"));
    assert_eq!(city("late").as_deref(), Some("Rom"));
    assert_eq!(bench.endpoint(app, "half"), None);
    // Of the store, and in another application.
    assert!(bench.import(&job(app), &[update("a").city("Ulm")]).is_empty());
    assert_eq!(bench.import(&job(bench.application("b")), &[update("a").city("Ulm")]).len(), 1);
}

pub(crate) fn a_user_alone_brings_its_endpoints(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("s1", "1").user("u"), new("s2", "2").user("u"), new("s3", "3").user("v")]);
    let job = segment_job(app);
    let records = [
        user_only("p"),
        new("p1", "4").user("p"),
        update("s2").user("v"),
        user_only("u").user_attribute("plan", "gold"),
        user_only("p"),
        user_only("nobody"),
    ];
    let failed = bench.import(&job, &records);
    assert_eq!(failed.iter().map(|failed| failed.origin).collect::<Vec<_>>(), [origin(0), origin(5)]);
    assert_eq!(failed[1].reason.member.as_deref(), Some("User.UserId"));
    assert_eq!(failed[1].raw, Some(records[5].raw().into_bytes()));
    // s2 is a member by its own record; s3 is none.
    assert_eq!(bench.member_ids(&bench.segment(&job)), ["p1", "s1", "s2"]);
    assert_eq!(bench.endpoint(app, "s1").unwrap().user.user_attributes["plan"], ["gold"]);
}

/// A store may keep what it found of users, and must see what is linked and taken away later.
pub(crate) fn a_user_that_was_asked_for_has_what_came_later(bench: Bench) {
    let app = bench.application("a");
    let fails = |users: &[&str]| -> Vec<bool> {
        let ask = |user: &&str| !bench.import(&job(app), &[user_only(user)]).is_empty();
        users.iter().map(ask).collect()
    };
    let copied = || {
        let job = segment_job(app);
        assert!(bench.import(&job, &[user_only("u")]).is_empty());
        bench.member_ids(&bench.segment(&job))
    };
    assert_eq!(fails(&["u", "v"]), [true, true]);
    bench.import(&job(app), &[new("1", "a").user("u"), new("2", "b").user("w")]);
    assert_eq!(fails(&["u", "v", "w"]), [false, true, false]);
    assert_eq!(copied(), ["1"]);
    // By a piece, by a single request, and by both in one job.
    bench.import(&job(app), &[new("3", "c").user("u"), new("4", "d").user("v")]);
    assert_eq!(copied(), ["1", "3"]);
    let put = |id: &str, user: &str| {
        let record = new(id, "e").user(user);
        bench.store().put_endpoint(app, id, &mut record.draft(), Timestamp::from_millis(9)).unwrap();
    };
    put("5", "u");
    put("4", "u");
    assert_eq!(copied(), ["1", "3", "4", "5"]);
    assert_eq!(fails(&["v"]), [true], "its endpoint has another user");
    bench.import(&job(app), &[update("3").user("v")]);
    bench.store().delete_endpoint(app, "1").unwrap();
    assert_eq!((copied(), fails(&["v"])), (vec!["4".into(), "5".into()], vec![false]));
    bench.store().delete_user_endpoints(app, "u").unwrap();
    assert_eq!(fails(&["u", "v"]), [true, false]);
    bench.import(&job(app), &[new("1", "a").user("u")]);
    assert_eq!(copied(), ["1"]);
}
