//! Hands what libFuzzer makes up to the checks of `where_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pinport_fuzz::where_text::check(data));
