//! Segments that imports made, and their versions.

use std::collections::BTreeMap;

use pinport_model::{Channel, Format, JobId, Segment, SegmentId, SegmentVersion};
use serde::Serialize;

use super::{Api, Routes, no_such_segment, page::Page, stored, token};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    wire::clamp,
};

pub(super) fn add(routes: &mut Routes) {
    const SEGMENT: &str = "/v1/apps/{application-id}/segments/{segment-id}";
    const VERSIONS: &str = "/v1/apps/{application-id}/segments/{segment-id}/versions";
    const VERSION: &str = "/v1/apps/{application-id}/segments/{segment-id}/versions/{version}";
    routes.blocking(Route::new("GET", "/v1/apps/{application-id}/segments", "GetSegments").reading(), list);
    routes.blocking(Route::new("GET", SEGMENT, "GetSegment"), |api, request| {
        let segment = api.segment(request)?;
        Response::ok(&api.segment_response(&segment, segment.current())?)
    });
    routes.blocking(Route::new("DELETE", SEGMENT, "DeleteSegment"), delete);
    routes.blocking(Route::new("GET", VERSIONS, "GetSegmentVersions").reading(), versions);
    routes.blocking(Route::new("GET", VERSION, "GetSegmentVersion"), |api, request| {
        let segment = api.segment(request)?;
        let text = request.param("version");
        let found = api.segment_version(&segment, text)?;
        // A segment whose first import has not ended has a version that holds nothing yet.
        if found.is_none() && !(segment.current.is_none() && text.parse() == Ok(1)) {
            let text = super::shown(text);
            return Err(ApiError::not_found(format!(
                "Segment \"{}\" has no version \"{text}\".",
                segment.id
            )));
        }
        Response::ok(&api.segment_response(&segment, found.as_ref())?)
    });
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SegmentResponse {
    application_id: String,
    arn: String,
    creation_date: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    import_definition: Option<SegmentImportResource>,
    last_modified_date: String,
    name: String,
    segment_type: &'static str,
    version: i32,
    #[serde(rename = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SegmentImportResource {
    channel_counts: BTreeMap<&'static str, i32>,
    external_id: String,
    format: Format,
    role_arn: String,
    #[serde(rename = "S3Url")]
    s3_url: String,
    size: i32,
}

impl Api {
    /// A segment that the caller may see.
    pub(super) fn segment(&self, request: &Request) -> Result<Segment, ApiError> {
        let application = self.application(request)?.id;
        let text = request.param("segment-id");
        let id: Option<SegmentId> = text.parse().ok();
        let found = id.map(|id| self.store().segment(application, id)).transpose().map_err(stored)?.flatten();
        found.ok_or_else(|| no_such_segment(text))
    }

    /// The version of a segment that a text is the number of, if it is kept.
    pub(super) fn segment_version(
        &self,
        segment: &Segment,
        number: &str,
    ) -> Result<Option<SegmentVersion>, ApiError> {
        let Ok(number) = number.parse() else { return Ok(None) };
        self.store().segment_version(segment, number).map_err(stored)
    }

    pub(super) fn segment_arn(&self, segment: &Segment) -> String {
        format!("{}/segments/{}", self.application_arn(segment.application), segment.id)
    }

    /// A segment at one of its versions; without one, before its first import has ended.
    fn segment_response(
        &self,
        segment: &Segment,
        version: Option<&SegmentVersion>,
    ) -> Result<SegmentResponse, ApiError> {
        // A new segment has the id of the job that makes it.
        let job = version.map_or(JobId::from_bytes(*segment.id.as_bytes()), |version| version.job);
        let job = self.store().job(job).map_err(stored)?;
        let definition = job.map(|job| job.definition);
        let counts = version.map(|version| version.channels).unwrap_or_default();
        let counted = Channel::ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
        let source = version.map(|version| (version.source.clone(), version.format));
        let source = source.or_else(|| {
            definition.as_ref().map(|definition| (definition.source_text.clone(), definition.format))
        });
        let import_definition = source.map(|(s3_url, format)| SegmentImportResource {
            channel_counts: counted.map(|(channel, count)| (channel.as_str(), clamp(count))).collect(),
            external_id: definition
                .as_ref()
                .and_then(|definition| definition.external_id.clone())
                .unwrap_or_else(|| self.options.account.clone()),
            format,
            role_arn: definition.and_then(|definition| definition.role_arn).unwrap_or_default(),
            s3_url,
            size: clamp(version.map_or(0, |version| version.size)),
        });
        Ok(SegmentResponse {
            application_id: segment.application.to_string(),
            arn: self.segment_arn(segment),
            creation_date: segment.created.to_string(),
            id: segment.id.to_string(),
            import_definition,
            last_modified_date: version.map_or(segment.modified, |version| version.created).to_string(),
            name: segment.name.clone(),
            segment_type: "IMPORT",
            version: clamp(version.map_or(1, |version| u64::from(version.version))),
            tags: segment.tags.clone(),
        })
    }
}

/// Newest first.
fn list(api: &Api, request: &Request) -> Result<Response, ApiError> {
    const LIST: &str = "segments";
    let mut page = Page::new("Item", request.query().page_size()? as usize);
    let application = api.application(request)?.id;
    let before = match request.query().token()? {
        Some(text) => Some(SegmentId::from_bytes(token::read(LIST, application.as_bytes(), text)?)),
        None => None,
    };
    page.fill(
        before,
        |segment: &Segment| segment.id,
        |before, step| api.store().segments(application, before, step),
        |segment| api.segment_response(&segment, segment.current()).map(Some),
    )?;
    page.of_service(|last| token::write(LIST, application.as_bytes(), last.as_bytes()))
}

/// Newest first.
fn versions(api: &Api, request: &Request) -> Result<Response, ApiError> {
    const LIST: &str = "segment versions";
    let mut page = Page::new("Item", request.query().page_size()? as usize);
    let segment = api.segment(request)?;
    let before = match request.query().token()? {
        Some(text) => Some(u32::from_be_bytes(token::read(LIST, segment.id.as_bytes(), text)?)),
        None => None,
    };
    page.fill(
        before,
        |version: &SegmentVersion| version.version,
        |before, step| api.store().segment_versions(&segment, before, step),
        |version| api.segment_response(&segment, Some(&version)).map(Some),
    )?;
    if segment.current.is_none() && before.is_none() {
        page.push(1, || api.segment_response(&segment, None))?;
    }
    page.of_service(|last| token::write(LIST, segment.id.as_bytes(), &last.to_be_bytes()))
}

fn delete(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?.id;
    let segment = api.segment(request)?;
    let response = api.segment_response(&segment, segment.current())?;
    if !api.store().delete_segment(application, segment.id).map_err(stored)? {
        return Err(no_such_segment(request.param("segment-id")));
    }
    Response::ok(&response)
}
