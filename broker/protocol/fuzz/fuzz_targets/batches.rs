//! Validates and walks record batches.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ottla_protocol_fuzz::decoders::batches(input));
