//! Our nftables tables as data: what they look like, what a Service puts into
//! them, and what differs. Pure.

mod book;
mod chain;
mod element;
mod expr;
mod hooked;
mod layout;
mod owner;
mod ranges;
mod read;
mod set;
mod slots;
#[cfg(test)]
mod tests;
mod traffic;
mod turns;

pub(super) use book::{Book, Edit, FrontendId, Frontends, endpoint_ips};
pub(super) use chain::{Affinity, ChainName, How, Remember, Side, Way};
pub(super) use element::{
    Data, Key, Slot, address, affinity_places, endpoint_data, frontend_at, live_chains, live_slot, octets, of_frontend,
};
pub(super) use expr::{Expr, Verdict, nfproto, rule_body};
pub(super) use hooked::Hooked;
pub(super) use layout::{
    ANCHOR, Chain, HASH_SEED, Hook, INSIDE_SLOTS, STAND_IN, TABLE, anchor_chain, dynamic_chain, is_ours, static_chains,
};
pub(super) use owner::OwnerKey;
pub(super) use ranges::range_slots;
pub(super) use read::read_rule;
pub(super) use set::{Field, Maps, SetName, shape};
pub(super) use turns::{TURNS_AHEAD, is_live, turns};
