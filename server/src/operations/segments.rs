//! Segments, those that imports made and those that are made of criteria, and their versions.

use std::collections::BTreeMap;

use http::StatusCode;
use pinport_model::{
    Channel, Criteria, Format, JobId, Segment, SegmentId, SegmentVersion,
    criteria::{Dimensions, Groups, object},
};
use serde::{Deserialize, Serialize};

use super::{Api, Routes, imports::bounded, no_such_segment, page::Page, sentence, stored, token};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::MAX_SEGMENT_NAME,
    wire::clamp,
};

pub(super) fn add(routes: &mut Routes) {
    const SEGMENT: &str = "/v1/apps/{application-id}/segments/{segment-id}";
    const VERSIONS: &str = "/v1/apps/{application-id}/segments/{segment-id}/versions";
    const VERSION: &str = "/v1/apps/{application-id}/segments/{segment-id}/versions/{version}";
    const SEGMENTS: &str = "/v1/apps/{application-id}/segments";
    routes.blocking(Route::new("GET", SEGMENTS, "GetSegments").reading(), list);
    routes.blocking(Route::new("POST", SEGMENTS, "CreateSegment"), create);
    routes.blocking(Route::new("PUT", SEGMENT, "UpdateSegment"), update);
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
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<Dimensions>,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    import_definition: Option<SegmentImportResource>,
    last_modified_date: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_groups: Option<Groups>,
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

/// `WriteSegmentRequest`; members that it does not have are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WriteSegmentRequest {
    name: Option<String>,
    #[serde(deserialize_with = "object::optional")]
    dimensions: Option<Dimensions>,
    #[serde(deserialize_with = "object::optional")]
    segment_groups: Option<Groups>,
    #[serde(rename = "tags")]
    tags: Option<BTreeMap<String, String>>,
}

impl WriteSegmentRequest {
    fn read(request: &Request) -> Result<Self, ApiError> {
        let body: Self = request.json()?;
        bounded("Name", body.name.as_deref().unwrap_or_default(), MAX_SEGMENT_NAME)?;
        Ok(Self { name: body.name.filter(|name| !name.is_empty()), ..body })
    }

    /// What is given of criteria.
    fn criteria(self) -> Result<Option<Criteria>, ApiError> {
        let Self { dimensions, segment_groups, .. } = self;
        if dimensions.is_none() && segment_groups.is_none() {
            return Ok(None);
        }
        let criteria = Criteria { dimensions, segment_groups };
        criteria.check().map_err(|reason| ApiError::bad_request(sentence(&reason)))?;
        Ok(Some(criteria))
    }
}

fn create(api: &Api, request: &Request) -> Result<Response, ApiError> {
    request.principal().writable(request.param("application-id"))?;
    let mut body = WriteSegmentRequest::read(request)?;
    let (name, tags) = (body.name.take(), body.tags.take().unwrap_or_default());
    super::tags::check(&tags)?;
    // Without criteria it is every endpoint.
    let criteria = body.criteria()?.unwrap_or_default();
    let application = api.writable_or_new(request)?.id;
    let segment = Segment::of_criteria(application, name, tags, criteria);
    api.store().create_segment(&segment).map_err(stored)?;
    api.counts.want(&segment);
    Response::json(StatusCode::CREATED, &api.segment_response(&segment, segment.current())?)
}

/// Tags are left alone, as by the service since 2023: they have operations of their own.
fn update(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?.id;
    let segment = api.segment(request)?.id;
    let mut body = WriteSegmentRequest::read(request)?;
    let name = body.name.take();
    let criteria = body.criteria()?;
    let updated = api.store().update_segment(application, segment, name.as_deref(), criteria.as_ref());
    let segment = updated.map_err(stored)?;
    api.counts.want(&segment);
    Response::ok(&api.segment_response(&segment, segment.current())?)
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
        let criteria = version.and_then(|version| version.criteria.as_deref());
        let import_definition = match criteria {
            Some(_) => None,
            None => self.import_definition(segment, version)?,
        };
        Ok(SegmentResponse {
            application_id: segment.application.to_string(),
            arn: self.segment_arn(segment),
            creation_date: segment.created.to_string(),
            dimensions: criteria.and_then(|criteria| criteria.dimensions.clone()),
            id: segment.id.to_string(),
            import_definition,
            last_modified_date: version.map_or(segment.modified, |version| version.created).to_string(),
            name: segment.name.clone(),
            segment_groups: criteria.and_then(|criteria| criteria.segment_groups.clone()),
            segment_type: if criteria.is_some() { "DIMENSIONAL" } else { "IMPORT" },
            version: clamp(version.map_or(1, |version| u64::from(version.version))),
            tags: segment.tags.clone(),
        })
    }

    fn import_definition(
        &self,
        segment: &Segment,
        version: Option<&SegmentVersion>,
    ) -> Result<Option<SegmentImportResource>, ApiError> {
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
        Ok(source.map(|(s3_url, format)| SegmentImportResource {
            channel_counts: counted.map(|(channel, count)| (channel.as_str(), clamp(count))).collect(),
            external_id: definition
                .as_ref()
                .and_then(|definition| definition.external_id.clone())
                .unwrap_or_else(|| self.options.account.clone()),
            format,
            role_arn: definition.and_then(|definition| definition.role_arn).unwrap_or_default(),
            s3_url,
            size: clamp(version.map_or(0, |version| version.size)),
        }))
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
