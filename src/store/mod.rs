//! The truth: every object at one revision, durable before acknowledged.
//!
//! In: [`Write`]s through [`Store::submit`]. Out: a [`Snapshot`] of everything
//! (an immutable value, cheap to clone) with a bounded history of events for
//! watches. One writer thread owns the database: it checks expectations and
//! claims, batches what is waiting into one redb transaction, commits, answers
//! and publishes. Nothing is published or answered before it is durable.

mod snapshot;
mod write;

pub use snapshot::{Event, EventType, Expired, Snapshot};
pub use write::{Committed, Durability, Expect, Op, Write, WriteError};
