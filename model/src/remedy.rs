//! What would be right in place of what a failed record has: a sentence for each reason.

use crate::{Channel, EndpointStatus, FailureCode, OptOut, RecordLimits};

/// Says what the member `member` of a record may be, or what a record has to be like, under `limits`.
/// `member` is as [`crate::Failure`] has it: dotted, and absent if the reason is about the whole record.
pub fn remedy(code: FailureCode, member: Option<&str>, limits: &RecordLimits) -> String {
    let name = member.unwrap_or("the value");
    match code {
        FailureCode::InvalidUtf8 => "Text is UTF-8. If the file has another encoding, name it for the import: \
             --encoding windows-1252."
            .into(),
        FailureCode::InvalidJson | FailureCode::NotAnObject => "A record is one whole JSON object on a line: \
             {\"Id\":\"a1\",\"ChannelType\":\"EMAIL\",\"Address\":\"ann@example.com\"}"
            .into(),
        FailureCode::TooDeep => {
            format!("Objects and lists are nested at most {} deep (--limit max_depth=N).", limits.max_depth)
        }
        FailureCode::LineTooLong => {
            format!("A record has at most {} bytes (--limit max_line=N).", limits.max_line)
        }
        FailureCode::UnterminatedQuote => "A cell that begins with a quote ends with one. A quote inside it is \
             written twice: \"the \"\"old\"\" plan\""
            .into(),
        FailureCode::CellCount => "A row has as many cells as the header. A separator or line break inside a cell \
             needs quotes around the cell: \"Smith, Ann\""
            .into(),
        FailureCode::WrongType => kind(member),
        FailureCode::UnknownValue => values(member),
        FailureCode::InvalidNumber => format!("{name} is a finite number with a point: 12.5"),
        FailureCode::MissingMember => format!("Each new endpoint needs {name}{}", example(member)),
        FailureCode::UnknownEndpoint => "A record without ChannelType and Address updates an endpoint that exists. \
             Give both to make a new one."
            .into(),
        FailureCode::UnknownUser => "A record with User.UserId alone updates the endpoints of a user that exists. \
             Give Id, ChannelType and Address to make one."
            .into(),
        FailureCode::InvalidName => format!(
            "A name has 1 to {} characters (--limit max_name=N) and is one that is known where names are fixed.",
            limits.max_name
        ),
        FailureCode::ValueTooLong => {
            format!("A value has at most {} characters (--limit max_value=N).", limits.max_value)
        }
        FailureCode::TooManyValues => {
            format!("An attribute has at most {} values (--limit max_values=N).", limits.max_values)
        }
        FailureCode::TooManyAttributes => {
            format!("A record has at most {} of them (--limit max_attributes=N).", limits.max_attributes)
        }
        FailureCode::InvalidId => {
            format!("{name} has 1 to {} bytes (--limit max_id=N){}", limits.max_id, example(member))
        }
        FailureCode::ObjectLost => "The object has to be readable to its end. Import it again when it is.".into(),
        FailureCode::InvalidDate => format!("{name} is a date as 2026-02-13T10:00:00.000Z or 2026-02-13."),
        FailureCode::SuspiciousKey => format!(
            "{name} as it was before a spreadsheet or a database changed it{} --allow-suspicious keeps it as it is.",
            example(member)
        ),
        FailureCode::InvalidAddress => {
            "A phone number is whole and has its country: +4915112345678, or a national number with a default country."
                .into()
        }
        FailureCode::EndpointTooLarge => format!(
            "An endpoint takes at most {} bytes (--limit max_endpoint=N): shorten or drop attributes.",
            limits.max_endpoint
        ),
    }
}

/// The words that a member may be.
fn values(member: Option<&str>) -> String {
    match member {
        Some("ChannelType") => {
            let all: Vec<_> = Channel::ALL.iter().map(|channel| channel.as_str()).collect();
            format!("ChannelType is one of {}.", all.join(", "))
        }
        Some("OptOut") => {
            let all: Vec<_> = OptOut::ALL.iter().map(|word| word.as_str()).collect();
            format!("OptOut is one of {}.", all.join(", "))
        }
        Some("EndpointStatus") => {
            let all: Vec<_> = EndpointStatus::ALL.iter().map(|word| word.as_str()).collect();
            format!("EndpointStatus is one of {}.", all.join(", "))
        }
        Some("Location.Country") => {
            "Location.Country is a country's code or English name: DE, DEU, Germany.".into()
        }
        _ => "The reason names the values that are allowed.".into(),
    }
}

/// The type that a member has.
fn kind(member: Option<&str>) -> String {
    let Some(member) = member else {
        return "Each member has the type that its name says; strings stand in quotes.".into();
    };
    let below = |prefix: &str| member == prefix || member.starts_with(&format!("{prefix}."));
    if below("Attributes") || below("User.UserAttributes") {
        format!("{member} holds lists of strings: {{\"plan\":[\"gold\"]}}")
    } else if below("Metrics") {
        "Metrics holds numbers: {\"visits\":12.5}".into()
    } else if member == "Location.Latitude" || member == "Location.Longitude" {
        format!("{member} is a number: 52.5")
    } else if ["Location", "Demographic", "User"].contains(&member) {
        format!("{member} is an object: {{…}}")
    } else {
        format!("{member} is a string in quotes: \"…\"")
    }
}

/// How a member may look, to put behind a sentence.
fn example(member: Option<&str>) -> &'static str {
    match member {
        Some("Id") => ", such as 5f2b1c.",
        Some("Address") => ", such as ann@example.com or +4915112345678.",
        Some("ChannelType") => ", such as EMAIL.",
        Some("User.UserId") => ", such as user-17.",
        _ => ".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_sentence_that_says_what_is_right() {
        let limits = RecordLimits { max_value: 77, ..RecordLimits::default() };
        for code in FailureCode::ALL {
            for member in [None, Some("Id"), Some("Attributes.plan"), Some("ChannelType")] {
                let text = remedy(*code, member, &limits);
                assert!(
                    text.len() > 20
                        && text.starts_with(|c: char| c.is_uppercase() || member.is_some() || c == 't')
                );
            }
        }
        let right = |code, member| remedy(code, Some(member), &limits);
        assert!(right(FailureCode::UnknownValue, "ChannelType").contains("EMAIL, "));
        assert_eq!(right(FailureCode::UnknownValue, "OptOut"), "OptOut is one of ALL, NONE.");
        assert!(right(FailureCode::ValueTooLong, "Attributes.plan").contains("at most 77 characters"));
        assert!(right(FailureCode::WrongType, "Attributes.plan").contains("lists of strings"));
    }
}
