"""A RoleArn that is really assumed: moto's STS and S3 behind pinport, with signatures and policies checked."""

import json

import boto3

from boto3_cases import client, create_app, create_job, fails, job_arguments, wait
from setting import CONTACTS

# The account that moto gives.
ACCOUNT = "123456789012"
EXTERNAL_ID = "pinport-external-id"


def role(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def document(action, resource, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource} | more]})


def prepare(moto, bucket):
    """A user who may assume roles and nothing else, another who may nothing, and roles that may read this bucket or
    another. Returns the keys of both users."""
    keys = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=moto.url, **keys)
    for name in ["pinport", "nobody"]:
        iam.create_user(UserName=name)
    iam.put_user_policy(UserName="pinport", PolicyName="assume", PolicyDocument=document("sts:AssumeRole", "*"))
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]})
    for name, allowed in [("reads-contacts", bucket), ("reads-another", "another")]:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        resources = [f"arn:aws:s3:::{allowed}", f"arn:aws:s3:::{allowed}/*"]
        iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=document(["s3:GetObject", "s3:ListBucket"], resources))
    found = [iam.create_access_key(UserName=name)["AccessKey"] for name in ["pinport", "nobody"]]
    return [(key["AccessKeyId"], key["SecretAccessKey"]) for key in found]


def config(moto, key, nobody):
    return f"""
[jobs]
look_seconds = 10
[sources]
endpoint = "{moto.url}"
sts_endpoint = "{moto.url}"
region = "us-east-1"
access_key_id = "{key[0]}"
secret_access_key = "{key[1]}"
strict_roles = true
[roles."{role('reads-contacts')}"]
assume_role = true
[roles."{role('reads-another')}"]
assume_role = true
[roles."{role('reads-contacts-asked-by-nobody')}"]
assume_role = true
access_key_id = "{nobody[0]}"
secret_access_key = "{nobody[1]}"
[roles."{role('reads-contacts-with-a-wrong-secret')}"]
assume_role = true
access_key_id = "{key[0]}"
secret_access_key = "wrong"
[roles."{role('is-the-user')}"]
"""


def an_assumed_role_reads(s):
    c = client(s)
    app = create_app(c, "roles")["Id"]
    for format, (read, failed) in CONTACTS.items():
        made = create_job(c, app, s.source("s3", format), format, RoleArn=role("reads-contacts"), ExternalId=EXTERNAL_ID)
        done = wait(c, app, made["Id"])
        assert (done["JobStatus"], done["TotalProcessed"], done["TotalFailures"]) == ("COMPLETED", read, failed), done
        assert done["Definition"]["RoleArn"] == role("reads-contacts") and done["Definition"]["ExternalId"] == EXTERNAL_ID


def a_role_reads_no_more_than_its_own(s):
    c = client(s)
    app = create_app(c, "roles-own")["Id"]
    for name, words in [
        ("reads-another", ["s3://", "denied"]), ("is-the-user", ["s3://", "denied"]),
        ("reads-contacts-asked-by-nobody", ["STS"]), ("reads-contacts-with-a-wrong-secret", ["STS"]),
    ]:
        request = job_arguments(app, s.source("s3", "CSV"), "CSV", RoleArn=role(name))
        error = fails("BadRequestException", 400, c.create_import_job, **request)
        assert all(word in str(error) for word in words), (name, error)


def strict_roles_refuses_what_is_not_configured(s):
    c = client(s)
    app = create_app(c, "roles-strict")["Id"]
    for name in ["unmapped", "reads-contacts2"]:
        request = job_arguments(app, s.source("s3", "CSV"), "CSV", RoleArn=role(name))
        error = fails("BadRequestException", 400, c.create_import_job, **request)
        assert "RoleArn" in str(error) and "not configured" in str(error), error


def cases(moto):
    """The cases; the last one reads what moto kept of the others."""

    def the_external_id_reaches_sts(s):
        asked = [query for query in moto.recorded() if query.get("Action") == "AssumeRole"]
        read = [question for question in asked if question["RoleArn"] == role("reads-contacts")]
        assert read and all(question["ExternalId"] == EXTERNAL_ID for question in read), asked
        others = [question for question in asked if question["RoleArn"] == role("reads-another")]
        assert others and not any("ExternalId" in question for question in others), asked

    return [
        an_assumed_role_reads, a_role_reads_no_more_than_its_own, strict_roles_refuses_what_is_not_configured,
        the_external_id_reaches_sts,
    ]
