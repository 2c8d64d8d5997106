"""NDJSON into SQLite with Python's own module and orjson: one transaction, prepared statements, WAL, all pages in
the cache, synced at its end, everything moved from the log into the database. Two layouts:

doc    the id and the record as it is; replaced as a whole
merge  a column for each member; nested ones merged by name (json_patch), users in a table of their own with an
       index from the user to the endpoints, members keyed

Settling is VACUUM, which writes the whole database again. SQL makes the lines that are read out, in order of the key.
"""

import os
import sqlite3

import orjson

from shape import FLAT, MEMBERS, found, main

COLUMNS = FLAT + ["Attributes", "Demographic", "Location", "Metrics", "UserId"]
PATCHED = ["Attributes", "Demographic", "Location", "Metrics"]


def database(folder):
    db = sqlite3.connect(os.path.join(folder, "endpoints.db"), isolation_level=None)
    for pragma in ["page_size = 8192", "journal_mode = WAL", "synchronous = FULL", "cache_size = -2000000",
                   "wal_autocheckpoint = 0", "locking_mode = EXCLUSIVE", "temp_store = MEMORY"]:
        db.execute(f"PRAGMA {pragma}")
    return db


def import_file(layout, path, folder, _threads):
    db = database(folder)
    with open(path, "rb") as lines:
        (import_docs if layout == "doc" else import_merged)(db, lines)
    db.close()


def import_docs(db, lines):
    # A table with rowids is filled faster than one WITHOUT ROWID: only the short keys are in random order.
    db.execute("CREATE TABLE IF NOT EXISTS endpoints (Id TEXT PRIMARY KEY, doc TEXT)")
    db.execute("CREATE TABLE IF NOT EXISTS members (segment INTEGER, id TEXT)")
    ids = []

    def rows():
        for line in lines:
            key = orjson.loads(line)["Id"]
            ids.append((key,))
            yield key, line.decode()

    db.execute("BEGIN")
    db.executemany("INSERT INTO endpoints VALUES (?, ?) ON CONFLICT (Id) DO UPDATE SET doc = excluded.doc", rows())
    db.executemany("INSERT INTO members VALUES (1, ?)", ids)
    db.execute("COMMIT")


def import_merged(db, lines):
    columns = ", ".join(COLUMNS[1:])
    db.execute(f"CREATE TABLE IF NOT EXISTS endpoints (Id TEXT PRIMARY KEY, {columns})")
    db.execute("CREATE INDEX IF NOT EXISTS endpoints_of_user ON endpoints (UserId)")
    db.execute("CREATE TABLE IF NOT EXISTS users (UserId TEXT PRIMARY KEY, UserAttributes TEXT)")
    db.execute("CREATE TABLE IF NOT EXISTS members (segment INTEGER, id TEXT, PRIMARY KEY (segment, id)) WITHOUT ROWID")
    ids, users = [], {}

    def rows():
        for line in lines:
            record = orjson.loads(line)
            user = record.get("User", {})
            ids.append((record["Id"],))
            users.setdefault(user["UserId"], {}).update(user.get("UserAttributes", {}))
            nested = [orjson.dumps(record[name]).decode() if name in record else None for name in PATCHED]
            yield [record.get(name) for name in FLAT] + nested + [user["UserId"]]

    def merged(name):
        if name in PATCHED:
            return f"{name} = json_patch(coalesce({name}, '{{}}'), coalesce(excluded.{name}, '{{}}'))"
        return f"{name} = coalesce(excluded.{name}, {name})"

    updates = ", ".join(merged(name) for name in COLUMNS[1:])
    marks = ", ".join("?" for _ in COLUMNS)
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO endpoints VALUES ({marks}) ON CONFLICT (Id) DO UPDATE SET {updates}", rows())
    db.executemany(
        "INSERT INTO users VALUES (?, ?) ON CONFLICT (UserId) DO UPDATE SET "
        "UserAttributes = json_patch(UserAttributes, excluded.UserAttributes)",
        ((user, orjson.dumps(attributes).decode()) for user, attributes in users.items()),
    )
    db.executemany("INSERT INTO members VALUES (1, ?) ON CONFLICT DO NOTHING", ids)
    db.execute("COMMIT")


def settle(_layout, folder, _threads):
    db = database(folder)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("VACUUM")
    # Moves what VACUUM wrote from the log into the database.
    db.close()


def read_out(layout, path, folder, _threads):
    line, users = "doc", ""
    if layout == "merge":
        pairs = [f"'\"{name}\":' || json_quote({name})" for name in FLAT]
        pairs += [f"'\"{name}\":' || coalesce({name}, 'null')" for name in PATCHED]
        user = """'"User":{"UserId":' || json_quote(UserId) || ',"UserAttributes":' || coalesce(UserAttributes, 'null')"""
        line = "'{' || " + " || ',' || ".join([*pairs, user]) + " || '}}' || char(10)"
        users = "LEFT JOIN users USING (UserId)"
    db = database(folder)
    lines = db.execute(f"SELECT {line} FROM endpoints {users} WHERE {MEMBERS} ORDER BY Id")
    with open(path, "w", encoding="utf-8") as out:
        while chunk := lines.fetchmany(1000):
            out.write("".join([line for line, in chunk]))
    db.close()


def check(layout, folder, endpoint):
    db = database(folder)
    value = (lambda name: f"doc ->> '$.{name}'") if layout == "doc" else (lambda name: name)
    oldest, endpoints = db.execute(f"SELECT min({value('EffectiveDate')}), count(*) FROM endpoints").fetchone()
    [members] = db.execute("SELECT count(DISTINCT id) FROM members").fetchone()
    users = None if layout == "doc" else db.execute("SELECT count(*) FROM users").fetchone()[0]
    path = (lambda name, rest: f"doc ->> '$.{name}.{rest}'") if layout == "doc" else (lambda name, rest: f"{name} ->> '$.{rest}'")
    query = f"SELECT {path('Attributes', 'plan[0]')}, {path('Metrics', 'visits')} FROM endpoints WHERE Id = ?"
    plan, visits = db.execute(query, [endpoint]).fetchone()
    return found(endpoints, members, oldest, plan, visits, users)


main(import_file, settle, read_out, check)
