//! What the embedded store holds by now, for those who judge a piece.

use super::{
    engine::Engine,
    keys::{self, Key},
    links::by_length,
    user_links::find_grouped,
};
use crate::{
    Result,
    piece_rows::Target,
    record::bounds::Bounds,
    resolve::{Facts, Found, Linked, Owner},
};

impl Facts for Engine {
    fn endpoints(&self, target: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()> {
        let keys: Vec<_> = ids.iter().map(|id| keys::endpoint(target.application, id)).collect();
        let records = self.get_sorted(&keys)?;
        records.iter().enumerate().try_for_each(|(place, record)| found(place, record.as_deref()))
    }

    fn copies(&self, target: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()> {
        let Some((segment, layer)) = target.copies() else { return Ok(()) };
        let prefix = keys::layer(segment, layer);
        let keys: Vec<_> = ids.iter().map(|id| [&prefix[..], id].concat()).collect();
        let copies = self.get_sorted(&keys)?;
        copies.iter().enumerate().try_for_each(|(place, copy)| found(place, copy.as_deref()))
    }

    fn linked(&self, target: &Target, users: &mut Linked) -> Result<()> {
        let (mut unknown, since) = self.known_links.find(target.application, users);
        // As they lie in the store.
        unknown.sort_unstable_by(|one, other| by_length(one).cmp(&by_length(other)));
        let prefixes = (keys::links(target.application), keys::link_groups(target.application));
        self.read_links(prefixes, &unknown, users)?;
        let found = unknown.iter().filter_map(|user| users.get_key_value(user));
        self.known_links.remember(target.application, since, found);
        if let Some((segment, layer)) = target.copies() {
            let all: Vec<_> = users.keys().cloned().collect();
            let prefixes = (keys::copy_links(segment, layer), keys::copy_link_groups(segment, layer));
            self.read_links(prefixes, &all, users)?;
        }
        Ok(())
    }

    fn record(&self, target: &Target, owner: Owner<'_>) -> Result<Vec<u8>> {
        let key = match owner {
            Owner::Endpoint(id) => keys::endpoint(target.application, id),
            Owner::User(user) => keys::user(target.application, user),
        };
        Ok(self.get(&key)?.map_or_else(Vec::new, |record| record.to_vec()))
    }

    fn bounds(&self) -> &Bounds {
        &self.folding.bounds
    }
}

impl Engine {
    /// Adds what is linked to some of the users, by entries of their own below one prefix and in groups below another.
    fn read_links(&self, (prefix, groups): (Key, Key), asked: &[Vec<u8>], users: &mut Linked) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        find_grouped(self, &groups, asked, |_, place, id| {
            users.entry(asked[place].clone()).or_default().insert(id.to_vec());
        })?;
        // One scan for all users: making one visits every file of level 0.
        let mut links = self.scan(&prefix);
        for user in asked {
            let (key, endpoints) = (keys::links_of(&prefix, user), users.entry(user.clone()).or_default());
            links.seek(&key);
            while let Some((link, _)) = links.entry()?
                && let Some(id) = link.strip_prefix(&key[prefix.len()..])
            {
                endpoints.insert(id.to_vec());
                links.forward();
            }
        }
        Ok(())
    }
}
