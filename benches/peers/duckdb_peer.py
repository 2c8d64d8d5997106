"""NDJSON into DuckDB. Three layouts:

text    nested members stay JSON text, which DuckDB can replace in place: INSERT OR REPLACE with a primary key
struct  nested members become typed columns, for which DuckDB needs the names of all attributes beforehand and
        replaces a row by deleting and appending it: INSERT OR REPLACE with a primary key
nokey   typed columns without a primary key: a temporary table, DELETE by a join, INSERT. The fastest way, but
        nothing guards the id, and finding one endpoint scans the table

Settling is CHECKPOINT and VACUUM, all that DuckDB has; an import leaves little to them. What is read out goes into a
CSV file of one column: its lines are made before they are sorted, and FORMAT json makes them afterwards.
"""

import json
import os

import duckdb

from shape import FLAT, MEMBERS, NESTED, found, main

TYPED = {
    "Attributes": "STRUCT(plan VARCHAR[], interests VARCHAR[], source VARCHAR[], campaign VARCHAR, note VARCHAR[])",
    "Demographic": "STRUCT(Make VARCHAR, Platform VARCHAR)",
    "Location": "STRUCT(City VARCHAR, Country VARCHAR, Latitude DOUBLE, Longitude DOUBLE)",
    "Metrics": "STRUCT(visits DOUBLE, basket DOUBLE, score DOUBLE)",
    "User": "STRUCT(UserId VARCHAR, UserAttributes STRUCT(FirstName VARCHAR[], LastName VARCHAR[]))",
}


def database(folder, **config):
    return duckdb.connect(os.path.join(folder, "endpoints.duckdb"), config=config)


def read(columns):
    spec = ", ".join(f"{name}: '{kind}'" for name, kind in columns.items())
    return f"read_json($path, format = 'newline_delimited', columns = {{{spec}}})"


def import_file(layout, path, folder, threads):
    types = dict.fromkeys(FLAT, "VARCHAR") | (dict.fromkeys(NESTED, "JSON") if layout == "text" else TYPED)
    db = database(folder, threads=threads)
    # Order does not matter for either table, and keeping it costs memory.
    db.execute("SET preserve_insertion_order = false")
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    key = "" if layout == "nokey" else ", PRIMARY KEY (Id)"
    db.execute(f"CREATE TABLE IF NOT EXISTS endpoints ({columns}{key})")
    db.execute("CREATE TABLE IF NOT EXISTS members (segment INTEGER, id VARCHAR)")
    names = {"path": path}
    db.execute("BEGIN")
    if layout == "nokey":
        db.execute(f"CREATE TEMP TABLE staging AS SELECT * FROM {read(types)}", names)
        db.execute("DELETE FROM endpoints WHERE Id IN (SELECT Id FROM staging)")
        db.execute("INSERT INTO endpoints SELECT * FROM staging")
        db.execute("INSERT INTO members SELECT 1, Id FROM staging")
    else:
        db.execute(f"INSERT OR REPLACE INTO endpoints SELECT * FROM {read(types)}", names)
        # A second, narrow read is cheaper than keeping a copy of the rows.
        db.execute(f"INSERT INTO members SELECT 1, Id FROM {read({'Id': 'VARCHAR'})}", names)
    db.execute("COMMIT")
    db.execute("CHECKPOINT")
    db.close()


def settle(_layout, folder, threads):
    db = database(folder, threads=threads)
    db.execute("CHECKPOINT")
    db.execute("VACUUM")
    db.close()


def read_out(layout, path, folder, threads):
    line = "to_json(endpoints)"
    if layout == "text":
        # What is JSON already need not be parsed and made again.
        pairs = [f"'\"{name}\":' || to_json({name})" for name in FLAT] + [f"'\"{name}\":' || {name}" for name in NESTED]
        line = f"'{{' || concat_ws(',', {', '.join(pairs)}) || '}}'"
    db = database(folder, threads=threads)
    db.execute(f"COPY (SELECT {line} FROM endpoints WHERE {MEMBERS} ORDER BY Id) TO '{path}' "
               "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER e'\\x01')")
    db.close()


def check(layout, folder, endpoint):
    db = database(folder)
    query = "SELECT count(*), (SELECT count(DISTINCT id) FROM members), min(EffectiveDate) FROM endpoints"
    counts = db.execute(query).fetchone()
    attributes, metrics = db.execute("SELECT Attributes, Metrics FROM endpoints WHERE Id = ?", [endpoint]).fetchone()
    if layout == "text":
        attributes, metrics = json.loads(attributes), json.loads(metrics)
    return found(*counts, attributes["plan"][0], metrics["visits"])


main(import_file, settle, read_out, check)
