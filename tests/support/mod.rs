//! The black-box harness: a throwaway world of namespaces, the built binary in
//! it, and the field's own tools around it. No product code.
//!
//! Everything a test starts lives in a [`World`], whose first process holds a
//! PID namespace: when the test ends, however it ends, the kernel kills all of
//! it. The machine's own network is never touched.

#![allow(dead_code, reason = "each test file uses its part of the harness")]
#![allow(unused_imports, reason = "each test file uses its part of the harness")]

mod command;
mod edgesvc;
mod servers;
mod wait;
mod world;

pub(crate) use command::Output;
pub(crate) use edgesvc::{Edgesvc, Home, READY_WITHIN};
pub(crate) use servers::{Server, echo_name, echo_udp, serve_datagrams, serve_program, system_bus};
pub(crate) use wait::{eventually, wait_until};
pub(crate) use world::{BACKENDS, CLIENT, CLIENT_ADDRESS, NODE, NODE_ADDRESS, Place, World};

/// A registered Pod: an address the box can reach, said by annotation.
pub(crate) fn pod(name: &str, app: &str, addresses: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {app}}}\n  annotations:\n    \
         edgesvc.io/pod-ip: {addresses}\nspec:\n  containers:\n  - name: app\n    image: none\n    ports:\n    \
         - {{name: web, containerPort: {port}}}\n"
    )
}

/// A Service selecting `app`, with further lines of its spec.
pub(crate) fn service(name: &str, app: &str, port: u16, target: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector: {{app: {app}}}\n  ports:\n  \
         - {{name: http, port: {port}, targetPort: {target}}}\n{more}"
    )
}

/// Documents of one YAML stream.
pub(crate) fn stream(documents: &[String]) -> String {
    documents.join("---\n")
}
