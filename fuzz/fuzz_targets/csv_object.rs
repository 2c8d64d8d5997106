//! Hands what libFuzzer makes up to the checks of `csv_object`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::csv_object::check(data));
