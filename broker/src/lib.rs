//! The broker process as a library, so that tests can start nodes in-process.
