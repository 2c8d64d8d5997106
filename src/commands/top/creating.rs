//! Import jobs that are made through the API, and the application of each with them.

use pinport_model::{Format, JobId, SourceLocation};
use pinport_tui::ImportRequest;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, ClientError, encoded};

/// The role of imports that are made here: a server that asks for configured roles says so.
pub(super) const ROLE: &str = "arn:aws:iam::000000000000:role/pinport-top";

/// Makes an import job through the API; gives it and says in a sentence which it is, or why not.
pub(in crate::commands) async fn create(
    client: &Client,
    import: ImportRequest,
) -> Result<(JobId, String), String> {
    let url = match &import.source {
        SourceLocation::Bucket { .. } => import.source_text.clone(),
        SourceLocation::Path(path) if path.is_absolute() => format!("file://{}", path.display()),
        SourceLocation::Path(_) | SourceLocation::Stdin => {
            return Err("the server reads s3://, gs://, az:// or an absolute path on its own machine".into());
        }
    };
    let format = match import.format {
        Format::Csv => "CSV",
        Format::Json => "JSON",
    };
    let mut body = json!({
        "Format": format,
        "S3Url": url,
        "RoleArn": ROLE,
        "RegisterEndpoints": import.register_endpoints,
        "DefineSegment": import.segment_name.is_some(),
    });
    if let Some(name) = &import.segment_name {
        body["SegmentName"] = name.as_str().into();
    }
    let create = async {
        let application = application(client, &import.application).await?;
        let budget = import.max_failures.map(|budget| encoded(&budget.to_string()));
        let budget = budget.map(|budget| format!("?max-failures={budget}")).unwrap_or_default();
        let path = format!("/v1/apps/{application}/jobs/import{budget}");
        client.call::<Named>(Method::POST, &path, Some(body)).await
    };
    let job = create.await.map_err(|error| error.to_string())?;
    let id = job.id.parse().map_err(|_| format!("the server's answer names no job: \"{}\"", job.id))?;
    Ok((id, format!("job {id} imports {url}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Applications {
    item: Vec<Named>,
    next_token: Option<String>,
}

/// The id of an application by its name or id, made on its first use.
async fn application(client: &Client, name: &str) -> Result<String, ClientError> {
    let mut token = String::new();
    loop {
        let path = format!("/v1/apps?page-size=1000&token={token}");
        let page: Applications = client.call(Method::GET, &path, None).await?;
        let is = |found: &Named| found.name.as_deref() == Some(name) || found.id == name;
        if let Some(found) = page.item.into_iter().find(is) {
            return Ok(found.id);
        }
        match page.next_token {
            Some(next) if next != token => token = next,
            _ => break,
        }
    }
    let body: Value = json!({ "Name": name });
    let made: Named = client.call(Method::POST, "/v1/apps", Some(body)).await?;
    Ok(made.id)
}
