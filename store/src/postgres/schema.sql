-- pinport's tables on PostgreSQL, layout 1. `pinport store init` runs this once, with the schema as search_path.
CREATE TABLE meta (
    one           bool PRIMARY KEY DEFAULT true CHECK (one),
    layout        int4 NOT NULL,
    hash_check    int8 NOT NULL,  -- the hash of a known id: no build with another hash writes
    record_layout int4 NOT NULL,
    most_names    int8 NOT NULL,  -- what endpoints may have; it only grows
    most_bytes    int8 NOT NULL
);
CREATE SEQUENCE job_no AS int4;   -- the order of imports and of single updates: the later number wins
CREATE SEQUENCE space_no AS int4; -- spaces of applications, and layers of segments

-- Documents: few and small. json, not jsonb: what is read is exactly what was written.
CREATE TABLE applications (
    id       uuid PRIMARY KEY,
    space    int4 UNIQUE NOT NULL,
    name     bytea NOT NULL,
    doc      json NOT NULL,
    settings json
);
CREATE INDEX applications_name ON applications (name, id);
CREATE TABLE segments (
    application uuid NOT NULL,
    id          uuid NOT NULL,
    doc         json NOT NULL,
    PRIMARY KEY (application, id)
);
CREATE TABLE versions (
    segment uuid NOT NULL,
    version int4 NOT NULL,
    doc     json NOT NULL,
    PRIMARY KEY (segment, version)
);
-- What jobs put into segments. Open while its job runs: it has no place. One row may stand for several closed ones.
CREATE TABLE layers (
    layer   int4 PRIMARY KEY,
    segment uuid NOT NULL,
    job     uuid,
    copies  bool NOT NULL,
    place   int4,
    last    int4
);
CREATE INDEX layers_segment ON layers (segment, place);

-- Jobs, their parts (what is leased) and pieces (what is committed). Part 0 is the job itself: who has it plans and ends it,
-- and takes its other parts together, which several servers may work on. A job that is not divided has no others.
CREATE TABLE jobs (
    job         int4 PRIMARY KEY,
    id          uuid UNIQUE NOT NULL,
    application uuid NOT NULL,
    ended       bool NOT NULL DEFAULT false,
    wish        text CHECK (wish IN ('cancel', 'pause')),
    pin         text,             -- the one server that can read the source
    left_out    int8 NOT NULL DEFAULT 0, -- records that had no room when they were folded
    doc         json NOT NULL
);
CREATE INDEX jobs_application ON jobs (application, id);
CREATE INDEX jobs_open ON jobs (id) WHERE NOT ended;
-- What requests made, for a while: a client that got no answer may ask another server again.
CREATE TABLE requests (
    request text PRIMARY KEY,
    job     uuid NOT NULL,
    made    timestamptz NOT NULL
);
CREATE INDEX requests_job ON requests (job);
CREATE INDEX requests_made ON requests (made);
CREATE TABLE parts (
    job        int4 NOT NULL,
    part       int4 NOT NULL,
    state      text NOT NULL DEFAULT 'open',
    owner      text,
    token      int8 NOT NULL DEFAULT 0,
    lease      timestamptz,
    tries      int4 NOT NULL DEFAULT 0,
    waits      bool NOT NULL DEFAULT false, -- until all parts before it are done
    piece      int4 NOT NULL DEFAULT 0, -- the next one
    doc        json,
    progress   json,
    PRIMARY KEY (job, part)
) WITH (fillfactor = 50);
CREATE INDEX parts_open ON parts (job, part) WHERE part > 0 AND state = 'open';
CREATE TABLE pieces (
    job    int4 NOT NULL,
    part   int4 NOT NULL,
    piece  int4 NOT NULL,
    token  int8 NOT NULL,
    record json NOT NULL,
    PRIMARY KEY (job, part, piece)
);

-- Servers that are here: each says so every second, and takes its row with it when it goes.
CREATE TABLE servers (
    owner   text PRIMARY KEY,
    name    text NOT NULL,
    version text NOT NULL,
    running int8 NOT NULL,
    seen    timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A copy of another store that is not whole: while there is a row, no server uses the tables.
CREATE TABLE copying (
    one    bool PRIMARY KEY DEFAULT true CHECK (one),
    source text NOT NULL,
    cursor bytea NOT NULL
);

-- Files of jobs and of their parts, for other servers: plan, failures, rejects, ids.
CREATE TABLE files (
    job  int4 NOT NULL,
    part int4 NOT NULL,
    name text NOT NULL,
    at   int8 NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (job, part, name, at)
);
ALTER TABLE files ALTER data SET STORAGE EXTERNAL;

-- The registry: operands, appended and never read by an import. (job, part, piece) is an operand's version.
-- space: an application's; a layer that holds copies has its number, negated.
CREATE TABLE ops (
    h8    int8 NOT NULL,
    job   int4 NOT NULL,
    part  int4 NOT NULL,
    piece int4 NOT NULL,
    space int4 NOT NULL,
    id    bytea NOT NULL,
    rec   bytea NOT NULL
);
-- That a user has an endpoint (unless id is empty), and what is said of the user's attributes (unless rec is null).
CREATE TABLE uops (
    h8    int8 NOT NULL,
    job   int4 NOT NULL,
    part  int4 NOT NULL,
    piece int4 NOT NULL,
    space int4 NOT NULL,
    usr   bytea NOT NULL,
    id    bytea NOT NULL,
    rec   bytea
);
CREATE TABLE members (
    h8    int8 NOT NULL,
    layer int4 NOT NULL,
    id    bytea NOT NULL
);
-- Endpoints that updates brought one by one, by their address.
CREATE TABLE addresses (
    h8      int8 NOT NULL,
    space   int4 NOT NULL,
    address bytea NOT NULL,
    id      bytea NOT NULL
);
ALTER TABLE ops ALTER id SET STORAGE PLAIN;
ALTER TABLE uops ALTER usr SET STORAGE PLAIN, ALTER id SET STORAGE PLAIN;
ALTER TABLE members ALTER id SET STORAGE PLAIN;
CREATE INDEX ops_h8 ON ops (h8);
CREATE INDEX uops_h8 ON uops (h8);
CREATE INDEX members_id ON members (layer, id);
CREATE INDEX addresses_h8 ON addresses (h8);
CREATE INDEX ops_copies ON ops (space) WHERE space < 0;
CREATE INDEX uops_copies ON uops (space) WHERE space < 0;
ALTER TABLE ops SET (autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.2);
ALTER TABLE uops SET (autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.2);
ALTER TABLE members SET (autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.2);
-- Ranges of hashes, folded one at a time. Whoever deletes operands shares the row of their range.
CREATE TABLE folds (
    place     int4 PRIMARY KEY,
    owner     text,
    token     int8 NOT NULL DEFAULT 0,
    lease     timestamptz,
    folded_to int4 NOT NULL DEFAULT 0,
    operands  int8 NOT NULL DEFAULT 0
);
INSERT INTO folds (place) SELECT generate_series(0, 255);
