//! Taking attributes from all endpoints or users of an application.

use std::collections::BTreeSet;

use pinport_model::ApplicationId;

use super::State;
use crate::{AttributeKind, record::Tag};

impl State {
    /// Removes the attributes that `is_named` says yes to; their names.
    pub(super) fn remove_attributes(
        &mut self,
        application: ApplicationId,
        kind: AttributeKind,
        is_named: &dyn Fn(&str) -> bool,
    ) -> BTreeSet<String> {
        let tag = match kind {
            AttributeKind::Endpoint => Tag::Attribute,
            AttributeKind::Metric => Tag::Metric,
            AttributeKind::User => Tag::UserAttribute,
        };
        let users = if kind == AttributeKind::User { Some(&mut self.users) } else { None };
        let mut removed = BTreeSet::new();
        for table in [Some(&mut self.endpoints), users].into_iter().flatten() {
            for (_, record) in table.iter_mut().filter(|((of, _), _)| *of == application) {
                for ((found, name), value) in &mut record.0 {
                    let name = String::from_utf8_lossy(name);
                    if *found == tag as u8 && !value.is_empty() && is_named(&name) {
                        removed.insert(name.into_owned());
                        value.clear();
                    }
                }
            }
        }
        removed
    }
}
