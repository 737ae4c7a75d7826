//! Derives the versioned Kafka codec for a struct.
//!
//! ```ignore
//! /// Asks where partitions begin and end.
//! #[derive(Clone, Debug, PartialEq, Kafka)]
//! #[kafka(key = ListOffsets, versions = "1-11", flexible = "6+", response = ListOffsetsResponse)]
//! pub struct ListOffsetsRequest {
//!     pub replica_id: i32,
//!     #[kafka(versions = "2+")]
//!     pub isolation_level: i8,
//!     pub topics: Vec<ListOffsetsTopic>,
//!     #[kafka(versions = "10+", ignorable)]
//!     pub timeout_ms: i32,
//! }
//! ```
//!
//! On a struct: `versions` and `flexible` make it a message; `key` and `response` make it a
//! request. On a field: `versions` that have it (all, where missing), `nullable` versions,
//! `default` (an expression, or `null`), `tag` number, `ignorable`. The macro writes `Default` too,
//! for the defaults are part of the protocol: a tagged field with its default is not sent.

mod attributes;
mod expand;

use proc_macro::TokenStream;

/// Derives `Value` and `Default`, and `Message` and `Request` where the attributes ask for it.
#[proc_macro_derive(Kafka, attributes(kafka))]
pub fn kafka(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
