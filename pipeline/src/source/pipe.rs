//! Standard input and other pipes: read once, from the front, by a thread of their own, because a read of a
//! pipe cannot be interrupted.

use std::{
    collections::VecDeque,
    io::Read,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use pinport_model::PlannedObject;
use tokio_util::sync::CancellationToken;

use super::{
    SourceError,
    decode::{Fault, Input},
    feed::{Feed, Objects},
    local,
};
use crate::limits::{HEAD_BYTES, PIPE_AHEAD, PIPE_BUFFER};

/// How often a waiting reader looks whether the job was cancelled.
const TICK: Duration = Duration::from_millis(20);

/// A pipe that is opened when it is first read. A look at its beginning does not use it up.
#[derive(Clone)]
pub(super) struct Pipe(Arc<Mutex<State>>);

struct State {
    path: Option<PathBuf>,
    opened: bool,
    /// Whether bytes were handed out for good.
    used: bool,
    chunks: Option<mpsc::Receiver<std::io::Result<Vec<u8>>>>,
    /// Chunks that were looked at and are still to be read.
    looked: VecDeque<Vec<u8>>,
}

impl Pipe {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self(Arc::new(Mutex::new(State {
            path,
            opened: false,
            used: false,
            chunks: None,
            looked: VecDeque::new(),
        })))
    }

    /// A feed of the pipe's bytes. `look`: of its first bytes, which stay in it.
    pub(super) fn feed(&self, objects: Objects, cancel: CancellationToken, look: bool) -> PipeFeed {
        PipeFeed { pipe: self.clone(), objects, cancel, look, index: 0, chunk: Vec::new(), position: 0 }
    }
}

impl State {
    fn name(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| "-".into())
    }

    fn open(&mut self) -> Result<(), SourceError> {
        if std::mem::replace(&mut self.opened, true) {
            return Ok(());
        }
        let mut pipe = local::open_pipe(self.path.as_deref())?;
        let (send, receive) = mpsc::sync_channel(PIPE_AHEAD);
        let thread = std::thread::Builder::new().name("pinport-pipe".into()).spawn(move || {
            loop {
                let mut chunk = vec![0; PIPE_BUFFER];
                let result = match pipe.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(bytes) => {
                        chunk.truncate(bytes);
                        Ok(chunk)
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = result.is_err();
                if send.send(result).is_err() || failed {
                    break;
                }
            }
        });
        thread.map_err(|error| local::unreadable(&self.name(), &error, false))?;
        self.chunks = Some(receive);
        Ok(())
    }

    fn next_chunk(&mut self, cancel: &CancellationToken) -> Result<Vec<u8>, SourceError> {
        self.open()?;
        loop {
            if cancel.is_cancelled() {
                return Err(SourceError::Cancelled);
            }
            let Some(chunks) = &self.chunks else { return Ok(Vec::new()) };
            match chunks.recv_timeout(TICK) {
                Ok(Ok(chunk)) => return Ok(chunk),
                Ok(Err(error)) => return Err(local::unreadable(&self.name(), &error, false)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => self.chunks = None,
            }
        }
    }
}

/// Reads a pipe as one object.
pub(super) struct PipeFeed {
    pipe: Pipe,
    objects: Objects,
    cancel: CancellationToken,
    look: bool,
    /// The next of the chunks that were looked at, for a look.
    index: usize,
    chunk: Vec<u8>,
    position: usize,
}

impl PipeFeed {
    fn advance(&mut self) -> Result<(), SourceError> {
        let mut state = self.pipe.0.lock();
        self.position = 0;
        self.chunk = if !self.look {
            match state.looked.pop_front() {
                Some(chunk) => chunk,
                None => state.next_chunk(&self.cancel)?,
            }
        } else {
            if self.index == state.looked.len() {
                let chunk = state.next_chunk(&self.cancel)?;
                if !chunk.is_empty() {
                    state.looked.push_back(chunk);
                }
            }
            self.index += 1;
            state.looked.get(self.index - 1).cloned().unwrap_or_default()
        };
        Ok(())
    }
}

impl Input for PipeFeed {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        if self.position == self.chunk.len() {
            self.advance()?;
        }
        Ok(&self.chunk[self.position..])
    }

    fn consume(&mut self, bytes: usize) {
        self.position += bytes;
    }
}

impl Feed for PipeFeed {
    fn next_object(&mut self) -> Option<Result<PlannedObject, SourceError>> {
        let object = self.objects.next()?;
        let mut state = self.pipe.0.lock();
        if !self.look && std::mem::replace(&mut state.used, true) {
            let reason = "a pipe can be read only once".into();
            return Some(Err(SourceError::Unreadable { path: state.name(), reason, object: false }));
        }
        Some(object)
    }

    fn seek(&mut self, position: u64) -> Result<(), SourceError> {
        if position <= HEAD_BYTES as u64 {
            return Ok(());
        }
        let reason = "reading of a pipe cannot go on where it was interrupted".into();
        Err(SourceError::Unreadable { path: self.pipe.0.lock().name(), reason, object: false })
    }
}
