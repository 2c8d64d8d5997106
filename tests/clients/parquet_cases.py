"""DuckDB, which shares no code with what writes Parquet here, reads an export: each function is a case."""

import json
import tempfile
import urllib.request
from pathlib import Path

import boto3_cases
import duckdb


def present(value):
    """Without the members that are null: in JSON they are not there."""
    if isinstance(value, dict):
        return {name: present(member) for name, member in value.items() if member is not None}
    return value


def warehouse(s):
    """All that JSON says of the endpoints is in the columns, and they have types to ask by."""
    c = boto3_cases.client(s)
    app = boto3_cases.create_app(c, "parquet")["Id"]
    made = boto3_cases.create_job(c, app, s.source("file", "JSON"), DefineSegment=True, SegmentName="all")
    assert boto3_cases.wait(c, app, made["Id"])["JobStatus"] == "COMPLETED"

    def stream(parameters):
        with urllib.request.urlopen(f"{s.direct}/pinport/v1/apps/{app}/export?{parameters}") as answer:
            return answer.headers["Content-Type"], answer.read()

    expected = [json.loads(line) for line in stream("format=json")[1].splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        for compression in ("zstd", "gzip", "none"):
            path = Path(folder) / f"{compression}.parquet"
            kind, body = stream(f"format=parquet&compression={compression}")
            assert kind == "application/vnd.apache.parquet", kind
            path.write_bytes(body)
            rows = duckdb.sql(f"SELECT * FROM '{path}'")
            found = [present(dict(zip(rows.columns, row))) for row in rows.fetchall()]
            assert len(found) == len(expected), (len(found), len(expected))
            for one, other in zip(found, expected):
                assert one == other, f"{one} is not {other}"
        by_country = f"SELECT Location.Country, avg(Location.Latitude), count(*) FROM '{path}' GROUP BY ALL"
        assert sum(count for _, _, count in duckdb.sql(by_country).fetchall()) == len(expected)
        dated = f"SELECT count(*) FROM '{path}' WHERE CAST(CreationDate AS TIMESTAMP) > TIMESTAMP '2000-01-01'"
        assert duckdb.sql(dated).fetchall() == [(len(expected),)]


CASES = [warehouse]
