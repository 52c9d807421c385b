//! Bad input over real gRPC: each gets its exact code and details, and the store stays intact.

#[path = "../common/mod.rs"]
mod common;

mod again;
mod authority;
mod chains;
mod connections;
mod credit;
mod fields;
mod frame;
mod questions;
mod supervision;
mod tokens;
mod world;
