//! `custody`: a product traceability ledger.
//!
//! The pure core is in [`core`]; the flow around it is told by the names of the other modules, in
//! the order in which a record passes: `api`, `admit`, `sequence`, `commit`, `store`. See
//! `src/README.md` for the drawing.
#![forbid(unsafe_code)]

pub mod core;

#[cfg(feature = "net")]
pub mod admit;
#[cfg(feature = "net")]
pub mod api;
#[cfg(feature = "net")]
pub mod archive;
#[cfg(feature = "net")]
pub mod audit;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod cluster;
#[cfg(feature = "net")]
pub mod commit;
#[cfg(feature = "net")]
pub mod epcis;
#[cfg(feature = "cli")]
pub mod export;
#[cfg(feature = "net")]
pub mod network;
#[cfg(feature = "net")]
pub mod node;
#[cfg(feature = "store")]
pub mod private;
#[cfg(feature = "net")]
pub mod report;
#[cfg(feature = "cli")]
pub mod rest;
#[cfg(feature = "net")]
pub mod sequence;
#[cfg(feature = "net")]
pub mod signals;
#[cfg(feature = "cli")]
pub mod simulate;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "cli")]
pub mod web;
