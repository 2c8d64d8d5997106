"""NDJSON into ClickHouse, embedded by chdb. Two layouts, both appended and deduplicated when read or merged:

text   nested members stay JSON text; ReplacingMergeTree: whole rows are replaced
typed  dates, maps and tuples; CoalescingMergeTree: members that are absent stay (each map as a whole), users and
       the endpoints of a user in tables of their own

One read feeds all tables (materialized views). `optimize_on_insert = 0` leaves the folding to the merges, blocks of
262,144 rows make few parts, and each part is synced, which is not ClickHouse's default.

Settling merges all parts of each table. Reading folds (`FINAL`), which one part alone does not need; but ClickHouse
folds it all the same when it reads in the order of the key, and that takes longer than a sort.
"""

import json

from chdb import session

from shape import FLAT, MEMBERS, NESTED, found, main

TEXT = dict.fromkeys(NESTED, "String")
TYPED = {
    "Attributes": "Map(String, String)",
    "Demographic": "Tuple(Make String, Platform String)",
    "Location": "Tuple(City String, Country String, Latitude Float64, Longitude Float64)",
    "Metrics": "Map(String, Float64)",
    "User": "Tuple(UserId String, UserAttributes Map(String, String))",
}
DATES = dict.fromkeys(["EffectiveDate", "CreationDate"], "DateTime64(3)")
FEW = dict.fromkeys(["ChannelType", "OptOut", "EndpointStatus"], "LowCardinality(String)")
SYNC = "fsync_after_insert = 1, fsync_part_directory = 1"


def columns_of(layout):
    if layout == "text":
        return dict.fromkeys(FLAT, "String") | DATES | FEW | TEXT
    optional = {name: f"Nullable({kind})" for name, kind in (dict.fromkeys(FLAT, "String") | DATES).items()}
    optional |= {name: "LowCardinality(Nullable(String))" for name in FEW}
    return optional | {"Id": "String"} | TYPED


def import_file(layout, path, folder, threads):
    db = session.Session(folder)
    columns = ", ".join(f"{name} {kind}" for name, kind in columns_of(layout).items())
    table(db, "endpoints", "Coalescing" if layout == "typed" else "Replacing", columns, "Id")
    table(db, "members", "Replacing", "segment UInt32, Id String", "(segment, Id)")
    view(db, "members", "1 AS segment, Id")
    if layout == "typed":
        table(db, "users", "Coalescing", "UserId String, UserAttributes Map(String, String)", "UserId")
        view(db, "users", "User.UserId AS UserId, User.UserAttributes AS UserAttributes")
        table(db, "links", "Replacing", "UserId String, Id String", "(UserId, Id)")
        view(db, "links", "User.UserId AS UserId, Id")
    settings = {
        "max_threads": threads,
        "max_insert_threads": threads,
        "optimize_on_insert": 0,
        "max_insert_block_size": 1 << 18,
        "min_insert_block_size_rows": 1 << 18,
        "min_insert_block_size_bytes": 1 << 28,
        "input_format_parallel_parsing": 1,
        "input_format_skip_unknown_fields": 1,
        "input_format_json_read_arrays_as_strings": 1,
        "input_format_json_read_objects_as_strings": 1,
    }
    settings = ", ".join(f"{name} = {value}" for name, value in settings.items())
    db.query(f"INSERT INTO endpoints SELECT * FROM file('{path}', JSONEachRow, '{columns}') SETTINGS {settings}")
    db.close()


def table(db, name, engine, columns, order):
    db.query(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = {engine}MergeTree ORDER BY {order} SETTINGS {SYNC}")


def view(db, name, columns):
    db.query(f"CREATE MATERIALIZED VIEW IF NOT EXISTS into_{name} TO {name} AS SELECT {columns} FROM endpoints")


def settle(layout, folder, _threads):
    db = session.Session(folder)
    for name in ["endpoints", "members"] + (["users", "links"] if layout == "typed" else []):
        db.query(f"ALTER TABLE {name} MODIFY SETTING min_rows_to_fsync_after_merge = 1")
        db.query(f"OPTIMIZE TABLE {name} FINAL")
    # The parts that were merged stay on the disk for some minutes.
    size = db.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active", "TSV").bytes()
    db.close()
    return {"disk_bytes": int(size)}


def reader(folder):
    """A session that leaves the store as it is: merges would start by themselves."""
    db = session.Session(folder)
    db.query("SYSTEM STOP MERGES")
    return db


def read_out(layout, path, folder, threads):
    db = reader(folder)
    pairs = ", ',', ".join(f"'\"{name}\":', {as_json(layout, name)}" for name in FLAT + NESTED)
    settings = f"max_threads = {threads}, use_index_for_in_with_subqueries = 0, optimize_read_in_order = 0"
    db.query(f"INSERT INTO FUNCTION file('{path}', TSVRaw) SELECT line FROM (SELECT Id, concat('{{', {pairs}, '}}') AS line "
             f"FROM endpoints FINAL WHERE {MEMBERS}) ORDER BY Id SETTINGS {settings}")
    db.close()


def as_json(layout, name):
    if layout == "text" and name in NESTED:
        return f"if({name} = '', 'null', {name})"
    return f"ifNull(toJSONString({name}), 'null')"


def check(layout, folder, endpoint):
    db = reader(folder)

    def ask(query):
        return json.loads(db.query(query, "JSONCompactEachRow").bytes())

    endpoints, oldest = ask("SELECT count(), min(EffectiveDate) FROM endpoints FINAL")
    [members] = ask("SELECT count() FROM members FINAL")
    users = ask("SELECT count() FROM users FINAL")[0] if layout == "typed" else None
    attributes, metrics = ask(f"SELECT Attributes, Metrics FROM endpoints FINAL WHERE Id = '{endpoint}'")
    if layout == "text":
        attributes, metrics = json.loads(attributes), json.loads(metrics)
        plan = attributes["plan"]
    else:
        plan = json.loads(attributes["plan"])
    return found(int(endpoints), int(members), oldest, plan[0], metrics["visits"], users and int(users))


main(import_file, settle, read_out, check)
