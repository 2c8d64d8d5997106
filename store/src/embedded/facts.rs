//! What the embedded store holds by now, for those who judge a piece.

use super::{engine::Engine, keys};
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
        let copy_links = target.copies().map(|(segment, layer)| keys::copy_links(segment, layer));
        for prefix in [Some(keys::links(target.application)), copy_links].into_iter().flatten() {
            // One scan for all users: making one visits every file of level 0.
            let mut links = self.scan(&prefix);
            for (user, endpoints) in &mut *users {
                let key = keys::links_of(&prefix, user);
                links.seek(&key);
                while let Some((link, _)) = links.entry()?
                    && let Some(id) = link.strip_prefix(&key[prefix.len()..])
                {
                    endpoints.insert(id.to_vec());
                    links.forward();
                }
            }
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
