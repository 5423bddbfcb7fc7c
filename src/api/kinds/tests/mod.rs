//! The rules of every kind, case by case, over a small world without a server:
//! the cases of spec/service.md and spec/endpoints.md by number, and their tables.

mod cells;
mod endpoints;
mod events;
mod families;
mod laws;
mod networking;
mod plain;
mod service_create;
mod service_update;
mod world;
