//! The header of a CSV object and the plan made from it once: which cell goes where in a draft.

use std::sync::Arc;

use pinport_model::{NoticeKind, Notices, ReadRules, RecordLimits, TextMember, failure::quoted};

use super::{
    mapped::{Columns, Map, Planned},
    names, structure,
};
use crate::text::{Dialect, RefusedReason, content_len};

/// Where a scalar column's cell goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Id,
    Channel,
    OptOut,
    Status,
    Latitude,
    Longitude,
    Text(TextMember),
    /// A date.
    Date(TextMember),
}

/// The columns of one attribute, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) columns: Vec<u32>,
}

/// What a header is read by.
#[derive(Debug, Clone, Copy)]
pub struct HeaderRules<'a> {
    /// Columns it may have.
    pub max_columns: usize,
    /// What the caller said about how to read.
    pub rules: &'a ReadRules,
    /// What its columns become.
    pub map: Option<&'a Arc<Map>>,
}

/// The header of a CSV object with the plan of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvHeader {
    raw: Vec<u8>,
    columns: usize,
    dialect: Dialect,
    /// Names that were taken for known ones, and unknown ones with what was perhaps meant.
    notices: Notices,
    pub(super) scalars: Vec<(u32, Target)>,
    pub(super) attributes: Groups,
    pub(super) user_attributes: Groups,
    pub(super) metrics: Vec<Group>,
    most: Most,
    /// How the columns above are made of the cells, if a mapping says so.
    pub(super) mapped: Option<Box<Columns>>,
}

/// The columns of attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    /// Every column, group by group, with the place of its group.
    pub(super) columns: Vec<(u32, u32)>,
}

impl Groups {
    /// Notes the columns, when all are known.
    fn index(&mut self) {
        for (place, group) in (0..).zip(&self.list) {
            self.columns.extend(group.columns.iter().map(|column| (*column, place)));
        }
    }
}

/// The largest among the columns with names of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Most {
    /// Groups of attributes, of user attributes or of metrics.
    groups: usize,
    /// Columns of a group.
    columns: usize,
    /// Bytes of a name.
    name: usize,
}

impl CsvHeader {
    /// Whether no record can be over the limits of names and of how many there are.
    #[inline(always)]
    pub(super) fn is_within(&self, limits: &RecordLimits) -> bool {
        let Most { groups, columns, name } = self.most;
        groups <= limits.max_attributes && columns <= limits.max_values && name <= limits.max_name
    }

    /// Reads a header from its line.
    ///
    /// # Errors
    /// Why the object cannot be read, and the byte of the line at fault, from 1, if it is one.
    pub fn read_as(
        line: &[u8],
        HeaderRules { max_columns, rules, map }: HeaderRules<'_>,
        dialect: Dialect,
    ) -> Result<Self, (RefusedReason, Option<u64>)> {
        let text = str::from_utf8(line)
            .map_err(|error| (RefusedReason::HeaderNotUtf8, Some(error.valid_up_to() as u64 + 1)))?;
        let (mut names, stray) = structure::cells_of(text, dialect);
        if text.trim_start().starts_with(['{', '[']) {
            let hint = "; the file looks like JSON: read it with the format JSON".into();
            return Err((RefusedReason::NoKey { found: shown(&names), hint }, None));
        }
        if let Some(at) = stray {
            return Err((RefusedReason::HeaderStray, Some(at as u64 + 1)));
        }
        if names.len() > max_columns {
            let reason = RefusedReason::TooManyColumns { found: names.len(), most: max_columns };
            return Err((reason, None));
        }
        let mut header = Self {
            raw: text.trim_end_matches(['\r', '\n']).into(),
            columns: 0,
            dialect,
            notices: Notices::new(),
            scalars: Vec::new(),
            attributes: Groups::default(),
            user_attributes: Groups::default(),
            metrics: Vec::new(),
            most: Most::default(),
            mapped: None,
        };
        // Some programs end every line with a separator: columns without a name at the end are none.
        while names.len() > 1 && names.last().is_some_and(|name| names::trimmed(name).is_empty()) {
            names.pop();
        }
        header.columns = names.len();
        let labels = match map {
            None => (1..)
                .zip(&names)
                .map(|(number, name)| format!("{} (number {number})", quoted(name.trim())))
                .collect(),
            Some(map) => {
                let planned = Columns::plan(map, &names, rules.strict_names, &mut header.notices);
                let Planned { columns, names: made, labels } = planned.map_err(|reason| (reason, None))?;
                header.mapped = Some(Box::new(columns));
                names = made;
                labels
            }
        };
        for (column, name) in (0..).zip(&names) {
            header.add_as(column, name.trim(), rules)?;
        }
        header.attributes.index();
        header.user_attributes.index();
        for groups in [&header.attributes.list, &header.user_attributes.list, &header.metrics] {
            let most = &mut header.most;
            most.groups = most.groups.max(groups.len());
            for group in groups {
                most.columns = most.columns.max(group.columns.len());
                most.name = most.name.max(group.name.len());
            }
        }
        header.refuse_same_columns(&labels)?;
        let is_key = |(_, target): &(u32, Target)| {
            matches!(target, Target::Id | Target::Text(TextMember::Address | TextMember::UserId))
        };
        if !header.scalars.iter().any(is_key) {
            return Err((no_key(shown(&names), &names, map.is_some()), None));
        }
        Ok(header)
    }

    /// The header's bytes as they were read, without the terminator and without a byte order mark.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// How the object is written.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What was taken for something else, or ignored.
    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Whether a record is the header again, as joined files have it.
    #[inline(always)]
    pub(super) fn is_repeated_by(&self, record: &[u8]) -> bool {
        record.first_chunk::<2>() == self.raw.first_chunk::<2>() && self.is_same(record)
    }

    fn is_same(&self, record: &[u8]) -> bool {
        record.len() >= self.raw.len() && {
            let content = &record[..content_len(record)];
            content == self.raw
        }
    }

    /// Cells of every record.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Adds a column by the name it is known by.
    fn add_as(
        &mut self,
        column: u32,
        name: &str,
        rules: &ReadRules,
    ) -> Result<(), (RefusedReason, Option<u64>)> {
        let is_attribute = names::PREFIXES.iter().any(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
        });
        match names::known(name) {
            // The name of an attribute is the user's own and stays as it is.
            Some(known) if known != name && !(is_attribute && names::trimmed(name) == name) => {
                if rules.strict_names {
                    let found = quoted(name).to_string();
                    return Err((RefusedReason::NearName { found, known }, None));
                }
                self.notices.add(NoticeKind::NameTaken, &format!("{} is read as {known}", quoted(name)), 1);
                self.add(column, &known);
            }
            _ => self.add(column, name),
        }
        Ok(())
    }

    /// Two columns for one value: nothing says which is right. `labels`: what people know each column by.
    fn refuse_same_columns(&self, labels: &[String]) -> Result<(), (RefusedReason, Option<u64>)> {
        for (index, (column, target)) in self.scalars.iter().enumerate() {
            let Some((first, _)) = self.scalars[..index].iter().find(|(_, known)| known == target) else {
                continue;
            };
            let shown = |column: u32| labels.get(column as usize).cloned().unwrap_or_default();
            let (first, second) = (shown(*first), shown(*column));
            return Err((RefusedReason::SameColumn { first, second }, None));
        }
        Ok(())
    }

    fn add(&mut self, column: u32, name: &str) {
        let target = match name {
            "Id" => Target::Id,
            "ChannelType" => Target::Channel,
            "OptOut" => Target::OptOut,
            "EndpointStatus" => Target::Status,
            "Location.Latitude" => Target::Latitude,
            "Location.Longitude" => Target::Longitude,
            // A member of Pinpoint's own exports that an import has no use for.
            "ApplicationId" => return,
            _ => match TextMember::ALL.into_iter().find(|member| member.name() == name) {
                Some(member @ (TextMember::EffectiveDate | TextMember::CreationDate)) => Target::Date(member),
                Some(member) => Target::Text(member),
                None => return self.add_named(column, name),
            },
        };
        self.scalars.push((column, target));
    }

    fn add_named(&mut self, column: u32, name: &str) {
        let below = |prefix| name.strip_prefix(prefix).filter(|name| !name.is_empty());
        let (groups, name) = if let Some(name) = below("Attributes.") {
            (&mut self.attributes.list, name)
        } else if let Some(name) = below("User.UserAttributes.") {
            (&mut self.user_attributes.list, name)
        } else if let Some(name) = below("Metrics.") {
            (&mut self.metrics, name)
        } else {
            let name = if name.is_empty() {
                format!("column {} without a name", column + 1)
            } else {
                name.to_owned()
            };
            self.notices.add(NoticeKind::UnknownColumn, &names::shown_unknown(&name), 1);
            return;
        };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.columns.push(column),
            None => groups.push(Group { name: name.to_owned(), columns: vec![column] }),
        }
    }
}

/// The first names of a header.
fn shown(names: &[String]) -> String {
    let found: Vec<_> = names.iter().take(5).map(|name| quoted(name.trim())).collect();
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", found.join(", "))
}

/// Why a line is no header, as far as its cells show.
fn no_key(found: String, cells: &[String], is_mapped: bool) -> RefusedReason {
    let is_value = |cell: &String| {
        let cell = cell.trim();
        let digits = cell.trim_start_matches(['+', '\'']);
        cell.contains('@')
            || digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
            || pinport_model::Channel::from_name(cell).is_some()
            || matches!(cell, "ALL" | "NONE" | "ACTIVE" | "INACTIVE")
    };
    if !is_mapped && cells.iter().any(is_value) {
        return RefusedReason::NoHeader { found };
    }
    let near = cells.iter().find_map(|cell| {
        let known = names::known(cell).or_else(|| names::suggestion(cell))?;
        matches!(known.as_str(), "Id" | "Address" | "User.UserId").then(|| (names::trimmed(cell), known))
    });
    let hint = match near {
        _ if is_mapped => "; the mapping makes none of them: rename a column to one".into(),
        Some((cell, known)) => format!("; perhaps {} is to be {known}: rename it", quoted(cell)),
        None if cells.len() == 1 && cells[0].contains([';', ',', '\t', '|', ':', '^', '~']) => {
            "; if the cells are separated by something else than was told, say by what with --delimiter"
                .into()
        }
        None => String::new(),
    };
    RefusedReason::NoKey { found, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(line: &[u8], rules: ReadRules) -> Result<CsvHeader, (RefusedReason, Option<u64>)> {
        let rules = HeaderRules { max_columns: 100, rules: &rules, map: None };
        CsvHeader::read_as(line, rules, Dialect::default())
    }

    fn read(line: &[u8]) -> Result<CsvHeader, (RefusedReason, Option<u64>)> {
        read_with(line, ReadRules::default())
    }

    #[test]
    fn a_header_is_kept_without_its_end() {
        let header = read(b"Id, City \r\n").unwrap();
        assert_eq!((header.raw(), header.columns()), (&b"Id, City "[..], 2));
    }

    #[test]
    fn a_header_that_is_no_utf8_says_where() {
        let (reason, byte) = read(b"Id,\xff\n").unwrap_err();
        assert_eq!((reason, byte), (RefusedReason::HeaderNotUtf8, Some(4)));
    }

    #[test]
    fn a_header_without_a_key_shows_its_first_columns() {
        let found = |line: &str| match read(line.as_bytes()) {
            Err((RefusedReason::NoKey { found, .. }, None)) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found("a, b\n"), r#""a", "b""#);
        assert_eq!(found("a,b,c,d,e\n"), r#""a", "b", "c", "d", "e""#);
        assert_eq!(found("a,b,c,d,e,f,g\n"), r#""a", "b", "c", "d", "e", …"#);
    }

    #[test]
    fn names_that_nearly_fit_are_taken_and_said() {
        let line = "ID,address,Channel Type,Optout,User.UserID,attributes.Plan,Attributes.vip ,Adress,x\n"
            .as_bytes();
        let header = read(line).unwrap();
        let targets: Vec<_> = header.scalars.iter().map(|(_, target)| *target).collect();
        let text = Target::Text;
        let known = [Target::Id, text(TextMember::Address), Target::Channel, Target::OptOut];
        assert_eq!(targets, [&known[..], &[text(TextMember::UserId)]].concat());
        let groups: Vec<_> = header.attributes.list.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(groups, ["Plan", "vip"]);
        let said: Vec<_> = header.notices().iter().map(|notice| notice.subject.as_str()).collect();
        assert_eq!(said[3], r#""Optout" is read as OptOut"#);
        assert_eq!(said[6..], [r#""Adress"; did you mean Address?"#, r#""x""#]);
        let rules = ReadRules { strict_names: true, ..ReadRules::default() };
        assert!(matches!(
            read_with(line, rules),
            Err((RefusedReason::NearName { known, .. }, None)) if known == "Id"
        ));
    }

    #[test]
    fn two_columns_for_one_value_are_refused() {
        for line in ["Id,Address,ChannelType,Address\n", "Id,Address,ChannelType,address\n"] {
            let (reason, _) = read(line.as_bytes()).unwrap_err();
            assert!(reason.to_string().contains("(number 2) and"), "{reason}");
            assert!(reason.to_string().contains("(number 4)"), "{reason}");
        }
        let many = b"Id,Attributes.a,Attributes.a\n";
        assert!(read(many).is_ok());
    }
}
