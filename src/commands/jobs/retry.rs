//! `pinport jobs retry`: the rejects of a job are mended in an editor and imported again, as the job imported them.

use std::io::{self, Write as _};

use super::tell_parts;
use crate::{
    cli::RetryArgs,
    client::{Client, FailureSearch, not_there},
    commands::mending::{Choice, Edited, MAX_EDITED, Rejects},
    exit,
    follow::{block_on, conclude, follow},
};

/// Mends and imports; gives the exit code.
pub(super) fn run(args: &RetryArgs) -> anyhow::Result<u8> {
    let client = Client::new(&args.job.server)?;
    block_on(retry(args, &client))
}

async fn retry(args: &RetryArgs, client: &Client) -> anyhow::Result<u8> {
    let job = client.job(&args.job.job).await?;
    let detail = client.detail(job).await.map_err(not_there)?;
    let choice = match &args.search {
        None => Choice::All,
        Some(words) => Choice::Found(FailureSearch { words: words.clone(), ..FailureSearch::default() }),
    };
    // Without an editor they only pass through.
    let most = if args.edit { MAX_EDITED } else { u64::MAX };
    let rejects = Rejects::gather(client, &detail, args.part, choice, most).await?;
    let nothing = |why: &str| {
        writeln!(io::stderr(), "{why}: nothing was imported")?;
        Ok(exit::NOTHING)
    };
    if rejects.is_empty {
        return nothing(&match &args.search {
            Some(words) => format!("no reject of job {job} has \"{words}\" in its failure"),
            None => format!("job {job} has no rejects"),
        });
    }
    tell_parts(args.part, rejects.parts as usize)?;
    if rejects.elsewhere > 0 {
        let elsewhere = rejects.elsewhere;
        writeln!(io::stderr(), "{elsewhere} more are in other parts: --part names one")?;
    }
    if detail.unkept_failures > 0 {
        let unkept = detail.unkept_failures;
        writeln!(
            io::stderr(),
            "{unkept} failed records of job {job} are not among its rejects: they were over the budget of kept failures"
        )?;
    }
    if args.edit {
        match rejects.edit()? {
            Edited::Changed => {}
            Edited::Unchanged => return nothing("the rejects were left as they were"),
            Edited::Emptied => return nothing("no record is left"),
        }
    }
    let made = match rejects.send(client).await {
        Ok(made) => made,
        Err(error) if args.edit => {
            // What was mended by hand is not lost.
            let path = rejects.keep()?;
            return Err(error.context(format!("the mended records are in {}", path.display())));
        }
        Err(error) => return Err(error),
    };
    drop(rejects);
    if !args.quiet {
        writeln!(io::stderr(), "job {made} imports mended records of job {job}")?;
    }
    let detail = follow(client, made, args.quiet).await?;
    conclude(client, &detail, args.job.json, args.quiet).await
}
