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
        ChannelType, CreateApplicationRequest, EndpointBatchItem, EndpointBatchRequest, EndpointRequest, EndpointUser,
        Format, ImportJobRequest, ImportJobResponse, JobStatus, SegmentType, TagsModel, WriteSegmentRequest,
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
    run!(imports_and_lists, endpoints_and_odd_ids, tags, errors, access, too_many_requests, cancelled_job, retried_post);
}
