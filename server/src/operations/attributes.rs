//! RemoveAttributes: takes attributes from all endpoints of an application, by their names or patterns.

use pinport_store::AttributeKind;
use serde::{Deserialize, Serialize};

use super::{Api, Routes, imports::bounded, shown, stored};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::{MAX_PATTERN, MAX_PATTERNS},
};

/// What the last part of the path may be.
const KINDS: [(&str, AttributeKind); 3] = [
    ("endpoint-custom-attributes", AttributeKind::Endpoint),
    ("endpoint-metric-attributes", AttributeKind::Metric),
    ("endpoint-user-attributes", AttributeKind::User),
];

pub(super) fn add(routes: &mut Routes) {
    let path = "/v1/apps/{application-id}/attributes/{attribute-type}";
    routes.blocking(Route::new("PUT", path, "RemoveAttributes"), remove);
}

#[derive(Deserialize)]
struct UpdateAttributesRequest {
    #[serde(rename = "Blacklist", default)]
    blacklist: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttributesResource {
    application_id: String,
    attribute_type: &'static str,
    attributes: Vec<String>,
}

fn remove(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?.id;
    let asked = request.param("attribute-type");
    let known = KINDS.into_iter().find(|(name, _)| *name == asked);
    let (attribute_type, kind) = known.ok_or_else(|| {
        let names = KINDS.map(|(name, _)| name).join(", ");
        ApiError::bad_request(format!("The attribute type \"{}\" is not one of {names}.", shown(asked)))
    })?;
    let UpdateAttributesRequest { blacklist } = request.json()?;
    let patterns = blacklist.ok_or_else(|| ApiError::bad_request("Blacklist is missing."))?;
    if patterns.len() > MAX_PATTERNS {
        let found = patterns.len();
        return Err(ApiError::bad_request(format!(
            "Blacklist has {found} patterns, the limit is {MAX_PATTERNS}."
        )));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        bounded(&format!("Blacklist[{index}]"), pattern, MAX_PATTERN)?;
    }
    let is_named = |name: &str| patterns.iter().any(|pattern| fits(pattern.as_bytes(), name.as_bytes()));
    // One at a time: a caller who retries, because it took long, finds little left to do.
    let _turn = api.removing.lock();
    let removed = api.store().remove_attributes(application, kind, &is_named).map_err(stored)?;
    let attributes = removed.into_iter().collect();
    Response::ok(&AttributesResource { application_id: application.to_string(), attribute_type, attributes })
}

/// Whether a name fits a pattern, in which `*` stands for any text.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut within) = (0, 0);
    // Where to go on when what came after the last `*` does not fit: one further in the name.
    let mut again: Option<(usize, usize)> = None;
    while within < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, within));
                at += 1;
            }
            Some(letter) if *letter == name[within] => {
                at += 1;
                within += 1;
            }
            _ => {
                let Some((behind, from)) = again else { return false };
                again = Some((behind, from + 1));
                (at, within) = (behind, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[test]
fn a_star_is_any_text() {
    for (pattern, name, is) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*", "a", true),
        ("a*c", "abcbc", true),
        ("a*c", "abcb", false),
        ("*b*d*", "abcd", true),
        ("*b*d*", "dcba", false),
        ("**x", "x", true),
        ("", "", true),
        ("", "a", false),
        ("über*", "übermut", true),
    ] {
        assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), is, "{pattern} {name}");
    }
}
