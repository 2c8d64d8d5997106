//! Hands what libFuzzer makes up to the checks of `signature`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::signature::check(data));
