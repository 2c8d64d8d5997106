//! Endpoints that are put and deleted one by one.

use pinport_model::{Draft, EndpointStatus, OptOut, TextMember, Timestamp};
use pinport_store::StoreError;

use crate::support::{Bench, Record, copies_job, job, new, update};

pub(crate) fn single_endpoints_are_put_and_deleted(mut bench: Bench) {
    let app = bench.application("a");
    let now = Timestamp::from_millis(7000);
    let mut draft = Draft::default();
    draft.set_text(TextMember::City, Some("Ulm"));
    let whole = new("a", "1").user("u").user_attribute("x", "1");
    bench.store().put_endpoint(app, "a", &mut whole.draft(), now).unwrap();
    bench.store().put_endpoint(app, "a", &mut draft, Timestamp::from_millis(8000)).unwrap();
    let attributes = update("a").user_attribute("y", "2");
    bench.store().put_endpoint(app, "a", &mut attributes.draft(), now).unwrap();
    bench.reopen();
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.location.city.as_deref(), Some("Ulm"));
    assert_eq!(endpoint.creation_date, now.to_string());
    assert_eq!(endpoint.user.user_attributes.len(), 2);
    // Imports and single writes see each other, the later wins.
    bench.import(&job(app), &[new("a", "2"), new("b", "2").user("u")]);
    assert_eq!(bench.endpoint(app, "a").unwrap().address.as_deref(), Some("2"));
    bench.store().put_endpoint(app, "a", &mut new("a", "3").draft(), now).unwrap();
    assert_eq!(bench.endpoint(app, "a").unwrap().address.as_deref(), Some("3"));

    assert!(bench.store().delete_endpoint(app, "a").unwrap());
    assert!(!bench.store().delete_endpoint(app, "a").unwrap());
    assert_eq!(bench.endpoint(app, "a"), None);
    assert_eq!(bench.store().user_endpoints(app, "u", None, 9).unwrap().len(), 1);
    assert_eq!(bench.endpoint(app, "b").unwrap().user.user_attributes["x"], ["1"]);
    bench.store().delete_endpoint(app, "b").unwrap();
    bench.import(&job(app), &[new("c", "1").user("u")]);
    let user = bench.endpoint(app, "c").unwrap().user;
    assert!(user.user_attributes.is_empty(), "the attributes went with the user's last endpoint");
    let unknown =
        bench.store().put_endpoint(pinport_model::ApplicationId::generate(), "a", &mut whole.draft(), now);
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
}

pub(crate) fn endpoints_may_lack_address_and_channel(mut bench: Bench) {
    let app = bench.application("a");
    let now = Timestamp::from_millis(7000);
    // One that comes by itself is made.
    bench.store().put_endpoint(app, "put", &mut update("put").user("u").draft(), now).unwrap();
    // Of an import, only what was exported.
    let exported = || update("e").created("2020").cohort("7").user("u");
    let records = [exported(), update("other"), exported().city("Ulm"), new("e2", "2").cohort("42")];
    let failed = bench.import(&job(app), &records);
    assert_eq!(failed.len(), 1, "{failed:?}");
    bench.reopen();
    for settled in [false, true] {
        let found = bench.endpoint(app, "e").unwrap();
        assert_eq!((found.address, found.channel_type, found.opt_out), (None, None, OptOut::All));
        assert_eq!((&*found.creation_date, &*found.cohort_id), ("2020", "7"));
        assert_eq!(found.location.city.as_deref(), Some("Ulm"), "settled: {settled}");
        let put = bench.endpoint(app, "put").unwrap();
        assert_eq!((put.address, put.opt_out), (None, OptOut::All));
        assert_eq!(bench.endpoint(app, "e2").unwrap().cohort_id, "42");
        assert_eq!(bench.store().user_endpoints(app, "u", None, 9).unwrap().len(), 2);
        bench.store().settle().unwrap();
    }
    // It can be updated, and stays opted out when it gets an address: no one has said otherwise.
    bench.import(&job(app), &[new("e", "1"), update("put").city("Bonn")]);
    let found = bench.endpoint(app, "e").unwrap();
    assert_eq!((found.address.as_deref(), found.opt_out), (Some("1"), OptOut::All));
    assert_eq!(bench.endpoint(app, "put").unwrap().location.city.as_deref(), Some("Bonn"));
    // One that is whole does not opt out by an export without OptOut.
    bench.import(&job(app), &[new("w", "1"), update("w").created("2021")]);
    assert_eq!(bench.endpoint(app, "w").unwrap().opt_out, OptOut::None);
    // Copies in a segment are the same.
    let copies = copies_job(app);
    bench.import(&copies, &[update("copy").cohort("1"), update("copy").city("Ulm"), update("e").cohort("9")]);
    let members = bench.members(&bench.segment(&copies));
    let seen: Vec<_> =
        members.iter().map(|member| (&*member.id, &*member.cohort_id, member.opt_out)).collect();
    assert_eq!(seen, [("copy", "1", OptOut::All), ("e", "9", OptOut::All)]);
    assert_eq!(members[0].location.city.as_deref(), Some("Ulm"));
    assert_eq!(members[1].address.as_deref(), Some("1"), "what is registered shows through");
    assert_eq!(bench.endpoint(app, "copy"), None);
    assert!(bench.store().delete_endpoint(app, "put").unwrap());
}

pub(crate) fn an_update_makes_an_endpoint_active_and_others_of_its_address_inactive(mut bench: Bench) {
    let (app, other_app) = (bench.application("a"), bench.application("b"));
    let now = Timestamp::from_millis(7000);
    let put = |bench: &Bench, app, record: Record| {
        let id = record.id.clone().unwrap();
        bench.store().put_endpoint(app, &id, &mut record.draft(), now).unwrap();
    };
    let status = |bench: &Bench, id: &str| bench.endpoint(app, id).unwrap().endpoint_status;
    let (active, inactive) = (EndpointStatus::Active, EndpointStatus::Inactive);
    put(&bench, app, new("a", "1"));
    put(&bench, app, new("c", "11"));
    put(&bench, other_app, new("b", "1"));
    put(&bench, app, new("b", "1"));
    assert_eq!(["a", "b", "c"].map(|id| status(&bench, id)), [inactive, active, active]);
    assert_eq!(bench.endpoint(other_app, "b").unwrap().endpoint_status, active);
    // An update that says nothing of the status or the address makes the one active and leaves the other.
    put(&bench, app, update("a").city("Ulm"));
    assert_eq!(["a", "b"].map(|id| status(&bench, id)), [active, active]);
    bench.reopen();
    put(&bench, app, new("b", "1").status(inactive));
    assert_eq!(["a", "b"].map(|id| status(&bench, id)), [inactive, inactive]);
    // Records of an import make theirs active, and ask for no address.
    bench.import(&job(app), &[update("a").city("Bonn"), new("i", "1"), new("c", "2").status(inactive)]);
    assert_eq!(["a", "b", "c", "i"].map(|id| status(&bench, id)), [active, inactive, inactive, active]);
    bench.import(&job(app), &[new("d", "3").status(inactive), update("d").city("Ulm")]);
    assert_eq!(status(&bench, "d"), active, "in one piece too");
    // One that has moved to another address is left alone.
    put(&bench, app, new("a", "5"));
    put(&bench, app, new("z", "1"));
    assert_eq!(["a", "z"].map(|id| status(&bench, id)), [active, active]);
    assert!(bench.store().delete_endpoint(app, "a").unwrap());
    put(&bench, app, new("y", "5"));
    assert_eq!(bench.endpoint(app, "a"), None, "what was deleted does not come back");
}
