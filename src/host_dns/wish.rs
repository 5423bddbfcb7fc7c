//! What the box's name resolution shall know. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::dns;

/// Names of Services, and who answers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where edgesvc answers, one address a family.
    pub servers: Vec<IpAddr>,
    /// The cluster domain, without a final dot.
    pub domain: String,
    /// The namespace of Services that are called by one word.
    pub namespace: String,
    /// Domains that are asked of edgesvc and are not searched: reverse names.
    pub reverse: Vec<String>,
}

impl Wish {
    /// Of these servers, with the reverse names of these ranges.
    pub fn of(servers: Vec<IpAddr>, domain: String, namespace: Option<String>, ranges: &[IpNet]) -> Wish {
        let reverse = ranges.iter().filter_map(|range| dns::zone_of(*range)).collect();
        Wish { servers, domain, namespace: namespace.unwrap_or_else(|| "default".to_owned()), reverse }
    }

    /// The search list, as a program of a Pod of that namespace has it.
    pub fn search(&self) -> Vec<String> {
        let domain = &self.domain;
        vec![format!("{}.svc.{domain}", self.namespace), format!("svc.{domain}"), domain.clone()]
    }

    /// The name every cluster has: the API's.
    pub fn known_name(&self) -> String {
        format!("kubernetes.default.svc.{}", self.domain)
    }

    /// The server that resolv.conf(5) names. The other address is the same server:
    /// it would help nobody and take one of three places.
    pub fn server(&self) -> Option<IpAddr> {
        self.servers.first().copied()
    }
}
