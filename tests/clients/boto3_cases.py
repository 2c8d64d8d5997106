"""boto3, as code written for Pinpoint uses it. Each function is a case; docs/compat.md names them."""

import time

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from setting import ADMIN, BURST, MEMBERS, CONTACTS, READER, ROLE, SILENT_ROLE, TENANT, TENANT_APP

ODD_IDS = ["user@example.com/+1", "a b", "100%", "ü/日本", "a?b#c&d=e", "...", "%2F"]


def client(s, url=None, key=ADMIN, **config):
    config = {"retries": {"total_max_attempts": 1}} | config
    return boto3.client(
        "pinpoint", endpoint_url=url or s.open, region_name="us-east-1",
        aws_access_key_id=key[0], aws_secret_access_key=key[1], config=Config(**config),
    )


def fails(kind, status, call, **arguments):
    """The call must raise the client's exception of this name; returns the error."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found == (kind, status), f"{found} in place of {kind}: {error}"
        assert error.response["Error"]["Message"], "an error without a message"
        by_name = getattr(call.__self__.exceptions, kind, None)
        assert by_name is None or isinstance(error, by_name), f"{type(error)} is not {kind}"
        return error
    raise AssertionError(f"{kind} was expected, the answer is {answer}")


def create_app(c, name):
    return c.create_app(CreateApplicationRequest={"Name": name})["ApplicationResponse"]


def create_job(c, app, url, format="JSON", **more):
    request = {"Format": format, "RoleArn": ROLE, "S3Url": url} | more
    return c.create_import_job(ApplicationId=app, ImportJobRequest=request)["ImportJobResponse"]


def wait(c, app, job, ends=("COMPLETED", "FAILED")):
    """As pollers written for Pinpoint do."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = c.get_import_job(ApplicationId=app, JobId=job)["ImportJobResponse"]
        if found["JobStatus"] in ends:
            return found
        time.sleep(0.02)
    raise AssertionError(f"job {job} has not ended: {found}")


def pages(call, member, size, **arguments):
    """All items of a list, page by page until there is no token."""
    items, sizes, token = [], [], {}
    while True:
        answer = call(PageSize=size, **token, **arguments)[member]
        items += answer["Item"]
        sizes.append(len(answer["Item"]))
        if not answer.get("NextToken"):
            return items, sizes
        token = {"Token": answer["NextToken"]}


def apps(s):
    c = client(s)
    made = c.create_app(CreateApplicationRequest={"Name": "boto3-apps", "tags": {"team": "mail"}})["ApplicationResponse"]
    assert made["Name"] == "boto3-apps" and made["tags"] == {"team": "mail"} and made["Arn"].endswith(f"apps/{made['Id']}"), made
    assert c.get_app(ApplicationId=made["Id"])["ApplicationResponse"] == made
    others = [create_app(c, f"boto3-apps-{number}")["Id"] for number in range(4)]
    listed, sizes = pages(c.get_apps, "ApplicationsResponse", "2")
    ids = [app["Id"] for app in listed]
    assert len(set(ids)) == len(ids) and {made["Id"], *others} <= set(ids) and max(sizes) == 2, (ids, sizes)
    assert c.delete_app(ApplicationId=made["Id"])["ApplicationResponse"] == made
    fails("NotFoundException", 404, c.get_app, ApplicationId=made["Id"])
    fails("NotFoundException", 404, c.delete_app, ApplicationId=made["Id"])


def import_jobs(s):
    """CSV and JSON, from a folder and from S3: created, polled to the end, with segment."""
    c = client(s)
    app = create_app(c, "boto3-imports")["Id"]
    for format, (read, failed) in CONTACTS.items():
        for place in ["file", "s3"]:
            url = s.source(place, format)
            made = create_job(c, app, url, format, DefineSegment=True, SegmentName=f"{format} {place}", ExternalId="ext")
            definition = made["Definition"]
            assert made["ApplicationId"] == app and made["Type"] == "IMPORT" and made["JobStatus"] == "CREATED", made
            expected = {
                "DefineSegment": True, "ExternalId": "ext", "Format": format, "RegisterEndpoints": True, "RoleArn": ROLE,
                "S3Url": url, "SegmentId": made["Id"], "SegmentName": f"{format} {place}",
            }
            assert definition == expected, definition
            done = wait(c, app, made["Id"])
            counts = done["JobStatus"], done["TotalProcessed"], done["TotalFailures"]
            assert counts == ("COMPLETED", read, failed), done
            assert done["FailedPieces"] == 0 and done["CompletedPieces"] == done["TotalPieces"] > 0, done
            assert len(done["Failures"]) == failed and all(" line " in text for text in done["Failures"]), done["Failures"]
            assert done["CompletionDate"] >= done["CreationDate"] and done["CreationDate"].endswith("Z"), done
            segment = c.get_segment(ApplicationId=app, SegmentId=definition["SegmentId"])["SegmentResponse"]
            resource = segment["ImportDefinition"]
            assert segment["SegmentType"] == "IMPORT" and segment["Version"] == 1 and segment["Name"] == f"{format} {place}"
            assert (resource["S3Url"], resource["Format"], resource["RoleArn"]) == (url, format, ROLE), resource
            assert resource["Size"] == MEMBERS[format], resource
            assert sum(resource["ChannelCounts"].values()) > 0, resource


def defaults_of_a_job(s):
    c = client(s)
    app = create_app(c, "boto3-defaults")["Id"]
    made = create_job(c, app, s.source("file", "CSV"), "CSV")
    assert made["Definition"]["RegisterEndpoints"] is True and made["Definition"]["DefineSegment"] is False, made
    assert made["Definition"]["ExternalId"] == "000000000000" and "SegmentId" not in made["Definition"], made
    assert "CompletionDate" not in made and made["Failures"] == [], made
    wait(c, app, made["Id"])


def lists_of_jobs(s):
    c = client(s)
    app = create_app(c, "boto3-lists")["Id"]
    empty = c.get_import_jobs(ApplicationId=app)["ImportJobsResponse"]
    assert empty == {"Item": []}, empty
    first = create_job(c, app, s.source("file", "CSV"), "CSV", DefineSegment=True)
    segment = first["Definition"]["SegmentId"]
    wait(c, app, first["Id"])
    made = [first["Id"]]
    for number in range(4):
        into = {"SegmentId": segment} if number % 2 else {}
        made.append(create_job(c, app, s.source("file", "CSV"), "CSV", **into)["Id"])
        wait(c, app, made[-1])
    listed, sizes = pages(c.get_import_jobs, "ImportJobsResponse", "2", ApplicationId=app)
    assert [job["Id"] for job in listed] == made[::-1] and sizes == [2, 2, 1], (made, listed, sizes)
    assert listed[-1] == c.get_import_job(ApplicationId=app, JobId=first["Id"])["ImportJobResponse"]
    of_segment, sizes = pages(c.get_segment_import_jobs, "ImportJobsResponse", "1", ApplicationId=app, SegmentId=segment)
    assert [job["Id"] for job in of_segment] == [made[4], made[2], made[0]] and sizes == [1, 1, 1], (of_segment, sizes)
    other = create_app(c, "boto3-lists-other")["Id"]
    token = c.get_import_jobs(ApplicationId=app, PageSize="1")["ImportJobsResponse"]["NextToken"]
    for bad in [token[:-1], token + "0", "x"]:
        fails("BadRequestException", 400, c.get_import_jobs, ApplicationId=app, Token=bad)
    fails("BadRequestException", 400, c.get_import_jobs, ApplicationId=other, Token=token)
    assert len(c.get_import_jobs(ApplicationId=app, Token="")["ImportJobsResponse"]["Item"]) == 5
    for size in ["0", "-1", "1001", "ten", "", "1.0", "99999999999999999999"]:
        fails("BadRequestException", 400, c.get_import_jobs, ApplicationId=app, PageSize=size)


def segments(s):
    c = client(s)
    app = create_app(c, "boto3-segments")["Id"]
    jobs = [create_job(c, app, s.source("file", "CSV"), "CSV", DefineSegment=True, SegmentName="first")]
    segment = jobs[0]["Definition"]["SegmentId"]
    # From the moment of the 201, before the import has ended.
    assert c.get_segment(ApplicationId=app, SegmentId=segment)["SegmentResponse"]["Name"] == "first"
    wait(c, app, jobs[0]["Id"])
    again = create_job(c, app, s.source("file", "JSON"), SegmentId=segment)
    assert again["Definition"]["SegmentId"] == segment and again["Definition"]["DefineSegment"] is False, again
    wait(c, app, again["Id"])
    current = c.get_segment(ApplicationId=app, SegmentId=segment)["SegmentResponse"]
    assert current["Version"] == 2 and current["ImportDefinition"]["Format"] == "JSON", current
    versions, sizes = pages(c.get_segment_versions, "SegmentsResponse", "1", ApplicationId=app, SegmentId=segment)
    assert [version["Version"] for version in versions] == [2, 1] and sizes == [1, 1], (versions, sizes)
    assert versions[0] == current
    one = c.get_segment_version(ApplicationId=app, SegmentId=segment, Version="1")["SegmentResponse"]
    assert one == versions[1] and one["ImportDefinition"]["Format"] == "CSV", one
    for version in ["3", "0", "x"]:
        fails("NotFoundException", 404, c.get_segment_version, ApplicationId=app, SegmentId=segment, Version=version)
    another = create_job(c, app, s.source("file", "CSV"), "CSV", DefineSegment=True, RegisterEndpoints=False)
    wait(c, app, another["Id"])
    listed, _ = pages(c.get_segments, "SegmentsResponse", "1", ApplicationId=app)
    assert {item["Id"] for item in listed} == {segment, another["Definition"]["SegmentId"]}, listed
    assert c.delete_segment(ApplicationId=app, SegmentId=segment)["SegmentResponse"] == current
    fails("NotFoundException", 404, c.get_segment, ApplicationId=app, SegmentId=segment)
    fails("NotFoundException", 404, c.get_segment_import_jobs, ApplicationId=app, SegmentId=segment)
    fails("NotFoundException", 404, create_job_call(c), **job_arguments(app, s.source("file", "CSV"), "CSV", SegmentId=segment))


def segments_of_dimensions(s):
    """Every kind of dimension, groups of segments, versions, and an export of what is found."""
    c = client(s)
    app = create_app(c, "boto3-dimensions")["Id"]
    items = [
        {"Id": "a", "Address": "a@x", "ChannelType": "EMAIL", "Location": {"Country": "CAN", "Latitude": 43.7, "Longitude": -79.4},
         "Attributes": {"plan": ["gold"], "since": ["2026-02-03T04:05:06Z"]}, "Metrics": {"visits": 3.0},
         "Demographic": {"Make": "apple", "Model": "x", "Platform": "ios", "AppVersion": "1.0"},
         "User": {"UserId": "u", "UserAttributes": {"team": ["red", "blue"]}}},
        {"Id": "b", "Address": "+15550100", "ChannelType": "SMS", "Location": {"Country": "CAN"},
         "Attributes": {"plan": ["lead"]}, "Metrics": {"visits": 1.0}, "EffectiveDate": "2020-01-01T00:00:00Z"},
        {"Id": "c", "Address": "c@x", "ChannelType": "EMAIL", "Location": {"Country": "DEU"}, "User": {"UserId": "u"}},
    ]
    c.update_endpoints_batch(ApplicationId=app, EndpointBatchRequest={"Item": items})

    def made(**request):
        return c.create_segment(ApplicationId=app, WriteSegmentRequest=request)["SegmentResponse"]

    def found(segment):
        return sorted(s.members(app, segment["Id"]))

    one = {"DimensionType": "INCLUSIVE"}
    cases = [
        ({"Attributes": {"plan": {"AttributeType": "INCLUSIVE", "Values": ["gold", "x"]}}}, "a"),
        ({"Attributes": {"plan": {"AttributeType": "EXCLUSIVE", "Values": ["gold"]}}}, "bc"),
        ({"Attributes": {"plan": {"AttributeType": "CONTAINS", "Values": ["ol", "ea"]}}}, "ab"),
        ({"Attributes": {"since": {"AttributeType": "BEFORE", "Values": ["2026-03-01T00:00:00Z"]}}}, "a"),
        ({"Attributes": {"since": {"AttributeType": "AFTER", "Values": ["2026-03-01T00:00:00Z"]}}}, ""),
        ({"Attributes": {"since": {"AttributeType": "ON", "Values": ["2026-02-03"]}}}, "a"),
        ({"Attributes": {"since": {"AttributeType": "BETWEEN", "Values": ["2026-02-01", "2026-02-04"]}}}, "a"),
        ({"UserAttributes": {"team": {"AttributeType": "INCLUSIVE", "Values": ["blue"]}}}, "ac"),
        ({"Metrics": {"visits": {"ComparisonOperator": "GREATER_THAN", "Value": 1.0}}}, "a"),
        ({"Metrics": {"visits": {"ComparisonOperator": "LESS_THAN_OR_EQUAL", "Value": 3.0}}}, "ab"),
        ({"Behavior": {"Recency": {"Duration": "DAY_30", "RecencyType": "ACTIVE"}}}, "ac"),
        ({"Behavior": {"Recency": {"Duration": "HR_24", "RecencyType": "INACTIVE"}}}, "b"),
        ({"Demographic": {"Channel": one | {"Values": ["SMS"]}}}, "b"),
        ({"Demographic": {"Make": one | {"Values": ["apple"]}, "Model": one | {"Values": ["x"]}}}, "a"),
        ({"Demographic": {"Platform": one | {"Values": ["ios"]}, "AppVersion": one | {"Values": ["1.0"]}}}, "a"),
        ({"Demographic": {"DeviceType": {"DimensionType": "EXCLUSIVE", "Values": ["phone"]}}}, "abc"),
        ({"Location": {"Country": one | {"Values": ["CAN", "USA"]}}}, "ab"),
        ({"Location": {"GPSPoint": {"Coordinates": {"Latitude": 43.6, "Longitude": -79.3}, "RangeInKilometers": 20.0}}}, "a"),
        ({}, "abc"),
    ]
    for dimensions, expected in cases:
        segment = made(Name="dimensions", Dimensions=dimensions)
        whole = {"Attributes": {}, "Metrics": {}, "UserAttributes": {}} | dimensions
        assert segment["Dimensions"] == whole and segment["SegmentType"] == "DIMENSIONAL", segment
        assert c.get_segment(ApplicationId=app, SegmentId=segment["Id"])["SegmentResponse"] == segment
        assert found(segment) == list(expected), (dimensions, found(segment))

    canada = made(Name="canada", Dimensions=cases[16][0], tags={"t": "1"})
    group = {"SourceSegments": [{"Id": canada["Id"], "Version": 1}], "SourceType": "ANY", "Type": "NONE", "Dimensions": [cases[0][0]]}
    rest = made(Name="rest", SegmentGroups={"Groups": [group], "Include": "ALL"})
    assert found(rest) == ["b"] and rest["SegmentGroups"]["Include"] == "ALL" and "Dimensions" not in rest, rest
    update = {"Name": "germany", "Dimensions": {"Location": {"Country": {"Values": ["DEU"]}}}, "tags": {}}
    changed = c.update_segment(ApplicationId=app, SegmentId=canada["Id"], WriteSegmentRequest=update)["SegmentResponse"]
    assert (changed["Version"], changed["Name"], changed["tags"]) == (2, "germany", {"t": "1"}), changed
    assert found(changed) == ["c"] and found(rest) == ["b"]
    first = c.get_segment_version(ApplicationId=app, SegmentId=canada["Id"], Version="1")["SegmentResponse"]
    assert first["Dimensions"] == canada["Dimensions"], first
    listed, _ = pages(c.get_segments, "SegmentsResponse", "7", ApplicationId=app)
    assert [item["Id"] for item in listed[:2]] == [rest["Id"], canada["Id"]] and len(listed) == len(cases) + 2, listed

    request = {"RoleArn": ROLE, "S3UrlPrefix": s.target() + "dimensions/", "SegmentId": rest["Id"]}
    job = c.create_export_job(ApplicationId=app, ExportJobRequest=request)["ExportJobResponse"]
    deadline = time.monotonic() + 60
    while job["JobStatus"] not in ["COMPLETED", "FAILED"] and time.monotonic() < deadline:
        time.sleep(0.02)
        job = c.get_export_job(ApplicationId=app, JobId=job["Id"])["ExportJobResponse"]
    assert (job["JobStatus"], job["TotalProcessed"]) == ("COMPLETED", 1), job

    for request, said in [
        ({"Dimensions": {}, "SegmentGroups": {}}, "both given"),
        ({"Dimensions": {"Attributes": {"plan": {"Values": []}}}}, "Dimensions.Attributes.plan.Values"),
        ({"Dimensions": {"Behavior": {"Recency": {"Duration": "DAY_8", "RecencyType": "ACTIVE"}}}}, "Recency.Duration"),
        ({"SegmentGroups": {"Groups": [{"SourceSegments": [{"Id": "0" * 32}]}]}}, "SourceSegments[0]"),
    ]:
        error = fails("BadRequestException", 400, c.create_segment, ApplicationId=app, WriteSegmentRequest=request)
        assert said in str(error), (said, error)
    fails("NotFoundException", 404, c.update_segment, ApplicationId=app, SegmentId="0" * 32, WriteSegmentRequest={"Name": "x"})


def create_job_call(c):
    return c.create_import_job


def job_arguments(app, url, format="JSON", **more):
    return {"ApplicationId": app, "ImportJobRequest": {"Format": format, "RoleArn": ROLE, "S3Url": url} | more}


def endpoints(s):
    c = client(s)
    app = create_app(c, "boto3-endpoints")["Id"]
    request = {
        "Address": "ada@example.com", "ChannelType": "EMAIL", "Attributes": {"plan": ["pro", "team"]}, "OptOut": "NONE",
        "Demographic": {"AppVersion": "1", "Locale": "en", "Make": "m", "Model": "n", "ModelVersion": "2", "Platform": "p", "PlatformVersion": "3", "Timezone": "Europe/London"},
        "EffectiveDate": "2026-01-02T03:04:05.678Z", "EndpointStatus": "ACTIVE",
        "Location": {"City": "Leeds", "Country": "GBR", "Latitude": 53.8008, "Longitude": -1.5491, "PostalCode": "LS1", "Region": "Yorkshire"},
        "Metrics": {"visits": 12.5}, "RequestId": "r-1", "User": {"UserId": "ada", "UserAttributes": {"FirstName": ["Ada"]}},
    }
    put = c.update_endpoint(ApplicationId=app, EndpointId="one", EndpointRequest=request)["MessageBody"]
    assert put["Message"] == "Accepted" and put["RequestID"], put
    found = c.get_endpoint(ApplicationId=app, EndpointId="one")["EndpointResponse"]
    for member, value in request.items():
        assert found[member] == value, (member, found[member])
    assert found["ApplicationId"] == app and found["Id"] == "one" and found["CreationDate"].endswith("Z"), found
    assert 0 <= int(found["CohortId"]) <= 99, found
    # A later update leaves what it does not name, and replaces an attribute by name.
    c.update_endpoint(ApplicationId=app, EndpointId="one", EndpointRequest={"Attributes": {"plan": ["free"]}, "OptOut": "ALL"})
    again = c.get_endpoint(ApplicationId=app, EndpointId="one")["EndpointResponse"]
    assert again["Attributes"] == {"plan": ["free"]} and again["OptOut"] == "ALL" and again["Address"] == "ada@example.com", again
    assert again["CreationDate"] == found["CreationDate"], (found, again)
    batch = [{"Id": f"b-{number}", "ChannelType": "SMS", "Address": f"+1202555010{number}", "User": {"UserId": "ada"}} for number in range(3)]
    batch.append({"Id": "b-all"} | request | {"User": {"UserId": "bob", "UserAttributes": {"FirstName": ["Bob"]}}})
    c.update_endpoints_batch(ApplicationId=app, EndpointBatchRequest={"Item": batch})
    whole = c.get_endpoint(ApplicationId=app, EndpointId="b-all")["EndpointResponse"]
    assert {member: whole[member] for member in batch[-1]} == batch[-1], whole
    of_user = c.get_user_endpoints(ApplicationId=app, UserId="ada")["EndpointsResponse"]["Item"]
    assert {item["Id"] for item in of_user} == {"one", "b-0", "b-1", "b-2"}, of_user
    assert all(item["User"]["UserAttributes"] == {"FirstName": ["Ada"]} for item in of_user), of_user
    gone = c.delete_endpoint(ApplicationId=app, EndpointId="b-0")["EndpointResponse"]
    assert gone["Id"] == "b-0", gone
    fails("NotFoundException", 404, c.get_endpoint, ApplicationId=app, EndpointId="b-0")
    deleted = c.delete_user_endpoints(ApplicationId=app, UserId="ada")["EndpointsResponse"]["Item"]
    assert {item["Id"] for item in deleted} == {"one", "b-1", "b-2"}, deleted
    fails("NotFoundException", 404, c.get_user_endpoints, ApplicationId=app, UserId="ada")
    fails("NotFoundException", 404, c.delete_endpoint, ApplicationId=app, EndpointId="one")


def wrong_endpoints(s):
    c = client(s)
    app = create_app(c, "boto3-wrong-endpoints")["Id"]
    good = {"ChannelType": "SMS", "Address": "+12025550100"}
    for bad in [{"ChannelType": "PIGEON", "Address": "x"}, {"Attributes": {"n" * 51: ["v"]}} | good]:
        fails("BadRequestException", 400, c.update_endpoint, ApplicationId=app, EndpointId="x", EndpointRequest=bad)
    for items in [[good], [{"Id": ""} | good], [{"Id": "x", "ChannelType": "PIGEON", "Address": "x"}], [{"Id": str(n)} | good for n in range(101)]]:
        fails("BadRequestException", 400, c.update_endpoints_batch, ApplicationId=app, EndpointBatchRequest={"Item": items})
    fails("NotFoundException", 404, c.get_endpoint, ApplicationId=app, EndpointId="x")


def odd_ids(s):
    """Ids that must be percent-encoded in a path."""
    c = client(s)
    app = create_app(c, "boto3-odd-ids")["Id"]
    for id in ODD_IDS:
        request = {"ChannelType": "EMAIL", "Address": id, "User": {"UserId": f"u {id}"}}
        c.update_endpoint(ApplicationId=app, EndpointId=id, EndpointRequest=request)
        assert c.get_endpoint(ApplicationId=app, EndpointId=id)["EndpointResponse"]["Id"] == id
        assert c.get_user_endpoints(ApplicationId=app, UserId=f"u {id}")["EndpointsResponse"]["Item"][0]["Id"] == id
        assert c.delete_endpoint(ApplicationId=app, EndpointId=id)["EndpointResponse"]["Id"] == id
    for method, name in [(c.get_app, "ApplicationId"), (c.get_import_jobs, "ApplicationId")]:
        for id in ["x" * 32, "0" * 31, "../apps", "ü"]:
            fails("NotFoundException", 404, method, **{name: id})
    fails("NotFoundException", 404, c.get_import_jobs, ApplicationId="")
    for id in ["", ".", ".."]:
        # Dots are not encoded in a path, and a path with them is none that pinport answers.
        fails("NotFoundException", 404, c.get_endpoint, ApplicationId=app, EndpointId=id)
    fails("NotFoundException", 404, c.get_import_job, ApplicationId=app, JobId="")


def tags(s):
    c = client(s)
    app = create_app(c, "boto3-tags")
    made = create_job(c, app["Id"], s.source("file", "CSV"), "CSV", DefineSegment=True)
    wait(c, app["Id"], made["Id"])
    segment = c.get_segment(ApplicationId=app["Id"], SegmentId=made["Id"])["SegmentResponse"]
    for arn in [app["Arn"], segment["Arn"]]:
        c.tag_resource(ResourceArn=arn, TagsModel={"tags": {"a": "1", "b c": "ü", "d": ""}})
        assert c.list_tags_for_resource(ResourceArn=arn)["TagsModel"]["tags"] == {"a": "1", "b c": "ü", "d": ""}
        c.untag_resource(ResourceArn=arn, TagKeys=["a", "b c"])
        assert c.list_tags_for_resource(ResourceArn=arn)["TagsModel"]["tags"] == {"d": ""}
    assert c.get_app(ApplicationId=app["Id"])["ApplicationResponse"]["tags"] == {"d": ""}
    assert c.get_segment(ApplicationId=app["Id"], SegmentId=segment["Id"])["SegmentResponse"]["tags"] == {"d": ""}
    for arn in ["arn:aws:mobiletargeting:us-east-1:000000000000:apps/" + "0" * 32, "x"]:
        fails("NotFoundException", 404, c.list_tags_for_resource, ResourceArn=arn)
    wrong = {"tags": {"k" * 129: "v"}}
    fails("BadRequestException", 400, c.tag_resource, ResourceArn=app["Arn"], TagsModel=wrong)


def refused_jobs(s):
    """400 with a reason, before anything is made."""
    c = client(s)
    app = create_app(c, "boto3-refused")["Id"]
    for request, word in [
        (job_arguments(app, s.source("file", "JSON"), "XML"), "XML"),
        (job_arguments(app, ""), "S3Url"),
        (job_arguments(app, s.source("file", "JSON"), RoleArn=""), "RoleArn"),
        (job_arguments(app, s.source("file", "JSON"), RegisterEndpoints=False), "RegisterEndpoints"),
        (job_arguments(app, "contacts.json"), "S3Url"),
        (job_arguments(app, f"s3://{s.bucket}/none/"), "no object"),
        (job_arguments(app, "s3://no-such-bucket-here/x"), "bucket"),
        (job_arguments(app, s.source("s3", "CSV"), "JSON"), "JSON"),
        (job_arguments(app, "file:///etc/passwd"), "file:///etc/passwd"),
    ]:
        error = fails("BadRequestException", 400, c.create_import_job, **request)
        assert word.lower() in error.response["Error"]["Message"].lower(), (word, str(error))
    fails("NotFoundException", 404, c.create_import_job, **job_arguments(app, s.source("file", "CSV"), "CSV", SegmentId="0" * 32))
    assert c.get_import_jobs(ApplicationId=app)["ImportJobsResponse"]["Item"] == []


def cancelled_job(s):
    """Through pinport's own API; a poller sees a status that Pinpoint's model does not have, and no exception."""
    c = client(s)
    app = create_app(c, "boto3-cancelled")["Id"]
    made = create_job(c, app, "s3://silent/x", RoleArn=SILENT_ROLE, DefineSegment=True)
    fails("ConflictException", 409, c.delete_app, ApplicationId=app)
    fails("ConflictException", 409, c.delete_segment, ApplicationId=app, SegmentId=made["Definition"]["SegmentId"])
    s.cancel(made["Id"])
    done = wait(c, app, made["Id"], ends=("COMPLETED", "FAILED", "CANCELLED"))
    assert done["JobStatus"] == "CANCELLED" and done["CompletionDate"] and done["TotalProcessed"] == 0, done
    listed = c.get_import_jobs(ApplicationId=app)["ImportJobsResponse"]["Item"]
    assert [job["JobStatus"] for job in listed] == ["CANCELLED"], listed
    c.delete_app(ApplicationId=app)


def same_names(s):
    c = client(s)
    first, second = (create_app(c, "boto3-twice") for _ in range(2))
    assert first["Id"] != second["Id"] and first["Name"] == second["Name"], (first, second)


def too_large(s):
    """Past the proxy: the answer must reach a client that is still sending."""
    c = client(s, s.direct)
    app = create_app(c, "boto3-too-large")["Id"]
    huge = {"Item": [{"Id": "x", "ChannelType": "EMAIL", "Address": "x" * (1 << 22)}]}
    fails("PayloadTooLargeException", 413, c.update_endpoints_batch, ApplicationId=app, EndpointBatchRequest=huge)
    fails("BadRequestException", 400, c.create_app, CreateApplicationRequest={"Name": "x" * 65})


def export_jobs(s):
    """What was imported goes out to the bucket and comes back from there, the same endpoints."""
    c = client(s)
    app = create_app(c, "boto3-export")["Id"]
    made = create_job(c, app, s.source("s3", "JSON"), DefineSegment=True, SegmentName="all")
    segment = made["Definition"]["SegmentId"]
    assert wait(c, app, made["Id"])["JobStatus"] == "COMPLETED"
    prefix = f"s3://{s.bucket}/out/{s.client}/"

    def export(**more):
        request = {"RoleArn": ROLE, "S3UrlPrefix": prefix} | more
        return c.create_export_job(ApplicationId=app, ExportJobRequest=request)

    answer = export(SegmentId=segment, SegmentVersion=1)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    created = answer["ExportJobResponse"]
    assert (created["Type"], created["JobStatus"]) == ("EXPORT", "CREATED"), created
    expected = {"RoleArn": ROLE, "S3UrlPrefix": prefix, "SegmentId": segment, "SegmentVersion": 1}
    assert created["Definition"] == expected, created

    def ended(job):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = c.get_export_job(ApplicationId=app, JobId=job)["ExportJobResponse"]
            if found["JobStatus"] in ("COMPLETED", "FAILED"):
                return found
            time.sleep(0.02)
        raise AssertionError(f"job {job} has not ended: {found}")

    job = ended(created["Id"])
    counts = [job[name] for name in ("CompletedPieces", "FailedPieces", "TotalPieces", "TotalFailures", "TotalProcessed")]
    assert job["JobStatus"] == "COMPLETED" and counts == [1, 0, 1, 0, MEMBERS["JSON"]], job
    assert job["ApplicationId"] == app and job["CompletionDate"] >= job["CreationDate"] and job["Failures"] == [], job

    # Read again, into another application.
    other = create_app(c, "boto3-export-again")["Id"]
    again = create_job(c, other, prefix, DefineSegment=True)
    found = wait(c, other, again["Id"])
    assert (found["TotalProcessed"], found["TotalFailures"]) == (MEMBERS["JSON"], 0), found
    whole = export()["ExportJobResponse"]
    assert whole["Definition"] == {"RoleArn": ROLE, "S3UrlPrefix": prefix}, whole
    assert ended(whole["Id"])["JobStatus"] == "COMPLETED"

    items, _ = pages(c.get_export_jobs, "ExportJobsResponse", "1", ApplicationId=app)
    assert [item["Id"] for item in items] == [whole["Id"], job["Id"]], items
    items, _ = pages(c.get_segment_export_jobs, "ExportJobsResponse", "1", ApplicationId=app, SegmentId=segment)
    assert [item["Id"] for item in items] == [job["Id"]], items
    empty = c.get_export_jobs(ApplicationId=other)["ExportJobsResponse"]
    assert empty["Item"] == [], empty
    for wrong in [{"SegmentId": "0" * 32}, {"SegmentId": segment, "SegmentVersion": 9}]:
        request = {"RoleArn": ROLE, "S3UrlPrefix": prefix} | wrong
        fails("NotFoundException", 404, c.create_export_job, ApplicationId=app, ExportJobRequest=request)
    request = {"RoleArn": ROLE, "S3UrlPrefix": "nowhere"}
    fails("BadRequestException", 400, c.create_export_job, ApplicationId=app, ExportJobRequest=request)
    fails("NotFoundException", 404, c.get_export_job, ApplicationId=app, JobId=made["Id"])


def also_called(s):
    """What programs that import also call."""
    c = client(s)
    app = create_app(c, "boto3-also")["Id"]
    found = c.get_application_settings(ApplicationId=app)["ApplicationSettingsResource"]
    assert found["ApplicationId"] == app and "Limits" not in found, found
    settings = {
        "CampaignHook": {"LambdaFunctionName": "arn", "Mode": "FILTER", "WebUrl": "https://example.com"},
        "Limits": {"Daily": 1, "MaximumDuration": 60, "MessagesPerSecond": 50, "Session": 2, "Total": 3},
        "QuietTime": {"Start": "22:00", "End": "07:00"},
        "JourneyLimits": {"DailyCap": 1, "TimeframeCap": {"Cap": 2, "Days": 3}, "TotalCap": 4},
    }
    more = {"CloudWatchMetricsEnabled": True, "EventTaggingEnabled": False}
    updated = c.update_application_settings(ApplicationId=app, WriteApplicationSettingsRequest=settings | more)
    updated = updated["ApplicationSettingsResource"]
    assert {name: updated[name] for name in settings} == settings, updated
    assert c.get_application_settings(ApplicationId=app)["ApplicationSettingsResource"] == updated

    assert c.get_channels(ApplicationId=app)["ChannelsResponse"] == {"Channels": {}}
    assert c.get_campaigns(ApplicationId=app, PageSize="5")["CampaignsResponse"] == {"Item": []}
    assert c.list_journeys(ApplicationId=app)["JourneysResponse"] == {"Item": []}
    assert c.list_templates(Prefix="a", TemplateType="EMAIL")["TemplatesResponse"] == {"Item": []}
    assert c.get_recommender_configurations()["ListRecommenderConfigurationsResponse"] == {"Item": []}
    fails("NotFoundException", 404, c.get_event_stream, ApplicationId=app)
    fails("NotFoundException", 404, c.get_channels, ApplicationId="0" * 32)

    endpoint = {
        "Address": "a@x", "ChannelType": "EMAIL", "Attributes": {"plan": ["x"], "old_a": ["1"], "old_b": ["2"]},
        "Metrics": {"old": 1.5}, "User": {"UserId": "u", "UserAttributes": {"old": ["1"]}},
    }
    event = {
        "EventType": "_session.start", "Timestamp": "2026-01-01T00:00:00Z", "Attributes": {"a": "b"}, "Metrics": {"m": 1.0},
        "Session": {"Id": "s", "StartTimestamp": "2026-01-01T00:00:00Z"}, "AppTitle": "t", "SdkName": "n",
    }
    batch = {"a": {"Endpoint": endpoint, "Events": {"one": event}}, "b": {"Endpoint": {"ChannelType": "EMAIL", "Address": ""}, "Events": {}}}
    results = c.put_events(ApplicationId=app, EventsRequest={"BatchItem": batch})["EventsResponse"]["Results"]
    assert results["a"]["EndpointItemResponse"] == {"Message": "Accepted", "StatusCode": 202}, results
    assert results["a"]["EventsItemResponse"] == {"one": {"Message": "Accepted", "StatusCode": 202}}, results
    assert results["b"]["EndpointItemResponse"]["StatusCode"] == 400, results
    assert c.get_endpoint(ApplicationId=app, EndpointId="a")["EndpointResponse"]["Address"] == "a@x"

    for kind, expected in [
        ("endpoint-custom-attributes", ["old_a", "old_b"]), ("endpoint-metric-attributes", ["old"]), ("endpoint-user-attributes", ["old"]),
    ]:
        arguments = {"ApplicationId": app, "AttributeType": kind, "UpdateAttributesRequest": {"Blacklist": ["old*"]}}
        removed = c.remove_attributes(**arguments)["AttributesResource"]
        assert removed == {"ApplicationId": app, "AttributeType": kind, "Attributes": expected}, removed
    found = c.get_endpoint(ApplicationId=app, EndpointId="a")["EndpointResponse"]
    assert (found["Attributes"], found["Metrics"], found["User"]["UserAttributes"]) == ({"plan": ["x"]}, {}, {}), found
    wrong = {"ApplicationId": app, "AttributeType": "x", "UpdateAttributesRequest": {"Blacklist": []}}
    fails("BadRequestException", 400, c.remove_attributes, **wrong)

    def validate(**request):
        return c.phone_number_validate(NumberValidateRequest=request)["NumberValidateResponse"]

    number = validate(IsoCountryCode="US", PhoneNumber="2065550142")
    assert number["CleansedPhoneNumberE164"] == "+12065550142" and number["PhoneTypeCode"] == 0, number
    assert (number["CountryCodeIso2"], number["CountryCodeNumeric"]) == ("US", "1"), number
    assert validate(PhoneNumber="+1")["PhoneType"] == "INVALID"
    fails("BadRequestException", 400, c.phone_number_validate, NumberValidateRequest={})


def other_operations(s):
    """What pinport does not have says so, in the service's form."""
    c = client(s)
    app = create_app(c, "boto3-other")["Id"]
    for call, arguments in [
        (c.get_campaign, {"CampaignId": "x"}), (c.get_journey, {"JourneyId": "x"}),
        (c.send_messages, {"MessageRequest": {"MessageConfiguration": {}}}), (c.get_email_channel, {}),
    ]:
        error = fails("MethodNotAllowedException", 405, call, ApplicationId=app, **arguments)
        assert "does not have the operation" in str(error), error


def access(s):
    admin = client(s, s.keyed)
    app = create_app(admin, "boto3-keyed")["Id"]
    job = create_job(admin, app, s.source("file", "CSV"), "CSV", DefineSegment=True)
    assert wait(admin, app, job["Id"])["JobStatus"] == "COMPLETED"
    # The id in a signature's path is encoded twice over: once for the wire, once for what is signed.
    for id in ODD_IDS:
        admin.update_endpoint(ApplicationId=app, EndpointId=id, EndpointRequest={"ChannelType": "EMAIL", "Address": "a@example.com"})
        assert admin.get_endpoint(ApplicationId=app, EndpointId=id)["EndpointResponse"]["Id"] == id
    arn = admin.get_app(ApplicationId=app)["ApplicationResponse"]["Arn"]
    admin.tag_resource(ResourceArn=arn, TagsModel={"tags": {"a b": "c"}})
    admin.untag_resource(ResourceArn=arn, TagKeys=["a b", "x/ü"])
    reader = client(s, s.keyed, READER)
    assert reader.get_app(ApplicationId=app)["ApplicationResponse"]["Id"] == app
    fails("ForbiddenException", 403, reader.create_app, CreateApplicationRequest={"Name": "no"})
    fails("ForbiddenException", 403, reader.create_import_job, **job_arguments(app, s.source("file", "CSV"), "CSV"))
    fails("ForbiddenException", 403, client(s, s.keyed, (ADMIN[0], "wrong-secret-0123456789")).get_apps)
    fails("ForbiddenException", 403, client(s, s.keyed, ("PINPORTNOBODY", ADMIN[1])).get_apps)
    fails("ForbiddenException", 403, client(s, s.keyed, signature_version=UNSIGNED).get_apps)
    other_region = boto3.client("pinpoint", endpoint_url=s.keyed, region_name="eu-west-1", aws_access_key_id=ADMIN[0], aws_secret_access_key=ADMIN[1])
    fails("ForbiddenException", 403, other_region.get_apps)
    # Another key's application looks like one that is not there.
    tenant = client(s, s.keyed, TENANT)
    foreign = fails("NotFoundException", 404, tenant.get_app, ApplicationId=app)
    absent = fails("NotFoundException", 404, tenant.get_app, ApplicationId="f" * 32)
    same = [error.response["Error"]["Message"].replace(id, "ID") for error, id in [(foreign, app), (absent, "f" * 32)]]
    assert same[0] == same[1], same
    fails("NotFoundException", 404, tenant.get_app, ApplicationId=TENANT_APP)
    # With keys, no application is made on its first use.
    fails("NotFoundException", 404, admin.create_import_job, **job_arguments("e" * 32, s.source("file", "CSV"), "CSV"))
    # Without them it is, and any signature or none will do.
    unsigned = client(s, signature_version=UNSIGNED)
    assert create_job(unsigned, "b" * 32, s.source("file", "CSV"), "CSV")["ApplicationId"] == "b" * 32


def too_many_requests(s):
    slow = client(s, s.keyed, s.slow)
    for _ in range(BURST):
        slow.get_apps()
    error = fails("TooManyRequestsException", 429, slow.get_apps)
    assert int(error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1, error.response


def retried_post(s):
    """The answer of a CreateImportJob is lost; the SDK sends it again and hears of the same job."""
    c = client(s, retries={"mode": "standard", "total_max_attempts": 3})
    app = create_app(c, "boto3-retried")["Id"]
    s.lose_answer("CreateImportJob")
    answer = c.create_import_job(**job_arguments(app, s.source("file", "CSV"), "CSV"))
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1, answer["ResponseMetadata"]
    listed = c.get_import_jobs(ApplicationId=app)["ImportJobsResponse"]["Item"]
    assert [job["Id"] for job in listed] == [answer["ImportJobResponse"]["Id"]], listed
    # The same request as another call is another job.
    create_job(c, app, s.source("file", "CSV"), "CSV")
    assert len(c.get_import_jobs(ApplicationId=app)["ImportJobsResponse"]["Item"]) == 2


CASES = [
    apps, import_jobs, defaults_of_a_job, lists_of_jobs, segments, segments_of_dimensions, endpoints, wrong_endpoints, odd_ids, tags, refused_jobs,
    cancelled_job, same_names, too_large, export_jobs, also_called, other_operations, access, too_many_requests, retried_post,
]
