//! Pinpoint's import jobs as clients know them. So far this is the shape of a job on the wire, which
//! `pinport import --json` prints too; the REST server is built around it.

pub mod wire;
