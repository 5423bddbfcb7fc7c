//! edgesvc: Kubernetes Services for one box.
//!
//! One process is the whole Service system: API store, allocators, endpoint
//! controllers, DNS and an nftables dataplane. This page is the map; the rooms
//! stand in the order in which a manifest walks through them.
//!
//! ```text
//! service.yaml -> manifest -> api --writes--> store --state--> controller --writes--> store
//!                              |allocate       |
//!                              |               +--state--> desired --> dataplane -> kernel (netlink)
//!                 kubectl watch <---events-----+              |------> relay     -> sockets
//!                                                             |------> dns       -> clients
//!                                                             |------> mdns      -> the LAN
//! ```
//!
//! * [`model`]: the domain in Kubernetes' words. Pure.
//! * [`config`]: file, environment and flags to one validated [`config::Config`].
//! * [`manifest`]: YAML and JSON text to documents with positions. Pure.
//! * [`store`]: the truth: redb, one writer thread, revisions, watch history.
//! * [`allocate`]: cluster IPs and node ports as pure functions over claims.
//! * [`api`]: the Kubernetes REST API; the only room that knows HTTP.
//! * [`controller`]: level-triggered reconcilers: Pods, endpoints, slices, mirroring.
//! * [`desired`]: what the device should hold, one contribution per Service. Pure.
//! * [`dataplane`]: makes the kernel equal to desired, over netlink.
//! * [`relay`]: the userspace proxy: carries connections in this process.
//! * [`dns`]: answers from the zone, forwards the rest.
//! * [`mdns`]: names of Services on the LAN, and what is found under them.
//! * [`doctor`]: what on the box keeps Services from working, and what mends it.
//! * [`host_dns`]: names of Services for programs of the box itself, and back.
//! * [`env`]: Services as the environment variables programs are given. Pure.
//! * [`cli`]: what the user types; talks to the API like any client.
//! * [`run`]: opens, wires, starts and stops the rooms in order.
//!
//! Which room may import which is held by `tests/architecture.rs`.

pub mod allocate;
pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
pub mod dataplane;
pub mod desired;
pub mod dns;
pub mod doctor;
pub mod env;
pub mod host_dns;
pub mod manifest;
pub mod mdns;
pub mod model;
pub mod relay;
pub mod run;
pub mod store;
