//! The pure half of the dataplane.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod book;
mod element;
mod layout;
mod read;
mod turns;
