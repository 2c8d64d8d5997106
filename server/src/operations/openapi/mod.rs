//! `/openapi.json`: built from the table of routes itself, so that no route can be missing from it.

mod schemas;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json};

use super::Routes;
use crate::{
    http::{Gate, Response, Route},
    limits::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_SEGMENT_NAME, MAX_TOKEN_BYTES},
};

pub(super) fn add(routes: &mut Routes) {
    let document: Arc<OnceLock<String>> = Arc::default();
    let kept = Arc::clone(&document);
    routes.waiting(Route::new("GET", "/openapi.json", "OpenApi").public(), move |_, _| {
        let text = kept.get().cloned().unwrap_or_default();
        async { Ok(Response::bytes("application/json", text)) }
    });
    let text = build(routes.router.routes()).to_string();
    let _ = document.set(text);
}

/// How an operation is described: a sentence, its query parameters, its success and what that holds.
struct Described {
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    status: u16,
    /// The types that the answer may have, with commas between.
    content: &'static str,
}

const PAGE: &[(&str, &str)] =
    &[("page-size", "1 to 1000, default 200"), ("token", "NextToken of the page before")];
const STRICT_NAMES: (&str, &str) = (
    "strict-names",
    "true: a column or member whose name is nearly a known one refuses its object or fails its record",
);
const DELIMITER: (&str, &str) =
    ("delimiter", "The separator of CSV cells: a character, or tab; detected from the header if absent");
const ENCODING: (&str, &str) = (
    "encoding",
    "The encoding of the text, such as windows-1252; UTF-8 if absent, or UTF-16 where that is seen",
);
const ESCAPE: (&str, &str) =
    ("escape", "How quotes within quoted CSV cells are escaped: auto, double or backslash");
const ALLOW_SUSPICIOUS: (&str, &str) =
    ("allow-suspicious", "true: ids and addresses that a spreadsheet or a database has spoilt are kept");
const ALLOW_INCOMPLETE: (&str, &str) =
    ("allow-incomplete", "true: a record with an Id makes an endpoint also without Address or ChannelType");
const MAP: (&str, &str) = ("map", "What columns and members become: a Mapping, as JSON");
const JSON: &str = "application/json";

#[expect(clippy::too_many_lines, reason = "a table")]
fn described(name: &str) -> Option<Described> {
    let plain = |summary, status| Described { summary, query: &[], status, content: JSON };
    let paged = |summary| Described { summary, query: PAGE, status: 200, content: JSON };
    Some(match name {
        "CreateApp" => plain("Makes an application", 201),
        "GetApps" => paged("Lists applications"),
        "GetApp" => plain("An application", 200),
        "DeleteApp" => plain("Deletes an application with all that it has", 200),
        "CreateImportJob" => Described {
            query: &[
                (
                    "max-failures",
                    "Failed records before the job is given up: a number, or a share such as 1% (pinport's own)",
                ),
                STRICT_NAMES,
                DELIMITER,
                ENCODING,
                ESCAPE,
                ALLOW_SUSPICIOUS,
                ALLOW_INCOMPLETE,
                MAP,
            ],
            ..plain("Creates an import job", 201)
        },
        "GetImportJobs" => paged("Lists the import jobs of an application, newest first"),
        "GetImportJob" => plain("An import job", 200),
        "GetSegmentImportJobs" => paged("Lists the import jobs of a segment, newest first"),
        "CreateExportJob" => plain("Creates an export job", 202),
        "GetExportJobs" => paged("Lists the export jobs of an application, newest first"),
        "GetExportJob" => plain("An export job", 200),
        "GetSegmentExportJobs" => paged("Lists the export jobs of a segment, newest first"),
        "ExportEndpoints" => Described {
            query: &[
                ("format", "csv, parquet or json, the default"),
                ("segment", "A segment whose members are written, by name or id; all endpoints if absent"),
                ("version", "A version of the segment; the current one if absent"),
                ("columns", "The columns of CSV, with commas between; all that have a value if absent"),
                (
                    "compression",
                    "What the pages of Parquet are compressed with: none, gzip or zstd, the default",
                ),
            ],
            content: "*/*",
            ..plain(
                "The endpoints of an application or a segment in order of id, as an import reads them",
                200,
            )
        },
        "GetSegments" => paged("Lists the segments of an application"),
        "CreateSegment" => plain("Makes a segment of dimensions or groups", 201),
        "UpdateSegment" => plain("Gives a segment a name, or dimensions or groups as a new version", 200),
        "GetSegment" => plain("A segment at its current version", 200),
        "DeleteSegment" => plain("Deletes a segment, not its endpoints", 200),
        "GetSegmentVersions" => paged("Lists the versions of a segment, newest first"),
        "GetSegmentVersion" => plain("A version of a segment", 200),
        "GetEndpoint" => plain("An endpoint", 200),
        "UpdateEndpoint" => plain("Makes or updates an endpoint", 202),
        "DeleteEndpoint" => plain("Deletes an endpoint", 202),
        "UpdateEndpointsBatch" => plain("Makes or updates up to 100 endpoints", 202),
        "GetUserEndpoints" => plain("The endpoints of a user", 200),
        "DeleteUserEndpoints" => plain("Deletes the endpoints of a user", 202),
        "GetApplicationSettings" => plain("The settings of an application", 200),
        "UpdateApplicationSettings" => plain("Changes the settings of an application that are given", 200),
        "GetChannels" => plain("The channels of an application: none", 200),
        "GetCampaigns" => paged("The campaigns of an application: none"),
        "ListJourneys" => paged("The journeys of an application: none"),
        "ListTemplates" => Described {
            query: &[
                ("page-size", "1 to 1000"),
                ("next-token", "None is ever given out"),
                ("prefix", "What names begin with"),
                ("template-type", "Which kind"),
            ],
            ..plain("Message templates: none", 200)
        },
        "GetRecommenderConfigurations" => paged("Recommender configurations: none"),
        "GetEventStream" => plain("The event stream of an application: always a 404", 200),
        "RemoveAttributes" => plain("Takes attributes from all endpoints of an application", 200),
        "PhoneNumberValidate" => plain("What a phone number says by itself", 200),
        "PutEvents" => plain("Updates the endpoints in it, and drops the events", 202),
        "ListTagsForResource" => plain("The tags of an application or segment", 200),
        "TagResource" => plain("Adds tags", 204),
        "UntagResource" => Described {
            query: &[("tagKeys", "A tag to remove; may be repeated")],
            ..plain("Removes tags", 204)
        },
        "ListJobs" => Described {
            query: &[
                ("app", "Only jobs of this application, by name or id"),
                ("status", "Only jobs with this status; may be repeated"),
                ("ended", "true: only ended jobs; false: only others"),
                ("page-size", "1 to 1000, default 200"),
                ("token", "next_token of the page before"),
            ],
            ..plain("Lists the jobs of all applications, newest first", 200)
        },
        "ListSources" => Described {
            query: &[
                (
                    "prefix",
                    "How their URLs begin; empty for the buckets and folders that the configuration names",
                ),
                ("role", "The RoleArn of the import"),
            ],
            ..plain("Files, folders, objects and prefixes that the caller may import, at most 100", 200)
        },
        "GetJob" => plain("A job with its objects, pieces, stages and failures by kind", 200),
        "GetJobFailures" => Described {
            query: &[
                ("search", "Only failures whose text has all of these words, in any case"),
                ("code", "Only failures with this code"),
                ("member", "Only failures of this member, as the classes of failures name it"),
                ("page-size", "1 to 1000, default 200"),
                (
                    "token",
                    "x-pinport-next-token of the page before. A page may have few failures or none and be followed by others: a request searches 16 MiB",
                ),
            ],
            content: "application/x-ndjson",
            ..plain("Every failed record of a job, or with any of the parameters a page of them", 200)
        },
        "GetJobRejects" => Described {
            query: &[
                ("part", "Which rejects file, from 1; x-pinport-parts tells how many there are"),
                (
                    "byte",
                    "Only from this byte of the file on, as the `reject` of a failure says; 0 if absent",
                ),
                ("bytes", "Only so many bytes; to the end if absent"),
            ],
            content: "*/*",
            ..plain("The original bytes of the failed records", 200)
        },
        "VerifyJob" => Described {
            content: "application/x-ndjson",
            ..plain(
                "Reads the source of an ended import again and compares what it says with what is stored. A line each second has `Progress`; the last has `Report` (counts, and the first differences with object, line and member) or `Error`. To hang up stops it",
                200,
            )
        },
        "CancelJob" => plain("Cancels a job; what it committed stays", 200),
        "PauseJob" => plain("Lets a job rest until it is resumed", 200),
        "ResumeJob" => plain("Lets a paused job go on", 200),
        "DeleteJob" => {
            plain("Deletes an ended job with its failures and rejects; what it registered stays", 200)
        }
        "GetJobThrottle" => plain("How fast a job that has not ended may read", 200),
        "ThrottleJob" => plain("Changes how fast a job may read; what is absent has no bound", 202),
        "GetThrottle" => plain("How fast all jobs together may read", 200),
        "Throttle" => plain("Changes that, until the server ends", 202),
        "SetJobWebhook" => {
            plain("Calls a URL when the job ends or stands still, if the configuration allows it", 202)
        }
        "CreateSnapshot" => {
            plain("Makes a snapshot of the data folder, for a backup on the server's machine", 201)
        }
        "DeleteSnapshot" => plain("Removes a snapshot", 204),
        "FindApp" => plain("An application, by name or id", 200),
        "ListSegments" => Described {
            query: &[("page-size", "1 to 1000, default 200"), ("token", "next_token of the page before")],
            ..plain("Lists the segments of an application with all their versions", 200)
        },
        "GetSegmentMembers" => Described {
            query: &[("version", "A version; the current one if absent")],
            content: "application/x-ndjson",
            ..plain("The members of a segment in order of id", 200)
        },
        "UploadFile" => Described {
            query: &[
                ("format", "csv or json"),
                ("segment", "A segment to make or to add to, by name or id"),
                ("segment-only", "true: the segment holds copies, no endpoint is registered"),
                ("name", "What the file is called"),
                (
                    "max-failures",
                    "Failed records before the job is given up: a number, or a share such as 1%",
                ),
                STRICT_NAMES,
                DELIMITER,
                ENCODING,
                ESCAPE,
                ALLOW_SUSPICIOUS,
                ALLOW_INCOMPLETE,
                MAP,
            ],
            ..plain("Imports the file in the body", 201)
        },
        "RetryJob" => Described {
            query: &[("name", "What the records are called")],
            ..plain(
                "Imports the mended records of an ended job, in the body, as the job did: same application, segment, format and options",
                201,
            )
        },
        "StreamEvents" => {
            Described { content: "text/event-stream", ..plain("Samples of all jobs as they happen", 200) }
        }
        "Live" => Described { content: "text/plain", ..plain("Whether the process lives", 200) },
        "Ready" => Described { content: "text/plain", ..plain("Whether jobs can run", 200) },
        "Metrics" => Described {
            content: "text/plain, application/openmetrics-text",
            ..plain("Metrics for Prometheus, in the form that Accept names", 200)
        },
        "OpenApi" => plain("This document", 200),
        "Home" => Described { content: "text/html", ..plain("A page that says what this is", 200) },
        _ => return None,
    })
}

/// Whether a parameter of a query has to be there, and what it may be.
fn parameter(operation: &str, name: &str) -> (bool, Value) {
    let schema = match name {
        "page-size" => json!({
            "type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE,
        }),
        "token" => json!({ "type": "string", "maxLength": MAX_TOKEN_BYTES }),
        "segment" => json!({ "type": "string", "maxLength": MAX_SEGMENT_NAME }),
        "byte" | "bytes" => json!({ "type": "integer", "minimum": 0 }),
        "part" | "version" => json!({ "type": "integer", "minimum": 1 }),
        "format" => json!({ "type": "string", "enum": ["csv", "json"] }),
        "ended" | "segment-only" | "strict-names" | "allow-suspicious" | "allow-incomplete" => {
            json!({ "type": "boolean" })
        }
        _ => json!({ "type": "string" }),
    };
    (matches!((operation, name), ("UploadFile", "format") | ("UntagResource", "tagKeys")), schema)
}

pub(super) fn build(routes: impl Iterator<Item = Route>) -> Value {
    let mut paths: BTreeMap<&str, serde_json::Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let described = described(route.name);
        debug_assert!(described.is_some(), "nothing describes {}", route.name);
        let Some(described) = described else { continue };
        let in_path = route.pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        );
        let in_query = described.query.iter().map(|(name, help)| {
            let (required, schema) = parameter(route.name, name);
            json!({ "name": name, "in": "query", "description": help, "required": required, "schema": schema })
        });
        let mut success = json!({ "description": described.summary });
        let (answer, body) = schemas::of(route.name);
        if described.status != 204 {
            // Of lines and of events, this is each one.
            let key = if described.content == JSON { "schema" } else { "x-item-schema" };
            let content = answer.map_or_else(|| json!({}), |name| json!({ key: schemas::named(name) }));
            for kind in described.content.split(", ") {
                success["content"][kind] = content.clone();
            }
        }
        let mut operation = json!({
            "operationId": route.name,
            "summary": described.summary,
            "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
            "responses": {
                described.status.to_string(): success,
                "default": { "$ref": "#/components/responses/Error" },
            },
        });
        match route.gate {
            Gate::Public => operation["security"] = json!([]),
            Gate::Scraped => operation["security"] = json!([{ "sigv4": [] }, { "metricsToken": [] }]),
            Gate::Signed => {}
        }
        // A snapshot is asked for without a word.
        if matches!(route.method, "POST" | "PUT") && described.status != 200 && route.name != "CreateSnapshot"
        {
            let content = match body {
                Some(name) => json!({ JSON: { "schema": schemas::named(name) } }),
                None => json!({ "application/octet-stream": {} }),
            };
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        paths.entry(route.pattern).or_default().insert(route.method.to_ascii_lowercase(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pinport",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Amazon Pinpoint's import and export jobs (/v1, as the service model has them) and pinport's own operations (/pinport/v1).",
        },
        "security": [{ "sigv4": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "AWS Signature Version 4, service mobiletargeting; not needed while no keys are configured",
                },
                "metricsToken": {
                    "type": "http", "scheme": "bearer",
                    "description": "The token in [metrics] of the configuration",
                },
            },
            "responses": {
                "Error": {
                    "description": "What went wrong; x-amzn-ErrorType has its name",
                    "content": { JSON: { "schema": schemas::named("MessageBody") } },
                },
            },
            "schemas": schemas::all(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_members_and_bounds_are_documented() {
        let upload = Route::new("POST", "/pinport/v1/apps/{application-id}/uploads", "UploadFile");
        let list = Route::new("GET", "/v1/apps", "GetApps");
        let document = build([upload, list].into_iter());
        let parameter = |pattern: &str, method: &str, name: &str| {
            let all = document["paths"][pattern][method]["parameters"].as_array().unwrap();
            all.iter().find(|parameter| parameter["name"] == name).unwrap().clone()
        };
        let format = parameter(upload.pattern, "post", "format");
        assert_eq!((&format["required"], &format["schema"]["enum"]), (&json!(true), &json!(["csv", "json"])));
        let size = parameter(list.pattern, "get", "page-size");
        assert_eq!((&size["required"], &size["schema"]["maximum"]), (&json!(false), &json!(1000)));

        let schemas = &document["components"]["schemas"];
        let request = &schemas["ImportJobRequest"];
        assert_eq!(request["required"], json!(["Format", "RoleArn", "S3Url"]));
        let bounds = |schema: &str, member: &str, bound: &str| {
            schemas[schema]["properties"][member][bound].as_u64().unwrap()
        };
        assert_eq!(bounds("ImportJobRequest", "SegmentName", "maxLength"), 64);
        assert_eq!(bounds("ImportJobRequest", "RoleArn", "minLength"), 1);
        assert_eq!(bounds("ImportJobRequest", "RoleArn", "maxLength"), crate::limits::MAX_ROLE_ARN as u64);
        assert_eq!(bounds("ImportJobRequest", "S3Url", "maxLength"), crate::limits::MAX_S3_URL as u64);
        assert_eq!(
            bounds("ImportJobRequest", "ExternalId", "maxLength"),
            crate::limits::MAX_EXTERNAL_ID as u64
        );
        assert_eq!(bounds("CreateApplicationRequest", "Name", "maxLength"), 64);
        assert_eq!(bounds("EndpointBatchRequest", "Item", "maxItems"), 100);
        assert_eq!(bounds("TagsModel", "tags", "maxProperties"), 50);
    }

    #[test]
    fn path_parameters_are_documented() {
        let document = build([Route::new("GET", "/v1/apps/{application-id}", "GetApp")].into_iter());
        let operation = &document["paths"]["/v1/apps/{application-id}"]["get"];
        assert_eq!(operation["parameters"][0]["name"], "application-id");
        assert_eq!(operation["operationId"], "GetApp");
    }
}
