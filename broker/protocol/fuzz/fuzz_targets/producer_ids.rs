//! Decodes the messages of the family `producer_ids`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ottla_protocol_fuzz::decoders::message("producer_ids", input);
});
