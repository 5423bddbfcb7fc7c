//! The answer to a question, decided from the zone alone (spec/dns.md sections 1
//! to 4). Pure: same zone, question and random seed give the same answer.
//!
//! Always true: an answer about our names carries AA; an empty one carries the
//! SOA; owner names repeat the question, names in record data are lower case.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fastrand::Rng;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::authority::{Authority, PodMode};
use super::record::{Data, Owner, Record, Srv};
use super::reverse::{Reverse, apex};
use super::subject::{Part, Subject, dashed, undashed};
use super::zone::Zone;
use crate::desired::{EndpointRecord, PortRecord, ServiceRecords};

/// Longest chain of ExternalName Services that is followed.
const ALIAS_CHAIN_MAX: usize = 10;
/// TTL of `dns-version`, in seconds.
const SCHEMA_TTL_SECONDS: u32 = 28_800;
/// The version of the DNS-based service discovery schema.
const SCHEMA_VERSION: &str = "1.1.0";

/// What to say to a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// This, at once.
    Here(Reply),
    /// The reply's CNAMEs, then whatever `target` resolves to elsewhere.
    Chase { reply: Reply, target: Arc<Name> },
    /// The name is not ours: ask upstream.
    Elsewhere,
}

/// The sections of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// Says that TCP would be answered, and nothing else.
    pub(crate) truncated: bool,
}

impl Reply {
    /// No records, and no claim to know better.
    pub(crate) fn failure(code: ResponseCode) -> Reply {
        Reply { code, ..Reply::default() }
    }

    /// Nothing but the word to ask over TCP.
    pub(crate) fn cut() -> Reply {
        Reply { truncated: true, ..Reply::default() }
    }

    pub(crate) fn found(answers: Vec<Record>, additionals: Vec<Record>) -> Reply {
        Reply { authoritative: true, answers, additionals, ..Reply::default() }
    }

    fn empty(code: ResponseCode, soa: Record) -> Reply {
        Reply { code, authoritative: true, authorities: vec![soa], ..Reply::default() }
    }

    /// With more answers behind those it has.
    pub(crate) fn with(mut self, answers: impl IntoIterator<Item = Record>) -> Reply {
        self.answers.extend(answers);
        self
    }

    /// As the answer to a question that asked for another name.
    pub(crate) fn owned_by(mut self, owner: &Owner) -> Reply {
        for record in self.answers.iter_mut().filter(|record| record.owner == Owner::Question) {
            record.owner = owner.clone();
        }
        self
    }
}

/// Answers a question of class IN. `rng` shuffles what has no order of its own.
pub(crate) fn answer(authority: &Authority, zone: &Zone, name: &Name, qtype: RecordType, rng: &mut Rng) -> Answer {
    let lower = name.to_lowercase();
    let Some(subject) = Subject::of(&lower, &authority.zone) else { return Answer::Elsewhere };
    if !zone.is_synced() {
        return Answer::Here(Reply::failure(ResponseCode::ServFail));
    }
    let mut lookup = Lookup { authority, zone, qtype, rng };
    if let Subject::Reverse(reverse) = subject {
        return lookup.reverse(reverse);
    }
    match lookup.find(&subject) {
        Found::Alias(target) => lookup.follow(target),
        found => Answer::Here(lookup.reply(found)),
    }
}

/// What the zone has for a name and type.
enum Found {
    /// The name does not exist.
    Missing,
    /// These contents, none if the name exists without such a type, and the
    /// records of the additional section.
    Contents(Vec<Data>, Vec<Record>),
    /// The `dns-version` record, which has its own TTL.
    Schema,
    /// The zone's SOA.
    Soa,
    /// An ExternalName.
    Alias(Arc<Name>),
}

impl Found {
    const NOTHING: Found = Found::Contents(Vec::new(), Vec::new());

    fn contents(data: Vec<Data>) -> Found {
        Found::Contents(data, Vec::new())
    }
}

struct Lookup<'z> {
    authority: &'z Authority,
    zone: &'z Zone,
    qtype: RecordType,
    rng: &'z mut Rng,
}

impl Lookup<'_> {
    fn find(&mut self, subject: &Subject<'_>) -> Found {
        match *subject {
            Subject::Apex if self.qtype == RecordType::SOA => Found::Soa,
            Subject::Apex if self.qtype == RecordType::NS => {
                let server = self.authority.name_server.clone();
                let addresses = self.authority.addresses.iter();
                let glue = addresses.map(|addr| self.record(Owner::Name(server.clone()), Data::address(*addr)));
                Found::Contents(vec![Data::Ns(server.clone())], glue.collect())
            }
            Subject::Apex | Subject::Branch => Found::NOTHING,
            Subject::SchemaVersion if self.qtype == RecordType::TXT => Found::Schema,
            Subject::SchemaVersion => Found::NOTHING,
            Subject::NameServer => {
                let authority = self.authority;
                self.addresses(authority.addresses.iter().copied())
            }
            Subject::Namespace(name) if self.zone.has_namespace(name) => Found::NOTHING,
            Subject::Service { namespace, service, part } => match self.zone.service(namespace, service) {
                Some(records) => self.service(namespace, service, records, part),
                None => Found::Missing,
            },
            Subject::Pod { namespace, host } => self.pod(namespace, host),
            Subject::Namespace(_) | Subject::Nothing | Subject::Reverse(_) => Found::Missing,
        }
    }

    fn service(&mut self, namespace: &str, service: &str, records: &ServiceRecords, part: Part<'_>) -> Found {
        if let Some(target) = &records.external_name {
            return self.external(target, part);
        }
        let ports = match part {
            Part::Whole => Ports::All,
            Part::Port { name, protocol } => Ports::Named { name, protocol },
            Part::Host(host) => {
                // Only the canonical spelling is a name: `0-0-1` forms of IPv6 are not.
                let spelled = undashed(host).filter(|addr| dashed(*addr) == host);
                let named = records.endpoints.iter().filter(|endpoint| match &endpoint.hostname {
                    Some(hostname) => hostname.eq_ignore_ascii_case(host),
                    None => spelled == Some(endpoint.addr),
                });
                return self.endpoints(namespace, service, named, Ports::All);
            }
        };
        if records.headless {
            let serves =
                |endpoint: &&EndpointRecord| ports == Ports::All || endpoint.ports.iter().any(|p| ports.has(p));
            return self.endpoints(namespace, service, records.endpoints.iter().filter(serves), ports);
        }
        if ports != Ports::All && !records.ports.iter().any(|port| ports.has(port)) {
            return Found::Missing;
        }
        if self.qtype == RecordType::SRV {
            return self.cluster_ports(namespace, service, records, ports);
        }
        self.addresses(records.cluster_ips.iter().copied())
    }

    /// An ExternalName has neither endpoints nor ports, and an address is no name.
    fn external(&self, target: &str, part: Part<'_>) -> Found {
        if part != Part::Whole || target.parse::<IpAddr>().is_ok() {
            return Found::Missing;
        }
        let Ok(mut name) = Name::from_ascii(target.to_ascii_lowercase()) else { return Found::Missing };
        name.set_fqdn(true);
        match self.qtype {
            RecordType::A | RecordType::AAAA => Found::Alias(name.into()),
            RecordType::CNAME => Found::contents(vec![Data::Cname(name.into())]),
            _ => Found::NOTHING,
        }
    }

    /// One SRV record for each port, all to the Service's own name.
    fn cluster_ports(&self, namespace: &str, service: &str, records: &ServiceRecords, wanted: Ports<'_>) -> Found {
        let Some(target) = self.authority.service_target(namespace, service) else { return Found::Missing };
        // A number that serves two protocols is one record: a set has no doubles.
        let numbers: BTreeSet<u16> = records.ports.iter().filter(|p| wanted.has(p)).map(|p| p.port).collect();
        let weight = weight(numbers.len());
        let srv = |port| Data::Srv(Srv { weight, port, target: target.clone() });
        let answers: Vec<_> = numbers.into_iter().map(srv).collect();
        let addresses = if answers.is_empty() { &[][..] } else { &records.cluster_ips };
        let additionals = addresses.iter().map(|addr| self.target_address(0, *addr)).collect();
        Found::Contents(answers, additionals)
    }

    /// What some endpoints of a Service answer; none of them means no such name.
    fn endpoints<'e>(
        &mut self,
        namespace: &str,
        service: &str,
        endpoints: impl Iterator<Item = &'e EndpointRecord>,
        wanted: Ports<'_>,
    ) -> Found {
        let mut endpoints = endpoints.peekable();
        if endpoints.peek().is_none() {
            Found::Missing
        } else if self.qtype == RecordType::SRV {
            self.endpoint_ports(namespace, service, &endpoints.collect::<Vec<_>>(), wanted)
        } else {
            self.addresses(endpoints.map(|endpoint| endpoint.addr))
        }
    }

    /// One SRV record for each endpoint name and port, with the addresses of each
    /// name once.
    fn endpoint_ports(
        &mut self,
        namespace: &str,
        service: &str,
        endpoints: &[&EndpointRecord],
        wanted: Ports<'_>,
    ) -> Found {
        let mut pairs = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for endpoint in endpoints {
            let host = host_of(endpoint);
            for port in endpoint.ports.iter().filter(|port| wanted.has(port)) {
                pairs.insert((host.clone(), port.port));
                addresses.insert((host.clone(), endpoint.addr));
            }
        }
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        self.rng.shuffle(&mut pairs);
        let weight = weight(pairs.len());
        let mut answers = Vec::with_capacity(pairs.len());
        let mut places = BTreeMap::new();
        for (host, port) in pairs {
            if let Some(target) = self.authority.endpoint_target(namespace, service, &host) {
                places.entry(host).or_insert(answers.len());
                answers.push(Data::Srv(Srv { weight, port, target }));
            }
        }
        let placed = addresses.into_iter().filter_map(|(host, addr)| Some((*places.get(&host)?, addr)));
        let additionals = placed.map(|(place, addr)| self.target_address(place, addr)).collect();
        Found::Contents(answers, additionals)
    }

    fn pod(&mut self, namespace: &str, host: &str) -> Found {
        let Some(addr) = undashed(host) else { return Found::Missing };
        let exists = match self.authority.pod_mode {
            PodMode::Disabled => false,
            PodMode::Insecure => self.zone.has_namespace(namespace),
            PodMode::Verified => self.zone.has_pod(namespace, addr),
        };
        if exists { self.addresses([addr].into_iter()) } else { Found::Missing }
    }

    /// The addresses of the family asked for, each once, in random order.
    fn addresses(&mut self, addresses: impl Iterator<Item = IpAddr>) -> Found {
        let mut data = Data::addresses(self.qtype, addresses);
        match &mut data {
            Some(Data::A(kept)) => shuffle_once(kept, Ipv4Addr::to_bits, self.rng),
            Some(Data::Aaaa(kept)) => shuffle_once(kept, Ipv6Addr::to_bits, self.rng),
            _ => {}
        }
        Found::contents(data.into_iter().collect())
    }

    /// PTR questions and others about reverse names. Those nobody holds are
    /// somebody else's, unless their range is ours.
    fn reverse(&self, reverse: Reverse) -> Answer {
        let held = if let Reverse::Address(addr) = reverse { self.names_of(addr) } else { None };
        let range = self.zone.service_range(reverse.network());
        let zone = range.and_then(|range| apex(range, reverse.network()));
        let at_apex = zone.as_ref().is_some_and(|(net, _)| reverse == Reverse::Network(*net));
        let origin = match (&held, zone) {
            (_, Some((_, name))) => Owner::Name(name.into()),
            // An endpoint's address lies in nobody's range: its name is all that is ours.
            (Some(_), None) => Owner::Question,
            (None, None) => return Answer::Elsewhere,
        };
        let answers = match (self.qtype, held.is_some()) {
            (RecordType::PTR, true) => held.unwrap_or_default(),
            (RecordType::SOA, _) if at_apex => vec![self.authority.soa(Owner::Question, self.zone.serial())],
            (RecordType::NS, _) if at_apex => {
                vec![self.record(Owner::Question, Data::Ns(self.authority.name_server.clone()))]
            }
            (_, true) => vec![],
            // Names of networks exist: there may be addresses beneath them.
            (_, false) if matches!(reverse, Reverse::Network(_)) => vec![],
            (_, false) => {
                let soa = self.authority.soa(origin, self.zone.serial());
                return Answer::Here(Reply::empty(ResponseCode::NXDomain, soa));
            }
        };
        if answers.is_empty() {
            let soa = self.authority.soa(origin, self.zone.serial());
            return Answer::Here(Reply::empty(ResponseCode::NoError, soa));
        }
        Answer::Here(Reply::found(answers, vec![]))
    }

    /// The PTR records of an address; none if no Service names it.
    fn names_of(&self, addr: IpAddr) -> Option<Vec<Record>> {
        let mut keys = self.zone.reverse(addr).peekable();
        keys.peek()?;
        let mut names = BTreeSet::new();
        for key in keys {
            let (namespace, service) = (&*key.namespace, &*key.name);
            let Some(records) = self.zone.service(namespace, service) else { continue };
            if records.cluster_ips.contains(&addr) {
                names.extend(self.authority.service_name(namespace, service));
            }
            let endpoints = records.endpoints.iter().filter(|endpoint| endpoint.addr == addr);
            names.extend(
                endpoints.filter_map(|endpoint| self.authority.endpoint_name(namespace, service, &host_of(endpoint))),
            );
        }
        Some(names.into_iter().map(|name| self.record(Owner::Question, Data::Ptr(name.into()))).collect())
    }

    /// Follows an ExternalName from the question's name. A chain that ends at a
    /// missing name of ours, or nowhere, is no answer at all.
    fn follow(&mut self, target: Arc<Name>) -> Answer {
        let mut owner = Owner::Question;
        let mut target = target;
        let mut reply = Reply::found(vec![], vec![]);
        for _ in 0..ALIAS_CHAIN_MAX {
            reply.answers.push(self.record(owner, Data::Cname(target.clone())));
            let Some(subject) = Subject::of(&target, &self.authority.zone) else {
                return Answer::Chase { reply, target };
            };
            let found = self.find(&subject);
            owner = Owner::Name(target.clone());
            match found {
                Found::Alias(next) => target = next,
                Found::Missing => break,
                Found::Contents(data, _) => {
                    // RFC 2308 section 2.2: the SOA says how long the target has none.
                    if data.is_empty() {
                        let apex = Owner::Name(self.authority.zone.clone());
                        reply.authorities.push(self.authority.soa(apex, self.zone.serial()));
                    }
                    let resolved = data.into_iter().map(|data| self.record(owner.clone(), data));
                    reply.answers.extend(resolved);
                    return Answer::Here(reply);
                }
                // Only questions of type A and AAAA follow, so these cannot be.
                Found::Schema | Found::Soa => break,
            }
        }
        Answer::Here(self.reply(Found::NOTHING))
    }

    fn reply(&self, found: Found) -> Reply {
        let apex = || Owner::Name(self.authority.zone.clone());
        match found {
            Found::Contents(data, additionals) if !data.is_empty() => {
                let answers = data.into_iter().map(|data| self.record(Owner::Question, data));
                Reply::found(answers.collect(), additionals)
            }
            Found::Schema => {
                let data = Data::Txt(SCHEMA_VERSION);
                Reply::found(vec![Record { owner: Owner::Question, ttl: SCHEMA_TTL_SECONDS, data }], vec![])
            }
            Found::Soa => Reply::found(vec![self.authority.soa(Owner::Question, self.zone.serial())], vec![]),
            Found::Missing => Reply::empty(ResponseCode::NXDomain, self.authority.soa(apex(), self.zone.serial())),
            Found::Contents(..) | Found::Alias(_) => {
                Reply::empty(ResponseCode::NoError, self.authority.soa(apex(), self.zone.serial()))
            }
        }
    }

    fn record(&self, owner: Owner, data: Data) -> Record {
        Record { owner, ttl: self.authority.ttl, data }
    }

    fn target_address(&self, place: usize, addr: IpAddr) -> Record {
        self.record(Owner::TargetOf(place), Data::address(addr))
    }
}

/// The share of each of `count` SRV records in a hundred, at least one.
fn weight(count: usize) -> u16 {
    u16::try_from(100_usize.checked_div(count).unwrap_or(100)).unwrap_or(100).max(1)
}

/// The ports a question is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports<'a> {
    All,
    Named { name: &'a str, protocol: &'a str },
}

impl Ports<'_> {
    /// Unnamed ports have no name to ask for.
    fn has(self, port: &PortRecord) -> bool {
        match self {
            Ports::All => true,
            Ports::Named { name, protocol } => {
                !name.is_empty() && port.name.eq_ignore_ascii_case(name) && port.protocol.lower() == protocol
            }
        }
    }
}

/// Each address once, in random order. Compared as the numbers they are: byte by byte
/// it would take as long as all the rest.
fn shuffle_once<T: Copy, N: Ord>(addresses: &mut Vec<T>, bits: impl Fn(T) -> N, rng: &mut Rng) {
    if addresses.len() > 1 {
        // Endpoints stand in order already; cluster IPs need not.
        if !addresses.is_sorted_by_key(|addr| bits(*addr)) {
            addresses.sort_unstable_by_key(|addr| bits(*addr));
        }
        addresses.dedup_by_key(|addr| bits(*addr));
        rng.shuffle(addresses);
    }
}

fn host_of(endpoint: &EndpointRecord) -> String {
    match &endpoint.hostname {
        Some(hostname) => hostname.to_ascii_lowercase(),
        None => dashed(endpoint.addr),
    }
}
