//! What texts mean, and what is wrong with others.

use super::*;
use crate::criteria::{Combine, Group};

fn groups(text: &str) -> (Option<Combine>, Vec<Group>) {
    let criteria = parse(text).unwrap_or_else(|error| panic!("{}", error.pointed(text)));
    assert_eq!(criteria.dimensions, None, "{text}");
    let groups = criteria.segment_groups.unwrap();
    (groups.include, groups.groups)
}

fn dimensions(text: &str) -> Dimensions {
    parse(text).unwrap_or_else(|error| panic!("{}", error.pointed(text))).dimensions.unwrap()
}

const ID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn tests_that_must_all_hold_are_dimensions() {
    let found = dimensions(
        "Location.Country = 'CAN' and Attributes.plan in ('gold', 'it''s') and not Attributes.\"a b\" = 7 \
         and UserAttributes.since between '2026-01-01' and '2026-02-01' and Metrics.visits >= -1.5e3 \
         and Demographic.Channel not in ('SMS') and Behavior.Recency active within DAY_30",
    );
    let country = found.location.unwrap().country.unwrap();
    assert_eq!((country.kind(), country.values), (DimensionType::Inclusive, vec!["CAN".to_owned()]));
    assert_eq!(found.attributes["plan"].values, ["gold", "it's"]);
    assert_eq!(found.attributes["a b"].kind(), AttributeType::Exclusive);
    assert_eq!(found.user_attributes["since"].kind(), AttributeType::Between);
    assert_eq!(found.metrics["visits"].value, -1500.0);
    assert_eq!(found.demographic.unwrap().channel.unwrap().kind(), DimensionType::Exclusive);
    assert_eq!(found.behavior.unwrap().recency.unwrap().duration, Duration::Days30);
    let near =
        dimensions("Location.GPSPoint within 10 km of (43.7, -79.4)").location.unwrap().gps_point.unwrap();
    assert_eq!((near.coordinates.longitude, near.range_in_kilometers), (-79.4, Some(10.0)));
}

#[test]
fn what_dimensions_cannot_say_is_groups() {
    let (_, found) = groups("Attributes.a = '1' or Attributes.a contains '2' and Metrics.m = 3");
    assert_eq!((found.len(), found[0].combine, found[0].dimensions.len()), (1, Some(Combine::Any), 2));
    assert_eq!(found[0].dimensions[1].metrics.len(), 1);
    // One member twice.
    let (_, found) = groups("Attributes.a contains '1' and Attributes.a contains '2'");
    assert_eq!((found[0].combine, found[0].dimensions.len()), (Some(Combine::All), 2));
    // Alternatives that must all hold.
    let (include, found) =
        groups("(Attributes.a = '1' or Metrics.m < 2) and Attributes.b = '1' and not Metrics.m = 7");
    let types: Vec<_> = found.iter().map(|group| group.combine.unwrap()).collect();
    assert_eq!((include, types), (Some(Combine::All), vec![Combine::All, Combine::Any, Combine::None]));
    let (_, found) = groups("not (Attributes.a contains '1' or Metrics.m > 2)");
    assert_eq!((found[0].combine, found[0].dimensions.len()), (Some(Combine::None), 2));
    let (include, found) = groups("not (Attributes.a contains '1' and Metrics.m > 2)");
    assert_eq!((include, found.len(), found[1].combine), (Some(Combine::Any), 2, Some(Combine::None)));
    assert_eq!(dimensions("not not Attributes.a != '1'").attributes["a"].kind(), AttributeType::Exclusive);
}

#[test]
fn segments_are_sources() {
    let (_, found) = groups(&format!("Segment = '{ID}' and (Attributes.a = '1' or Metrics.m < 2)"));
    assert_eq!((found[0].source_type, found[0].combine), (Some(Combine::Any), Some(Combine::Any)));
    assert_eq!(found[0].source_segments[0], SegmentReference { id: ID.parse().unwrap(), version: None });
    let (_, found) = groups(&format!("Segment not in ('{ID}@2', '{ID}')"));
    assert_eq!((found[0].source_type, found[0].source_segments[0].version), (Some(Combine::None), Some(2)));
    let (include, found) = groups(&format!("Segment = '{ID}' and Segment != '{ID}@1'"));
    assert_eq!((include, found.len()), (Some(Combine::All), 2));
    let (_, found) = groups(&format!("Segment = '{ID}' or Segment = '{ID}@1'"));
    assert_eq!((found.len(), found[0].source_segments.len()), (1, 2));
}

#[test]
fn what_is_wrong_has_its_place() {
    for (text, marked, said) in [
        ("", "", "the name of a member is expected here"),
        ("Attributes.plan = gold", "gold", "a value stands in single quotes: 'gold'"),
        ("Attributes.plan = 'gold", "'gold", "has no end"),
        ("Attributes.plan 'gold'", "'gold'", "=, !=, in, not in, contains"),
        ("Location.Town = 'x'", "Location.Town", "Location.Town is not known"),
        ("Demographic.Locale = 'x'", "Demographic", "Demographic.Locale is not known"),
        ("Location.Country contains 'x'", "contains", "=, !=, in or not in is expected"),
        ("Attributes.plan = 'a' Attributes.b = 'c'", "Attributes.b", "and, or, or the end"),
        ("(Attributes.plan = 'a'", "", ") is expected"),
        ("Metrics.m > 'x'", "'x'", "a number is expected"),
        ("Metrics.m > 5x", "5x", "is no number"),
        ("Metrics.m ~ 5", "~ 5", "'~' is not known"),
        ("Behavior.Recency active within DAY_8", "DAY_8", "HR_24, DAY_7"),
        ("Segment = 'all'", "= 'all'", "given by its id"),
        ("Attributes.2 = 'x'", "2 =", "double quotes"),
        // Three levels that alternate.
        (
            "Metrics.m = 1 or Attributes.a = 'b' and (Attributes.c = 'd' or Metrics.m = 2)",
            "Attributes.c",
            "this or cannot be said here",
        ),
        (
            "Attributes.a = 'b' and Attributes.a contains 'c' or Metrics.m = 2 or not Metrics.n = 3 or Metrics.o = 4",
            "",
            "",
        ),
        ("Attributes.a = 'b' or not Metrics.m = 2 and Metrics.n = 1", "Metrics.m", "cannot be said here"),
    ] {
        let Err(error) = parse(text) else {
            assert_eq!(said, "", "{text}");
            continue;
        };
        assert!(error.message.contains(said) && !said.is_empty(), "{}", error.pointed(text));
        assert!(text[error.at..].starts_with(marked), "{}", error.pointed(text));
    }
    let wrong = parse("Attributes.ü = gold").unwrap_err().pointed("Attributes.ü = gold");
    assert!(wrong.ends_with("\n  Attributes.ü = gold\n                 ^"), "{wrong}");
    let deep = format!("{}Metrics.m = 1{}", "(".repeat(60), ")".repeat(60));
    assert!(parse(&deep).unwrap_err().message.contains("brackets"));
    let error = parse("Demographic.Channel = 'PIGEON'").unwrap_err();
    assert!(error.message.contains("Demographic.Channel.Values[0]: \"PIGEON\""), "{error}");
}
