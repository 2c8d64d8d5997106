//! Endpoints, their users, and what becomes of others with the address of one.

use pinport_model::{ApplicationId, Endpoint, failure::FailureReason, limits::RecordLimits};

use super::{
    State,
    member_map::{MemberMap, bounds},
};
use crate::{
    EndpointUpdate, Result, lifecycle,
    record::{self, Tag, read::decode},
};

impl State {
    pub(super) fn registered(&self, application: ApplicationId, id: &[u8]) -> Option<&MemberMap> {
        self.endpoints.get(&(application, id.to_vec())).filter(|record| record.is_endpoint())
    }

    pub(super) fn endpoint(&self, application: ApplicationId, id: &[u8]) -> Result<Option<Endpoint>> {
        let Some(record) = self.registered(application, id) else { return Ok(None) };
        let user = self.user_record(application, record);
        Ok(decode(application, id, &record.bytes(), &user.bytes())?)
    }

    pub(super) fn user_record(&self, application: ApplicationId, record: &MemberMap) -> MemberMap {
        let user = record.user().and_then(|user| self.users.get(&(application, user.clone())));
        user.cloned().unwrap_or_default()
    }

    /// The ids of a user's endpoints, in order.
    pub(super) fn endpoints_of(&self, application: ApplicationId, user: &[u8]) -> Vec<Vec<u8>> {
        let own = self.endpoints.iter().filter(|((app, _), record)| {
            *app == application && record.is_endpoint() && record.user().is_some_and(|own| own == user)
        });
        own.map(|((_, id), _)| id.clone()).collect()
    }

    /// A copy with what its registered endpoint adds, if the copy is not whole by itself.
    pub(super) fn whole_copy(&self, application: ApplicationId, id: &[u8], copy: &MemberMap) -> MemberMap {
        if copy.is_endpoint() {
            return copy.clone();
        }
        let mut whole = self.registered(application, id).cloned().unwrap_or_default();
        let user = self.user_record(application, &whole);
        whole.apply(&user);
        whole.apply(copy);
        whole
    }

    /// Merges an update into a registered endpoint; its user attributes go to the endpoint's user.
    pub(super) fn put(
        &mut self,
        application: ApplicationId,
        id: &[u8],
        record: &MemberMap,
        user_record: &MemberMap,
    ) {
        let whole = self.endpoints.entry((application, id.to_vec())).or_default();
        whole.apply(record);
        if user_record.0.is_empty() {
            return;
        }
        match whole.user().cloned() {
            Some(user) => self.users.entry((application, user)).or_default().apply(user_record),
            None => whole.apply(user_record),
        }
    }

    /// Why an endpoint or its user has no room for a record, if it has none.
    pub(super) fn too_large(
        &self,
        application: ApplicationId,
        id: &[u8],
        record: &MemberMap,
        user_record: &MemberMap,
    ) -> Result<Option<FailureReason>> {
        let endpoint = self.endpoints.get(&(application, id.to_vec())).cloned().unwrap_or_default();
        let mut whole = endpoint.clone();
        whole.apply(record);
        match whole.user() {
            None => whole.apply(user_record),
            Some(user) => {
                if let Some(reason) = self.user_too_large(application, user, user_record)? {
                    return Ok(Some(reason));
                }
            }
        }
        lifecycle::too_large(&endpoint.bytes(), &whole.bytes(), &bounds())
    }

    pub(super) fn user_too_large(
        &self,
        application: ApplicationId,
        user: &[u8],
        user_record: &MemberMap,
    ) -> Result<Option<FailureReason>> {
        let user = self.users.get(&(application, user.to_vec())).cloned().unwrap_or_default();
        let mut whole = user.clone();
        whole.apply(user_record);
        lifecycle::too_large(&user.bytes(), &whole.bytes(), &bounds())
    }

    /// The records whose size an update changes: the user's that the endpoint has with it, and the endpoint's.
    fn sizes(&self, application: ApplicationId, id: &[u8], update: &MemberMap) -> [Vec<u8>; 2] {
        let endpoint = self.endpoints.get(&(application, id.to_vec()));
        let named = update.user().or_else(|| endpoint.and_then(MemberMap::user));
        let user = named.and_then(|user| self.users.get(&(application, user.clone())));
        [user, endpoint].map(|record| record.map(MemberMap::bytes).unwrap_or_default())
    }

    /// What an update that comes by itself does to others with its address: they become inactive.
    fn note_address(&mut self, application: ApplicationId, id: &[u8], record: &MemberMap) -> Result<()> {
        let stored = self.endpoints.get(&(application, id.to_vec()));
        let stored = stored.and_then(|stored| stored.get(Tag::Address)).cloned();
        let given = record.get(Tag::Address).cloned();
        if let Some(address) = &given {
            let others: Vec<_> =
                self.addresses.iter().filter(|other| other.0 == application).cloned().collect();
            for other in others.into_iter().filter(|other| other.1 == *address && other.2 != id) {
                self.addresses.remove(&other);
                if let Some(endpoint) = self.endpoints.get_mut(&(application, other.2))
                    && endpoint.get(Tag::Address) == Some(address)
                {
                    endpoint.apply(&MemberMap::of(record::INACTIVE)?);
                }
            }
        }
        if let Some(address) = given.or(stored) {
            self.addresses.insert((application, address, id.to_vec()));
        }
        Ok(())
    }

    /// Merges updates into registered endpoints: all of them, or none.
    pub(super) fn put_endpoints(
        &mut self,
        application: ApplicationId,
        updates: &[EndpointUpdate],
        limits: &RecordLimits,
    ) -> Result<()> {
        // All or none: what it comes to is made beside what there is.
        let mut trial = State { addresses: self.addresses.clone(), ..self.clone_data() };
        for update in updates {
            let id = update.id.as_bytes();
            let mut record = MemberMap::of(&update.record)?;
            if !record.is_endpoint() && trial.registered(application, id).is_none() {
                record = MemberMap::incomplete(&record)?;
            }
            trial.note_address(application, id, &record)?;
            let before = trial.sizes(application, id, &record);
            trial.put(application, id, &record, &MemberMap::of(&update.user_record)?);
            let after = trial.sizes(application, id, &record);
            for (before, after) in before.iter().zip(&after) {
                lifecycle::check_size(update, before, after, limits)?;
            }
        }
        let State { endpoints, users, addresses, .. } = trial;
        (self.endpoints, self.users, self.addresses) = (endpoints, users, addresses);
        Ok(())
    }

    /// Deletes an endpoint, and its user with the last one it has; whether it was one.
    pub(super) fn delete_endpoint(&mut self, application: ApplicationId, id: &[u8]) -> bool {
        let Some(record) = self.endpoints.remove(&(application, id.to_vec())) else {
            return false;
        };
        if let Some(address) = record.get(Tag::Address) {
            self.addresses.remove(&(application, address.clone(), id.to_vec()));
        }
        if let Some(user) = record.user()
            && self.endpoints_of(application, user).is_empty()
        {
            self.users.remove(&(application, user.clone()));
        }
        record.is_endpoint()
    }
}
