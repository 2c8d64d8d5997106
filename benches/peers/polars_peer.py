"""NDJSON into Parquet with polars: a floor, not a peer. Nothing is keyed: a re-import is another file beside the
first, and which row counts is left to whoever reads both. One layout, `parquet`."""

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
    number = len(os.listdir(folder)) // 2
    endpoints = os.path.join(folder, f"endpoints-{number}.parquet")
    members = os.path.join(folder, f"members-{number}.parquet")
    polars.scan_ndjson(path, schema=SCHEMA).sink_parquet(endpoints, compression="lz4")
    polars.scan_parquet(endpoints).select("Id").sink_parquet(members, compression="lz4")
    for name in [endpoints, members, folder]:
        handle = os.open(name, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def check(_layout, folder, endpoint):
    number = len(os.listdir(folder)) // 2 - 1
    endpoints = polars.scan_parquet(os.path.join(folder, f"endpoints-{number}.parquet"))
    members = polars.scan_parquet(os.path.join(folder, f"members-{number}.parquet"))
    count = polars.len().alias("count")
    rows, oldest = endpoints.select(count, polars.col("EffectiveDate").min()).collect().row(0)
    row = endpoints.filter(polars.col("Id") == endpoint).select("Attributes", "Metrics").collect().row(0, named=True)
    return found(rows, members.select(count).collect().item(), oldest, row["Attributes"]["plan"][0], row["Metrics"]["visits"])


main(import_file, check)
