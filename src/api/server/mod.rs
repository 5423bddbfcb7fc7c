//! The server: listeners, who may ask, what is asked, and the answer.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::store::Store;
