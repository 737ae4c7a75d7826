//! The operator from outside: its CRDs, and the pages that speak of them.

mod crds;
mod docs;
