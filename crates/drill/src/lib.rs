//! Drills of the server mode, and the checker of their results.
//!
//! Both are programs of their own that share only the formats of journals.
pub mod acknowledged;
pub mod checker;
pub mod clock;
pub mod dns;
pub mod drill;
pub mod journal;
