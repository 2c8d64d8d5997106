//! Hands what libFuzzer makes up to the checks of `json_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::json_record::check(data));
