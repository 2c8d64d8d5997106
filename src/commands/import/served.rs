//! `pinport import … --server`: a file becomes a job of a server, which is followed to its end.

use std::{
    io::{self, Write as _},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use indicatif::HumanBytes;
use pinport_model::{Format, JobId, SourceLocation, escape_controls, view::JobView};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::format;
use crate::{
    cli::{ImportArgs, ServerArgs},
    client::{Client, Sent, encoded, not_there},
    exit::{self, NotThere, Usage},
    follow::{block_on, conclude, follow},
    signals::Signals,
};

/// The role of imports that the server reads itself, if none is named.
const ROLE: &str = "arn:aws:iam::000000000000:role/pinport-import";
/// How often the progress of an upload is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

pub(super) fn run(args: &ImportArgs, server: &ServerArgs) -> anyhow::Result<u8> {
    let wrong = |what: &str| Err(Usage(format!("{what} goes with a data folder, not with --server")).into());
    if args.check {
        return wrong("--check");
    }
    if args.fresh {
        return wrong("--fresh");
    }
    if args.limits.iter().any(|limit| !limit.is_empty()) {
        return wrong("--limit");
    }
    let client = Client::new(server)?;
    block_on(import(args, &client))
}

async fn import(args: &ImportArgs, client: &Client) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let made = tokio::select! {
        made = create(args, client) => made?,
        () = signals.next() => {
            writeln!(io::stderr(), "stopped: no job was made")?;
            return Ok(exit::STOPPED);
        }
    };
    if !args.quiet {
        writeln!(io::stderr(), "job {made} at {}", client.server())?;
    }
    let mut followed = pin!(follow(client, made, args.quiet));
    let mut stopping = false;
    let detail = loop {
        tokio::select! {
            detail = &mut followed => break detail?,
            () = signals.next() => {
                if stopping {
                    writeln!(io::stderr(), "job {made} is left to the server")?;
                    return Ok(exit::STOPPED);
                }
                stopping = true;
                let path = format!("/pinport/v1/jobs/{made}/cancel");
                // It may have ended meanwhile, which is heard of in a moment.
                if let Err(error) = client.send(Method::POST, &path, None).await {
                    writeln!(io::stderr(), "{error}")?;
                }
            }
        }
    };
    conclude(client, &detail, args.json, args.quiet).await
}

/// Makes the job.
async fn create(args: &ImportArgs, client: &Client) -> anyhow::Result<JobId> {
    let location: SourceLocation = args.source.parse().map_err(|error| Usage(format!("{error}")))?;
    // What is wrong with the server is told before a byte is uploaded, and whether it wants signatures.
    client.jobs(1).await?;
    let format = match args.format {
        Some(format) => format.into(),
        None => format::of_upload(&args.source, &location)?,
    };
    if args.source.contains("://") {
        return named(args, format, client).await;
    }
    let mut path = format!("/pinport/v1/apps/{}/uploads?format={}", encoded(&args.app), format.suffix());
    let mut add = |name: &str, value: &str| path.push_str(&format!("&{name}={}", encoded(value)));
    if let Some(segment) = &args.segment {
        add("segment", segment);
    }
    if args.segment_only {
        add("segment-only", "true");
    }
    if let Some(budget) = args.max_failures {
        add("max-failures", &budget.to_string());
    }
    args.reading.parameters(&mut add);
    let file = match &location {
        SourceLocation::Path(file) if file.is_dir() => {
            return Err(Usage(format!(
                "{} is a folder: upload its files one by one, or let the server read it as file:// below its local_root",
                file.display()
            ))
            .into());
        }
        SourceLocation::Path(file) => Some(file.as_path()),
        _ => None,
    };
    let name = file.map_or("stdin".into(), |file| file.file_name().unwrap_or_default().to_string_lossy());
    // A name is for people; the server takes 200 characters.
    let name: String = escape_controls(&name).chars().take(200).collect();
    add("name", &name);
    let sent = Arc::<Sent>::default();
    let upload = async {
        match file {
            Some(file) => client.upload_file(&path, file, &sent).await,
            None => client.upload_stdin(&path, &sent).await,
        }
    };
    let answer = tokio::select! {
        answer = upload => answer?,
        never = tell(&sent) => match never {},
    };
    let view: JobView = client.read(answer).await?;
    Ok(view.id)
}

/// Tells how far an upload is.
async fn tell(sent: &Sent) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let (bytes, total) = sent.now();
        let of = if total > 0 { format!(" of {}", HumanBytes(total)) } else { String::new() };
        // A closed standard error is no reason to stop the upload.
        let _ = writeln!(io::stderr(), "{}{of} uploaded", HumanBytes(bytes));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    id: JobId,
}

/// Lets the server read what the URL names.
async fn named(args: &ImportArgs, format: Format, client: &Client) -> anyhow::Result<JobId> {
    if args.max_failures.is_some() {
        return Err(Usage(
            "--max-failures goes with an upload or a data folder: for what a server reads itself, its own budget holds"
                .into(),
        )
        .into());
    }
    let application = match client.application(&args.app).await {
        Ok(application) => application.id.to_string(),
        Err(error) if error.is::<NotThere>() => make(&args.app, client).await?,
        Err(error) => return Err(error),
    };
    let mut body = json!({
        "Format": format,
        "S3Url": args.source,
        "RoleArn": args.role_arn.as_deref().unwrap_or(ROLE),
        "RegisterEndpoints": !args.segment_only,
        "DefineSegment": args.segment.is_some(),
    });
    if let Some(name) = &args.segment {
        let segments = client.segments(&application).await?;
        let found = segments.iter().find(|segment| segment.name == *name || segment.id.to_string() == *name);
        match found {
            Some(segment) => body["SegmentId"] = segment.id.to_string().into(),
            None => body["SegmentName"] = name.as_str().into(),
        }
    }
    let mut path = format!("/v1/apps/{application}/jobs/import");
    args.reading.parameters(&mut |name, value| {
        let mark = if path.contains('?') { '&' } else { '?' };
        path.push_str(&format!("{mark}{name}={}", encoded(value)));
    });
    let job: Named = client.call(Method::POST, &path, Some(body)).await.map_err(not_there)?;
    Ok(job.id)
}

/// Makes an application, as an import into a data folder does on its first use.
async fn make(name: &str, client: &Client) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Made {
        id: String,
    }
    let made: Made = client.call(Method::POST, "/v1/apps", Some(json!({ "Name": name }))).await?;
    Ok(made.id)
}
