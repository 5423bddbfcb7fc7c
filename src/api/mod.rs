//! The Kubernetes REST API over hyper. The only room that knows HTTP status codes.

pub mod codec;
pub mod kinds;
pub mod managed_fields;
pub mod openapi;
pub mod patch;
pub mod server;
pub mod status;
