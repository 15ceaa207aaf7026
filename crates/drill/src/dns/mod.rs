//! A small authoritative DNS server that journals every change and every answer.
mod answer;
mod line;
mod records;
mod server;
#[cfg(test)]
mod tests;

pub use line::{DnsEvent, DnsLine, DnsTransport};
pub use records::Records;
pub use server::DnsServer;
