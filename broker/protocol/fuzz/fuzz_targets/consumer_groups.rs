//! Decodes the messages of the family `consumer_groups`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ottla_protocol_fuzz::decoders::message("consumer_groups", input);
});
