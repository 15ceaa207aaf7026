//! Turns durable rows into confirmed messages, under a lease. What the messages mean is known to the callers only.
//!
//! There are two kinds of rows, and one way to publish them ([`Outbox::publish`]): all rows of a batch in one call, each
//! with a publish span of its own, whose context the message carries.
//!
//! - Events of the log, in order ([`LogOutbox`]): the checkpoint passes an event only after its message is delivered.
//! - Rows that fall due, in any order ([`run_due_outbox`]): a row is claimed for a while, published, and given back if
//!   its message is not delivered.
#![deny(missing_docs)]

mod due;
mod due_loop;
mod log;
mod publish;
#[cfg(test)]
mod testing;

pub use due::{DueSource, RoundOutcome, Taken, run_round};
pub use due_loop::{DueOutboxConfig, DueOutboxPorts, run_due_outbox};
pub use log::LogOutbox;
pub use publish::{Outbox, OutboxError, OutboxMessage, RowMessages};
