//! `pinport segment`: reads segments and their members, and makes segments of what members have in common.

use std::{
    io::{self, BufWriter, Write as _},
    ops::ControlFlow,
};

use anyhow::Context as _;
use pinport_model::{Segment, criteria, escape_controls};
use pinport_pipeline::export::{Lines, ROOM, Rows};
use pinport_store::{
    Scope, StoreError,
    ranges::{Spare, in_order},
    record::write::json::{JsonWriter, Order},
};

use reqwest::Method;

use super::{asked::Asked, write_line};
use crate::{
    cli::{AppArgs, SegmentCommand},
    client::{Client, encoded, not_there},
    exit::Usage,
    follow::block_on,
};

pub(super) fn run(command: SegmentCommand) -> anyhow::Result<()> {
    match command {
        SegmentCommand::Ls { app, json } => list(&app, json),
        SegmentCommand::Create { name, tests, app, print } => create(&name, &tests, &app, print),
        SegmentCommand::Members { name, version, app } => members(&name, version, &app),
        SegmentCommand::Delete { name, app } => delete(&name, &app),
    }
}

fn list(args: &AppArgs, json: bool) -> anyhow::Result<()> {
    let AppArgs { app, data, remote } = args;
    let segments = match Asked::of(remote, data.place())? {
        Asked::Server(server) => {
            let client = Client::new(&server)?;
            block_on(async { client.segments(app).await.map_err(not_there) })?
        }
        Asked::Data(data) => data.segments(data.application(app)?.id)?,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if !json {
        writeln!(out, "{:<32}  {:>7}  {:>12}  {:<24}  NAME", "ID", "VERSION", "SIZE", "MODIFIED")?;
    }
    for segment in segments {
        if json {
            write_line(&mut out, &segment)?;
        } else {
            writeln!(out, "{}", row(&segment))?;
        }
    }
    Ok(out.flush()?)
}

fn delete(name: &str, args: &AppArgs) -> anyhow::Result<()> {
    let AppArgs { app, data, remote } = args;
    let missing = || format!("application \"{app}\" has no segment \"{name}\"");
    let id = match Asked::of(remote, data.place())? {
        Asked::Server(server) => {
            let client = Client::new(&server)?;
            block_on(async {
                let segments = client.segments(app).await.map_err(not_there)?;
                let by_id = segments.iter().find(|segment| segment.id.to_string() == name);
                let found = by_id.or_else(|| segments.iter().find(|segment| segment.name == name));
                let found = found.with_context(missing)?;
                let path = format!("/v1/apps/{}/segments/{}", found.application, found.id);
                client.send(reqwest::Method::DELETE, &path, None).await.map_err(not_there)?;
                Ok(found.id)
            })?
        }
        Asked::Data(data) => {
            let application = data.application(app)?;
            let segment = data.find_segment(application.id, name)?.with_context(missing)?;
            data.store.delete_segment(application.id, segment.id)?;
            segment.id
        }
    };
    Ok(writeln!(io::stderr(), "segment {id} is deleted; its endpoints stay")?)
}

fn row(segment: &Segment) -> String {
    let Segment { id, name, modified, .. } = segment;
    let (version, size) = segment.current().map_or((0, 0), |version| (version.version, version.size));
    let partial = segment.current().is_some_and(|version| version.partial);
    let note = match (version, partial, segment.criteria()) {
        (_, _, Some(_)) => match segment.current().and_then(|version| version.counted) {
            Some(counted) => format!("  (found by its dimensions; counted {counted})"),
            None => "  (found by its dimensions; not counted yet)".into(),
        },
        (0, ..) => "  (its first import has not ended)".into(),
        (_, true, _) => "  (partial: its last import did not complete)".into(),
        _ => String::new(),
    };
    format!("{id}  {version:>7}  {size:>12}  {modified}  {}{note}", escape_controls(name))
}

fn create(name: &str, tests: &str, args: &AppArgs, print: bool) -> anyhow::Result<()> {
    let criteria = criteria::parse(tests)
        .map_err(|error| Usage(format!("--where: {}", escape_controls_of_lines(&error.pointed(tests)))))?;
    let mut request = serde_json::to_value(&criteria)?;
    request["Name"] = name.into();
    if print {
        return write_line(&mut io::stdout().lock(), &request);
    }
    let AppArgs { app, data, remote } = args;
    let id = match Asked::of(remote, data.place())? {
        Asked::Server(server) => {
            let client = Client::new(&server)?;
            block_on(async {
                let application = client.application(app).await?.id;
                let path = format!("/v1/apps/{application}/segments");
                let made: serde_json::Value =
                    client.call(Method::POST, &path, Some(request)).await.map_err(not_there)?;
                anyhow::Ok(made["Id"].as_str().unwrap_or_default().to_owned())
            })?
        }
        Asked::Data(data) => {
            let application = data.application(app)?.id;
            let segment = Segment::of_criteria(application, Some(name.into()), Default::default(), criteria);
            data.store.create_segment(&segment).map_err(|error| match error {
                StoreError::Criteria(reason) => Usage(format!("--where: {reason}")).into(),
                error => anyhow::Error::from(error),
            })?;
            // No server counts it in the background.
            if let Some(version) = segment.current()
                && let Some(count) = data.store.count_members(&segment, version, &|| true)?
            {
                data.store.save_count(&segment, version.version, &count)?;
                writeln!(io::stderr(), "segment \"{}\": {} members", escape_controls(name), count.size)?;
            }
            segment.id.to_string()
        }
    };
    Ok(writeln!(io::stdout(), "{id}")?)
}

/// Lines of text with nothing in them that a terminal would obey.
fn escape_controls_of_lines(text: &str) -> String {
    text.lines().map(|line| escape_controls(line).into_owned()).collect::<Vec<_>>().join("\n")
}

fn members(name: &str, version: Option<u32>, args: &AppArgs) -> anyhow::Result<()> {
    let AppArgs { app, data, remote } = args;
    let data = match Asked::of(remote, data.place())? {
        Asked::Server(server) => {
            let client = Client::new(&server)?;
            let version = version.map(|version| format!("?version={version}")).unwrap_or_default();
            let (app, name) = (encoded(app), encoded(name));
            let path = format!("/pinport/v1/apps/{app}/segments/{name}/members{version}");
            return block_on(client.print(&path));
        }
        Asked::Data(data) => data,
    };
    let application = data.application(app)?;
    let segment = data.find_segment(application.id, name)?;
    let segment = segment.with_context(|| format!("application \"{app}\" has no segment \"{name}\""))?;
    let version = match version {
        Some(number) => data.store.segment_version(&segment, number)?,
        None => segment.current().cloned(),
    };
    let Some(version) = version else {
        anyhow::bail!(
            "segment \"{name}\" has no such version; `pinport segment ls` shows the current one, and the {} \
             newest are kept",
            pinport_model::segment::VERSIONS_KEPT
        );
    };
    let rows = Rows::Json(Box::new(JsonWriter::new(application.id, Order::Model)));
    let mut out = io::stdout().lock();
    let spare = Spare::default();
    let mut gather = || Lines::new(rows.clone(), &spare);
    let from = (Scope::Version(&segment, &version), None);
    in_order(&*data.store, from, ROOM, &mut gather, &mut |text| {
        out.write_all(text.as_bytes())?;
        spare.give(text);
        Ok::<_, anyhow::Error>(ControlFlow::Continue(()))
    })?;
    Ok(out.flush()?)
}
