//! What the targets share with the crate's own tests: the checks and the list of all messages.

#[path = "../../tests/it/allocations.rs"]
pub mod allocations;
#[path = "../../tests/it/catalogue.rs"]
pub mod catalogue;
#[path = "../../tests/it/decoders.rs"]
pub mod decoders;
