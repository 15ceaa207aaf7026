//! Tests of what all operations share.
mod openapi;
mod pipeline;
mod replay_table;
mod server;
