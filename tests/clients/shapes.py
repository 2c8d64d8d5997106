"""The service model as a judge of answers: an HTTP exchange in, what is wrong with it out."""

import json
import re
from pathlib import Path

CONTRACT = Path(__file__).resolve().parents[2] / "server" / "tests" / "contract.json"

# Ours beyond the model: old pollers do not know them, and docs/compat.md says so.
OWN_STATUSES = {"CANCELLING", "CANCELLED"}

# Ours beyond what the model lists for some operations: the names are its own.
OWN_ERRORS = {"ConflictException": 409, "RequestTimeoutException": 408, "ServiceUnavailableException": 503}


class Contract:
    def __init__(self):
        model = json.loads(CONTRACT.read_text())
        self.operations = model["operations"]
        self.shapes = model["shapes"]
        self.routes = [
            (operation["http"]["method"], re.compile(re.sub(r"\{[^}]+\}", "[^/]+", operation["http"]["requestUri"]) + "$"), name)
            for name, operation in self.operations.items()
        ]

    def operation(self, method, path):
        """The operation that a request names, by its raw path."""
        for known, pattern, name in self.routes:
            if known == method and pattern.match(path):
                return name
        return None

    def judge(self, operation, status, headers, body):
        """What is wrong with an answer."""
        headers = {name.lower(): value for name, value in headers}
        wrong = []
        request_id = headers.get("x-amzn-requestid", "")
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id):
            wrong.append(f"x-amzn-RequestId is {request_id!r}")
        if status >= 400:
            return wrong + self.judge_error(operation, status, headers, body, request_id)
        model = self.operations[operation]
        expected = model["http"].get("responseCode", 200)
        if status != expected:
            wrong.append(f"status {status} in place of {expected}")
        output = self.shapes.get(model.get("output", {}).get("shape"))
        payload = output and output.get("payload")
        if not payload:
            return wrong + ([f"a body where none belongs: {body[:80]!r}"] if body else [])
        if headers.get("content-type") != "application/json":
            wrong.append(f"Content-Type {headers.get('content-type')!r}")
        try:
            value = json.loads(body)
        except ValueError as error:
            return wrong + [f"no JSON ({error}): {body[:80]!r}"]
        self.check(output["members"][payload]["shape"], value, payload, wrong)
        return wrong

    def judge_error(self, operation, status, headers, body, request_id):
        wrong = []
        kind = headers.get("x-amzn-errortype")
        names = {error["shape"] for error in self.operations.get(operation, {}).get("errors", [])}
        names = names or {name for name, shape in self.shapes.items() if shape.get("exception")}
        codes = {name: self.shapes[name]["error"]["httpStatusCode"] for name in names} | OWN_ERRORS
        if codes.get(kind) != status:
            wrong.append(f"status {status} with x-amzn-ErrorType {kind!r}")
        try:
            value = json.loads(body)
        except ValueError as error:
            return wrong + [f"no JSON ({error}): {body[:80]!r}"]
        if list(value) != ["RequestID", "Message"]:
            wrong.append(f"an error's members are {list(value)}")
        elif value["RequestID"] != request_id or not isinstance(value["Message"], str) or not value["Message"]:
            wrong.append(f"an error says {value}, with x-amzn-RequestId {request_id!r}")
        if status == 405 and not headers.get("allow"):
            wrong.append("405 without Allow")
        if status == 429 and not headers.get("retry-after", "").isdigit():
            wrong.append("429 without Retry-After")
        return wrong

    def check(self, name, value, at, wrong):
        """Adds what is wrong with a value of a shape: members, types, enums, what is required."""
        shape = self.shapes[name]
        kind = shape["type"]
        if kind == "structure" and isinstance(value, dict):
            members = {member.get("locationName", key): (key, member) for key, member in shape["members"].items()}
            missing = set(shape.get("required", [])) - {members[found][0] for found in value if found in members}
            wrong += [f"{at}: {member} is missing" for member in sorted(missing)]
            wrong += [f"{at}: {name} has no member {found}" for found in value if found not in members]
            for found, inner in value.items():
                # The last page has a token that is null.
                if found in members and not (found == "NextToken" and inner is None):
                    self.check(members[found][1]["shape"], inner, f"{at}.{found}", wrong)
        elif kind == "list" and isinstance(value, list):
            for index, inner in enumerate(value):
                self.check(shape["member"]["shape"], inner, f"{at}[{index}]", wrong)
        elif kind == "map" and isinstance(value, dict):
            for key, inner in value.items():
                self.check(shape["value"]["shape"], inner, f"{at}.{key}", wrong)
        elif kind == "string" and isinstance(value, str):
            if "enum" in shape and value not in shape["enum"] and not (name == "JobStatus" and value in OWN_STATUSES):
                wrong.append(f"{at}: {value!r} is no {name}")
        elif not (
            (kind == "integer" and type(value) is int and -(2**31) <= value < 2**31)
            or (kind == "double" and type(value) in (int, float))
            or (kind == "boolean" and type(value) is bool)
        ):
            wrong.append(f"{at}: {value!r} is no {kind}")
