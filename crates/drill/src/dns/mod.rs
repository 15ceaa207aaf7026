//! A small authoritative DNS server that keeps a journal of every change and every answer, with its time.
mod answer;
mod line;
mod records;
mod server;
#[cfg(test)]
mod tests;

pub use line::{DnsEvent, DnsLine, Transport};
pub use records::Records;
pub use server::DnsServer;
