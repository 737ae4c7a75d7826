//! Decodes the messages of the family `group_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ottla_protocol_fuzz::decoders::message("group_records", input);
});
