//! Decodes the messages of the family `log_dirs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ottla_protocol_fuzz::decoders::message("log_dirs", input);
});
