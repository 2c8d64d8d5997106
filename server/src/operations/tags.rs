//! Tags of applications and segments.

use std::collections::BTreeMap;

use http::StatusCode;
use pinport_model::{Application, ApplicationId, Segment, SegmentId};
use serde::{Deserialize, Serialize};

use super::{Api, Routes, stored};
use crate::{
    ApiError,
    http::{Request, Response, Route},
};

/// Tags of one thing, as in the service.
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;

pub(super) fn add(routes: &mut Routes) {
    const TAGS: &str = "/v1/tags/{resource-arn}";
    routes.blocking(Route::new("GET", TAGS, "ListTagsForResource"), |api, request| {
        let tagged = find(api, request)?;
        Response::ok(&TagsModel { tags: Some(tagged.tags().clone()) })
    });
    routes.blocking(Route::new("POST", TAGS, "TagResource"), |api, request| {
        let TagsModel { tags } = request.json()?;
        let tags = tags.ok_or_else(|| ApiError::bad_request("tags is missing."))?;
        change(api, request, |known| known.extend(tags.clone()))
    });
    routes.blocking(Route::new("DELETE", TAGS, "UntagResource"), |api, request| {
        let keys: Vec<_> = request.query().all("tagKeys").collect();
        if keys.is_empty() {
            return Err(ApiError::bad_request("The parameter tagKeys is missing."));
        }
        change(api, request, |known| known.retain(|key, _| !keys.contains(&key.as_str())))
    });
}

#[derive(Serialize, Deserialize)]
struct TagsModel {
    tags: Option<BTreeMap<String, String>>,
}

/// What may have tags.
enum Tagged {
    Application(Application),
    Segment(Box<Segment>),
}

impl Tagged {
    fn tags(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Application(application) => &application.tags,
            Self::Segment(segment) => &segment.tags,
        }
    }
}

/// An error unless these tags are within the service's bounds.
pub(super) fn check(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(ApiError::bad_request(format!("More than {MAX_TAGS} tags.")));
    }
    let long = |(key, value): (&String, &String)| {
        key.is_empty() || key.chars().count() > MAX_KEY || value.chars().count() > MAX_VALUE
    };
    if tags.iter().any(long) {
        return Err(ApiError::bad_request(format!(
            "A tag's key must have 1 to {MAX_KEY} characters and its value at most {MAX_VALUE}."
        )));
    }
    Ok(())
}

/// The ids in an ARN such as `arn:aws:mobiletargeting:us-east-1:123456789012:apps/ID/segments/ID`. Partition, region
/// and account may be any: they are the client's own configuration.
fn parse(arn: &str) -> Option<(ApplicationId, Option<SegmentId>)> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", _, "mobiletargeting", _, _, resource] = parts[..] else { return None };
    let segments: Vec<_> = resource.split('/').collect();
    match segments[..] {
        ["apps", application] => Some((application.parse().ok()?, None)),
        ["apps", application, "segments", segment] => {
            Some((application.parse().ok()?, Some(segment.parse().ok()?)))
        }
        _ => None,
    }
}

fn not_found(arn: &str) -> ApiError {
    let shown: String = arn.chars().take(256).collect();
    let shown = pinport_model::escape_controls(&shown);
    ApiError::not_found(format!("There is no app or import segment \"{shown}\"."))
}

fn find(api: &Api, request: &Request) -> Result<Tagged, ApiError> {
    let arn = request.param("resource-arn");
    let (application, segment) = parse(arn).ok_or_else(|| not_found(arn))?;
    if !request.principal().may_read(&application) {
        return Err(not_found(arn));
    }
    let found = match segment {
        None => api.store().application(application).map(|found| found.map(Tagged::Application)),
        Some(segment) => {
            let found = api.store().segment(application, segment);
            found.map(|found| found.map(|segment| Tagged::Segment(Box::new(segment))))
        }
    };
    found.map_err(stored)?.ok_or_else(|| not_found(arn))
}

fn change(
    api: &Api,
    request: &Request,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<Response, ApiError> {
    let _tagging = api.tagging.lock();
    let tagged = find(api, request)?;
    let owner = match &tagged {
        Tagged::Application(application) => application.id,
        Tagged::Segment(segment) => segment.application,
    };
    request.principal().writable(&owner.to_string())?;
    match tagged {
        Tagged::Application(mut application) => {
            change(&mut application.tags);
            check(&application.tags)?;
            api.store().save_application(&application)
        }
        Tagged::Segment(mut segment) => {
            change(&mut segment.tags);
            check(&segment.tags)?;
            api.store().save_segment(&segment)
        }
    }
    .map_err(stored)?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_applications_and_segments() {
        let id = "0123456789abcdef0123456789abcdef";
        let arn = |resource: &str| parse(&format!("arn:aws:mobiletargeting:us-east-1:1:{resource}"));
        assert_eq!(arn(&format!("apps/{id}")), Some((id.parse().unwrap(), None)));
        let segment = Some(id.parse().unwrap());
        assert_eq!(arn(&format!("apps/{id}/segments/{id}")), Some((id.parse().unwrap(), segment)));
        for bad in ["apps", "apps/x", &format!("apps/{id}/campaigns/{id}"), &format!("apps/{id}/"), ""] {
            assert_eq!(arn(bad), None, "{bad}");
        }
        assert_eq!(parse(id), None);
    }
}
