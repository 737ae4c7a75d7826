//! Decodes the messages of the family `api_versions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ottla_protocol_fuzz::decoders::message("api_versions", input);
});
