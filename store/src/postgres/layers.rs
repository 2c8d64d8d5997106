//! Reading members: the ids of a version's layers as one list, and small layers made into one.

use std::collections::BTreeMap;

use pinport_model::{Endpoint, Segment, SegmentId, SegmentVersion};

use super::{
    connection::Connection,
    documents::{key, limit},
    read,
    segments::{self, Layer},
};
use crate::{
    Result,
    record::{
        bounds::Bounds,
        merge::overlaid,
        read::{decode, is_endpoint},
    },
};

/// Members that are read at once.
const AT_ONCE: usize = 2000;
/// Layers that wait before they are made into one.
const FOLD_AT: usize = 16;
/// Members that are moved in one transaction. Larger layers stay by themselves.
const FOLD_MEMBERS: i64 = 100_000;

/// Ids after one in order, each once, with the place in `layers` of the last layer that has it.
pub(super) fn ids(
    connection: &mut Connection,
    layers: &[Layer],
    after: &[u8],
    most: usize,
) -> Result<BTreeMap<Vec<u8>, usize>> {
    let mut found: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let places: BTreeMap<i32, usize> =
        layers.iter().zip(0..).map(|(layer, place)| (layer.layer, place)).collect();
    for some in layers.chunks(FOLD_AT) {
        // One short read of the index for each layer: one over all of them would sort all their members.
        let one = |layer: &Layer| {
            let number = layer.layer;
            format!("(SELECT layer, id FROM members WHERE layer = {number} AND id > $1 ORDER BY id LIMIT $2)")
        };
        let all = some.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
        let rows = match some {
            [only] => connection.query(
                "SELECT layer, id FROM members WHERE layer = $3 AND id > $1 ORDER BY id LIMIT $2",
                &[&after, &limit(most), &only.layer],
            )?,
            _ => connection.query(&all, &[&after, &limit(most)])?,
        };
        for row in rows {
            let place = places.get(&row.get(0)).copied().unwrap_or_default();
            let last = found.entry(row.get(1)).or_insert(place);
            *last = place.max(*last);
        }
    }
    // A layer that was cut off may lack what comes after.
    while found.len() > most {
        found.pop_last();
    }
    Ok(found)
}

/// Members of a version in order of id, after `after`.
pub(super) fn members(
    connection: &mut Connection,
    space: i32,
    (segment, version): (&Segment, &SegmentVersion),
    after: Option<&[u8]>,
    most: usize,
    bounds: Bounds,
) -> Result<Vec<Endpoint>> {
    let layers = segments::layers(connection, segment, version)?;
    let application = segment.application;
    let mut members = Vec::new();
    let mut after = after.unwrap_or_default().to_vec();
    while members.len() < most && !layers.is_empty() {
        let wanted = AT_ONCE.min(most);
        let found = ids(connection, &layers, &after, wanted)?;
        let is_last = found.len() < wanted;
        let mut spaces: Vec<i32> =
            layers.iter().filter(|layer| layer.copies).map(|layer| -layer.layer).collect();
        spaces.push(space);
        let records =
            read::endpoints_in(connection, space, &spaces, found.keys().map(Vec::as_slice), bounds)?;
        let registered = records.iter().filter(|((of, _), _)| *of == space).map(|(_, record)| &record[..]);
        let users = read::users_of(connection, space, registered, bounds)?;
        if let Some((last, _)) = found.last_key_value() {
            after.clone_from(last);
        }
        for (id, place) in found {
            let layer = layers[place];
            let copy = layer.copies.then(|| records.get(&(-layer.layer, id.clone()))).flatten();
            if let Some(copy) = copy
                && is_endpoint(copy)?
            {
                members.extend(decode(application, &id, copy, &[])?);
                continue;
            }
            let Some(record) = records.get(&(space, id.clone())) else { continue };
            if !is_endpoint(record)? {
                continue;
            }
            let user =
                read::named_user(record)?.and_then(|user| users.get(user)).map_or(&[][..], Vec::as_slice);
            match copy {
                None => members.extend(decode(application, &id, record, user)?),
                Some(copy) => {
                    let (mut whole, mut all) = (Vec::new(), Vec::new());
                    overlaid(record, user, copy, &mut whole, &mut all)?;
                    members.extend(decode(application, &id, &all, &[])?);
                }
            }
        }
        if is_last {
            break;
        }
    }
    members.truncate(most);
    Ok(members)
}

/// Makes one of the last layers of the oldest version that is kept, if enough of them wait: no kept version ends between
/// them. A layer is taken along while it is at most twice what comes after it, so a member is moved again only when its layer
/// has about doubled.
pub(super) fn fold(connection: &mut Connection, segment: SegmentId, layers: &[Layer]) -> Result<()> {
    let mut taken: Vec<Layer> = Vec::new();
    let (mut records, mut waiting) = (0_i64, 0);
    for layer in layers.iter().rev() {
        if layer.copies != taken.first().map_or(layer.copies, |last| last.copies) {
            break;
        }
        // As many as decide, and no more, are counted.
        let most = if taken.is_empty() { FOLD_MEMBERS } else { records * 2 };
        // With a column, though none is needed: Citus fails without.
        let counted = connection.query(
            "SELECT count(*) FROM (SELECT layer FROM members WHERE layer = $1 LIMIT $2) counted",
            &[&layer.layer, &(most + 1)],
        )?;
        let counted: i64 = counted[0].get(0);
        if counted > most || records + counted > FOLD_MEMBERS {
            break;
        }
        records += counted.max(1);
        waiting += usize::from(layer.job.is_some());
        taken.push(*layer);
    }
    if waiting < FOLD_AT {
        return Ok(());
    }
    taken.reverse();
    let (Some(first), Some(last)) = (taken.first().copied(), taken.last().copied()) else { return Ok(()) };
    let number: i32 = connection.query("SELECT nextval('space_no')::int4", &[])?[0].get(0);
    let old: Vec<i32> = taken.iter().map(|layer| layer.layer).collect();
    if first.copies {
        // The last layer that has a member says what its copy is.
        connection.execute(
            "INSERT INTO ops (h8, job, part, piece, space, id, rec) \
             SELECT o.h8, o.job, o.part, o.piece, -$2::int4, o.id, o.rec FROM ops o \
             JOIN (SELECT DISTINCT ON (m.h8, m.id) m.h8, m.id, m.layer FROM members m JOIN layers l ON l.layer = m.layer \
                   WHERE m.layer = ANY($1) ORDER BY m.h8, m.id, l.place DESC) n \
             ON o.h8 = n.h8 AND o.id = n.id AND o.space = -n.layer",
            &[&old, &number],
        )?;
    }
    connection.execute(
        "INSERT INTO members (h8, layer, id) SELECT DISTINCT h8, $2::int4, id FROM members WHERE layer = ANY($1)",
        &[&old, &number],
    )?;
    segments::delete_layers(connection, &old)?;
    connection.execute(
        "INSERT INTO layers (layer, segment, job, copies, place, last) VALUES ($1, $2, NULL, $3, $4, $5)",
        &[
            &number,
            &key(segment.as_bytes()),
            &first.copies,
            &first.first.cast_signed(),
            &last.last.cast_signed(),
        ],
    )?;
    Ok(())
}
