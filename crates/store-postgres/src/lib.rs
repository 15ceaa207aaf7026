//! The event store on PostgreSQL: the backend of the server mode.
