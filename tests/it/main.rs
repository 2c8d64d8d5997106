//! Tests of pinport from outside, one binary. Each module says what it is about; put a test where its subject is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod assumed;
#[cfg(target_os = "linux")]
mod attacker;
mod backups;
mod bounded;
mod client;
#[path = "../../store/tests/conformance/cluster.rs"]
mod cluster;
mod commands;
mod compat;
mod configured;
mod dashboard;
mod database;
mod database_faults;
mod demo;
mod disk;
mod disk_serve;
mod errors;
mod exits;
mod exported;
mod exports;
mod failed_record;
mod fault_store;
mod files;
mod first;
mod foreign;
mod fuzz;
mod hostile;
mod house;
mod http;
mod identity;
mod kill;
mod kill_serve;
mod live;
mod mapping;
mod memory;
mod modules;
mod operator;
mod order;
mod otlp;
mod packages;
mod pair;
mod parquet;
mod parts;
mod pg_proxy;
mod pinpoint;
mod private;
mod pty;
mod rejects;
mod resume;
mod retry;
mod s3;
mod scraping;
mod serve;
mod serve_faults;
mod served;
mod serving;
mod sink_blocks;
mod sink_store;
mod statuses;
mod stores;
mod support;
#[path = "../../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the fuzz targets are a crate of their own"
)]
mod targets;
mod tenants;
mod time_left;
mod top;
mod two_roles;
mod verify;
mod webhooks;
mod write_faults;
