//! The server over a real Unix socket with a store in memory: the cases of
//! spec/api.md by number, and what hostile clients send.

mod cases_errors;
mod cases_kinds;
mod cases_service;
mod cases_writes;
mod client;
mod hostile;
mod lists;
mod tls;
mod watches;
