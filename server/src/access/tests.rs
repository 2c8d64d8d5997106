//! Keys, tenants and reloading.

use std::{collections::BTreeSet, sync::Arc};

use pinport_model::ApplicationId;

use super::{
    sigv4::tests::{KEY, SECRET, key},
    *,
};
use crate::ErrorStatus;

#[test]
fn bad_keys_are_refused_with_their_names_and_without_their_secrets() {
    let error = |keys: Vec<KeyConfig>| KeyRing::new(keys).unwrap_err();
    assert_eq!(error(vec![key("a/b", SECRET)]), KeyError::Id("a/b".into()));
    assert_eq!(error(vec![key("", SECRET)]), KeyError::Id("".into()));
    assert_eq!(error(vec![key(KEY, "short")]), KeyError::ShortSecret(KEY.into()));
    assert_eq!(error(vec![key(KEY, SECRET), key(KEY, SECRET)]), KeyError::Twice(KEY.into()));
    let rate = Some(Rate { per_second: 0.0, burst: 1 });
    assert_eq!(error(vec![KeyConfig { rate, ..key(KEY, SECRET) }]), KeyError::Rate(KEY.into()));
    let ring = KeyRing::new([key(KEY, SECRET)]).unwrap();
    let shown = format!(
        "{:?} {ring:?} {:?}",
        key(KEY, SECRET),
        Access::with_keys("r", KeyRing::new([key(KEY, SECRET)]).unwrap(), Arc::new(SystemClock))
    );
    assert!(shown.contains(KEY) && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_running_server_is_not_opened() {
    let access = Access::with_keys("r", KeyRing::new([key(KEY, SECRET)]).unwrap(), Arc::new(SystemClock));
    assert_eq!(access.reload(KeyRing::default()), Err(NoKeys));
    assert!(!access.is_open());
    assert_eq!(access.reload(KeyRing::new([key("NEWKEY", SECRET)]).unwrap()), Ok(()));
}

#[test]
fn tenants_see_their_own_and_foreign_looks_like_absent() {
    let [mine, theirs] = [ApplicationId::from_bytes([1; 16]), ApplicationId::from_bytes([2; 16])];
    let only = || Applications::Only(Arc::new(BTreeSet::from([mine])));
    let all = Principal::new("all", Applications::All, false);
    let auditor = Principal::new("auditor", Applications::All, true);
    let tenant = Principal::new("tenant", only(), false);
    let reader = Principal::new("reader", only(), true);
    // Who; may read mine, write mine, read theirs, write theirs, create, read what counts all of them.
    for (who, expected) in [
        (&Principal::anybody(), [true, true, true, true, true, true]),
        (&all, [true, true, true, true, true, true]),
        (&auditor, [true, false, true, false, false, true]),
        (&tenant, [true, true, false, false, false, false]),
        (&reader, [true, false, false, false, false, false]),
    ] {
        let got = [
            who.may_read(&mine),
            who.may_write(&mine),
            who.may_read(&theirs),
            who.may_write(&theirs),
            who.may_create(),
            who.check_all("Metrics are").is_ok(),
        ];
        assert_eq!(got, expected, "{who:?}");
        assert_eq!(who.check_create().is_ok(), expected[4]);
        for (at, id) in [(0, mine), (2, theirs)] {
            let text = id.to_string();
            assert_eq!(who.readable(&text).ok(), expected[at].then_some(id));
            assert_eq!(who.writable(&text).ok(), expected[at + 1].then_some(id));
        }
    }
    for error in [tenant.readable(&theirs.to_string()), reader.writable(&theirs.to_string())] {
        let error = error.unwrap_err();
        assert_eq!(error.status(), ErrorStatus::NotFound);
        assert_eq!(error.to_string(), no_such_application(&theirs.to_string()).to_string());
    }
    assert_eq!(tenant.readable("not an id\u{202e}").unwrap_err().status(), ErrorStatus::NotFound);
    assert_eq!(reader.writable(&mine.to_string()).unwrap_err().status(), ErrorStatus::Forbidden);
}

#[test]
fn local_names() {
    for name in [
        "localhost",
        "LOCALHOST:7465",
        "a.localhost",
        "127.0.0.1:1",
        "10.0.0.1",
        "[::1]",
        "[::1]:80",
        "localhost.",
    ] {
        assert!(is_local_name(name), "{name}");
    }
    for name in [
        "",
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[evil]:1",
        "notlocalhost",
    ] {
        assert!(!is_local_name(name), "{name}");
    }
}
