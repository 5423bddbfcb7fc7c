//! State to what the device should hold, one contribution per Service. Pure:
//! the same snapshot gives the same bytes.
//!
//! In: a [`Snapshot`](crate::store::Snapshot) and the [`Facts`] of this box. Out:
//! a [`Contribution`] for each Service (frontends for the dataplane, records for
//! the zone) and, through the [`Tracker`], only those that changed. What always
//! holds: contributions are sorted and unique, so equal contributions mean that
//! neither the kernel nor the zone has to change.

mod advertised;
mod contribution;
mod ranges;
mod records;
mod selection;
mod service;
mod tracker;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use contribution::{
    Advertised, AffinityOwner, Balance, Contribution, EndpointRecord, Frontend, FrontendAddr, HealthCheck, Instance,
    PortRecord, Reach, ServiceRecords, Verdict,
};
pub use ranges::service_ranges;
pub use service::{Facts, contribution, misplaced, unserved};
pub use tracker::{Change, Tracker};
