//! Hands what libFuzzer makes up to the checks of `failure`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::failure::check(data));
