//! The attributes of a CSV record, from the cells of their columns.

#![allow(unsafe_code, reason = "writes to room that was reserved")]

use pinport_model::{Attribute, Draft, RecordLimits, Scalar};

use super::{
    Judged,
    plan::{CsvHeader, Groups},
    validate,
};

/// Adds attributes of which only a value may be over its limit. False: one may be, and all are to be judged.
#[inline(always)]
pub(super) fn fill_attributes<'a>(
    attributes: &mut Vec<Attribute<'a>>,
    values: &mut Vec<Scalar<'a>>,
    groups: &'a Groups,
    max_value: usize,
    cell: &impl Fn(u32) -> &'a str,
) -> bool {
    values.reserve(groups.columns.len());
    attributes.reserve(groups.list.len());
    let (mut value_count, mut attribute_count) = (values.len(), attributes.len());
    let (values_begin, attributes_begin) = (values.as_mut_ptr(), attributes.as_mut_ptr());
    let mut last = u32::MAX;
    for &(column, place) in &groups.columns {
        let text = cell(column);
        if text.is_empty() {
            continue;
        }
        if text.len() > max_value {
            return false;
        }
        // SAFETY: there is room for as many values as columns and as many attributes as groups. Columns of one group follow
        // each other, so an attribute was written where `place` is `last`. `place` is that of a group. To push takes twice as
        // many instructions, which are a tenth of those of a check.
        unsafe {
            values_begin.add(value_count).write(Scalar::Text(text));
            let start = value_count as u32;
            value_count += 1;
            if place == last {
                (*attributes_begin.add(attribute_count - 1)).end = start + 1;
            } else {
                let name = &groups.list.get_unchecked(place as usize).name;
                attributes_begin.add(attribute_count).write(Attribute { name, start, end: start + 1 });
                attribute_count += 1;
            }
        }
        last = place;
    }
    // SAFETY: so many were written.
    unsafe {
        values.set_len(value_count);
        attributes.set_len(attribute_count);
    }
    true
}

#[cold]
pub(super) fn judge_all_attributes<'a>(
    draft: &mut Draft<'a>,
    header: &'a CsvHeader,
    limits: &RecordLimits,
    cell: &impl Fn(u32) -> &'a str,
) -> Judged {
    let Draft { attributes, user_attributes, values, .. } = draft;
    attributes.clear();
    user_attributes.clear();
    values.clear();
    judge_attributes(attributes, values, "Attributes", &header.attributes, limits, cell)?;
    judge_attributes(user_attributes, values, "User.UserAttributes", &header.user_attributes, limits, cell)
}

/// Adds attributes, and judges their names and values and how many they are.
fn judge_attributes<'a>(
    attributes: &mut Vec<Attribute<'a>>,
    values: &mut Vec<Scalar<'a>>,
    prefix: &str,
    groups: &'a Groups,
    limits: &RecordLimits,
    cell: &impl Fn(u32) -> &'a str,
) -> Judged {
    for group in &groups.list {
        let start = values.len();
        for &column in &group.columns {
            let text = cell(column);
            if !text.is_empty() {
                validate::value(limits, prefix, &group.name, text)?;
                values.push(Scalar::Text(text));
            }
        }
        if values.len() > start {
            validate::name(limits, prefix, &group.name)?;
            validate::value_count(limits, prefix, &group.name, values.len() - start)?;
            attributes.push(Attribute { name: &group.name, start: start as u32, end: values.len() as u32 });
        }
    }
    validate::count(limits, prefix, attributes.len())
}
