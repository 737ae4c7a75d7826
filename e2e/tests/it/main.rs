//! Real clients against real processes. `OTTLA_E2E_SERVER=apache` runs the same tests against
//! Apache Kafka, which shows whether a test is true.

mod compaction;
mod controllers;
mod corpus;
mod damage;
mod failover;
mod faults;
mod groups;
mod handshakes;
mod hostile;
mod kcat;
mod local;
mod logins;
mod secure;
mod shared;
mod start;
mod strays;
mod tokens;
mod tools;
mod transactions;
