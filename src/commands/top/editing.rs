//! Rejects that are mended in an editor: from the server to the editor, and back as an import.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::JobId;
use pinport_tui::{FailuresQuery, RejectsQuery};

use crate::{
    client::{Client, FailureSearch},
    commands::mending::{Choice, MAX_EDITED, Rejects},
};

/// Rejects that an editor is opened for, and whether they were mended and not sent yet.
pub(super) type Mending = Arc<Mutex<Option<(Rejects, bool)>>>;

/// Whether an editor has the terminal.
#[derive(Debug, Default)]
pub(super) struct Editor(Mutex<Since>);

#[derive(Debug, Clone, Copy, Default)]
enum Since {
    #[default]
    Never,
    /// One has it.
    Now,
    /// One had it until then.
    Ended(Instant),
}

impl Editor {
    /// A signal takes so long at most to be seen.
    const LATE: Duration = Duration::from_millis(500);

    pub(super) fn begin(&self) {
        *self.0.lock() = Since::Now;
    }

    pub(super) fn end(&self) {
        *self.0.lock() = Since::Ended(Instant::now());
    }

    /// Whether a Ctrl-C that is seen now was typed in an editor. In the dashboard it is a key and no signal.
    pub(super) fn takes_interrupts(&self) -> bool {
        match *self.0.lock() {
            Since::Never => false,
            Since::Now => true,
            Since::Ended(then) => then.elapsed() < Self::LATE,
        }
    }
}

/// Gets rejects for an editor; gives also what to tell of those that are not among them.
pub(super) async fn fetch(client: &Client, query: RejectsQuery) -> Result<(Rejects, String), String> {
    let job = query.failures.job;
    let choice = match query.places {
        Some(places) => Choice::At(places),
        None if query.failures.is_all() => Choice::All,
        None => Choice::Found(search_of(&query.failures)),
    };
    let gather = async {
        let detail = client.detail(job).await?;
        Rejects::gather(client, &detail, query.part, choice, MAX_EDITED).await
    };
    let rejects = gather.await.map_err(|error| format!("{error:#}"))?;
    if rejects.is_empty {
        return Err(format!("no original bytes of these records of job {job} are kept"));
    }
    let elsewhere = rejects.elsewhere.saturating_add(rejects.parts.saturating_sub(1).into());
    let mut text = Vec::new();
    if elsewhere > 0 {
        text.push(
            "objects with another header have their rejects in other parts: edit those on their own".into(),
        );
    }
    if rejects.unkept > 0 {
        text.push(format!("{} records are not there: their original bytes are not kept", rejects.unkept));
    }
    Ok((rejects, text.join("; ")))
}

/// Imports what was mended; what cannot be imported now is kept.
pub(super) async fn import_mended(client: &Client, mending: &Mending) -> Result<(JobId, String), String> {
    let Some((rejects, _)) = mending.lock().take() else { return Err("nothing was mended".into()) };
    // If this is dropped halfway, they are still there.
    let mut held = Held { mending, rejects: Some(rejects) };
    let Some(rejects) = &held.rejects else { return Err("nothing was mended".into()) };
    let of = rejects.job;
    match rejects.send(client).await {
        Ok(job) => {
            held.rejects = None;
            Ok((job, format!("job {job} imports mended records of job {of}")))
        }
        Err(error) => {
            let kept = held.rejects.take().map(kept).unwrap_or_default();
            Err(format!("{kept}, because they were not imported: {error:#}"))
        }
    }
}

/// Mended rejects that are being sent; unless they were, they are put back.
struct Held<'m> {
    mending: &'m Mending,
    rejects: Option<Rejects>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(rejects) = self.rejects.take() {
            *self.mending.lock() = Some((rejects, true));
        }
    }
}

/// Keeps mended rejects; says where.
pub(super) fn kept(rejects: Rejects) -> String {
    let job = rejects.job;
    match rejects.keep() {
        Ok(path) => format!("the mended records of job {job} are in {}", path.display()),
        Err(error) => format!("{error:#}"),
    }
}

/// What a server looks for.
pub(super) fn search_of(query: &FailuresQuery) -> FailureSearch {
    FailureSearch {
        words: query.search.clone(),
        code: query.class.as_ref().map(|(code, _)| *code),
        member: query.class.as_ref().and_then(|(_, member)| member.clone()),
    }
}
