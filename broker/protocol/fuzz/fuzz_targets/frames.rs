//! Splits frames and reads request headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ottla_protocol_fuzz::decoders::frames(input));
