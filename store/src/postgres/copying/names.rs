//! What ids are called in the database that is copied.

use std::collections::{BTreeMap, HashMap};

use pinport_model::{ApplicationId, JobId, SegmentId};
use uuid::Uuid;

use super::super::connection::Connection;
use crate::{Result, StoreError, copied::Layer};

/// What ids are called in the database.
#[derive(Default)]
pub(super) struct Names {
    spaces: HashMap<ApplicationId, i32>,
    pub(super) applications: HashMap<i32, ApplicationId>,
    /// Layers by their number here, and their numbers by what they are called in a copy.
    pub(super) layers: BTreeMap<i32, Layer>,
    pub(super) numbers: HashMap<(SegmentId, u32), i32>,
    pub(super) jobs: HashMap<JobId, i32>,
}

pub(super) fn id(row: &postgres::Row, column: usize) -> [u8; 16] {
    *row.get::<_, Uuid>(column).as_bytes()
}

impl Names {
    pub(super) fn load(connection: &mut Connection) -> Result<Self> {
        let mut names = Self::default();
        for row in connection.query("SELECT id, space FROM applications", &[])? {
            names.add_application(ApplicationId::from_bytes(id(&row, 0)), row.get(1));
        }
        let found = connection.query(
            "SELECT l.layer, l.segment, s.application, l.copies, l.job, l.place, l.last FROM layers l \
             JOIN segments s ON s.id = l.segment WHERE l.place IS NOT NULL",
            &[],
        )?;
        for row in found {
            let layer = Layer {
                application: ApplicationId::from_bytes(id(&row, 2)),
                segment: SegmentId::from_bytes(id(&row, 1)),
                copies: row.get(3),
                job: row.get::<_, Option<Uuid>>(4).map(|job| JobId::from_bytes(job.into_bytes())),
                first: row.get::<_, i32>(5).cast_unsigned(),
                last: row.get::<_, i32>(6).cast_unsigned(),
                records: 0,
            };
            names.add_layer(row.get(0), layer);
        }
        for row in connection.query("SELECT id, job FROM jobs", &[])? {
            names.jobs.insert(JobId::from_bytes(id(&row, 0)), row.get(1));
        }
        Ok(names)
    }

    pub(super) fn add_application(&mut self, id: ApplicationId, space: i32) {
        self.spaces.insert(id, space);
        self.applications.insert(space, id);
    }

    pub(super) fn add_layer(&mut self, number: i32, layer: Layer) {
        self.numbers.insert((layer.segment, layer.number()), number);
        self.layers.insert(number, layer);
    }

    pub(super) fn space(&self, id: ApplicationId) -> Result<i32> {
        let space = self.spaces.get(&id).copied();
        space.ok_or_else(|| StoreError::Corrupt(format!("there is no application {id}")))
    }
}
