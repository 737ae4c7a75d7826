//! Listeners and connections of clients.

pub mod stream;

pub use stream::{Listener, Stream};
