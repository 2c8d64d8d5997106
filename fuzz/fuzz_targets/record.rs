//! Hands what libFuzzer makes up to the checks of `record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::record::check(data));
