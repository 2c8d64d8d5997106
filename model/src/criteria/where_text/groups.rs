//! Joined tests as Dimensions and SegmentGroups, where these can say the same.
//!
//! The service has three levels: `Include` joins groups, `Type` joins the dimensions of a group, and within one of these all
//! must hold. A `not` goes down to the tests first: most have an opposite. One that has none, and source segments, fit where
//! `Type` or `SourceType` is `NONE`.

use super::{Expression, Leaf, WhereError};
use crate::criteria::{
    AttributeType, Combine, Criteria, DimensionType, Dimensions, Group, Groups, RecencyType,
};

pub(super) fn criteria(expression: &Expression) -> Result<Criteria, WhereError> {
    let expression = flat(pushed(expression, false));
    if let Ok(group) = group(&expression) {
        return Ok(of_groups(vec![group], Combine::All));
    }
    let (parts, include) = match &expression {
        Expression::Any(_, parts) => (parts.iter().map(group).collect::<Result<_, _>>()?, Combine::Any),
        Expression::All(at, parts) => {
            // Plain tests go together; everything else is a group of its own.
            let (plain, others): (Vec<_>, Vec<_>) = parts
                .iter()
                .cloned()
                .partition(|part| matches!(part, Expression::Leaf(_, Leaf::Dimension(_))));
            let mut groups = Vec::new();
            if !plain.is_empty() {
                groups.push(group(&Expression::All(*at, plain))?);
            }
            for part in &others {
                groups.push(group(part)?);
            }
            (groups, Combine::All)
        }
        other => return group(other).map(|group| of_groups(vec![group], Combine::All)),
    };
    Ok(of_groups(parts, include))
}

/// Groups, or Dimensions alone where these say all.
fn of_groups(mut groups: Vec<Group>, include: Combine) -> Criteria {
    if let [Group { dimensions, source_segments, combine, .. }] = &mut groups[..]
        && let [dimensions] = &mut dimensions[..]
        && source_segments.is_empty()
        && *combine != Some(Combine::None)
    {
        return Criteria { dimensions: Some(std::mem::take(dimensions)), segment_groups: None };
    }
    Criteria { dimensions: None, segment_groups: Some(Groups { groups, include: Some(include) }) }
}

/// With `not` at tests alone, and only at those that have no opposite.
fn pushed(expression: &Expression, is_not: bool) -> Expression {
    let all = |parts: &[Expression]| parts.iter().map(|part| pushed(part, is_not)).collect();
    match expression {
        Expression::Not(_, inner) => pushed(inner, !is_not),
        Expression::All(at, parts) if is_not => Expression::Any(*at, all(parts)),
        Expression::Any(at, parts) if is_not => Expression::All(*at, all(parts)),
        Expression::All(at, parts) => Expression::All(*at, all(parts)),
        Expression::Any(at, parts) => Expression::Any(*at, all(parts)),
        Expression::Leaf(at, leaf) if is_not => match opposite(leaf) {
            Some(leaf) => Expression::Leaf(*at, leaf),
            None => Expression::Not(*at, Box::new(expression.clone())),
        },
        Expression::Leaf(..) => expression.clone(),
    }
}

/// The test that holds where this one does not.
fn opposite(leaf: &Leaf) -> Option<Leaf> {
    let Leaf::Dimension(dimensions) = leaf else { return None };
    let mut opposite = dimensions.clone();
    let attributes = opposite.attributes.values_mut().chain(opposite.user_attributes.values_mut());
    for attribute in attributes {
        attribute.attribute_type = Some(match attribute.kind() {
            AttributeType::Inclusive => AttributeType::Exclusive,
            AttributeType::Exclusive => AttributeType::Inclusive,
            _ => return None,
        });
    }
    if let Some(recency) = opposite.behavior.as_mut().and_then(|behavior| behavior.recency.as_mut()) {
        recency.recency_type = match recency.recency_type {
            RecencyType::Active => RecencyType::Inactive,
            RecencyType::Inactive => RecencyType::Active,
        };
    }
    if !opposite.metrics.is_empty()
        || opposite.location.as_ref().is_some_and(|location| location.gps_point.is_some())
    {
        return None;
    }
    let demographic = opposite.demographic.iter_mut().flat_map(|sets| {
        [
            &mut sets.app_version,
            &mut sets.channel,
            &mut sets.device_type,
            &mut sets.make,
            &mut sets.model,
            &mut sets.platform,
        ]
    });
    let country = opposite.location.iter_mut().map(|location| &mut location.country);
    for set in demographic.chain(country).flatten() {
        set.dimension_type = Some(match set.kind() {
            DimensionType::Inclusive => DimensionType::Exclusive,
            DimensionType::Exclusive => DimensionType::Inclusive,
        });
    }
    Some(Leaf::Dimension(opposite))
}

/// Without an `and` in an `and`, and an `or` in an `or`.
fn flat(expression: Expression) -> Expression {
    match expression {
        Expression::All(at, parts) => {
            let parts = parts.into_iter().map(flat).flat_map(|part| match part {
                Expression::All(_, inner) => inner,
                other => vec![other],
            });
            Expression::All(at, parts.collect())
        }
        Expression::Any(at, parts) => {
            let parts = parts.into_iter().map(flat).flat_map(|part| match part {
                Expression::Any(_, inner) => inner,
                other => vec![other],
            });
            Expression::Any(at, parts.collect())
        }
        other => other,
    }
}

/// What one group says.
fn group(expression: &Expression) -> Result<Group, WhereError> {
    let mut group = Group::default();
    match expression {
        Expression::All(at, parts) => {
            let (sources, rest): (Vec<_>, Vec<_>) = parts.iter().partition(|part| is_source(part));
            if let [one] = sources[..] {
                take_source(&mut group, one);
            } else if let [_, second, ..] = sources[..] {
                return Err(too_much(second));
            }
            match rest[..] {
                [] => {}
                [one] => take_dimensions(&mut group, one)?,
                _ => {
                    let rest = Expression::All(*at, rest.into_iter().cloned().collect());
                    take_dimensions(&mut group, &rest)?;
                }
            }
        }
        Expression::Any(_, parts)
            if parts.iter().all(|part| matches!(part, Expression::Leaf(_, Leaf::Segments(_)))) =>
        {
            parts.iter().for_each(|part| take_source(&mut group, part));
        }
        source if is_source(source) => take_source(&mut group, source),
        other => take_dimensions(&mut group, other)?,
    }
    Ok(group)
}

fn is_source(expression: &Expression) -> bool {
    match expression {
        Expression::Leaf(_, leaf) => matches!(leaf, Leaf::Segments(_)),
        Expression::Not(_, inner) => is_source(inner),
        _ => false,
    }
}

fn take_source(group: &mut Group, expression: &Expression) {
    match expression {
        Expression::Leaf(_, Leaf::Segments(references)) => {
            group.source_segments.extend(references);
            group.source_type = Some(Combine::Any);
        }
        Expression::Not(_, inner) => {
            take_source(group, inner);
            group.source_type = Some(Combine::None);
        }
        _ => {}
    }
}

fn take_dimensions(group: &mut Group, expression: &Expression) -> Result<(), WhereError> {
    let negated = |part: &Expression| match part {
        Expression::Not(_, inner) => plain(inner),
        _ => None,
    };
    match expression {
        // All of them, in as few Dimensions as their names allow.
        Expression::All(_, parts) if parts.iter().all(|part| plain(part).is_some()) => {
            group.combine = Some(Combine::All);
            for one in parts.iter().filter_map(plain) {
                if !group.dimensions.iter_mut().any(|known| merge(known, &one)) {
                    group.dimensions.push(one);
                }
            }
            Ok(())
        }
        Expression::All(_, parts) if parts.iter().all(|part| negated(part).is_some()) => {
            group.combine = Some(Combine::None);
            group.dimensions.extend(parts.iter().filter_map(negated));
            Ok(())
        }
        Expression::Any(_, parts) => {
            group.combine = Some(Combine::Any);
            for part in parts {
                group.dimensions.push(together(part)?);
            }
            Ok(())
        }
        Expression::Not(..) if negated(expression).is_some() => {
            group.combine = Some(Combine::None);
            group.dimensions.extend(negated(expression));
            Ok(())
        }
        Expression::Leaf(..) if plain(expression).is_some() => {
            group.combine = Some(Combine::All);
            group.dimensions.extend(plain(expression));
            Ok(())
        }
        Expression::All(_, parts) => {
            let is_first_plain = parts.first().is_some_and(|part| plain(part).is_some());
            let other =
                parts.iter().find(|part| plain(part).is_some() != is_first_plain || together(part).is_err());
            Err(too_much(other.unwrap_or(expression)))
        }
        other => Err(too_much(other)),
    }
}

/// A test of a member.
fn plain(expression: &Expression) -> Option<Dimensions> {
    match expression {
        Expression::Leaf(_, Leaf::Dimension(dimensions)) => Some((**dimensions).clone()),
        _ => None,
    }
}

/// Tests that must all hold, as one Dimensions.
fn together(expression: &Expression) -> Result<Dimensions, WhereError> {
    let parts = match expression {
        Expression::All(_, parts) => &parts[..],
        other => std::slice::from_ref(other),
    };
    let mut all = Dimensions::default();
    for part in parts {
        let one = plain(part).ok_or_else(|| too_much(part))?;
        if !merge(&mut all, &one) {
            let message =
                "the same member is tested twice in one alternative: Dimensions have each member once";
            return Err(WhereError::new(place(part), message));
        }
    }
    Ok(all)
}

/// Adds a dimension to others, unless they have one of the same member.
fn merge(all: &mut Dimensions, one: &Dimensions) -> bool {
    let mut merged = all.clone();
    let mut is_new = true;
    for (name, attribute) in &one.attributes {
        is_new &= merged.attributes.insert(name.clone(), attribute.clone()).is_none();
    }
    for (name, attribute) in &one.user_attributes {
        is_new &= merged.user_attributes.insert(name.clone(), attribute.clone()).is_none();
    }
    for (name, metric) in &one.metrics {
        is_new &= merged.metrics.insert(name.clone(), *metric).is_none();
    }
    if let Some(behavior) = &one.behavior {
        is_new &= merged.behavior.replace(behavior.clone()).is_none();
    }
    if let Some(location) = &one.location {
        let known = merged.location.get_or_insert_default();
        if let Some(country) = &location.country {
            is_new &= known.country.replace(country.clone()).is_none();
        }
        if let Some(point) = &location.gps_point {
            is_new &= known.gps_point.replace(point.clone()).is_none();
        }
    }
    if let Some(demographic) = &one.demographic {
        let known = merged.demographic.get_or_insert_default();
        for (name, set) in demographic.named() {
            is_new &= known.named_mut(name).is_some_and(|place| place.replace(set.clone()).is_none());
        }
    }
    if is_new {
        *all = merged;
    }
    is_new
}

fn place(expression: &Expression) -> usize {
    match expression {
        Expression::Leaf(at, _)
        | Expression::Not(at, _)
        | Expression::All(at, _)
        | Expression::Any(at, _) => *at,
    }
}

fn too_much(expression: &Expression) -> WhereError {
    let what = match expression {
        Expression::Not(_, inner) if is_source(inner) => "a segment that is left out",
        Expression::Not(..) => "a not that has no opposite",
        Expression::Leaf(_, Leaf::Segments(_)) => "a segment",
        Expression::Leaf(..) => "this test",
        Expression::All(..) => "this and",
        Expression::Any(..) => "this or",
    };
    WhereError::new(
        place(expression),
        format!(
            "{what} cannot be said here by the groups of a segment: they are groups joined by one and, or, or not, each of \
             alternatives, of tests that must all hold, or of tests that may not. Make a segment of that part, and say \
             Segment = '<id>' for it"
        ),
    )
}
