//! `edgesvc dns`: programs of the box find Services by name, as programs of Pods
//! do, and find every other name as before.
//!
//! In: the box's own name resolution as it is ([`Facts`]), and what is wished
//! ([`Wish`]). Out: a [`Plan`], by pure functions: files and calls, each told before
//! it happens; [`perform`] does all of it or nothing.
//!
//! ```text
//! look (what is there) -> plan (which way, which steps) -> act (steps, or back)
//!                      -> report (what is in effect)
//! ```
//!
//! Always true: without `setup` nothing is touched; `setup` twice changes nothing
//! the second time; `undo` gives back byte for byte what was there, or refuses.

mod act;
mod block;
mod facts;
mod link;
mod look;
mod plan;
mod report;
mod resolv_conf;
#[cfg(test)]
mod tests;
mod ways;
mod wish;

pub use act::{ActError, Obstacle, perform};
pub use facts::{ConfFile, Facts, LinkNames, Paths, Record, Resolvconf};
pub use link::{apply, read_record};
pub use look::look;
pub use plan::{Asked, Plan, Refusal, Step, Way, plan_setup, plan_undo, ways_set_up};
pub use report::{Answers, Report, faults, report};
pub use ways::namespace;
pub use wish::Wish;
