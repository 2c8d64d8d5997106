//! What bodies hold, for `/openapi.json`. Written down here in a short form, in one line or a few for each shape; the
//! tests of the operations hold every answer against it, so that a member that is added and not told fails them.

use pinport_model::{
    Channel, EndpointStatus, FailureCode, Format, JobStatus, OptOut,
    criteria::{AttributeType, Combine, Comparison, DimensionType, Duration, RecencyType},
};
use serde_json::{Map, Value, json};

/// `name: type` of each member, `name?` of one that may be absent. A type is a name, `[type]`, `{type}` for a map by
/// names, `type|null`. `type(a..b)` bounds the characters of a string, the items of a list and the members of a map.
const OBJECTS: &[(&str, &str)] = &[
    // The service model's.
    ("MessageBody", "RequestID: string, Message: string"),
    ("CreateApplicationRequest", "Name: string(1..64), tags?: {string}(0..50)"),
    ("ApplicationResponse", "Arn: string, CreationDate: time, Id: string, Name: string, tags: {string}"),
    ("ApplicationsResponse", "Item: [ApplicationResponse], NextToken: string|null"),
    (
        "ImportJobRequest",
        "DefineSegment?: boolean, ExternalId?: string(0..1224), Format: Format, RegisterEndpoints?: boolean, \
         RoleArn: string(1..2048), S3Url: string(1..2048), SegmentId?: string, SegmentName?: string(0..64)",
    ),
    (
        "ImportJobResource",
        "DefineSegment: boolean, ExternalId: string, Format: Format, RegisterEndpoints: boolean, RoleArn: string, \
         S3Url: string, SegmentId?: string, SegmentName?: string",
    ),
    (
        "ImportJobResponse",
        "ApplicationId: string, CompletedPieces: int32, CompletionDate?: time, CreationDate: time, \
         Definition: ImportJobResource, FailedPieces: int32, Failures: [string], Id: string, JobStatus: JobStatus, \
         TotalFailures: int32, TotalPieces: int32, TotalProcessed: int32, Type: string",
    ),
    (
        "ExportJobRequest",
        "RoleArn: string(1..2048), S3UrlPrefix: string(1..2048), SegmentId?: string, SegmentVersion?: int32",
    ),
    ("ExportJobResource", "RoleArn: string, S3UrlPrefix: string, SegmentId?: string, SegmentVersion?: int32"),
    (
        "ExportJobResponse",
        "ApplicationId: string, CompletedPieces: int32, CompletionDate?: time, CreationDate: time, \
         Definition: ExportJobResource, FailedPieces: int32, Failures: [string], Id: string, JobStatus: JobStatus, \
         TotalFailures: int32, TotalPieces: int32, TotalProcessed: int32, Type: string",
    ),
    ("ExportJobsResponse", "Item: [ExportJobResponse], NextToken: string|null"),
    ("ImportJobsResponse", "Item: [ImportJobResponse], NextToken: string|null"),
    (
        "SegmentImportResource",
        "ChannelCounts: {int32}, ExternalId: string, Format: Format, RoleArn: string, S3Url: string, Size: int32",
    ),
    (
        "SegmentResponse",
        "ApplicationId: string, Arn: string, CreationDate: time, Dimensions?: SegmentDimensions, Id: string, \
         ImportDefinition?: SegmentImportResource, LastModifiedDate: time, Name: string, \
         SegmentGroups?: SegmentGroupList, SegmentType: string, Version: int32, tags: {string}",
    ),
    (
        "WriteSegmentRequest",
        "Dimensions?: SegmentDimensions, Name?: string(0..64), SegmentGroups?: SegmentGroupList, tags?: {string}(0..50)",
    ),
    ("SegmentGroupList", "Groups?: [SegmentGroup](0..20), Include?: Combine"),
    (
        "SegmentGroup",
        "Dimensions?: [SegmentDimensions], SourceSegments?: [SegmentReference], SourceType?: Combine, Type?: Combine",
    ),
    ("SegmentReference", "Id: string, Version?: int32"),
    (
        "SegmentDimensions",
        "Attributes?: {AttributeDimension}, Behavior?: SegmentBehaviors, Demographic?: SegmentDemographics, \
         Location?: SegmentLocation, Metrics?: {MetricDimension}, UserAttributes?: {AttributeDimension}",
    ),
    ("AttributeDimension", "AttributeType?: AttributeType, Values: [string](1..200)"),
    ("SegmentBehaviors", "Recency?: RecencyDimension"),
    ("RecencyDimension", "Duration: Duration, RecencyType: RecencyType"),
    (
        "SegmentDemographics",
        "AppVersion?: SetDimension, Channel?: SetDimension, DeviceType?: SetDimension, Make?: SetDimension, \
         Model?: SetDimension, Platform?: SetDimension",
    ),
    ("SetDimension", "DimensionType?: DimensionType, Values: [string](1..200)"),
    ("SegmentLocation", "Country?: SetDimension, GPSPoint?: GPSPointDimension"),
    ("GPSPointDimension", "Coordinates: GPSCoordinates, RangeInKilometers?: number"),
    ("GPSCoordinates", "Latitude: number, Longitude: number"),
    ("MetricDimension", "ComparisonOperator: Comparison, Value: number"),
    ("SegmentsResponse", "Item: [SegmentResponse], NextToken: string|null"),
    (
        "EndpointDemographic",
        "AppVersion?: string, Locale?: string, Make?: string, Model?: string, ModelVersion?: string, \
         Platform?: string, PlatformVersion?: string, Timezone?: string",
    ),
    (
        "EndpointLocation",
        "City?: string, Country?: string, Latitude?: number, Longitude?: number, PostalCode?: string, Region?: string",
    ),
    ("EndpointUser", "UserAttributes?: {[string]}, UserId?: string"),
    ("EndpointUserResponse", "UserAttributes: {[string]}, UserId?: string"),
    (
        "EndpointRequest",
        "Address?: string, Attributes?: {[string]}, ChannelType?: string, Demographic?: EndpointDemographic, \
         EffectiveDate?: string, EndpointStatus?: string, Location?: EndpointLocation, Metrics?: {number}, \
         OptOut?: string, RequestId?: string, User?: EndpointUser",
    ),
    (
        "EndpointBatchItem",
        "Id: string, Address?: string, Attributes?: {[string]}, ChannelType?: string, \
         Demographic?: EndpointDemographic, EffectiveDate?: string, EndpointStatus?: string, \
         Location?: EndpointLocation, Metrics?: {number}, OptOut?: string, RequestId?: string, User?: EndpointUser",
    ),
    ("EndpointBatchRequest", "Item: [EndpointBatchItem](0..100)"),
    (
        "EndpointResponse",
        "Address?: string, ApplicationId: string, Attributes: {[string]}, ChannelType?: ChannelType, \
         CohortId: string, CreationDate: time, Demographic?: EndpointDemographic, EffectiveDate: string, \
         EndpointStatus: EndpointStatus, Id: string, Location?: EndpointLocation, Metrics: {number}, OptOut: OptOut, \
         RequestId?: string, User?: EndpointUserResponse",
    ),
    ("EndpointsResponse", "Item: [EndpointResponse]"),
    (
        "ApplicationSettingsResource",
        "ApplicationId: string, CampaignHook?: CampaignHook, JourneyLimits?: ApplicationSettingsJourneyLimits, \
         LastModifiedDate?: time, Limits?: CampaignLimits, QuietTime?: QuietTime",
    ),
    (
        "WriteApplicationSettingsRequest",
        "CampaignHook?: CampaignHook, JourneyLimits?: ApplicationSettingsJourneyLimits, Limits?: CampaignLimits, \
         QuietTime?: QuietTime",
    ),
    ("CampaignHook", "LambdaFunctionName?: string, Mode?: string, WebUrl?: string"),
    (
        "ApplicationSettingsJourneyLimits",
        "DailyCap?: int32, TimeframeCap?: JourneyTimeframeCap, TotalCap?: int32",
    ),
    ("JourneyTimeframeCap", "Cap?: int32, Days?: int32"),
    (
        "CampaignLimits",
        "Daily?: int32, MaximumDuration?: int32, MessagesPerSecond?: int32, Session?: int32, Total?: int32",
    ),
    ("QuietTime", "End?: string, Start?: string"),
    ("ChannelsResponse", "Channels: {string}"),
    ("EmptyList", "Item: [string](0..0), NextToken: string|null"),
    ("UpdateAttributesRequest", "Blacklist: [string](0..100)"),
    ("AttributesResource", "ApplicationId: string, AttributeType: string, Attributes: [string]"),
    ("NumberValidateRequest", "IsoCountryCode?: string, PhoneNumber: string(1..64)"),
    (
        "NumberValidateResponse",
        "CleansedPhoneNumberE164?: string, CleansedPhoneNumberNational?: string, Country?: string, \
         CountryCodeIso2?: string, CountryCodeNumeric?: string, OriginalCountryCodeIso2?: string, \
         OriginalPhoneNumber: string, PhoneType: string, PhoneTypeCode: int32",
    ),
    ("EventsRequest", "BatchItem: {EventsBatch}(0..100)"),
    ("EventsBatch", "Endpoint: EndpointRequest, Events: {Event}"),
    (
        "Event",
        "EventType: string, Timestamp: string, AppPackageName?: string, AppTitle?: string, AppVersionCode?: string, \
         Attributes?: {string}, ClientSdkVersion?: string, Metrics?: {number}, SdkName?: string, Session?: Session",
    ),
    ("Session", "Id: string, StartTimestamp: string, Duration?: int32, StopTimestamp?: string"),
    ("EventsResponse", "Results: {ItemResponse}"),
    ("ItemResponse", "EndpointItemResponse: ItemOutcome, EventsItemResponse: {ItemOutcome}"),
    ("ItemOutcome", "Message: string, StatusCode: int32"),
    ("TagsModel", "tags: {string}(0..50)"),
    // pinport's own.
    (
        "Progress",
        "job: string, status: JobStatus, source_bytes: count, source_total: count, bytes: count, bytes_total: count, \
         parsed: count, registered: count, failed: count, pieces_done: count, pieces_failed: count, pieces_total: count, \
         objects_done: count, objects_total: count, before: Baseline, elapsed_ms: count, busy_ms: StageTimes",
    ),
    ("Baseline", "source_bytes: count, bytes: count, parsed: count, elapsed_ms: count"),
    ("StageTimes", "fetch: count, decode: count, parse: count, build: count, commit: count"),
    (
        "Job",
        "id: string, kind?: string, application: string, application_name: string, source: string, format: Format, \
         segment_name?: string, created: time, completed?: time, paused: boolean, waits_for?: string, server?: string, \
         parts?: [JobPart], progress: Progress, error?: string",
    ),
    ("JobPart", "part: count, server: string"),
    ("Jobs", "jobs: [Job], next_token?: string"),
    (
        "RecordLimits",
        "max_line: count, max_depth: count, max_columns: count, max_attributes: count, max_name: count, \
         max_value: count, max_values: count, max_id: count, max_endpoint: count",
    ),
    ("FailureBudget", "Count?: count, Percent?: number"),
    (
        "Definition",
        "application: string, source: string, source_text: string, format: Format, register_endpoints: boolean, \
         segment: string|null, asked_to_define: boolean|null, segment_name: string|null, role_arn: string|null, external_id: string|null, \
         piece_bytes: count, limits: RecordLimits, max_failures: FailureBudget|null, kept_failure_bytes: count, \
         read: ReadOptions, retry_of?: string, export?: Export",
    ),
    (
        "Export",
        "segment?: string, version?: count, asked_version?: count, compression: string, folder: string",
    ),
    ("ReadOptions", "rules: ReadRules, encoding: string|null, map?: Mapping"),
    (
        "Mapping",
        "rename?: {string}, ignore?: [string], optional?: [string], join?: {string}, constants?: {string}, \
         defaults?: {string}, values?: {{string}}, normalise?: Normalise, drop?: [DropRule]",
    ),
    (
        "Normalise",
        "trim?: boolean, email?: boolean, phone?: boolean, default_country?: string, country?: boolean",
    ),
    ("DropRule", "column: string, is?: [string], is_not?: [string], empty?: boolean"),
    (
        "ReadRules",
        "strict_names: boolean, delimiter: string|null, escape: string, allow_suspicious: boolean, allow_incomplete: boolean",
    ),
    ("LostObject", "object: string, line: count, byte: count, reason: string, hint?: string"),
    ("Notice", "kind: string, subject: string, count: count"),
    ("PieceRun", "state: string, count: count"),
    ("FailureClass", "code: FailureCode, member?: string, count: count, example: string"),
    (
        "Failure",
        "object: string, line: count, byte: count, column?: count, code: FailureCode, member?: string, message: string, \
         reject?: RejectPlace",
    ),
    ("RejectPlace", "part: count, byte: count, bytes: count"),
    ("ObjectTally", "object: count, read: count, failed: count, bytes: count, complete: boolean"),
    ("Object", "name: string, size: count, skipped?: string, tally: ObjectTally"),
    ("Stage", "stage: string, busy_ms: count, threads: count, queued: count, queue_limit: count"),
    ("HistoryPoint", "time: time, records: count, bytes: count, failed: count"),
    (
        "JobDetail",
        "job: Job, definition: Definition, principal?: string, pieces: [PieceRun], classes: [FailureClass], failures: [Failure], \
         objects: [Object], skipped: count, unkept_failures?: count, resumed: count, warnings: [string], lost: [LostObject], notices: [Notice], stages: [Stage], \
         history: [HistoryPoint]",
    ),
    ("Webhook", "url: string(1..2048)"),
    ("Snapshot", "id: string, folder: string"),
    ("ThrottleRate", "rows_per_second?: count, bytes_per_second?: count"),
    ("Application", "id: string, name: string, created: time, tags: {string}"),
    (
        "SegmentVersion",
        "version: count, created: time, first_layer: count, last_layer: count, job: string, source: string, format: Format, \
         size: count, channels: [count], partial: boolean, criteria?: Criteria, counted?: time",
    ),
    ("Criteria", "Dimensions?: SegmentDimensions, SegmentGroups?: SegmentGroupList"),
    (
        "Segment",
        "id: string, application: string, name: string, created: time, modified: time, tags: {string}, \
         current: SegmentVersion|null",
    ),
    ("Segments", "segments: [Segment], next_token?: string"),
    ("ServerEvent", "time: time, job?: string, text: string"),
    ("SourcePlace", "url: string, size?: count"),
    ("SourcePlaces", "places: [SourcePlace], more: boolean"),
    ("Past", "events: [ServerEvent], server: [HistoryPoint], jobs: [JobHistory]"),
    ("JobHistory", "job: string, points: [HistoryPoint]"),
    (
        "Machine",
        "disk_free?: count, disk_reserve?: count, cpu: number, cpus: count, memory?: count, settling: boolean",
    ),
    ("Server", "name: string, version: string, running: count, here: boolean"),
    (
        "Sample",
        "sequence: count, time: time, jobs: [Job], jobs_total: count, bytes_in_flight: count, \
         bytes_in_flight_limit: count, trouble?: string, events: [ServerEvent], past?: Past, machine?: Machine, \
         servers?: [Server]",
    ),
];

/// The shapes of an operation's answer and of its request's body, where they are JSON: of lines and of events, of
/// each one.
pub(super) fn of(operation: &str) -> (Option<&'static str>, Option<&'static str>) {
    match operation {
        "CreateApp" => (Some("ApplicationResponse"), Some("CreateApplicationRequest")),
        "GetApps" => (Some("ApplicationsResponse"), None),
        "GetApp" | "DeleteApp" => (Some("ApplicationResponse"), None),
        "CreateImportJob" => (Some("ImportJobResponse"), Some("ImportJobRequest")),
        "GetImportJobs" | "GetSegmentImportJobs" => (Some("ImportJobsResponse"), None),
        "GetImportJob" => (Some("ImportJobResponse"), None),
        "CreateExportJob" => (Some("ExportJobResponse"), Some("ExportJobRequest")),
        "GetExportJobs" | "GetSegmentExportJobs" => (Some("ExportJobsResponse"), None),
        "GetExportJob" => (Some("ExportJobResponse"), None),
        "GetSegments" | "GetSegmentVersions" => (Some("SegmentsResponse"), None),
        "CreateSegment" | "UpdateSegment" => (Some("SegmentResponse"), Some("WriteSegmentRequest")),
        "GetSegment" | "DeleteSegment" | "GetSegmentVersion" => (Some("SegmentResponse"), None),
        "GetEndpoint" | "DeleteEndpoint" => (Some("EndpointResponse"), None),
        "UpdateEndpoint" => (Some("MessageBody"), Some("EndpointRequest")),
        "UpdateEndpointsBatch" => (Some("MessageBody"), Some("EndpointBatchRequest")),
        "GetUserEndpoints" | "DeleteUserEndpoints" => (Some("EndpointsResponse"), None),
        "ListTagsForResource" => (Some("TagsModel"), None),
        "TagResource" => (None, Some("TagsModel")),
        "GetApplicationSettings" => (Some("ApplicationSettingsResource"), None),
        "UpdateApplicationSettings" => {
            (Some("ApplicationSettingsResource"), Some("WriteApplicationSettingsRequest"))
        }
        "GetChannels" => (Some("ChannelsResponse"), None),
        "GetCampaigns" | "ListJourneys" | "ListTemplates" | "GetRecommenderConfigurations" => {
            (Some("EmptyList"), None)
        }
        "RemoveAttributes" => (Some("AttributesResource"), Some("UpdateAttributesRequest")),
        "PhoneNumberValidate" => (Some("NumberValidateResponse"), Some("NumberValidateRequest")),
        "PutEvents" => (Some("EventsResponse"), Some("EventsRequest")),
        "ListJobs" => (Some("Jobs"), None),
        "ListSources" => (Some("SourcePlaces"), None),
        "GetJob" => (Some("JobDetail"), None),
        "GetJobFailures" => (Some("Failure"), None),
        "CancelJob" | "PauseJob" | "ResumeJob" | "DeleteJob" | "UploadFile" | "RetryJob" => {
            (Some("Job"), None)
        }
        "SetJobWebhook" => (Some("Webhook"), Some("Webhook")),
        "CreateSnapshot" => (Some("Snapshot"), None),
        "GetJobThrottle" | "GetThrottle" => (Some("ThrottleRate"), None),
        "ThrottleJob" | "Throttle" => (Some("ThrottleRate"), Some("ThrottleRate")),
        "FindApp" => (Some("Application"), None),
        "ListSegments" => (Some("Segments"), None),
        "GetSegmentMembers" => (Some("EndpointResponse"), None),
        "StreamEvents" => (Some("Sample"), None),
        _ => (None, None),
    }
}

/// `#/components/schemas`.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    for (name, members) in OBJECTS {
        let (mut required, mut properties) = (Vec::new(), Map::new());
        for (member, kind) in members.split(", ").filter_map(|member| member.trim().split_once(": ")) {
            let name = member.strip_suffix('?').unwrap_or(member);
            if name == member {
                required.push(name);
            }
            properties.insert(name.into(), schema(kind));
        }
        let mut object = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        all.insert((*name).into(), object);
    }
    let mut words = |name: &str, words: Vec<&str>| {
        all.insert(name.into(), json!({ "type": "string", "enum": words }));
    };
    words("JobStatus", JobStatus::ALL.iter().map(|word| word.as_str()).collect());
    words("Format", [Format::Csv, Format::Json].iter().map(|word| word.as_str()).collect());
    words("FailureCode", FailureCode::ALL.iter().map(|word| word.as_str()).collect());
    words("ChannelType", Channel::ALL.iter().map(|word| word.as_str()).collect());
    words("OptOut", OptOut::ALL.iter().map(|word| word.as_str()).collect());
    words("Combine", Combine::ALL.iter().map(|word| word.as_str()).collect());
    words("AttributeType", AttributeType::ALL.iter().map(|word| word.as_str()).collect());
    words("DimensionType", DimensionType::ALL.iter().map(|word| word.as_str()).collect());
    words("Duration", Duration::ALL.iter().map(|word| word.as_str()).collect());
    words("RecencyType", RecencyType::ALL.iter().map(|word| word.as_str()).collect());
    words("Comparison", Comparison::ALL.iter().map(|word| word.as_str()).collect());
    words("EndpointStatus", EndpointStatus::ALL.iter().map(|word| word.as_str()).collect());
    all.into()
}

/// A reference to a shape.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// `type(a..b)` in its parts.
fn bounds(kind: &str) -> Option<(&str, u32, u32)> {
    let (kind, range) = kind.strip_suffix(')')?.rsplit_once('(')?;
    let (least, most) = range.split_once("..")?;
    Some((kind, least.parse().ok()?, most.parse().ok()?))
}

fn schema(kind: &str) -> Value {
    let within = |open, close| kind.strip_prefix(open).and_then(|kind| kind.strip_suffix(close));
    if let Some((kind, least, most)) = bounds(kind) {
        let mut schema = schema(kind);
        let (min, max) = match schema["type"].as_str() {
            Some("array") => ("minItems", "maxItems"),
            Some("object") => ("minProperties", "maxProperties"),
            _ => ("minLength", "maxLength"),
        };
        (schema[min], schema[max]) = (json!(least), json!(most));
        return schema;
    }
    if let Some(kind) = kind.strip_suffix("|null") {
        return json!({ "anyOf": [schema(kind), { "type": "null" }] });
    }
    if let Some(item) = within('[', ']') {
        return json!({ "type": "array", "items": schema(item) });
    }
    if let Some(value) = within('{', '}') {
        return json!({ "type": "object", "additionalProperties": schema(value) });
    }
    match kind {
        "string" | "boolean" | "number" => json!({ "type": kind }),
        "int32" => json!({ "type": "integer", "format": "int32" }),
        "count" => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        name => named(name),
    }
}
