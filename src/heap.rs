//! The allocator of the program: jemalloc, where it was measured. RocksDB allocates several times a record, and pieces of an
//! import are allocated on one thread and freed on another: with glibc's, all of it takes a tenth more CPU time. Elsewhere it
//! is the system's.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(unsafe_code, reason = "jemalloc reads its settings from a symbol")]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Memory that was freed goes back to the system within a fifth of a second, also if its threads rest, and threads share few
/// heaps: what is free in one is of no use to the others.
// SAFETY: jemalloc declares it as a pointer to text that ends with a zero, and only reads it.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8; 69] = b"background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0,narenas:4\0";
