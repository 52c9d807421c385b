//! A ledger of several processes: real servers on a real etcd.

#[path = "../common/mod.rs"]
mod common;

mod operating;
mod trouble;
mod world;
mod writing;
