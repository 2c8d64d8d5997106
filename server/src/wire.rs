//! The service model's JSON: members, names and bounds as Amazon Pinpoint's clients expect them.

use pinport_model::{Format, ImportJob, JobKind, JobStatus};
use serde::Serialize;

/// A job as the service answers it, with what its caller asked for. Members without a value are omitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the members are the service model's")]
pub struct JobResponse<Definition> {
    pub application_id: String,
    pub completed_pieces: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_date: Option<String>,
    pub creation_date: String,
    pub definition: Definition,
    pub failed_pieces: i32,
    pub failures: Vec<String>,
    pub id: String,
    pub job_status: JobStatus,
    pub total_failures: i32,
    pub total_pieces: i32,
    pub total_processed: i32,
    #[serde(rename = "Type")]
    pub kind: &'static str,
}

/// `ImportJobResponse`: an import job as `GetImportJob` answers it.
pub type ImportJobResponse = JobResponse<ImportJobResource>;

/// `ExportJobResponse`: an export job as `GetExportJob` answers it.
pub type ExportJobResponse = JobResponse<ExportJobResource>;

/// `ImportJobResource`: what the caller asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the members are the service model's")]
pub struct ImportJobResource {
    pub define_segment: bool,
    pub external_id: String,
    pub format: Format,
    pub register_endpoints: bool,
    pub role_arn: String,
    #[serde(rename = "S3Url")]
    pub s3_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_name: Option<String>,
}

/// How many failures a job shows.
pub const MAX_FAILURES: usize = 100;

/// The wire form of a job. `failures` are its first failures in source order, `account` the 12-digit id that
/// stands in for a missing `ExternalId`.
pub fn import_job_response(job: &ImportJob, mut failures: Vec<String>, account: &str) -> ImportJobResponse {
    debug_assert!(failures.len() <= MAX_FAILURES);
    failures.extend(job.left_out_note().filter(|_| failures.len() < MAX_FAILURES));
    let definition = &job.definition;
    let asked = ImportJobResource {
        define_segment: definition.asked_to_define.unwrap_or(definition.segment.is_some()),
        external_id: definition.external_id.clone().unwrap_or_else(|| account.to_owned()),
        format: definition.format,
        register_endpoints: definition.register_endpoints,
        role_arn: definition.role_arn.clone().unwrap_or_default(),
        s3_url: definition.source_text.clone(),
        segment_id: definition.segment.map(|segment| segment.to_string()),
        segment_name: definition.segment_name.clone(),
    };
    response(job, JobKind::Import, asked, failures)
}

/// A job of either kind, as lists have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum ListedJob {
    Import(Box<ImportJobResponse>),
    Export(Box<ExportJobResponse>),
}

/// `ExportJobResource`: what the caller asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the members are the service model's")]
pub struct ExportJobResource {
    pub role_arn: String,
    #[serde(rename = "S3UrlPrefix")]
    pub s3_url_prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_version: Option<u32>,
}

/// The wire form of an export job. Why it failed, if it did, is its one failure: the shape has no other place for it.
pub fn export_job_response(job: &ImportJob) -> ExportJobResponse {
    let definition = &job.definition;
    let export = definition.export.as_deref();
    let failures = job.error.as_deref().map(|error| pinport_model::escape_controls(error).into_owned());
    let asked = ExportJobResource {
        role_arn: definition.role_arn.clone().unwrap_or_default(),
        s3_url_prefix: definition.source_text.clone(),
        segment_id: export.and_then(|export| export.segment).map(|segment| segment.to_string()),
        segment_version: export.and_then(|export| export.asked_version),
    };
    response(job, JobKind::Export, asked, failures.into_iter().collect())
}

fn response<D>(job: &ImportJob, kind: JobKind, definition: D, failures: Vec<String>) -> JobResponse<D> {
    JobResponse {
        application_id: job.definition.application.to_string(),
        completed_pieces: clamp(job.completed_pieces),
        completion_date: job.completed.map(|time| time.to_string()),
        creation_date: job.created.to_string(),
        definition,
        failed_pieces: clamp(job.failed_pieces),
        failures,
        id: job.id.to_string(),
        job_status: job.status,
        total_failures: clamp(job.failed()),
        total_pieces: total_pieces(job),
        total_processed: clamp(job.tally.read),
        kind: kind.as_str(),
    }
}

/// The pieces of a job, as far as known: what was done, once it has ended.
fn total_pieces(job: &ImportJob) -> i32 {
    let planned = job.plan.as_ref().map_or(0, |plan| plan.pieces);
    let done = job.completed_pieces + job.failed_pieces;
    clamp(if job.status.is_terminal() { done } else { planned.max(done) })
}

/// A counter on the wire: typed clients fail the whole call above 32 bits.
pub(crate) fn clamp(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use pinport_model::{ApplicationId, ImportDefinition, JobId, SegmentId, Tally, Timestamp};

    use super::*;

    fn job() -> ImportJob {
        let id = JobId::from_bytes([7; 16]);
        let definition = ImportDefinition {
            segment: Some(SegmentId::from(id)),
            role_arn: Some("role".into()),
            ..ImportDefinition::new(
                ApplicationId::from_bytes([1; 16]),
                "s3://bucket/key".parse().unwrap(),
                Format::Json,
                1,
            )
        };
        ImportJob::new(id, definition, Timestamp::from_millis(0))
    }

    #[test]
    fn members_have_the_names_of_the_service_model() {
        let response = import_job_response(&job(), vec!["a".into()], "000000000000");
        let json = serde_json::to_value(&response).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "ApplicationId": "01".repeat(16),
                "CompletedPieces": 0,
                "CreationDate": "1970-01-01T00:00:00.000Z",
                "Definition": {
                    "DefineSegment": true, "ExternalId": "000000000000", "Format": "JSON",
                    "RegisterEndpoints": true, "RoleArn": "role", "S3Url": "s3://bucket/key",
                    "SegmentId": "07".repeat(16),
                },
                "FailedPieces": 0, "Failures": ["a"], "Id": "07".repeat(16), "JobStatus": "CREATED",
                "TotalFailures": 0, "TotalPieces": 0, "TotalProcessed": 0, "Type": "IMPORT",
            })
        );
    }

    #[test]
    fn counters_stop_at_32_bits() {
        let mut job = job();
        job.tally = Tally { read: 5_000_000_000, ..Tally::default() };
        assert_eq!(import_job_response(&job, Vec::new(), "").total_processed, i32::MAX);
    }
}
