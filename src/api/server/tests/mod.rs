//! The server over a real Unix socket with a store in memory: the cases of
//! spec/api.md by number, what hostile clients send, and what generation does.

mod accounts;
mod cases_endpoints;
mod cases_errors;
mod cases_kinds;
mod cases_service;
mod cases_service_table;
mod cases_writes;
mod client;
mod generated;
mod hostile;
mod inputs;
mod lists;
mod readme;
mod tls;
mod watches;
