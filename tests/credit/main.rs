//! Credit supervision over real gRPC: every step with everybody trying it, who sees what, and that an
//! audit finds all of it again.

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod claims;
mod export;
mod files;
mod inspections;
mod lists;
mod measures;
mod scores;
mod world;
