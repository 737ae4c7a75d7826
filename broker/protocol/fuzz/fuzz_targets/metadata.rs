//! Decodes the messages of the family `metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ottla_protocol_fuzz::decoders::message("metadata", input);
});
