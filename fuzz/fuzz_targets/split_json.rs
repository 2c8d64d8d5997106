//! What is said of a JSON object does not depend on chunks, blocks and cuts.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::check_arrival(pinport_model::Format::Json, data));
