//! Endpoints for an answer that is streamed: whose they are, and a thread that reads them ahead of the answer, all in one go. To
//! find the place where the last part ended takes as long as to read thousands of endpoints.
//!
//! The thread reads what it is asked for and a little more. If it is not asked for a while, because its client does not read,
//! it ends, and the next part has to find the place: so slow clients hold neither memory nor a state of the store.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};

use pinport_model::{ApplicationId, Segment, SegmentVersion};
use pinport_store::{
    Gather as _, Scope, Store, StoreError, Stored,
    ranges::{AsStored, StoredRows},
};

use super::{Api, no_such_segment, shown, stored};
use crate::{
    ApiError,
    access::no_such_application,
    limits::{AHEAD_WAIT, READ_BYTES},
};

/// Whose endpoints are read.
pub(super) enum Of {
    /// All of an application.
    Application(ApplicationId),
    /// The members of a version.
    Version(Box<(Segment, SegmentVersion)>),
}

impl Of {
    /// A segment, by name or id, at a version or at its current one.
    pub(super) fn segment(
        api: &Api,
        application: ApplicationId,
        name: &str,
        wanted: Option<&str>,
    ) -> Result<Self, ApiError> {
        let segment = api.segment_named(application, name)?.ok_or_else(|| no_such_segment(name))?;
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
        Ok(Self::Version(Box::new((segment, version))))
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        match self {
            Self::Application(application) => Scope::Application(*application),
            Self::Version(version) => Scope::Version(&version.0, &version.1),
        }
    }

    /// An error if it was deleted: what was read since may not be all of it.
    fn still_there(&self, api: &Api) -> Result<(), ApiError> {
        match self {
            Self::Application(id) => match api.store().application(*id).map_err(stored)? {
                Some(_) => Ok(()),
                None => Err(no_such_application(&id.to_string())),
            },
            Self::Version(version) => {
                let Segment { application, id, .. } = version.0;
                match api.store().segment(application, id).map_err(stored)? {
                    Some(_) => Ok(()),
                    None => Err(no_such_segment(&id.to_string())),
                }
            }
        }
    }
}

/// Loads that are asked for before they are needed.
const LOADS: usize = 2;

/// What an endpoint was for a part.
pub(super) enum Took {
    /// It is in it, and there is room for more.
    More,
    /// It is in it, and it is full.
    Last,
    /// It is the first of the next part.
    None,
}

/// Endpoints that are read one after the other.
pub(super) struct Ahead {
    api: Arc<Api>,
    of: Arc<Of>,
    /// The id of the last that was taken.
    after: Option<String>,
    reading: Option<Reading>,
    rows: StoredRows,
    /// How many of them were taken.
    taken: usize,
}

/// A thread that reads.
struct Reading {
    thread: JoinHandle<()>,
    ask: SyncSender<()>,
    loads: Receiver<Load>,
}

enum Load {
    Rows(StoredRows),
    /// There are no more.
    End(Result<(), StoreError>),
}

impl Ahead {
    pub(super) fn new(api: Arc<Api>, of: Of) -> Self {
        Self { api, of: Arc::new(of), after: None, reading: None, rows: StoredRows::default(), taken: 0 }
    }

    /// Hands over endpoints until a part is full; whether there may be more.
    pub(super) fn read(
        &mut self,
        take: &mut dyn FnMut(&Stored<'_>) -> Result<Took, ApiError>,
    ) -> Result<bool, ApiError> {
        loop {
            for row in self.rows.iter().skip(self.taken) {
                let took = take(&row)?;
                if matches!(took, Took::None) {
                    return Ok(true);
                }
                self.taken += 1;
                let after = self.after.get_or_insert_default();
                row.id().map_err(stored)?.clone_into(after);
                if matches!(took, Took::Last) {
                    return Ok(true);
                }
            }
            let reading = match &self.reading {
                Some(reading) => reading,
                None => self.reading.insert(Reading::begin(&self.api, &self.of, self.after.clone())?),
            };
            match reading.loads.recv() {
                Ok(Load::Rows(rows)) => {
                    (self.rows, self.taken) = (rows, 0);
                    // It may have ended meanwhile.
                    let _ = reading.ask.try_send(());
                }
                Ok(Load::End(outcome)) => {
                    outcome.map_err(stored)?;
                    self.of.still_there(&self.api)?;
                    return Ok(false);
                }
                Err(_) => {
                    // It gave up, unless it died: another would, too.
                    let ended = self.reading.take().map(|reading| reading.thread.join());
                    if matches!(ended, Some(Err(_))) {
                        return Err(ApiError::internal("a thread that read ahead panicked"));
                    }
                }
            }
        }
    }
}

impl Reading {
    fn begin(api: &Arc<Api>, of: &Arc<Of>, after: Option<String>) -> Result<Self, ApiError> {
        let (ask, asked) = mpsc::sync_channel(LOADS);
        let (send, loads) = mpsc::sync_channel(LOADS);
        for _ in 0..LOADS {
            ask.try_send(()).map_err(ApiError::internal)?;
        }
        let (store, of) = (api.store().clone(), of.clone());
        let own = thread::Builder::new().name("ahead".into());
        let work = move || read(&*store, &of, after.as_deref(), &asked, &send);
        let thread = own.spawn(work).map_err(ApiError::internal)?;
        Ok(Self { thread, ask, loads })
    }
}

/// Reads until all is read, or no one asks for more.
fn read(store: &dyn Store, of: &Of, after: Option<&str>, asked: &Receiver<()>, send: &SyncSender<Load>) {
    let deliver = |load| asked.recv_timeout(AHEAD_WAIT).is_ok() && send.send(load).is_ok();
    let (mut rows, mut goes_on) = (AsStored::default(), true);
    let outcome = store.read_out(of.scope(), after, READ_BYTES / 4, &mut |stored| {
        rows.add(&stored)?;
        if rows.is_full()
            && let Some(load) = rows.take()
        {
            goes_on = deliver(Load::Rows(load));
        }
        Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
    if !goes_on || rows.take().is_some_and(|load| !deliver(Load::Rows(load))) {
        return;
    }
    deliver(Load::End(outcome));
}
