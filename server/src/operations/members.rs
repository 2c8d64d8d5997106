//! pinport's own view of applications and segments: found by name or id, shown whole, members as a stream.

use std::sync::Arc;

use bytes::Bytes;
use pinport_model::{Application, ApplicationId, Segment, SegmentId, SegmentVersion};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Api, Routes, blocking, no_such_segment, shown, stored, token};
use crate::{
    ApiError,
    access::no_such_application,
    http::{BoxError, Request, Response, Route},
};

/// Members that are read at a time: with two such parts on their way, what a slow reader holds.
const PAGE: usize = 2048;
/// Segments that are read at a time while a name is looked for.
const SEGMENTS: usize = 500;

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("GET", "/pinport/v1/apps/{application-id}", "FindApp"), |api, request| {
        Response::ok(&api.named(request)?)
    });
    routes.blocking(Route::new("GET", "/pinport/v1/apps/{application-id}/segments", "ListSegments"), list);
    routes.waiting(
        Route::new(
            "GET",
            "/pinport/v1/apps/{application-id}/segments/{segment-id}/members",
            "GetSegmentMembers",
        ),
        |api, request| async move {
            let (reader, first) = blocking(move || {
                let mut reader = Reader::open(api, &request)?;
                // An error of the store is still an answer now; later it can only break the stream off.
                let first = reader.next()?;
                Ok((reader, first))
            })
            .await?;
            let (send, receive) = mpsc::channel(1);
            tokio::spawn(feed(reader, first, send));
            Ok(Response::stream("application/x-ndjson", ReceiverStream::new(receive)))
        },
    );
}

#[derive(Serialize)]
struct SegmentsAnswer {
    segments: Vec<Segment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
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
    let limit = request.query().page_size()? as usize;
    let application = api.named(request)?.id;
    let before = match request.query().token()? {
        Some(text) => Some(SegmentId::from_bytes(token::read(LIST, application.as_bytes(), text)?)),
        None => None,
    };
    let mut segments = api.store().segments(application, before, limit + 1).map_err(stored)?;
    let more = segments.len() > limit;
    segments.truncate(limit);
    let last = segments.last().filter(|_| more);
    let next_token = last.map(|last| token::write(LIST, application.as_bytes(), last.id.as_bytes()));
    Response::ok(&SegmentsAnswer { segments, next_token })
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

    /// The next members as lines of JSON; nothing at the end.
    fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let store = self.api.store();
        let page = store.members(&self.segment, &self.version, self.after.as_deref(), PAGE);
        let page = page.map_err(stored)?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id.clone());
        let mut lines = Vec::new();
        for endpoint in &page {
            serde_json::to_writer(&mut lines, endpoint).map_err(ApiError::internal)?;
            lines.push(b'\n');
        }
        Ok(Some(lines.into()))
    }
}

/// Reads on as the listener takes; no thread waits for it.
async fn feed(mut reader: Reader, mut part: Option<Bytes>, send: mpsc::Sender<Result<Bytes, BoxError>>) {
    while let Some(bytes) = part {
        if send.send(Ok(bytes)).await.is_err() {
            return;
        }
        let read = blocking(move || {
            let next = reader.next()?;
            Ok((reader, next))
        });
        match read.await {
            Ok((back, next)) => (reader, part) = (back, next),
            Err(error) => {
                let _ = send.send(Err(error.into())).await;
                return;
            }
        }
    }
}
