//! `pinport jobs retry`: the rejects of a job are mended in an editor and imported again, as the job imported them.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use pinport_model::{Failure, Format, JobId, RejectPlace, failure::csv_header_len, view::JobView};
use reqwest::Method;

use super::tell_parts;
use crate::{
    cli::RetryArgs,
    client::{Client, FailureSearch, Sent, encoded, not_there},
    exit,
    follow::{block_on, conclude, follow},
};

/// The most bytes that are opened in an editor.
const MAX_EDITED: usize = 16 << 20;
/// The most bytes that are imported again at once; more go by way of a file.
const MAX_RETRIED: usize = 1 << 30;

/// Mends and imports; gives the exit code.
pub(super) fn run(args: &RetryArgs) -> anyhow::Result<u8> {
    let client = Client::new(&args.job.server)?;
    block_on(retry(args, &client))
}

async fn retry(args: &RetryArgs, client: &Client) -> anyhow::Result<u8> {
    let job = client.job(&args.job.job).await?;
    let detail = client.detail(job).await.map_err(not_there)?;
    let format = detail.definition.format;
    if !detail.job.progress.status.is_terminal() {
        bail!(
            "job {job} has not ended: more of its records may fail. `pinport jobs wait {job}` waits for it"
        );
    }
    let most = if args.edit { MAX_EDITED } else { MAX_RETRIED };
    let (all, parts) = rejects(client, job, args.part, most).await?;
    if parts == 0 || all.is_empty() {
        writeln!(io::stderr(), "job {job} has no rejects: nothing was imported")?;
        return Ok(exit::NOTHING);
    }
    tell_parts(args.part, parts as usize)?;
    if detail.unkept_failures > 0 {
        let unkept = detail.unkept_failures;
        writeln!(
            io::stderr(),
            "{unkept} failed records of job {job} are not among its rejects: they were over the budget of kept failures"
        )?;
    }
    let mut records = match &args.search {
        None => all,
        Some(words) => {
            let places = places(client, job, args.part, words).await?;
            let Some(records) = chosen(&all, format, &places) else {
                writeln!(
                    io::stderr(),
                    "no reject of job {job} has \"{words}\" in its failure: nothing was imported"
                )?;
                return Ok(exit::NOTHING);
            };
            records
        }
    };
    let suffix = format!(".{}", format.suffix());
    let file = tempfile::Builder::new().prefix("pinport-rejects-").suffix(&suffix).tempfile();
    let file = file.context("failed to make a file for the rejects")?;
    let write = |records: &[u8]| std::fs::write(file.path(), records);
    write(&records).with_context(|| format!("failed to write {}", file.path().display()))?;
    if args.edit {
        edit(file.path())?;
        let mended = std::fs::read(file.path());
        let mended = mended.with_context(|| format!("failed to read {}", file.path().display()))?;
        let why = if mended == records {
            "the rejects were left as they were"
        } else if is_empty(&mended, format) {
            "no record is left"
        } else {
            ""
        };
        if !why.is_empty() {
            writeln!(io::stderr(), "{why}: nothing was imported")?;
            return Ok(exit::NOTHING);
        }
        records = mended;
    }
    drop(records);
    let made = match send(client, job, file.path()).await {
        Ok(made) => made,
        Err(error) if args.edit => {
            // What was mended by hand is not lost.
            let (_, path) = file.keep().context("failed to keep the mended records")?;
            return Err(error.context(format!("the mended records are in {}", path.display())));
        }
        Err(error) => return Err(error),
    };
    if !args.quiet {
        writeln!(io::stderr(), "job {made} imports mended records of job {job}")?;
    }
    let detail = follow(client, made, args.quiet).await?;
    conclude(client, &detail, args.job.json, args.quiet).await
}

/// A part of the rejects of a job, and how many parts there are.
async fn rejects(client: &Client, job: JobId, part: u32, most: usize) -> anyhow::Result<(Vec<u8>, u32)> {
    let path = format!("/pinport/v1/jobs/{job}/rejects?part={part}");
    let response = client.send(Method::GET, &path, None).await.map_err(not_there)?;
    let parts = response.headers().get("x-pinport-parts").and_then(|parts| parts.to_str().ok());
    let parts = parts.and_then(|parts| parts.parse().ok()).unwrap_or(0);
    let Some(bytes) = client.whole(response, most).await? else {
        bail!(
            "the rejects of job {job} have more than {} MiB, too many for this: write them to a file with `pinport jobs \
             rejects {job}`, mend them with a program and import that",
            most >> 20
        );
    };
    Ok((bytes, parts))
}

/// Where the records are whose failures have these words.
async fn places(client: &Client, job: JobId, part: u32, words: &str) -> anyhow::Result<Vec<RejectPlace>> {
    let search = FailureSearch { words: words.to_owned(), ..FailureSearch::default() };
    let (mut places, mut token) = (Vec::new(), None);
    loop {
        let (lines, next) = client.failures(job, &search, token.as_deref()).await.map_err(not_there)?;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let failure: Failure = serde_json::from_slice(line).context("a failure was not understood")?;
            places.extend(failure.reject.filter(|place| place.part == part));
        }
        if next.is_none() {
            return Ok(places);
        }
        token = next;
    }
}

/// The header, if there is one, and the records at these places; nothing if there are none.
fn chosen(all: &[u8], format: Format, places: &[RejectPlace]) -> Option<Vec<u8>> {
    let mut records = all[..header_len(all, format)].to_vec();
    let mut found = false;
    for place in places {
        let from = usize::try_from(place.byte).ok()?;
        let record = from.checked_add(usize::try_from(place.bytes).ok()?).and_then(|to| all.get(from..to));
        if let Some(record) = record {
            records.extend_from_slice(record);
            records.push(b'\n');
            found = true;
        }
    }
    found.then_some(records)
}

/// Bytes of the header with its line end.
fn header_len(bytes: &[u8], format: Format) -> usize {
    match format {
        Format::Json => 0,
        Format::Csv => csv_header_len(bytes).unwrap_or(bytes.len()),
    }
}

/// Whether there is no record in it.
fn is_empty(bytes: &[u8], format: Format) -> bool {
    bytes[header_len(bytes, format)..].trim_ascii().is_empty()
}

/// Opens a file in the user's editor and waits for its end.
fn edit(file: &Path) -> anyhow::Result<()> {
    let named = |name| env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
    // The variable may have options in it. The shell splits it, as git does.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{editor} \"$@\"")).arg(&editor).arg(file);
    let status = shell.status().with_context(|| format!("failed to start the editor \"{editor}\""))?;
    if !status.success() {
        bail!(
            "the editor \"{editor}\" ended with {status}: nothing was imported (VISUAL or EDITOR names another one)"
        );
    }
    Ok(())
}

/// Imports the records as the job did; gives the new job.
async fn send(client: &Client, job: JobId, file: &Path) -> anyhow::Result<JobId> {
    let name = format!("rejects of {job}");
    let path = format!("/pinport/v1/jobs/{job}/retry?name={}", encoded(&name));
    let answer = client.upload_file(&path, file, &Arc::<Sent>::default()).await?;
    let view: JobView = client.read(answer).await?;
    Ok(view.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_chosen_by_their_places_below_the_header() {
        let all = b"Id,\"a\nb\"\n1,x\n2,\"y\ny\"\n3,z\n";
        let place = |byte, bytes| RejectPlace { part: 1, byte, bytes };
        let found = chosen(all, Format::Csv, &[place(13, 7), place(21, 3)]).unwrap();
        assert_eq!(found, b"Id,\"a\nb\"\n2,\"y\ny\"\n3,z\n");
        assert_eq!(chosen(all, Format::Csv, &[]), None);
        assert_eq!(chosen(all, Format::Csv, &[place(24, 9), place(u64::MAX, 2)]), None);
        assert_eq!(chosen(b"{}\n[]\n", Format::Json, &[place(3, 2)]).unwrap(), b"[]\n");
    }

    #[test]
    fn a_header_alone_is_no_record() {
        assert!(is_empty(b"Id,Address\n \n", Format::Csv) && is_empty(b"", Format::Csv));
        assert!(!is_empty(b"Id\n1\n", Format::Csv));
        assert!(is_empty(b"\n", Format::Json) && !is_empty(b"{}\n", Format::Json));
    }
}
