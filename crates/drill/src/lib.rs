//! The fault drill of the server mode, and the checker that says what was left of the promises.
//!
//! The two are programs of their own and share nothing but the form of the files that one writes and the other reads.
pub mod acknowledged;
pub mod checker;
pub mod clock;
pub mod dns;
pub mod drill;
pub mod journal;
