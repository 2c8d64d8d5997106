//! The AWS SDK for Rust against pinport. Each `async fn` without arguments is a case; docs/compat.md names them. Prints
//! `ok NAME` or `FAILED NAME: why`, one line a case, for `../run`.

use std::{
    collections::HashMap,
    fmt::Debug,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use aws_sdk_pinpoint::{
    Client, Config,
    config::{Builder, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::{create_import_job::CreateImportJobError, get_app::GetAppError, get_apps::GetAppsError},
    types::{
        ChannelType, CreateApplicationRequest, DimensionType, EndpointBatchItem, EndpointBatchRequest, EndpointRequest,
        EndpointUser, Event, EventsBatch, EventsRequest, ExportJobRequest, Format, ImportJobRequest, ImportJobResponse,
        JobStatus, NumberValidateRequest, PublicEndpoint, QuietTime, SegmentDimensions, SegmentLocation, SegmentType,
        SetDimension, TagsModel, UpdateAttributesRequest, WriteApplicationSettingsRequest, WriteSegmentRequest,
    },
};

fn env(name: &str) -> String {
    std::env::var(format!("CLIENTS_{name}")).unwrap_or_else(|_| panic!("CLIENTS_{name} is not set: this runs under ../run"))
}

fn config(url: &str, key: &str) -> Builder {
    let secret = env(&format!("{key}_SECRET"));
    Config::builder()
        .endpoint_url(env(url))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(env(&format!("{key}_ID")), secret, None, None, "cases"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
}

fn client(url: &str, key: &str) -> Client {
    Client::from_conf(config(url, key).build())
}

/// Posts nothing to a path; the status.
fn post(url: &str, path: &str) -> u16 {
    let url = env(url);
    let address = url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).expect("it listens");
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer[9..12].parse().expect("a status")
}

/// The error of a call that must fail in this way.
#[track_caller]
fn fails<T: Debug, E: ProvideErrorMetadata + Debug>(
    kind: &str,
    status: u16,
    result: Result<T, SdkError<E>>,
) -> E {
    match result {
        Err(SdkError::ServiceError(error)) => {
            assert_eq!(error.raw().status().as_u16(), status, "{error:?}");
            let error = error.into_err();
            assert_eq!(error.code(), Some(kind), "{error:?}");
            assert!(error.message().is_some_and(|message| !message.is_empty()), "{error:?}");
            error
        }
        other => panic!("{kind} was expected: {other:?}"),
    }
}

async fn create_app(client: &Client, name: &str) -> String {
    let request = CreateApplicationRequest::builder().name(name).build();
    let made = client.create_app().create_application_request(request).send().await.expect("an app");
    let id = made.application_response().and_then(|app| app.id()).expect("its id");
    assert_eq!(id.len(), 32);
    id.to_owned()
}

type Created = Result<ImportJobResponse, SdkError<CreateImportJobError>>;

async fn create_job(
    client: &Client,
    app: &str,
    url: &str,
    format: &str,
    change: impl FnOnce(aws_sdk_pinpoint::types::builders::ImportJobRequestBuilder) -> aws_sdk_pinpoint::types::builders::ImportJobRequestBuilder,
) -> Created {
    let request = ImportJobRequest::builder().format(Format::from(format)).s3_url(url).role_arn(env("ROLE"));
    let request = change(request).build();
    let made = client.create_import_job().application_id(app).import_job_request(request).send().await?;
    Ok(made.import_job_response().cloned().expect("a payload"))
}

async fn wait(client: &Client, app: &str, job: &str, ends: &[JobStatus]) -> ImportJobResponse {
    let begun = Instant::now();
    loop {
        let found = client.get_import_job().application_id(app).job_id(job).send().await.expect("the job");
        let found = found.import_job_response().cloned().expect("a payload");
        if found.job_status().is_some_and(|status| ends.contains(status)) {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end: {found:?}");
    }
}

const DONE: &[JobStatus] = &[JobStatus::Completed, JobStatus::Failed];

async fn imports_and_lists() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-imports").await;
    let mut made = Vec::new();
    for format in ["CSV", "JSON"] {
        for place in ["FILE", "S3"] {
            let url = env(&format!("{place}_{format}"));
            let job = create_job(&client, &app, &url, format, |job| job.define_segment(true)).await.expect("a job");
            assert_eq!(job.job_status(), Some(&JobStatus::Created));
            let definition = job.definition().expect("a definition");
            assert_eq!((definition.s3_url(), definition.segment_id()), (Some(&*url), job.id()));
            let id = job.id().expect("an id").to_owned();
            let done = wait(&client, &app, &id, DONE).await;
            let count = |what: &str| Some(env(&format!("{format}_{what}")).parse::<i32>().expect("a number"));
            assert_eq!(done.job_status(), Some(&JobStatus::Completed));
            assert_eq!((done.total_processed(), done.total_failures()), (count("READ"), count("FAILED")));
            assert_eq!(Some(done.failures().len() as i32), done.total_failures());
            let segment = client.get_segment().application_id(&app).segment_id(&id).send().await.expect("a segment");
            let segment = segment.segment_response().expect("a payload");
            assert_eq!((segment.segment_type(), segment.version()), (Some(&SegmentType::Import), Some(1)));
            let size = segment.import_definition().and_then(|import| import.size());
            assert_eq!(size, count("MEMBERS"));
            made.insert(0, id);
        }
    }
    let (mut listed, mut token) = (Vec::new(), None);
    loop {
        let page = client.get_import_jobs().application_id(&app).page_size("3").set_token(token).send().await;
        let page = page.expect("a page").import_jobs_response().cloned().expect("a payload");
        listed.extend(page.item().iter().map(|job| job.id().expect("an id").to_owned()));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(listed, made);
    let of_segment = client.get_segment_import_jobs().application_id(&app).segment_id(&made[0]).send().await;
    assert_eq!(of_segment.expect("jobs").import_jobs_response().map(|jobs| jobs.item().len()), Some(1));
    let versions = client.get_segment_versions().application_id(&app).segment_id(&made[0]).send().await;
    assert_eq!(versions.expect("versions").segments_response().map(|segments| segments.item().len()), Some(1));
    for size in ["0", "1001", "x"] {
        fails("BadRequestException", 400, client.get_import_jobs().application_id(&app).page_size(size).send().await);
    }
    fails("BadRequestException", 400, client.get_import_jobs().application_id(&app).token("x").send().await);
    assert!(client.get_import_jobs().application_id("").send().await.is_err());
}

async fn endpoints_and_odd_ids() {
    for url in ["OPEN", "KEYED"] {
        let client = client(url, "ADMIN");
        let app = create_app(&client, "rust-endpoints").await;
        for id in ["user@example.com/+1", "a b", "100%", "ü/日本", "a?b#c&d=e", "%2F"] {
            let user = format!("u {id}");
            let request = EndpointRequest::builder()
                .channel_type(ChannelType::Email)
                .address("a@example.com")
                .metrics("m", 1.5)
                .user(EndpointUser::builder().user_id(&user).build());
            let put = client.update_endpoint().application_id(&app).endpoint_id(id);
            let put = put.endpoint_request(request.build()).send().await.expect("accepted");
            assert_eq!(put.message_body().and_then(|body| body.message()), Some("Accepted"));
            let found = client.get_endpoint().application_id(&app).endpoint_id(id).send().await.expect("found");
            let found = found.endpoint_response().expect("a payload");
            assert_eq!((found.id(), found.channel_type()), (Some(id), Some(&ChannelType::Email)));
            let of_user = client.get_user_endpoints().application_id(&app).user_id(&user).send().await;
            assert_eq!(of_user.expect("found").endpoints_response().map(|found| found.item().len()), Some(1));
            client.delete_endpoint().application_id(&app).endpoint_id(id).send().await.expect("deleted");
            fails("NotFoundException", 404, client.get_endpoint().application_id(&app).endpoint_id(id).send().await);
        }
        let user = EndpointUser::builder().user_id("b").build();
        let item = EndpointBatchItem::builder().id("b").channel_type(ChannelType::Sms).address("+12025550100");
        let batch = EndpointBatchRequest::builder().item(item.user(user).build()).build();
        let put = client.update_endpoints_batch().application_id(&app).endpoint_batch_request(batch);
        put.send().await.expect("accepted");
        let gone = client.delete_user_endpoints().application_id(&app).user_id("b").send().await.expect("deleted");
        assert_eq!(gone.endpoints_response().map(|gone| gone.item().len()), Some(1));
    }
}

async fn tags() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-tags").await;
    let app = client.get_app().application_id(app).send().await.expect("found");
    let arn = app.application_response().and_then(|app| app.arn()).expect("an ARN");
    let tags = TagsModel::builder().tags("a", "1").tags("b c", "ü").build();
    client.tag_resource().resource_arn(arn).tags_model(tags).send().await.expect("tagged");
    client.untag_resource().resource_arn(arn).tag_keys("a").send().await.expect("untagged");
    let listed = client.list_tags_for_resource().resource_arn(arn).send().await.expect("listed");
    let expected = HashMap::from([("b c".to_owned(), "ü".to_owned())]);
    assert_eq!(listed.tags_model().and_then(|model| model.tags()), Some(&expected));
}

async fn segments_of_dimensions() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-dimensions").await;
    let country = SetDimension::builder().dimension_type(DimensionType::Inclusive).values("CAN").build();
    let location = SegmentLocation::builder().country(country).build();
    let dimensions = SegmentDimensions::builder().location(location).build();
    let request = WriteSegmentRequest::builder().name("canada").dimensions(dimensions.clone()).build();
    let made = client.create_segment().application_id(&app).write_segment_request(request).send().await;
    let made = made.expect("a segment").segment_response.expect("a payload");
    assert_eq!(made.segment_type(), Some(&SegmentType::Dimensional));
    assert_eq!(made.dimensions().and_then(|found| found.location()), dimensions.location());
    let id = made.id().expect("an id");
    let request = WriteSegmentRequest::builder().name("other").build();
    let changed = client.update_segment().application_id(&app).segment_id(id).write_segment_request(request);
    let changed = changed.send().await.expect("updated").segment_response.expect("a payload");
    assert_eq!((changed.name(), changed.version()), (Some("other"), Some(2)));
    let found = client.get_segment().application_id(&app).segment_id(id).send().await.expect("found");
    assert_eq!(found.segment_response(), Some(&changed));
}

async fn export_jobs() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-export").await;
    let source = env("S3_JSON");
    let made = create_job(&client, &app, &source, "JSON", |job| job.define_segment(true)).await.expect("a job");
    let made_id = made.id().expect("an id");
    let done = wait(&client, &app, made_id, &[JobStatus::from("COMPLETED")]).await;
    let segment = done.definition().and_then(|job| job.segment_id()).expect("a segment").to_owned();
    let (bucket, _) = source.rsplit_once('/').expect("a key");
    let prefix = format!("{bucket}/out/{}/", env("CLIENT"));
    let request = |prefix: &str| {
        ExportJobRequest::builder().role_arn(env("ROLE")).s3_url_prefix(prefix).segment_id(&segment).build()
    };
    let job = client.create_export_job().application_id(&app).export_job_request(request(&prefix)).send().await;
    let mut job = job.expect("a job").export_job_response.expect("a payload");
    let id = job.id().expect("an id").to_owned();
    let begun = Instant::now();
    while !["COMPLETED", "FAILED"].map(JobStatus::from).contains(job.job_status().expect("a status")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{job:?}");
        let found = client.get_export_job().application_id(&app).job_id(&id).send().await.expect("found");
        job = found.export_job_response.expect("a payload");
    }
    let members = env("JSON_MEMBERS").parse().expect("a number");
    assert_eq!((job.job_status(), job.total_processed()), (Some(&JobStatus::from("COMPLETED")), Some(members)));
    let listed = client.get_export_jobs().application_id(&app).send().await.expect("listed");
    let listed = listed.export_jobs_response().expect("a payload");
    assert_eq!(listed.item().iter().map(|job| job.id()).collect::<Vec<_>>(), [Some(id.as_str())]);
    let listed = client.get_segment_export_jobs().application_id(&app).segment_id(&segment).send().await;
    assert_eq!(listed.expect("listed").export_jobs_response().map(|found| found.item().len()), Some(1));
    let wrong = client.create_export_job().application_id(&app).export_job_request(request("nowhere")).send().await;
    fails("BadRequestException", 400, wrong);
    fails("NotFoundException", 404, client.get_export_job().application_id(&app).job_id(made_id).send().await);
}

async fn also_called() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-also").await;
    let quiet = QuietTime::builder().start("22:00").end("07:00").build();
    let request = WriteApplicationSettingsRequest::builder().quiet_time(quiet.clone()).build();
    let kept = client.update_application_settings().application_id(&app);
    let kept = kept.write_application_settings_request(request).send().await.expect("kept");
    let kept = kept.application_settings_resource().expect("a payload");
    assert_eq!(kept.quiet_time(), Some(&quiet));
    let found = client.get_application_settings().application_id(&app).send().await.expect("found");
    assert_eq!(found.application_settings_resource(), Some(kept));
    let channels = client.get_channels().application_id(&app).send().await.expect("none");
    let channels = channels.channels_response().and_then(|found| found.channels());
    assert!(channels.expect("a map").is_empty());
    let campaigns = client.get_campaigns().application_id(&app).send().await.expect("none");
    assert_eq!(campaigns.campaigns_response().map(|found| found.item().len()), Some(0));
    let journeys = client.list_journeys().application_id(&app).send().await.expect("none");
    assert_eq!(journeys.journeys_response().map(|found| found.item().len()), Some(0));
    let templates = client.list_templates().send().await.expect("none");
    assert_eq!(templates.templates_response().map(|found| found.item().len()), Some(0));
    let found = client.get_recommender_configurations().send().await.expect("none");
    let found = found.list_recommender_configurations_response().map(|found| found.item().len());
    assert_eq!(found, Some(0));
    fails("NotFoundException", 404, client.get_event_stream().application_id(&app).send().await);

    let endpoint = PublicEndpoint::builder()
        .address("a@x")
        .channel_type(ChannelType::Email)
        .attributes("plan", vec!["x".into()])
        .attributes("old", vec!["1".into()])
        .build();
    let event = Event::builder().event_type("x").timestamp("2026-01-01T00:00:00Z").build();
    let batch = EventsBatch::builder().endpoint(endpoint).events("one", event).build();
    let request = EventsRequest::builder().batch_item("a", batch).build();
    let put = client.put_events().application_id(&app).events_request(request).send().await.expect("accepted");
    let results = put.events_response().and_then(|answer| answer.results()).expect("results");
    assert_eq!(results["a"].endpoint_item_response().and_then(|item| item.status_code()), Some(202));
    let request = UpdateAttributesRequest::builder().blacklist("old").build();
    let removed = client.remove_attributes().application_id(&app).attribute_type("endpoint-custom-attributes");
    let removed = removed.update_attributes_request(request).send().await.expect("removed");
    assert_eq!(removed.attributes_resource().map(|found| found.attributes()), Some(&["old".to_owned()][..]));
    let found = client.get_endpoint().application_id(&app).endpoint_id("a").send().await.expect("found");
    let expected = HashMap::from([("plan".to_owned(), vec!["x".to_owned()])]);
    assert_eq!(found.endpoint_response().and_then(|found| found.attributes()), Some(&expected));
    let request = NumberValidateRequest::builder().iso_country_code("US").phone_number("2065550142").build();
    let number = client.phone_number_validate().number_validate_request(request).send().await.expect("valid");
    let number = number.number_validate_response().and_then(|found| found.cleansed_phone_number_e164());
    assert_eq!(number, Some("+12065550142"));
}

async fn errors() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-errors").await;
    let wrong = create_job(&client, &app, &env("S3_CSV"), "JSON", |job| job).await;
    assert!(matches!(fails("BadRequestException", 400, wrong), CreateImportJobError::BadRequestException(_)));
    let wrong = create_job(&client, &app, &env("S3_CSV"), "XML", |job| job).await;
    fails("BadRequestException", 400, wrong);
    let absent = client.get_app().application_id("0".repeat(32)).send().await;
    assert!(matches!(fails("NotFoundException", 404, absent), GetAppError::NotFoundException(_)));
    let write = WriteSegmentRequest::builder().name("x").build();
    let made = client.create_segment().application_id(&app).write_segment_request(write).send().await.unwrap();
    let segment = made.segment_response().unwrap();
    assert_eq!((segment.segment_type(), segment.name()), (Some(&SegmentType::Dimensional), Some("x")));
    let journey = client.get_journey().application_id(&app).journey_id("x").send().await;
    fails("MethodNotAllowedException", 405, journey);
    assert_ne!(create_app(&client, "rust-errors").await, app);
    let item = EndpointBatchItem::builder().id("x").channel_type(ChannelType::Email).address("x".repeat(1 << 22));
    let batch = EndpointBatchRequest::builder().item(item.build()).build();
    let direct = self::client("DIRECT", "ADMIN");
    let large = direct.update_endpoints_batch().application_id(&app).endpoint_batch_request(batch).send().await;
    fails("PayloadTooLargeException", 413, large);
}

async fn access() {
    let admin = client("KEYED", "ADMIN");
    let app = create_app(&admin, "rust-keyed").await;
    let job = create_job(&admin, &app, &env("S3_JSON"), "JSON", |job| job.define_segment(true)).await.expect("a job");
    let done = wait(&admin, &app, job.id().expect("an id"), DONE).await;
    assert_eq!(done.job_status(), Some(&JobStatus::Completed));
    let wrong = Credentials::new(env("ADMIN_ID"), "wrong-secret-0123456789", None, None, "cases");
    let wrong = Client::from_conf(config("KEYED", "ADMIN").credentials_provider(wrong).build());
    let error = fails("ForbiddenException", 403, wrong.get_apps().send().await);
    assert!(matches!(error, GetAppsError::ForbiddenException(_)));
    let reader = client("KEYED", "READER");
    reader.get_app().application_id(&app).send().await.expect("readers read");
    let request = CreateApplicationRequest::builder().name("x").build();
    fails("ForbiddenException", 403, reader.create_app().create_application_request(request).send().await);
    fails("NotFoundException", 404, client("KEYED", "TENANT").get_app().application_id(&app).send().await);
    for (url, may) in [("KEYED", false), ("OPEN", true)] {
        let unsigned = Client::from_conf(config(url, "ADMIN").allow_no_auth().auth_scheme_preference(["noAuth".into()]).build());
        let answer = unsigned.get_apps().send().await;
        if may {
            answer.expect("an open server asks for no signature");
        } else {
            fails("ForbiddenException", 403, answer);
        }
    }
}

async fn too_many_requests() {
    let slow = client("KEYED", "SLOW");
    for _ in 0..env("BURST").parse::<u32>().expect("a number") {
        slow.get_apps().send().await.expect("within the burst");
    }
    let error = fails("TooManyRequestsException", 429, slow.get_apps().send().await);
    assert!(matches!(error, GetAppsError::TooManyRequestsException(_)));
}

async fn cancelled_job() {
    let client = client("OPEN", "ADMIN");
    let app = create_app(&client, "rust-cancelled").await;
    let job = create_job(&client, &app, "s3://silent/x", "JSON", |job| job.role_arn(env("SILENT_ROLE"))).await;
    let job = job.expect("a job");
    let id = job.id().expect("an id");
    assert_eq!(post("DIRECT", &format!("/pinport/v1/jobs/{id}/cancel")), 200);
    let cancelled = JobStatus::from("CANCELLED");
    let done = wait(&client, &app, id, &[JobStatus::Completed, JobStatus::Failed, cancelled.clone()]).await;
    assert_eq!(done.job_status(), Some(&cancelled));
}

async fn retried_post() {
    let retrying = RetryConfig::standard().with_max_attempts(3);
    let client = Client::from_conf(config("OPEN", "ADMIN").retry_config(retrying).build());
    let app = create_app(&client, "rust-retried").await;
    assert_eq!(post("OPEN", "/break/CreateImportJob"), 204);
    let job = create_job(&client, &app, &env("FILE_CSV"), "CSV", |job| job).await.expect("a job");
    let listed = client.get_import_jobs().application_id(&app).send().await.expect("listed");
    let listed = listed.import_jobs_response().expect("a payload");
    assert_eq!(listed.item().iter().map(|job| job.id()).collect::<Vec<_>>(), [job.id()]);
}

macro_rules! run {
    ($($case:ident),*) => {$({
        // A case fails by panicking; the panic's text is on stderr.
        match tokio::spawn($case()).await {
            Ok(()) => println!("ok {}", stringify!($case)),
            Err(error) => println!("FAILED {}: {error}", stringify!($case)),
        }
    })*};
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    run!(imports_and_lists, endpoints_and_odd_ids, tags, segments_of_dimensions, export_jobs, also_called, errors, access, too_many_requests, cancelled_job, retried_post);
}
