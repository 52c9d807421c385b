//! Every gRPC method and every subcommand has a case against a real server: one without fails here.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod methods;
mod roles;
