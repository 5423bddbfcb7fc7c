//! The domain in Kubernetes' words: kinds, names, addresses, ports, selectors,
//! Services and endpoints. Pure: no I/O, no clock, no async. What has passed
//! through here cannot be malformed; rooms behind the store use these small
//! types and never raw JSON.

pub mod balance;
pub mod cause;
pub mod endpoints;
pub mod ip_address;
pub mod kind;
pub mod labels;
pub mod listen_place;
pub mod mdns;
pub mod name;
pub mod net;
pub mod node_port_address;
pub mod object;
pub mod pod;
pub mod review;
pub mod role;
pub mod schedule;
pub mod schema;
pub mod selector;
pub mod service;
pub mod service_account;
pub mod service_cidr;

pub use cause::{Cause, Reason};
pub use endpoints::{EndpointSlice, Endpoints};
pub use kind::Kind;
pub use labels::Labels;
pub use listen_place::ListenPlace;
pub use net::{ClusterIp, IpFamily, Protocol, ROUTE_PROTOCOL};
pub use node_port_address::{BoxAddress, BoxAddresses, NodePortAddress};
pub use object::{Body, Claim, Draft, Object, ObjectKey, Revision};
pub use pod::{Node, Pod};
pub use service::Service;
