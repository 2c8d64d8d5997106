//! Hands what libFuzzer makes up to the checks of `split_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::arrival::json(data));
