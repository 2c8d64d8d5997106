//! What commands ask a server for: applications and jobs by the names that people use, streams to a file.

use std::io::{self, Write};

use anyhow::Context as _;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pinport_model::{
    Application, FailureCode, JobId, Segment, escape_controls,
    view::{JobDetail, JobView},
};
use pinport_pipeline::verify::{Line, Report};
use reqwest::{Method, Response};
use serde::Deserialize;

use super::{Client, ClientError};
use crate::exit::{NotThere, Usage};

/// What stands unencoded in a segment of a path, or in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a segment of a path, or as a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A page of failures has at most this many bytes; a server sends 1 MiB and the rest of a line.
const MAX_FAILURES_PAGE: usize = 4 << 20;

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<JobView>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Segments {
    segments: Vec<Segment>,
    next_token: Option<String>,
}

impl Client {
    /// The application with this name or id.
    pub(crate) async fn application(&self, name: &str) -> anyhow::Result<Application> {
        if name.is_empty() {
            return Err(Usage("the application's name is empty".into()).into());
        }
        let found = self.call(Method::GET, &format!("/pinport/v1/apps/{}", encoded(name)), None).await;
        found.map_err(not_there)
    }

    /// The newest jobs.
    pub(crate) async fn jobs(&self, limit: usize) -> Result<Vec<JobView>, ClientError> {
        const PAGE: usize = 1000;
        let (mut found, mut token) = (Vec::new(), String::new());
        while found.len() < limit {
            let size = (limit - found.len()).min(PAGE);
            let path = format!("/pinport/v1/jobs?page-size={size}{token}");
            let page: Jobs = self.call(Method::GET, &path, None).await?;
            found.extend(page.jobs);
            match page.next_token {
                Some(next) => token = format!("&token={}", encoded(&next)),
                None => break,
            }
        }
        Ok(found)
    }

    /// The job that `text` names: by its id, a part of it, or `last`.
    pub(crate) async fn job(&self, text: &str) -> anyhow::Result<JobId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let found = match text {
            "last" => Ok(self.jobs(1).await?.first().map(|job| job.id)),
            _ => JobId::find(self.jobs(usize::MAX).await?.iter().map(|job| job.id), text),
        };
        let several = |jobs| Usage(format!("{jobs} jobs have ids with \"{text}\"; give more of the id"));
        found
            .map_err(several)?
            .with_context(|| format!("there is no job \"{text}\"; `pinport jobs ls` lists them"))
    }

    /// A job, whole.
    pub(crate) async fn detail(&self, job: JobId) -> Result<JobDetail, ClientError> {
        self.call(Method::GET, &format!("/pinport/v1/jobs/{job}"), None).await
    }

    /// What a job's source says, compared with what is stored. `seen` learns each second how many records were read.
    pub(crate) async fn verified(
        &self,
        job: JobId,
        mut seen: impl FnMut(u64) -> io::Result<()>,
    ) -> anyhow::Result<Report> {
        let path = format!("/pinport/v1/jobs/{job}/verify");
        let mut response = self.send(Method::POST, &path, None).await.map_err(not_there)?;
        let mut text = Vec::new();
        while let Some(bytes) = self.next(&mut response).await? {
            text.extend_from_slice(&bytes);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                match serde_json::from_slice(&line)
                    .context("the server's answer is no line of a verification")?
                {
                    Line::Progress { records } => seen(records)?,
                    Line::Report(report) => return Ok(report),
                    Line::Error(why) => anyhow::bail!("{}", escape_controls(&why)),
                }
            }
        }
        anyhow::bail!("the server's answer ended before the verification did")
    }

    /// The segments of an application, newest first.
    pub(crate) async fn segments(&self, application: &str) -> Result<Vec<Segment>, ClientError> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/pinport/v1/apps/{}/segments?page-size=1000{token}", encoded(application));
            let page: Segments = self.call(Method::GET, &path, None).await?;
            found.extend(page.segments);
            match page.next_token {
                Some(next) => token = format!("&token={}", encoded(&next)),
                None => return Ok(found),
            }
        }
    }

    /// Copies an answer's body as it comes.
    pub(crate) async fn copy(&self, mut from: Response, to: &mut impl Write) -> anyhow::Result<()> {
        while let Some(chunk) = from.chunk().await.map_err(|error| self.broken(&error))? {
            to.write_all(&chunk)?;
        }
        Ok(to.flush()?)
    }

    /// Asks for a body.
    pub(crate) async fn get(&self, path: &str) -> Result<Response, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// The next bytes of a body; an error if it breaks off.
    pub(crate) async fn next(&self, from: &mut Response) -> Result<Option<Bytes>, ClientError> {
        from.chunk().await.map_err(|error| self.broken(&error))
    }

    /// Asks for a body and copies it to standard output.
    pub(crate) async fn print(&self, path: &str) -> anyhow::Result<()> {
        let response = self.send(Method::GET, path, None).await.map_err(not_there)?;
        self.copy(response, &mut io::stdout().lock()).await
    }
}

/// Which failures of a job are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailureSearch {
    /// Words that are all in the text of a failure.
    pub(crate) words: String,
    pub(crate) code: Option<FailureCode>,
    /// The member as classes of failures name it.
    pub(crate) member: Option<String>,
}

impl Client {
    /// A page of the failures of a job, one a line, and the token of the next page. A page may be empty and have a next.
    pub(crate) async fn failures(
        &self,
        job: JobId,
        search: &FailureSearch,
        token: Option<&str>,
    ) -> Result<(Vec<u8>, Option<String>), ClientError> {
        let mut path = format!("/pinport/v1/jobs/{job}/failures?page-size=1000");
        let code = search.code.map(FailureCode::as_str);
        let words = Some(search.words.as_str()).filter(|words| !words.is_empty());
        let parameters =
            [("search", words), ("code", code), ("member", search.member.as_deref()), ("token", token)];
        for (name, value) in parameters {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let response = self.send(Method::GET, &path, None).await?;
        let next = response.headers().get("x-pinport-next-token").and_then(|next| next.to_str().ok());
        let next = next.map(str::to_owned);
        let text = self.whole(response, MAX_FAILURES_PAGE).await?;
        let text =
            text.ok_or_else(|| ClientError::Strange { what: "a page of failures is too long".into() })?;
        Ok((text, next))
    }
}

/// The server's words for what was named and is not there.
pub(crate) fn not_there(error: ClientError) -> anyhow::Error {
    match error {
        ClientError::Refused { status: 404, message } => NotThere(message).into(),
        error => error.into(),
    }
}
