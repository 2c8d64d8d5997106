//! pinport's own view of applications and segments: found by name or id, shown whole, members as a stream.

use std::sync::Arc;

use pinport_model::{Application, ApplicationId, Compression, Segment, SegmentId};
use pinport_pipeline::export::{Content, ExportError, Form, ParquetFile, Rows};
use pinport_store::record::write::{
    columns::Columns,
    json::{JsonWriter, Order},
};

use super::{
    Api, Routes, blocking,
    page::Page,
    parts::{BlockingParts, stream_blocking},
    reading::{Ahead, Of, Took},
    stored, token,
};
use crate::{
    ApiError,
    access::no_such_application,
    http::{Request, Response, Route},
    limits::{PARQUET_BYTES, PART_BYTES, READ_BYTES},
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
    pub(super) fn named(&self, request: &Request) -> Result<Application, ApiError> {
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
    page.fill(
        before,
        |segment: &Segment| segment.id,
        read,
        |segment| {
            api.counts.want(&segment);
            Ok(Some(segment))
        },
    )?;
    page.of_ours(|last| token::write(LIST, application.as_bytes(), last.as_bytes()))
}

/// Endpoints, part by part.
pub(super) struct Reader {
    ahead: Ahead,
    made: Made,
    is_read: bool,
}

/// What is made of endpoints.
enum Made {
    Text {
        rows: Rows,
        /// What comes first.
        header: Vec<u8>,
    },
    /// Groups of rows; the file until its end.
    Parquet(Box<Columns>, Option<Box<ParquetFile>>),
}

impl Reader {
    fn open(api: Arc<Api>, request: &Request) -> Result<Self, ApiError> {
        let application = api.named(request)?.id;
        let of =
            Of::segment(&api, application, request.param("segment-id"), request.query().get("version")?)?;
        let rows = Rows::Json(Box::new(JsonWriter::new(application, Order::Model)));
        let made = Made::Text { rows, header: Vec::new() };
        Ok(Self { ahead: Ahead::new(api, of), made, is_read: false })
    }

    /// In the form of an export. CSV needs a look at all endpoints beforehand, unless the columns are named. `compression` is
    /// of what is in a Parquet file.
    pub(super) fn exporting(
        api: Arc<Api>,
        of: Of,
        form: Form,
        compression: Compression,
        columns: &[String],
    ) -> Result<Self, ApiError> {
        let made = match Content::of(&**api.store(), of.scope(), form, columns).map_err(unwritten)? {
            Content::Text(rows) => Made::Text { header: rows.header(), rows },
            Content::Columns(columns) => {
                let file = ParquetFile::new(compression).map_err(unwritten)?;
                Made::Parquet(columns, Some(Box::new(file)))
            }
        };
        Ok(Self { ahead: Ahead::new(api, of), made, is_read: false })
    }
}

fn unwritten(error: ExportError) -> ApiError {
    match error {
        ExportError::Store(error) => stored(error),
        ExportError::Unfit(reason) => ApiError::bad_request(super::sentence(&reason)),
        error => ApiError::internal(error),
    }
}

impl BlockingParts for Reader {
    /// The next lines, or the next group of rows. What is deleted while it is read is no end: the error cuts the answer off.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if self.is_read {
            return Ok(None);
        }
        let Self { ahead, made, is_read } = self;
        let (part, goes_on) = match made {
            Made::Text { rows, header } => {
                let mut lines = std::mem::take(header);
                lines.reserve(PART_BYTES + PART_BYTES / 8);
                let goes_on = ahead.read(&mut |row| {
                    let before = lines.len();
                    rows.write(row, &mut lines).map_err(stored)?;
                    if before > 0 && lines.len() > PART_BYTES {
                        lines.truncate(before);
                        return Ok(Took::None);
                    }
                    Ok(Took::More)
                })?;
                (lines, goes_on)
            }
            Made::Parquet(columns, file) => {
                let goes_on = ahead.read(&mut |row| {
                    columns.add(row).map_err(stored)?;
                    Ok(if columns.bytes() < PARQUET_BYTES / 3 { Took::More } else { Took::Last })
                })?;
                (group(columns.take(), file, !goes_on)?, goes_on)
            }
        };
        *is_read = !goes_on;
        Ok((!part.is_empty()).then_some(part))
    }

    fn room(&self) -> usize {
        match self.made {
            Made::Text { .. } => READ_BYTES,
            Made::Parquet(..) => PARQUET_BYTES,
        }
    }
}

/// The bytes of a file up to this group of rows; with the `last` one all of them.
fn group(columns: Columns, file: &mut Option<Box<ParquetFile>>, last: bool) -> Result<Vec<u8>, ApiError> {
    let Some(open) = file else { return Ok(Vec::new()) };
    let mut bytes = open.group(columns).map_err(unwritten)?;
    if last && let Some(file) = file.take() {
        bytes.extend(file.end().map_err(unwritten)?);
    }
    Ok(bytes)
}
