"""The aws command, as a shell script uses it: each function is a case; docs/compat.md names them."""

import json
import subprocess
import sys
import time
from pathlib import Path

from servers import clean_environment
from setting import ADMIN, BURST, MEMBERS, CONTACTS, READER, ROLE, SILENT_ROLE

AWS = Path(sys.prefix) / "bin" / "aws"


def run(s, *words, url=None, key=ADMIN, attempts="1"):
    """aws pinpoint …; its exit code, what it answered, what it said."""
    environment = clean_environment(
        AWS_ENDPOINT_URL_PINPOINT=url or s.open, AWS_ACCESS_KEY_ID=key[0], AWS_SECRET_ACCESS_KEY=key[1],
        AWS_DEFAULT_REGION="us-east-1", AWS_MAX_ATTEMPTS=attempts, AWS_RETRY_MODE="standard", AWS_PAGER="",
        AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true",
    )
    done = subprocess.run(
        [sys.executable, str(AWS), "pinpoint", *words, "--output", "json"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


def aws(s, *words, **more):
    code, answer, said = run(s, *words, **more)
    assert code == 0, f"aws pinpoint {words}: {code} {said}"
    return answer


def fails(s, kind, *words, **more):
    code, answer, said = run(s, *words, **more)
    assert code not in (0, 252) and answer is None and f"({kind})" in said, f"{kind} was expected of {words}: {code} {answer} {said}"
    return said


def create_app(s, name, **more):
    return aws(s, "create-app", "--create-application-request", f"Name={name}", **more)["ApplicationResponse"]


def job_words(app, url, format, **more):
    request = {"Format": format, "RoleArn": ROLE, "S3Url": url} | more
    return "create-import-job", "--application-id", app, "--import-job-request", json.dumps(request)


def wait(s, app, job, ends=("COMPLETED", "FAILED")):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = aws(s, "get-import-job", "--application-id", app, "--job-id", job)["ImportJobResponse"]
        if found["JobStatus"] in ends:
            return found
    raise AssertionError(f"job {job} has not ended: {found}")


def import_and_lists(s):
    app = create_app(s, "cli-imports")["Id"]
    made = []
    for format, place in [("CSV", "s3"), ("JSON", "file"), ("CSV", "file")]:
        read, failed = CONTACTS[format]
        job = aws(s, *job_words(app, s.source(place, format), format, DefineSegment=True))["ImportJobResponse"]
        done = wait(s, app, job["Id"])
        assert (done["JobStatus"], done["TotalProcessed"], done["TotalFailures"]) == ("COMPLETED", read, failed), done
        made.append(job["Id"])
    listed, token = [], []
    while True:
        page = aws(s, "get-import-jobs", "--application-id", app, "--page-size", "2", *token)["ImportJobsResponse"]
        listed += [job["Id"] for job in page["Item"]]
        if not page.get("NextToken"):
            break
        token = ["--token", page["NextToken"]]
    assert listed == made[::-1], (listed, made)
    segment = aws(s, "get-segment", "--application-id", app, "--segment-id", made[0])["SegmentResponse"]
    assert segment["ImportDefinition"]["Size"] == MEMBERS["CSV"], segment
    of_segment = aws(s, "get-segment-import-jobs", "--application-id", app, "--segment-id", made[0])
    assert [job["Id"] for job in of_segment["ImportJobsResponse"]["Item"]] == [made[0]], of_segment
    query = ["--query", "EndpointResponse.Address"]
    assert aws(s, "get-endpoint", "--application-id", app, "--endpoint-id", "csv-1", *query) == "ada@example.com"
    fails(s, "BadRequestException", "get-import-jobs", "--application-id", app, "--page-size", "0")
    fails(s, "BadRequestException", "get-import-jobs", "--application-id", app, "--token", "x")


def endpoints_and_tags(s):
    app = create_app(s, "cli-endpoints")
    one = ["--application-id", app["Id"], "--endpoint-id", "user@example.com/+1"]
    put = aws(s, "update-endpoint", *one, "--endpoint-request", "ChannelType=EMAIL,Address=a@example.com,User={UserId=u}")
    assert put["MessageBody"]["Message"] == "Accepted", put
    assert aws(s, "get-endpoint", *one)["EndpointResponse"]["Id"] == "user@example.com/+1"
    of_user = aws(s, "get-user-endpoints", "--application-id", app["Id"], "--user-id", "u")
    assert len(of_user["EndpointsResponse"]["Item"]) == 1, of_user
    aws(s, "delete-endpoint", *one)
    fails(s, "NotFoundException", "get-endpoint", *one)
    assert aws(s, "tag-resource", "--resource-arn", app["Arn"], "--tags-model", '{"tags":{"a":"1","b":"2"}}') is None
    aws(s, "untag-resource", "--resource-arn", app["Arn"], "--tag-keys", "a")
    assert aws(s, "list-tags-for-resource", "--resource-arn", app["Arn"]) == {"TagsModel": {"tags": {"b": "2"}}}


def segments_of_dimensions(s):
    app = create_app(s, "cli-dimensions")["Id"]
    dimensions = {"Location": {"Country": {"DimensionType": "INCLUSIVE", "Values": ["CAN"]}}}
    words = ["--write-segment-request", json.dumps({"Name": "canada", "Dimensions": dimensions})]
    made = aws(s, "create-segment", "--application-id", app, *words)["SegmentResponse"]
    assert made["Dimensions"]["Location"] == dimensions["Location"] and made["SegmentType"] == "DIMENSIONAL", made
    one = ["--application-id", app, "--segment-id", made["Id"]]
    changed = aws(s, "update-segment", *one, "--write-segment-request", "Name=other")["SegmentResponse"]
    assert (changed["Name"], changed["Version"], changed["Dimensions"]) == ("other", 2, made["Dimensions"]), changed
    assert aws(s, "get-segment", *one)["SegmentResponse"] == changed
    fails(s, "BadRequestException", "create-segment", "--application-id", app, "--write-segment-request", '{"Dimensions":{"Attributes":{"a":{"Values":[]}}}}')


def export_jobs(s):
    app = create_app(s, "cli-export")["Id"]
    made = aws(s, *job_words(app, s.source("s3", "JSON"), "JSON", DefineSegment=True))["ImportJobResponse"]
    segment = wait(s, app, made["Id"])["Definition"]["SegmentId"]
    prefix = f"s3://{s.bucket}/out/{s.client}/"
    of_app = ["--application-id", app]
    words = ["create-export-job", *of_app, "--export-job-request"]
    request = {"RoleArn": ROLE, "S3UrlPrefix": prefix, "SegmentId": segment}
    job = aws(s, *words, json.dumps(request))["ExportJobResponse"]
    assert job["Type"] == "EXPORT" and job["Definition"]["S3UrlPrefix"] == prefix, job
    deadline = time.monotonic() + 60
    while job["JobStatus"] not in ("COMPLETED", "FAILED") and time.monotonic() < deadline:
        job = aws(s, "get-export-job", *of_app, "--job-id", job["Id"])["ExportJobResponse"]
    assert (job["JobStatus"], job["TotalProcessed"]) == ("COMPLETED", MEMBERS["JSON"]), job
    listed = aws(s, "get-export-jobs", *of_app)["ExportJobsResponse"]["Item"]
    assert [found["Id"] for found in listed] == [job["Id"]], listed
    listed = aws(s, "get-segment-export-jobs", *of_app, "--segment-id", segment)["ExportJobsResponse"]["Item"]
    assert [found["Id"] for found in listed] == [job["Id"]], listed
    fails(s, "BadRequestException", *words, json.dumps(request | {"S3UrlPrefix": "nowhere"}))
    fails(s, "NotFoundException", "get-export-job", *of_app, "--job-id", made["Id"])


def also_called(s):
    app = create_app(s, "cli-also")["Id"]
    of_app = ["--application-id", app]
    settings = {"QuietTime": {"Start": "22:00", "End": "07:00"}}
    words = ["--write-application-settings-request", json.dumps(settings)]
    kept = aws(s, "update-application-settings", *of_app, *words)["ApplicationSettingsResource"]
    assert kept["QuietTime"] == settings["QuietTime"], kept
    assert aws(s, "get-application-settings", *of_app)["ApplicationSettingsResource"] == kept
    assert aws(s, "get-channels", *of_app)["ChannelsResponse"] == {"Channels": {}}
    assert aws(s, "get-campaigns", *of_app)["CampaignsResponse"] == {"Item": []}
    assert aws(s, "list-journeys", *of_app)["JourneysResponse"] == {"Item": []}
    assert aws(s, "list-templates")["TemplatesResponse"] == {"Item": []}
    assert aws(s, "get-recommender-configurations")["ListRecommenderConfigurationsResponse"] == {"Item": []}
    fails(s, "NotFoundException", "get-event-stream", *of_app)
    endpoint = {"Address": "a@x", "ChannelType": "EMAIL", "Attributes": {"plan": ["x"], "old": ["1"]}}
    event = {"EventType": "x", "Timestamp": "2026-01-01T00:00:00Z"}
    request = {"BatchItem": {"a": {"Endpoint": endpoint, "Events": {"one": event}}}}
    results = aws(s, "put-events", *of_app, "--events-request", json.dumps(request))["EventsResponse"]["Results"]
    assert results["a"]["EndpointItemResponse"]["StatusCode"] == 202, results
    words = ["--attribute-type", "endpoint-custom-attributes", "--update-attributes-request", "Blacklist=old"]
    assert aws(s, "remove-attributes", *of_app, *words)["AttributesResource"]["Attributes"] == ["old"]
    query = ["--query", "EndpointResponse.Attributes"]
    assert aws(s, "get-endpoint", *of_app, "--endpoint-id", "a", *query) == {"plan": ["x"]}
    number = aws(s, "phone-number-validate", "--number-validate-request", "IsoCountryCode=US,PhoneNumber=2065550142")
    assert number["NumberValidateResponse"]["CleansedPhoneNumberE164"] == "+12065550142", number


def errors(s):
    app = create_app(s, "cli-errors")["Id"]
    fails(s, "BadRequestException", *job_words(app, s.source("s3", "CSV"), "JSON"))
    fails(s, "NotFoundException", "get-app", "--application-id", "0" * 32)
    fails(s, "NotFoundException", "get-import-jobs", "--application-id", "")
    fails(s, "MethodNotAllowedException", "get-journey", "--application-id", app, "--journey-id", "x")
    fails(s, "ForbiddenException", "get-apps", url=s.keyed, key=(ADMIN[0], "wrong-secret-0123456789"))
    fails(s, "ForbiddenException", "create-app", "--create-application-request", "Name=x", url=s.keyed, key=READER)
    fails(s, "ForbiddenException", "get-apps", "--no-sign-request", url=s.keyed)
    aws(s, "get-apps", "--no-sign-request")
    aws(s, "get-apps", url=s.keyed)


def too_many_requests(s):
    for _ in range(BURST):
        aws(s, "get-apps", url=s.keyed, key=s.slow)
    fails(s, "TooManyRequestsException", "get-apps", url=s.keyed, key=s.slow)


def cancelled_job(s):
    app = create_app(s, "cli-cancelled")["Id"]
    job = aws(s, *job_words(app, "s3://silent/x", "JSON", RoleArn=SILENT_ROLE))["ImportJobResponse"]["Id"]
    s.cancel(job)
    assert wait(s, app, job, ends=("COMPLETED", "FAILED", "CANCELLED"))["JobStatus"] == "CANCELLED"


def retried_post(s):
    app = create_app(s, "cli-retried")["Id"]
    s.lose_answer("CreateImportJob")
    job = aws(s, *job_words(app, s.source("file", "CSV"), "CSV"), attempts="3")["ImportJobResponse"]["Id"]
    listed = aws(s, "get-import-jobs", "--application-id", app)["ImportJobsResponse"]["Item"]
    assert [found["Id"] for found in listed] == [job], listed


CASES = [
    import_and_lists, endpoints_and_tags, segments_of_dimensions, export_jobs, also_called, errors, too_many_requests, cancelled_job,
    retried_post,
]
