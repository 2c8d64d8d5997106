//! Verifies a job: its source is read again and compared with what is stored. The answer is a stream of lines, because that
//! takes as long as an import: how far it is each second, and what it came to at the end. Who hangs up, stops it.

use std::time::Duration;

use pinport_pipeline::{engine::JobError, jobs::Verifying, verify::Line};

use super::{
    Api, Routes, blocking, controlled,
    parts::{BlockingParts, stream_blocking},
    sentence,
};
use crate::{
    ApiError,
    http::{Request, Response, Route},
};

/// How often a line says how far it is.
const TICK: Duration = Duration::from_secs(1);

pub(super) fn add(routes: &mut Routes) {
    routes.waiting(
        Route::new("POST", "/pinport/v1/jobs/{job-id}/verify", "VerifyJob"),
        |api, request| async move {
            let purse = request.purse().clone();
            let lines = blocking(move || Lines::open(&api, &request)).await?;
            Ok(Response::stream("application/x-ndjson", stream_blocking(purse, lines).await?))
        },
    );
}

struct Lines {
    verifying: Verifying,
    has_ended: bool,
}

impl Lines {
    /// It reads a whole source, so only those may begin it who may change the application.
    fn open(api: &Api, request: &Request) -> Result<Self, ApiError> {
        let seen = api.writable_job(request)?;
        let verifying = api.jobs.verify(seen.job.id).map_err(controlled)?;
        Ok(Self { verifying, has_ended: false })
    }
}

impl BlockingParts for Lines {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if self.has_ended {
            return Ok(None);
        }
        let ended = self.verifying.wait(TICK);
        self.has_ended = ended.is_some();
        let line = match ended {
            None => Line::Progress { records: self.verifying.progress().parsed },
            Some(Ok(report)) => Line::Report(report),
            Some(Err(error)) => Line::Error(said(&error)),
        };
        let mut line = serde_json::to_vec(&line).map_err(ApiError::internal)?;
        line.push(b'\n');
        Ok(Some(line))
    }
}

/// What a caller may know of an error: what is wrong with the source, and no more.
fn said(error: &JobError) -> String {
    match error {
        JobError::Source(error) => sentence(&error.to_string()),
        JobError::Cancelled => "The server is stopping.".into(),
        error => {
            tracing::warn!(target: "pinport", %error, "a verification failed");
            "The verification failed; the server's log says why.".into()
        }
    }
}
