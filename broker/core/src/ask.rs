//! A request and its answer belong together by type.
//!
//! What is decided by one machine travels to it as one enum of requests and comes back as one enum
//! of responses, over channels and over the wire. [`Ask`] ties the two ends: whoever asks gets the
//! answer of that request, or none where the machine, or the peer that it lives in, answered
//! another one.

/// A body that can be asked, and what it is answered with.
pub trait Ask: Sized {
    /// All that the same machine is asked.
    type Request;
    /// All that it answers.
    type Response;
    /// The answer to this.
    type Answer;

    /// As the machine takes it.
    fn into_request(self) -> Self::Request;

    /// The answer to this, where `response` is one.
    fn answer(response: Self::Response) -> Option<Self::Answer>;
}
