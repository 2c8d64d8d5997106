//! Segments that are made of criteria: which import segments they refer to, and what belongs.

use pinport_model::{ApplicationId, Criteria, Segment, SegmentId, SegmentVersion};

use super::{
    connection::Connection,
    segments::{self, Layer},
};
use crate::{
    Result,
    criteria::{self, Judge, Sources},
    record::matcher::Verdict,
};

/// What is looked for, and in which import segments.
pub(super) struct Wanted {
    judge: Judge,
    /// The layers of each import segment, oldest first.
    imports: Vec<Vec<Layer>>,
}

impl Wanted {
    /// All layers of the import segments.
    pub(super) fn layers(&self) -> impl Iterator<Item = Layer> {
        self.imports.iter().flatten().copied()
    }

    /// Whether what is in no import segment cannot belong.
    pub(super) fn needs_import(&self) -> bool {
        self.judge.needs_import()
    }

    /// The import segments that have a member in one of some layers.
    pub(super) fn imports_of(&self, layers: &[i32]) -> u128 {
        let has = |import: &Vec<Layer>| import.iter().any(|layer| layers.contains(&layer.layer));
        self.imports
            .iter()
            .enumerate()
            .fold(0, |all, (number, import)| all | u128::from(has(import)) << number)
    }

    /// Of each import segment the last layer that has a member, if it holds copies.
    pub(super) fn copies_of(&self, layers: &[i32]) -> impl Iterator<Item = i32> {
        let last =
            |import: &Vec<Layer>| import.iter().rev().find(|layer| layers.contains(&layer.layer)).copied();
        self.imports.iter().filter_map(last).filter(|layer| layer.copies).map(|layer| layer.layer)
    }

    /// Whether an endpoint belongs: none, if not; the import segments it is in, if its user decides.
    pub(super) fn looks_at(
        &mut self,
        record: &[u8],
        imports: u128,
        is_copy: bool,
    ) -> Result<Option<Option<u128>>> {
        Ok(match self.judge.look(record, imports, is_copy)? {
            Verdict::No => None,
            Verdict::Yes => Some(None),
            Verdict::Open => Some(Some(imports)),
        })
    }

    /// Whether an endpoint belongs, now that its user's record is at hand.
    pub(super) fn belongs(&mut self, record: &[u8], user: &[u8], imports: u128) -> Result<bool> {
        self.judge.belongs(record, user, imports)
    }
}

/// Makes ready to look for the members of a segment.
pub(super) fn plan(connection: &mut Connection, segment: &Segment, criteria: &Criteria) -> Result<Wanted> {
    let sources = Read { connection, application: segment.application };
    let (judge, imports) = criteria::plan(sources, segment, criteria)?;
    Ok(Wanted { judge, imports })
}

/// The segments of an application.
struct Read<'a> {
    connection: &'a mut Connection,
    application: ApplicationId,
}

impl Sources for Read<'_> {
    type Import = Vec<Layer>;

    fn segment(&mut self, id: SegmentId) -> Result<Option<Segment>> {
        let state = segments::state(self.connection, self.application, id, false)?;
        Ok(state.map(|state| state.segment))
    }

    fn version(&mut self, id: SegmentId, number: u32) -> Result<Option<SegmentVersion>> {
        segments::version(self.connection, id, number)
    }

    fn import(&mut self, segment: &Segment, version: &SegmentVersion) -> Result<Self::Import> {
        segments::layers(self.connection, segment, version)
    }
}
