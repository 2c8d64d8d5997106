//! Segments: their versions, layers and members.

use std::collections::{BTreeMap, BTreeSet};

use pinport_model::{
    ApplicationId, Criteria, Endpoint, ImportJob, Segment, SegmentId, SegmentVersion, Timestamp,
    segment::SegmentLayer,
};

use super::{State, member_map::MemberMap};
use crate::{
    Result, Scope,
    lifecycle::{self, SegmentState, no_version, not_found},
    record::read::decode,
};

impl State {
    pub(super) fn segment_mut(
        &mut self,
        application: ApplicationId,
        id: SegmentId,
    ) -> Result<&mut SegmentState> {
        self.segments.get_mut(&(application, id)).ok_or_else(|| not_found("segment", id))
    }

    /// The layers of a version, oldest first.
    pub(super) fn layers_of(&self, segment: SegmentId, version: &SegmentVersion) -> Vec<SegmentLayer> {
        let range = (segment, version.first_layer)..=(segment, version.last_layer);
        self.closed_layers.range(range).map(|(_, layer)| *layer).collect()
    }

    /// The members of a version in order of id, each with its copy if the last layer that has it holds one.
    pub(super) fn members_of(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
    ) -> Result<BTreeMap<&Vec<u8>, Option<&MemberMap>>> {
        let mut last_layer = BTreeMap::new();
        let is_kept = self.versions.contains_key(&(segment.id, version.version));
        if !is_kept && self.segments.contains_key(&(segment.application, segment.id)) {
            return Err(no_version(segment, version.version));
        }
        for layer in self.layers_of(segment.id, version) {
            let members = self.layers.get(&(segment.id, layer.number));
            for (id, copy) in members.into_iter().flatten() {
                last_layer.insert(id, layer.copies.then_some(copy));
            }
        }
        Ok(last_layer)
    }

    /// How many members of a layer are not members of a version.
    fn count_new(&self, segment: SegmentId, layer: SegmentLayer, base: Option<&SegmentVersion>) -> u64 {
        let ids = |layer: SegmentLayer| self.layers.get(&(segment, layer.number)).into_iter().flatten();
        let base = base.map_or_else(Vec::new, |base| self.layers_of(segment, base));
        let known: BTreeSet<_> = base.into_iter().flat_map(ids).map(|(id, _)| id).collect();
        ids(layer).filter(|(id, _)| !known.contains(id)).count() as u64
    }

    /// Deletes what is a segment's own.
    pub(super) fn delete_segment(&mut self, id: SegmentId) {
        self.layers.retain(|(segment, _), _| *segment != id);
        self.closed_layers.retain(|(segment, _), _| *segment != id);
        self.versions.retain(|(segment, _), _| *segment != id);
    }

    /// Closes the layer that an ended job wrote to.
    pub(super) fn close_layer(&mut self, job: &ImportJob, id: SegmentId, replace: bool) -> Result<()> {
        let mut segment = self.segment_mut(job.definition.application, id)?.clone();
        let layer = self.open_layers.get(&(id, job.id)).copied();
        let layer = layer.ok_or_else(|| lifecycle::no_layer(job))?;
        let has_members = self.layers.get(&(id, layer.number)).is_some_and(|members| !members.is_empty());
        let count_new = |base: Option<&SegmentVersion>| Ok(self.count_new(id, layer, base));
        let made = lifecycle::close_layer(&mut segment, job, replace, has_members, count_new)?;
        self.open_layers.remove(&(id, job.id));
        if let Some(made) = made {
            self.closed_layers.insert((id, made.last_layer), layer);
            if let Some(forgotten) = lifecycle::forgotten(made.version) {
                self.versions.remove(&(id, forgotten));
            }
            self.versions.insert((id, made.version), made);
        }
        *self.segment_mut(job.definition.application, id)? = segment;
        Ok(())
    }

    /// Gives a segment a name and, if it is made of criteria, its next version.
    pub(super) fn update_segment(
        &mut self,
        application: ApplicationId,
        id: SegmentId,
        name: Option<&str>,
        criteria: Option<&Criteria>,
    ) -> Result<Segment> {
        let mut changed = self.segment_mut(application, id)?.clone();
        if criteria.is_some() || changed.segment.criteria().is_some() {
            self.check_references(application, Some(id), criteria)?;
            let made = lifecycle::next_version(&mut changed, criteria, Timestamp::now())?;
            if let Some(forgotten) = lifecycle::forgotten(made.version) {
                self.versions.remove(&(id, forgotten));
            }
            self.versions.insert((id, made.version), made);
        }
        if let Some(name) = name {
            changed.segment.name = name.to_owned();
        }
        let segment = changed.segment.clone();
        *self.segment_mut(application, id)? = changed;
        Ok(segment)
    }

    /// The members of a version after an id.
    pub(super) fn members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Endpoint>> {
        if let Some(criteria) = &version.criteria {
            let found = self.found_by(segment, criteria)?.into_iter();
            let behind = found.filter(|(id, _)| after.is_none_or(|after| id.as_slice() > after));
            let decoded = behind
                .take(limit)
                .map(|(id, [record, user])| decode(segment.application, &id, &record.bytes(), &user.bytes()));
            return Ok(decoded.filter_map(Result::transpose).collect::<Result<_, _>>()?);
        }
        let last_layer = self.members_of(segment, version)?;
        let mut members = Vec::new();
        for (id, copy) in last_layer {
            if members.len() == limit {
                break;
            }
            if after.is_some_and(|after| id.as_slice() <= after) {
                continue;
            }
            let application = segment.application;
            members.extend(match copy {
                None => self.endpoint(application, id)?,
                Some(copy) => decode(application, id, &self.whole_copy(application, id, copy).bytes(), &[])?,
            });
        }
        Ok(members)
    }

    /// Id, record and user's record of the next endpoints after an id: of at least one, until they have so many bytes.
    pub(super) fn batch_after(
        &self,
        scope: Scope<'_>,
        after: Option<&[u8]>,
        bytes: usize,
    ) -> Result<Vec<[Vec<u8>; 3]>> {
        if let Scope::Version(segment, SegmentVersion { criteria: Some(criteria), .. }) = scope {
            return self.found_after(segment, criteria, after, bytes);
        }
        let (application, members) = match scope {
            Scope::Application(application) => {
                let own = self.endpoints.keys().filter(|(of, _)| *of == application);
                (application, own.map(|(_, id)| (id, None)).collect())
            }
            Scope::Version(segment, version) => (segment.application, self.members_of(segment, version)?),
        };
        let (mut found, mut size) = (Vec::new(), 0);
        for (id, copy) in members {
            if after.is_some_and(|after| id.as_slice() <= after) {
                continue;
            }
            let (record, user) = match copy {
                Some(copy) => (self.whole_copy(application, id, copy), MemberMap::default()),
                None => match self.registered(application, id) {
                    Some(record) => (record.clone(), self.user_record(application, record)),
                    None => continue,
                },
            };
            if record.is_endpoint() {
                let row = [id.clone(), record.bytes(), user.bytes()];
                size += row.iter().map(Vec::len).sum::<usize>();
                found.push(row);
                if size >= bytes {
                    break;
                }
            }
        }
        Ok(found)
    }
}
