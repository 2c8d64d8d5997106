//! pinport's own view of applications and segments: found by name or id, shown whole, members as a stream.

use std::{ops::ControlFlow, sync::Arc};

use pinport_model::{Application, ApplicationId, Segment, SegmentId, SegmentVersion};
use pinport_store::{
    Scope,
    record::write::json::{JsonWriter, Order},
};

use super::{
    Api, Routes, blocking, no_such_segment,
    page::Page,
    parts::{BlockingParts, stream_blocking},
    shown, stored, token,
};
use crate::{
    ApiError,
    access::no_such_application,
    http::{Request, Response, Route},
    limits::{PART_BYTES, READ_BYTES},
};

/// Segments that are read at a time while a name is looked for.
const SEGMENTS: usize = 64;

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("GET", "/pinport/v1/apps/{application-id}", "FindApp"), |api, request| {
        Response::ok(&api.named(request)?)
    });
    routes.blocking(
        Route::new("GET", "/pinport/v1/apps/{application-id}/segments", "ListSegments").reading(),
        list,
    );
    routes.waiting(
        Route::new(
            "GET",
            "/pinport/v1/apps/{application-id}/segments/{segment-id}/members",
            "GetSegmentMembers",
        ),
        |api, request| async move {
            let purse = request.purse().clone();
            let reader = blocking(move || Reader::open(api, &request)).await?;
            Ok(Response::stream("application/x-ndjson", stream_blocking(purse, reader).await?))
        },
    );
}

impl Api {
    /// The application in the path, by name or id, if the caller may see it.
    fn named(&self, request: &Request) -> Result<Application, ApiError> {
        let text = request.param("application-id");
        self.find_named(request.principal(), text)?.ok_or_else(|| no_such_application(text))
    }

    /// The segment with this id, or else the newest with this name.
    pub(super) fn segment_named(
        &self,
        application: ApplicationId,
        name: &str,
    ) -> Result<Option<Segment>, ApiError> {
        if let Ok(id) = name.parse()
            && let Some(segment) = self.store().segment(application, id).map_err(stored)?
        {
            return Ok(Some(segment));
        }
        let mut before = None;
        loop {
            let page = self.store().segments(application, before, SEGMENTS).map_err(stored)?;
            let whole = page.len() == SEGMENTS;
            before = page.last().map(|segment| segment.id);
            let found = page.into_iter().find(|segment| segment.name == name);
            if found.is_some() || !whole {
                return Ok(found);
            }
        }
    }
}

/// Newest first.
fn list(api: &Api, request: &Request) -> Result<Response, ApiError> {
    const LIST: &str = "whole segments";
    let mut page = Page::new("segments", request.query().page_size()? as usize);
    let application = api.named(request)?.id;
    let before = match request.query().token()? {
        Some(text) => Some(SegmentId::from_bytes(token::read(LIST, application.as_bytes(), text)?)),
        None => None,
    };
    let read = |before, step| api.store().segments(application, before, step);
    page.fill(before, |segment: &Segment| segment.id, read, |segment| Ok(Some(segment)))?;
    page.of_ours(|last| token::write(LIST, application.as_bytes(), last.as_bytes()))
}

/// The members of a version, part by part.
struct Reader {
    api: Arc<Api>,
    segment: Segment,
    version: SegmentVersion,
    after: Option<String>,
}

impl Reader {
    fn open(api: Arc<Api>, request: &Request) -> Result<Self, ApiError> {
        let application = api.named(request)?.id;
        let text = request.param("segment-id");
        let segment = api.segment_named(application, text)?.ok_or_else(|| no_such_segment(text))?;
        let wanted = request.query().get("version")?;
        let version = match wanted {
            None => segment.current().cloned(),
            Some(text) => api.segment_version(&segment, text)?,
        };
        let version = version.ok_or_else(|| match wanted {
            Some(text) => {
                ApiError::not_found(format!("Segment \"{}\" has no version \"{}\".", segment.id, shown(text)))
            }
            None => ApiError::not_found(format!(
                "Segment \"{}\" has no version yet: its first import has not ended.",
                segment.id
            )),
        })?;
        Ok(Self { api, segment, version, after: None })
    }
}

impl BlockingParts for Reader {
    /// The next members as lines of JSON. A version of a segment or an application that is deleted while it is read is
    /// no end: the error cuts the answer off.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let store = self.api.store();
        let Segment { application, id, .. } = self.segment;
        let mut lines = Vec::with_capacity(PART_BYTES + PART_BYTES / 8);
        let mut writer = JsonWriter::new(application, Order::Model);
        let mut last = None;
        let scope = Scope::Version(&self.segment, &self.version);
        store
            .read_out(scope, self.after.as_deref(), READ_BYTES / 4, &mut |stored| {
                let before = lines.len();
                writer.write(&stored, &mut lines)?;
                lines.push(b'\n');
                // One that does not fit is the first of the next part.
                if before > 0 && lines.len() > PART_BYTES {
                    lines.truncate(before);
                    return Ok(ControlFlow::Break(()));
                }
                let last: &mut String = last.get_or_insert_default();
                last.clear();
                last.push_str(stored.id()?);
                Ok(ControlFlow::Continue(()))
            })
            .map_err(stored)?;
        // Asked behind the part: what was there then has not been taken from it.
        if store.segment(application, id).map_err(stored)?.is_none() {
            return Err(no_such_segment(&id.to_string()));
        }
        let Some(last) = last else { return Ok(None) };
        self.after = Some(last);
        Ok(Some(lines))
    }
}
