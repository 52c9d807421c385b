//! The pure core: identifiers, records, envelopes, the log, the custody rules, and `apply`.
//!
//! No clock, no I/O, no async, no randomness. It builds without the storage and network crates,
//! so that an offline verifier links only this. Nothing in here may import from outside of it;
//! a test holds that.

pub mod apply;
pub mod bundle;
pub mod credit;
pub mod enrolment;
pub mod envelope;
pub mod id;
pub mod lang;
pub mod order;
pub mod printed;
pub mod record;
pub mod refusal;
pub mod report;
pub mod rules;
pub mod search;
pub mod signature;
pub mod standing;
pub mod tlog;
pub mod wire;
pub mod words;
