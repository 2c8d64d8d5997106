"""Imports NDJSON into DuckDB and prints what is there then: {"endpoints": …, "members": …, "oldest": …}.

    duckdb_import.py text|struct FILE FOLDER THREADS

Two layouts. `text`: nested members stay JSON text, which DuckDB can replace in place - its fastest way, and the
one that looks at the data least. `struct`: nested members become typed columns, for which DuckDB needs the
names of all attributes beforehand and replaces a row by deleting and appending it.
"""

import json
import os
import sys

import duckdb

FLAT = ["Id", "ChannelType", "Address", "EffectiveDate", "CreationDate", "OptOut", "EndpointStatus"]
TYPED = {
    "Attributes": "STRUCT(plan VARCHAR[], interests VARCHAR[], source VARCHAR[], campaign VARCHAR, note VARCHAR[])",
    "Demographic": "STRUCT(Make VARCHAR, Platform VARCHAR)",
    "Location": "STRUCT(City VARCHAR, Country VARCHAR, Latitude DOUBLE, Longitude DOUBLE)",
    "Metrics": "STRUCT(visits DOUBLE, basket DOUBLE, score DOUBLE)",
    "User": "STRUCT(UserId VARCHAR, UserAttributes STRUCT(FirstName VARCHAR[], LastName VARCHAR[]))",
}

layout, path, folder, threads = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
types = dict.fromkeys(FLAT, "VARCHAR")
types.update(TYPED if layout == "struct" else dict.fromkeys(TYPED, "JSON"))

db = duckdb.connect(os.path.join(folder, "endpoints.duckdb"), config={"threads": int(threads)})
# Order does not matter for either table, and keeping it costs memory.
db.execute("SET preserve_insertion_order = false")
columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
db.execute(f"CREATE TABLE IF NOT EXISTS endpoints ({columns}, PRIMARY KEY (Id))")
db.execute("CREATE TABLE IF NOT EXISTS members (segment INTEGER, id VARCHAR)")


def read(columns):
    spec = ", ".join(f"{name}: '{kind}'" for name, kind in columns.items())
    return f"read_json($path, format = 'newline_delimited', columns = {{{spec}}})"


names = {"path": path}
db.execute(f"INSERT OR REPLACE INTO endpoints SELECT * FROM {read(types)}", names)
# A second, narrow read is cheaper than keeping a copy of the rows.
db.execute(f"INSERT INTO members SELECT 1, Id FROM {read({'Id': 'VARCHAR'})}", names)
db.execute("CHECKPOINT")
query = "SELECT count(*), min(EffectiveDate), (SELECT count(*) FROM members) FROM endpoints"
endpoints, oldest, members = db.execute(query).fetchone()
db.close()
print(json.dumps({"endpoints": endpoints, "members": members, "oldest": oldest}))
