//! State to what the device should hold, one contribution per Service. Pure:
//! the same snapshot gives the same bytes.

mod contribution;

pub use contribution::{
    Balance, Contribution, EndpointRecord, Frontend, FrontendAddr, PortRecord, ServiceRecords, Verdict,
};
