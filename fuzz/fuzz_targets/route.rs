//! Hands what libFuzzer makes up to the checks of `route`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::route::check(data));
