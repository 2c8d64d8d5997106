//! Sample endpoints: `pinport sample` makes rows that look like Pinpoint's exports, for trying pinport, for
//! tests and for benchmarks. The people are fictional, the domains and numbers reserved for examples.
//!
//! A row is a function of the seed, its number and the generation, so any range of rows can be made alone,
//! and both formats say the same of the same endpoints. A CSV row takes about half the bytes of a JSON one,
//! because its members are named once, in the header.
//!
//! Start at [`generate`]; [`person`] draws the values, [`json`] and [`csv`] write them, [`faults`] break them.

mod csv;
mod faults;
mod json;
mod person;
mod random;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    str::FromStr,
};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use pinport_model::{FailureCode, Format};
use serde::Serialize;

use faults::Fault;
use person::{Identity, Person};
use random::Random;

/// Bytes collected before they are written.
const FLUSH_AT: usize = 256 << 10;

/// Make rows of sample endpoints, to try pinport with and to measure it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Rows to write.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) rows: u64,
    /// Format of the rows.
    #[arg(long, default_value = "json", value_parser = PossibleValuesParser::new(["csv", "json"]).map(format_of))]
    pub(crate) format: Format,
    /// Share of rows that are broken, in many ways.
    #[arg(long, default_value = "0%", value_name = "N%")]
    pub(crate) bad: Share,
    /// Share of rows that update an endpoint of an earlier row or name nothing but its user.
    #[arg(long, default_value = "0%", value_name = "N%")]
    pub(crate) updates: Share,
    /// Another seed makes other endpoints.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Another generation gives the same endpoints other values.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) generation: u32,
    /// Number of the first row: several files make up one data set.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) start: u64,
    /// Print what an import of these rows must count, instead of the rows.
    #[arg(long)]
    pub(crate) tally: bool,
}

fn format_of(name: String) -> Format {
    if name == "csv" { Format::Csv } else { Format::Json }
}

/// Writes what `args` ask for.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> io::Result<()> {
    if args.tally {
        serde_json::to_writer(&mut *out, &tally(args))?;
        out.write_all(b"\n")?;
    } else {
        generate(args, out)?;
    }
    out.flush()
}

/// A share of rows, written as a percentage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    /// So many of a hundred.
    pub(crate) fn percent(percent: f64) -> Self {
        Self((percent / 100.0).clamp(0.0, 1.0))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        match percent {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err("write a percentage from 0% to 100%, as in 1%".into()),
        }
    }
}

/// What an import must count, when the rows before `--start` were imported before.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SampleTally {
    /// Rows.
    read: u64,
    /// Rows that are registered.
    registered: u64,
    /// Rows that fail.
    failed: u64,
    /// Endpoints that these rows create; the other registered rows update earlier ones.
    endpoints: u64,
    /// Failed rows by the code of their failure.
    codes: BTreeMap<&'static str, u64>,
}

/// Counts what [`generate`] writes for the same arguments.
pub(crate) fn tally(args: &Args) -> SampleTally {
    let plan = Plan::new(args);
    let mut tally = SampleTally::default();
    for index in args.start..args.start.saturating_add(args.rows) {
        tally.read += 1;
        match plan.kind(index) {
            Kind::Whole => {
                tally.endpoints += 1;
                tally.registered += 1;
            }
            Kind::Update(_) | Kind::UserOnly(_) => tally.registered += 1,
            Kind::Bad(fault) => {
                tally.failed += 1;
                *tally.codes.entry(fault.code(args.format).as_str()).or_default() += 1;
            }
        }
    }
    tally
}

/// Writes the rows, and the header first if they are CSV.
pub(crate) fn generate(args: &Args, out: &mut impl Write) -> io::Result<()> {
    let plan = Plan::new(args);
    let mut buffer = Vec::with_capacity(FLUSH_AT + (32 << 10));
    if args.format == Format::Csv {
        csv::write_header(&mut buffer);
    }
    for index in args.start..args.start.saturating_add(args.rows) {
        plan.write_row(index, &mut buffer);
        if buffer.len() >= FLUSH_AT {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has every member.
    Whole,
    /// It has some members of the endpoint of an earlier row.
    Update(u64),
    /// It has nothing but the user of an earlier row.
    UserOnly(u64),
    /// It fails.
    Bad(Fault),
}

/// What decides every row.
struct Plan {
    seed: u64,
    generation: u32,
    format: Format,
    /// Rows whose number draws less than this are broken.
    bad_below: u64,
    /// Rows whose number draws less than this, but no less than `bad_below`, are updates.
    updates_below: u64,
}

impl Plan {
    fn new(args: &Args) -> Self {
        // A conversion from float to integer saturates: 100% is every number but one of 2^64.
        let threshold = |share: f64| (share * 2f64.powi(64)) as u64;
        Self {
            seed: args.seed,
            generation: args.generation,
            format: args.format,
            bad_below: threshold(args.bad.0),
            updates_below: threshold(args.bad.0 + args.updates.0),
        }
    }

    fn is_whole(&self, index: u64) -> bool {
        self.draw(index).next_u64() >= self.updates_below
    }

    fn draw(&self, index: u64) -> Random {
        Random::of(self.seed, index, random::Purpose::Kind)
    }

    fn kind(&self, index: u64) -> Kind {
        let mut random = self.draw(index);
        let drawn = random.next_u64();
        if drawn < self.bad_below {
            return Kind::Bad(random.pick(Fault::of_format(self.format)));
        }
        if drawn >= self.updates_below {
            return Kind::Whole;
        }
        let Some(target) = self.whole_row_before(index, &mut random) else { return Kind::Whole };
        if random.one_in(5) { Kind::UserOnly(target) } else { Kind::Update(target) }
    }

    /// A row before `index` that has every member, if there is one not far from where the search begins.
    fn whole_row_before(&self, index: u64, random: &mut Random) -> Option<u64> {
        if index == 0 {
            return None;
        }
        let first = random.below(index);
        (first.saturating_sub(1000)..=first).rev().find(|candidate| self.is_whole(*candidate))
    }

    fn write_row(&self, index: u64, out: &mut Vec<u8>) {
        match self.kind(index) {
            Kind::Whole => self.write_person(&self.person(index), out),
            Kind::Update(target) => self.write_update(&self.person(target), index, out),
            Kind::UserOnly(target) => self.write_user(&Identity::of(self.seed, target).user, out),
            Kind::Bad(fault) => faults::write(fault, self.format, &self.person(index), out),
        }
    }

    fn person(&self, index: u64) -> Person {
        Person::new(Identity::of(self.seed, index), self.seed, index, self.generation)
    }

    fn write_person(&self, person: &Person, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => json::write(person, out),
            Format::Csv => {
                csv::write(person, out);
            }
        }
    }

    /// An update is known by the number of its row.
    fn write_update(&self, person: &Person, index: u64, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => json::write_update(person, index, out),
            Format::Csv => csv::write_update(person, index, out),
        }
    }

    fn write_user(&self, user: &person::Uuid, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => json::write_user(user, out),
            Format::Csv => csv::write_user(user, out),
        }
    }
}

impl Fault {
    /// The code its failure has.
    fn code(self, format: Format) -> FailureCode {
        match self {
            Self::Truncated | Self::Garbage | Self::LoneSurrogate => FailureCode::InvalidJson,
            Self::NotAnObject => FailureCode::NotAnObject,
            Self::AddressList | Self::DemographicList => FailureCode::WrongType,
            Self::TooDeep => FailureCode::TooDeep,
            Self::LongName => FailureCode::InvalidName,
            Self::ManyValues => FailureCode::TooManyValues,
            Self::ManyAttributes => FailureCode::TooManyAttributes,
            Self::FewCells | Self::MoreCells => FailureCode::CellCount,
            Self::UnknownChannel | Self::UnknownOptOut => FailureCode::UnknownValue,
            Self::UnknownEndpoint => FailureCode::UnknownEndpoint,
            Self::NoIdNoAddress => FailureCode::MissingMember,
            Self::UnknownUser => FailureCode::UnknownUser,
            Self::LongValue => FailureCode::ValueTooLong,
            Self::LongId => FailureCode::InvalidId,
            Self::InvalidUtf8 => FailureCode::InvalidUtf8,
            Self::LargeEndpoint => FailureCode::EndpointTooLarge,
            Self::TextForNumber if format == Format::Json => FailureCode::WrongType,
            Self::TextForNumber => FailureCode::InvalidNumber,
        }
    }
}
