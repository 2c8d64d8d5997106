//! Mends rejects: gathers those of a server's job in a file, opens the file in an editor, and sends it back as a new job
//! that imports what was mended as the first one did. `jobs retry` and the dashboard share this.

use std::{
    env,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use pinport_model::{
    Failure, Format, JobId, RejectPlace,
    failure::csv_header_len,
    view::{JobDetail, JobView},
};
use reqwest::{Method, Response};
use tempfile::NamedTempFile;

use crate::client::{Client, FailureSearch, Sent, encoded, not_there};

/// The most bytes that are opened in an editor.
pub(super) const MAX_EDITED: u64 = 16 << 20;
/// The most bytes of a CSV header.
const MAX_HEADER: u64 = 1 << 20;
/// Records this close together are read with one request, and what lies between them is dropped.
const GAP: u64 = 64 << 10;

/// Which rejects of a part are wanted.
#[derive(Debug)]
pub(super) enum Choice {
    /// All of them.
    All,
    /// Those whose failures are found.
    Found(FailureSearch),
    /// Those that lie at these places.
    At(Vec<RejectPlace>),
}

/// Rejects in a file of their own. It is removed unless it is kept.
#[derive(Debug)]
pub(super) struct Rejects {
    pub(super) job: JobId,
    format: Format,
    file: NamedTempFile,
    /// How many parts the rejects of the job have.
    pub(super) parts: u32,
    /// Whether no record is in it.
    pub(super) is_empty: bool,
    /// Chosen records that lie in other parts.
    pub(super) elsewhere: u64,
    /// Chosen failures whose records are not among the rejects.
    pub(super) unkept: u64,
}

/// What an edit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edited {
    /// There is something to import.
    Changed,
    /// Nothing was changed.
    Unchanged,
    /// No record is left.
    Emptied,
}

/// Writes to a file until there is too much.
struct Output {
    file: BufWriter<File>,
    path: PathBuf,
    job: JobId,
    written: u64,
    most: u64,
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.most {
            bail!(
                "these rejects of job {job} have more than {} MiB, too many for an editor: choose fewer, or write them to \
                 a file with `pinport jobs rejects {job}`, mend them with a program and import that",
                self.most >> 20,
                job = self.job,
            );
        }
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("failed to write {}", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<u64> {
        self.file.flush().with_context(|| format!("failed to write {}", self.path.display()))?;
        Ok(self.written)
    }
}

impl Rejects {
    /// Writes the chosen rejects of a part to a new file; an error if they have more than `most` bytes.
    pub(super) async fn gather(
        client: &Client,
        detail: &JobDetail,
        part: u32,
        choice: Choice,
        most: u64,
    ) -> anyhow::Result<Self> {
        let (job, format) = (detail.job.id, detail.definition.format);
        if !detail.job.progress.status.is_terminal() {
            bail!(
                "job {job} has not ended: more of its records may fail. `pinport jobs wait {job}` waits for it"
            );
        }
        let suffix = format!(".{}", format.suffix());
        let file = tempfile::Builder::new().prefix("pinport-rejects-").suffix(&suffix).tempfile();
        let file = file.context("failed to make a file for the rejects")?;
        let path = file.path().to_owned();
        let output = file.reopen().with_context(|| format!("failed to open {}", path.display()))?;
        let output =
            Output { file: BufWriter::with_capacity(256 << 10, output), path, job, written: 0, most };
        let rejects = Self { job, format, file, parts: 0, is_empty: true, elsewhere: 0, unkept: 0 };
        Source { client, job, format, part }.write(choice, output, rejects).await
    }

    /// Opens them in the user's editor and waits for its end.
    pub(super) fn edit(&self) -> anyhow::Result<Edited> {
        let path = self.file.path();
        let read = || fs::read(path).with_context(|| format!("failed to read {}", path.display()));
        let before = read()?;
        open_editor(path)?;
        let after = read()?;
        Ok(if after == before {
            Edited::Unchanged
        } else if is_empty(&after, self.format) {
            Edited::Emptied
        } else {
            Edited::Changed
        })
    }

    /// Imports them as their job did; gives the new job.
    pub(super) async fn send(&self, client: &Client) -> anyhow::Result<JobId> {
        let name = format!("rejects of {}", self.job);
        let path = format!("/pinport/v1/jobs/{}/retry?name={}", self.job, encoded(&name));
        let answer = client.upload_file(&path, self.file.path(), &Arc::<Sent>::default()).await?;
        let view: JobView = client.read(answer).await?;
        Ok(view.id)
    }

    /// Keeps the file; gives its path.
    pub(super) fn keep(self) -> anyhow::Result<PathBuf> {
        let (_, path) = self.file.keep().context("failed to keep the mended records")?;
        Ok(path)
    }
}

/// The rejects of a part of a job, on the server.
struct Source<'a> {
    client: &'a Client,
    job: JobId,
    format: Format,
    part: u32,
}

impl Source<'_> {
    /// Writes what is chosen.
    async fn write(&self, choice: Choice, mut to: Output, mut rejects: Rejects) -> anyhow::Result<Rejects> {
        match choice {
            Choice::All => {
                let mut answer = self.get("").await?;
                rejects.parts = parts(&answer);
                while let Some(chunk) = self.client.next(&mut answer).await? {
                    to.write(&chunk)?;
                }
                rejects.is_empty = to.written == 0;
            }
            Choice::Found(search) => {
                let mut token = None;
                loop {
                    let found = self.client.failures(self.job, &search, token.as_deref()).await;
                    let (lines, next) = found.map_err(not_there)?;
                    let mut places = Vec::new();
                    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                        let failure: Failure =
                            serde_json::from_slice(line).context("a failure was not understood")?;
                        match failure.reject {
                            Some(place) => places.push(place),
                            None => rejects.unkept += 1,
                        }
                    }
                    self.add(places, &mut to, &mut rejects).await?;
                    match next {
                        Some(next) => token = Some(next),
                        None => break,
                    }
                }
            }
            Choice::At(places) => self.add(places, &mut to, &mut rejects).await?,
        }
        to.finish()?;
        Ok(rejects)
    }

    /// Adds the records at these places, below the header.
    async fn add(
        &self,
        places: Vec<RejectPlace>,
        to: &mut Output,
        rejects: &mut Rejects,
    ) -> anyhow::Result<()> {
        let all = places.len();
        let mut places: Vec<_> = places.into_iter().filter(|place| place.part == self.part).collect();
        rejects.elsewhere += (all - places.len()) as u64;
        places.sort_by_key(|place| place.byte);
        places.dedup();
        let Some(first) = places.first() else { return Ok(()) };
        if rejects.is_empty && self.format == Format::Csv {
            let wanted = first.byte.min(MAX_HEADER);
            let answer = self.get(&format!("&byte=0&bytes={wanted}")).await?;
            let bytes = self.client.whole(answer, wanted as usize).await?.unwrap_or_default();
            let header = csv_header_len(&bytes);
            let header = header.with_context(|| format!("the rejects of job {} have no header", self.job))?;
            to.write(&bytes[..header])?;
        }
        rejects.is_empty = false;
        let runs = places.chunk_by(|one, next| {
            let end = one.byte.saturating_add(one.bytes);
            next.byte >= end && next.byte - end <= GAP
        });
        for run in runs {
            self.copy(run, to).await?;
        }
        Ok(())
    }

    /// Copies records that lie one after the other, each with a line end.
    async fn copy(&self, run: &[RejectPlace], to: &mut Output) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let len = last.byte.saturating_add(last.bytes) - first.byte;
        let mut answer = self.get(&format!("&byte={}&bytes={len}", first.byte)).await?;
        let mut cut = Cut { wanted: run, at: first.byte };
        while let Some(chunk) = self.client.next(&mut answer).await? {
            cut.feed(&chunk, |bytes| to.write(bytes))?;
        }
        if !cut.wanted.is_empty() {
            bail!("the rejects of job {} end before a record does", self.job);
        }
        Ok(())
    }

    async fn get(&self, range: &str) -> anyhow::Result<Response> {
        let path = format!("/pinport/v1/jobs/{}/rejects?part={}{range}", self.job, self.part);
        self.client.send(Method::GET, &path, None).await.map_err(not_there)
    }
}

/// Cuts records out of bytes that come in chunks.
struct Cut<'p> {
    /// Those that are not whole yet, in order.
    wanted: &'p [RejectPlace],
    /// Where the next chunk begins.
    at: u64,
}

impl Cut<'_> {
    fn feed(
        &mut self,
        chunk: &[u8],
        mut write: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let chunk_end = self.at + chunk.len() as u64;
        while let Some((place, later)) = self.wanted.split_first() {
            let end = place.byte.saturating_add(place.bytes);
            let (from, to) = (place.byte.max(self.at), end.min(chunk_end));
            if from < to {
                write(&chunk[(from - self.at) as usize..(to - self.at) as usize])?;
            }
            if end > chunk_end {
                break;
            }
            write(b"\n")?;
            self.wanted = later;
        }
        self.at = chunk_end;
        Ok(())
    }
}

/// How many parts the answer says that there are.
fn parts(answer: &Response) -> u32 {
    let parts = answer.headers().get("x-pinport-parts").and_then(|parts| parts.to_str().ok());
    parts.and_then(|parts| parts.parse().ok()).unwrap_or(0)
}

/// Whether there is no record in it.
fn is_empty(bytes: &[u8], format: Format) -> bool {
    let header = match format {
        Format::Json => 0,
        Format::Csv => csv_header_len(bytes).unwrap_or(bytes.len()),
    };
    bytes[header..].trim_ascii().is_empty()
}

/// Opens a file in the user's editor and waits for its end.
fn open_editor(file: &Path) -> anyhow::Result<()> {
    let named = |name| env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
    // The variable may have options in it. The shell splits it, as git does.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{editor} \"$@\"")).arg(&editor).arg(file);
    let status = shell.status().with_context(|| format!("failed to start the editor \"{editor}\""))?;
    if !status.success() {
        bail!(
            "nothing was imported, because the editor ended with {status}: \"{editor}\" (VISUAL or EDITOR names another one)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_out_however_their_bytes_come() {
        let all = b"1,x\n2,\"y\ny\"\n3,z\n4,w\n";
        let place = |byte: u64, bytes| RejectPlace { part: 1, byte: 100 + byte, bytes };
        let wanted = [place(0, 3), place(4, 7), place(16, 3)];
        for size in 1..=all.len() {
            let (mut cut, mut found) = (Cut { wanted: &wanted, at: 100 }, Vec::new());
            for chunk in all.chunks(size) {
                cut.feed(chunk, |bytes| {
                    found.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            }
            assert_eq!(found, b"1,x\n2,\"y\ny\"\n4,w\n", "in chunks of {size}");
            assert!(cut.wanted.is_empty());
        }
        let mut short = Cut { wanted: &wanted, at: 100 };
        short.feed(&all[..6], |_| Ok(())).unwrap();
        assert_eq!(short.wanted, &wanted[1..]);
    }

    #[test]
    fn a_header_alone_is_no_record() {
        assert!(is_empty(b"Id,Address\n \n", Format::Csv) && is_empty(b"", Format::Csv));
        assert!(!is_empty(b"Id\n1\n", Format::Csv));
        assert!(is_empty(b"\n", Format::Json) && !is_empty(b"{}\n", Format::Json));
    }
}
