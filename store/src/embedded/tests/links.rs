//! Where the links from users to endpoints lie, and that they are found wherever they do.

use std::collections::BTreeMap;

use super::{
    super::{
        groups::{self, Spread},
        user_links::find_grouped,
    },
    *,
};
use crate::{EndpointUpdate, hash::twin};

fn import(store: &Embedded, piece: u64, rows: &[(String, String)]) {
    commit_rows(store, piece, rows).unwrap();
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(id, user)| (id.to_string(), user.to_string())).collect()
}

/// The endpoints of a user, a few at a time.
fn endpoints_of(store: &Embedded, user: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let some = store.user_endpoints(APPLICATION, user, found.last().map(String::as_str), 3).unwrap();
        if some.is_empty() {
            return found;
        }
        found.extend(some.into_iter().map(|endpoint| endpoint.id));
    }
}

/// How many links have entries of their own, and how many groups there are.
fn stored(store: &Embedded) -> [u64; 2] {
    [Table::Links, Table::LinkGroups].map(|table| entries(store, &key(table, &[])))
}

#[test]
fn links_are_found_in_groups_of_all_spreads_and_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 40, true);
    import(&store, 0, &rows(&[("b", "ann"), ("d", "bob"), ("a", "ann")]));
    // One that is there twice, one that comes by itself, and some in groups of other spreads.
    let updates = ["b", "c"].map(|id| update(&store, id, "ann"));
    store.put_endpoints(APPLICATION, &updates, &Default::default()).unwrap();
    import(&store, 1, &rows(&[("e", "x"), ("f", "x"), ("g", "x")]));
    let engine = store.engine().unwrap();
    let mut batch = WriteBatch::default();
    for (spread, ids) in Spread::all().zip([["e", "e"], ["a", "f"], ["e", "g"]]) {
        let (group, mark) = spread.place(groups::hash(b"ann"));
        let mut value = Vec::new();
        ids.iter().for_each(|id| groups::put(&mut value, mark, id.as_bytes(), false));
        batch.merge(spread.key(&keys::link_groups(APPLICATION), group), value);
    }
    engine.write(batch).unwrap();
    drop(engine);
    // These say that they are another's.
    assert_eq!(endpoints_of(&store, "ann"), ["a", "b", "c"]);
    import(&store, 2, &rows(&[("e", "ann"), ("f", "ann"), ("g", "ann")]));
    for settled in [false, true] {
        assert_eq!(endpoints_of(&store, "ann"), ["a", "b", "c", "e", "f", "g"], "settled: {settled}");
        assert_eq!(endpoints_of(&store, "x"), [""; 0]);
        store.settle().unwrap();
    }
    assert_eq!(store.delete_user_endpoints(APPLICATION, "ann").unwrap(), 6);
    assert_eq!(endpoints_of(&store, "ann"), [""; 0]);
    assert_eq!(store.delete_user_endpoints(APPLICATION, "ann").unwrap(), 0);
    assert_eq!(endpoints_of(&store, "bob"), ["d"]);
    store.settle().unwrap();
    // Of the groups only those of others have links.
    let engine = store.engine().unwrap();
    let mut left = Vec::new();
    let users = ["ann", "bob", "x"];
    find_grouped(&engine, &keys::link_groups(APPLICATION), &users, |_, user, id| {
        left.push((users[user], id.to_vec()));
    })
    .unwrap();
    left.sort_unstable();
    assert_eq!(
        left,
        [("bob", b"d".to_vec()), ("x", b"e".to_vec()), ("x", b"f".to_vec()), ("x", b"g".to_vec())]
    );
    drop(engine);
    // What is imported again is linked again.
    import(&store, 3, &rows(&[("b", "ann")]));
    assert_eq!(endpoints_of(&store, "ann"), ["b"]);
    assert!(store.delete_endpoint(APPLICATION, "b").unwrap());
    assert_eq!(endpoints_of(&store, "ann"), [""; 0]);
    assert!(store.engine().unwrap().get(&keys::user(APPLICATION, b"ann")).unwrap().is_none());
}

fn update(store: &Embedded, id: &str, user: &str) -> EndpointUpdate {
    let mut draft = Draft::default();
    draft.channel = Some(Channel::Email);
    draft.set_text(TextMember::Address, Some("elsewhere"));
    draft.set_text(TextMember::UserId, Some(user));
    let now = store.job(JOB).unwrap().unwrap().created;
    EndpointUpdate::new(id, &mut draft, now)
}

#[test]
fn a_user_of_whom_a_piece_has_many_endpoints_does_not_make_its_group_large() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 40, true);
    let most = groups::MOST_OF_USER;
    let ids =
        |count: usize, first: usize| (first..first + count).map(|id| format!("{id:03}")).collect::<Vec<_>>();
    let of =
        |ids: Vec<String>, user: &str| ids.into_iter().map(|id| (id, user.to_owned())).collect::<Vec<_>>();
    import(&store, 0, &[of(ids(most, 0), "few"), of(ids(most + 1, 100), "many")].concat());
    assert_eq!(stored(&store), [most as u64 + 1, 1]);
    assert_eq!(endpoints_of(&store, "few"), ids(most, 0));
    assert_eq!(endpoints_of(&store, "many"), ids(most + 1, 100));
    // Those of both kinds are removed, in as many writes as it takes.
    import(&store, 1, &of(ids(2 * most, 200), "few"));
    assert_eq!(store.delete_user_endpoints(APPLICATION, "few").unwrap(), 3 * most as u64);
    assert_eq!(endpoints_of(&store, "few"), [""; 0]);
    assert_eq!(endpoints_of(&store, "many").len(), most + 1);
}

#[test]
fn users_with_the_same_hash_keep_their_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 40, true);
    let one = "0123456789abcdef";
    let other = twin(one);
    assert_eq!((groups::hash(one.as_bytes()), one == other), (groups::hash(other.as_bytes()), false));
    import(&store, 0, &rows(&[("a", one), ("b", &other), ("c", one), ("d", &other)]));
    assert_eq!(endpoints_of(&store, one), ["a", "c"]);
    assert_eq!(endpoints_of(&store, &other), ["b", "d"]);
    // A record without an id reaches the endpoints of its user alone.
    let (mut asked, mut expected) = (crate::resolve::Linked::new(), BTreeMap::new());
    for (user, ids) in [(one, ["a", "b", "c", "d"]), (&other, ["a", "b", "c", "d"])] {
        asked.insert(user.as_bytes().to_vec(), Default::default());
        expected.insert(user.as_bytes().to_vec(), ids.map(|id| id.as_bytes().to_vec()).into());
    }
    let target = crate::piece_rows::Target { application: APPLICATION, layer: None };
    let engine = store.engine().unwrap();
    crate::resolve::Facts::linked(&*engine, &target, &mut asked).unwrap();
    assert_eq!(
        asked.into_iter().collect::<BTreeMap<_, _>>(),
        expected,
        "whoever follows them looks who it is"
    );
    drop(engine);
    assert_eq!(store.delete_user_endpoints(APPLICATION, one).unwrap(), 2);
    assert_eq!(endpoints_of(&store, one), [""; 0]);
    assert_eq!(endpoints_of(&store, &other), ["b", "d"]);
    assert!(store.delete_endpoint(APPLICATION, "b").unwrap());
    assert_eq!(endpoints_of(&store, &other), ["d"]);
    // Also where a piece has so many of them that each has an entry of its own.
    let crowd = (0..groups::MOST_OF_USER)
        .flat_map(|id| [one, &other, one].map(|user| (format!("x{id}"), user.to_owned())));
    import(&store, 1, &crowd.collect::<Vec<_>>());
    assert_eq!(endpoints_of(&store, one).len(), groups::MOST_OF_USER);
    assert_eq!(endpoints_of(&store, &other), ["d"]);
    // Also in a piece that is small.
    drop(store);
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    let [before, _] = stored(&store);
    import(&store, 2, &rows(&[("e", one), ("e", &other)]));
    assert_eq!(stored(&store)[0], before + 2);
    assert_eq!(endpoints_of(&store, &other), ["d", "e"]);
}

#[test]
fn links_that_a_store_of_before_has_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 40, true);
    import(&store, 0, &rows(&[("a", "ann"), ("b", "ann")]));
    let engine = store.engine().unwrap();
    let mut batch = WriteBatch::default();
    let groups = keys::link_groups(APPLICATION);
    batch.delete_range(&groups, &end_of(&groups));
    for id in ["a", "b"] {
        batch.put(keys::link(&keys::links(APPLICATION), b"ann", id.as_bytes()), []);
    }
    engine.write(batch).unwrap();
    drop(engine);
    drop(store);
    std::fs::write(folder.path().join("layout"), "6\n").unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("layout")).unwrap(), "7\n");
    assert_eq!(endpoints_of(&store, "ann"), ["a", "b"]);
    assert_eq!(store.delete_user_endpoints(APPLICATION, "ann").unwrap(), 2);
    assert_eq!(stored(&store)[0], 0);
}
