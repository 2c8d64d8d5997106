"""NDJSON into Parquet with polars: a floor, not a peer. Nothing is keyed: a re-import is another file beside the
first, and which row counts is left to whoever reads both. One layout, `parquet`.

A join leaves out what an older file says of an id that the newer one has, which is faster than `unique`. Settling
writes one file in order of id, which is read without a sort. Lines are made before they are sorted, and go out as the
only column of a CSV file.
"""

import glob
import os

import polars

from shape import FLAT, found, main

TEXT, NUMBER, TEXTS = polars.String, polars.Float64, polars.List(polars.String)
SCHEMA = dict.fromkeys(FLAT, TEXT) | {
    "Attributes": polars.Struct({"plan": TEXTS, "interests": TEXTS, "source": TEXTS, "campaign": TEXT, "note": TEXTS}),
    "Demographic": polars.Struct({"Make": TEXT, "Platform": TEXT}),
    "Location": polars.Struct({"City": TEXT, "Country": TEXT, "Latitude": NUMBER, "Longitude": NUMBER}),
    "Metrics": polars.Struct({"visits": NUMBER, "basket": NUMBER, "score": NUMBER}),
    "User": polars.Struct({"UserId": TEXT, "UserAttributes": polars.Struct({"FirstName": TEXTS, "LastName": TEXTS})}),
}


def import_file(_layout, path, folder, _threads):
    number = len(files(folder, "endpoints"))
    endpoints = os.path.join(folder, f"endpoints-{number}.parquet")
    members = os.path.join(folder, f"members-{number}.parquet")
    polars.scan_ndjson(path, schema=SCHEMA).sink_parquet(endpoints, compression="lz4")
    polars.scan_parquet(endpoints).select("Id").sink_parquet(members, compression="lz4")
    sync(endpoints, members, folder)


def sync(*paths):
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def files(folder, kind):
    """The files of endpoints or members, oldest first."""
    return sorted(glob.glob(os.path.join(folder, f"{kind}-*.parquet")))


def latest(folder, kind):
    """The rows that count."""
    rows, *more = map(polars.scan_parquet, files(folder, kind))
    for newer in more:
        rows = polars.concat([rows.join(newer.select("Id"), on="Id", how="anti"), newer])
    return rows


def settle(_layout, folder, _threads):
    for kind in ["endpoints", "members"]:
        folded = os.path.join(folder, f"{kind}.part")
        latest(folder, kind).sort("Id").sink_parquet(folded, compression="lz4")
        sync(folded)
        *older, newest = files(folder, kind)
        os.replace(folded, newest)
        for path in older:
            os.remove(path)
    sync(folder)


def read_out(_layout, path, folder, _threads):
    settled = len(files(folder, "endpoints")) == 1
    members = polars.scan_parquet(files(folder, "members")).select("Id")
    rows = latest(folder, "endpoints").join(members, on="Id", how="semi", maintain_order="left" if settled else "none")
    lines = rows.select("Id", polars.struct(polars.all()).struct.json_encode().alias("line"))
    lines = lines if settled else lines.sort("Id")
    lines.select("line").sink_csv(path, include_header=False, quote_style="never")


def check(_layout, folder, endpoint):
    endpoints, members = (polars.scan_parquet(files(folder, kind)[-1]) for kind in ["endpoints", "members"])
    count = polars.len().alias("count")
    rows, oldest = endpoints.select(count, polars.col("EffectiveDate").min()).collect().row(0)
    row = endpoints.filter(polars.col("Id") == endpoint).select("Attributes", "Metrics").collect().row(0, named=True)
    return found(rows, members.select(count).collect().item(), oldest, row["Attributes"]["plan"][0], row["Metrics"]["visits"])


main(import_file, settle, read_out, check)
