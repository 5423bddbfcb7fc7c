//! The box's own name resolution: `edgesvc dns`, and what the daemon keeps of it.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::cli::exit::{Code, Failure};
use crate::cli::{HostDns, HostDnsVerb, Told};
use crate::config::{Config, defaults};
use crate::dataplane::{self, LINK_NAME};
use crate::dns;
use crate::doctor;
use crate::host_dns::{self, Answers, Asked, Facts, Obstacle, Paths, Plan, Record, Report, Way, Wish};
use crate::model::{BoxAddress, BoxAddresses, ListenPlace};

/// How long a server may take to answer: resolvers on the box, or what they know.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// First and longest pause before systemd-resolved is told again.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(300);

/// `edgesvc dns`.
///
/// # Errors
/// It cannot be done, or would destroy what others did.
pub fn host_dns(asked: HostDns) -> Result<Told, Failure> {
    let config = asked.config;
    let paths = Paths::of_box(config.data_dir.clone());
    let facts = host_dns::look(&paths);
    match asked.verb {
        HostDnsVerb::Undo { dry_run, force } => {
            let plans = host_dns::plan_undo(&facts, &paths, force).map_err(|refusal| refused(&refusal))?;
            if facts.record == Record::Hidden && plans.is_empty() {
                return Err(Failure::new(Code::NoPermission, "error: the data directory cannot be read: needs root"));
            }
            done(&plans, dry_run, "is not set up: nothing to undo")
        }
        HostDnsVerb::Setup { dry_run, way, namespace, alone, force } => {
            let wish = served(&config, &facts, namespace)?;
            let with = way.and_then(|word| Way::ALL.into_iter().find(|way| way.as_str() == word));
            let answers = answers(cluster(&config))?.iter().any(|(_, answer)| answer.is_ok());
            let asked = Asked { with, alone, force, answers };
            let plan = host_dns::plan_setup(&facts, &paths, &wish, &asked).map_err(|refusal| refused(&refusal))?;
            done(&[plan], dry_run, "is set up already: nothing to change")
        }
        HostDnsVerb::Status { json } => {
            let wish = served(&config, &facts, None)?;
            let answers = answers(ask(&config, &wish))?;
            Ok(told(host_dns::report(&facts, &paths, &wish, &answers), json))
        }
    }
}

fn refused(refusal: &host_dns::Refusal) -> Failure {
    Failure::new(Code::Refused, format!("error: {refusal}"))
}

/// What the box shall know; an error where DNS is not served.
fn served(config: &Config, facts: &Facts, namespace: Option<String>) -> Result<Wish, Failure> {
    if config.cluster_dns.is_empty() {
        return Err(Failure::new(Code::Config, "error: DNS is not served (--cluster-dns none): nobody to name"));
    }
    let known = namespace.or_else(|| host_dns::namespace(facts));
    Ok(wish(config, known))
}

/// What the box shall know.
fn wish(config: &Config, namespace: Option<String>) -> Wish {
    let (servers, domain) = (config.cluster_dns.clone(), config.cluster_domain.clone());
    Wish::of(servers, domain, namespace, &config.service_cluster_ip_ranges)
}

/// Does the plans, or says what they would do.
fn done(plans: &[Plan], dry_run: bool, nothing: &str) -> Result<Told, Failure> {
    let mut text = String::new();
    let mut line = |words: String| text.extend([words.as_str(), "\n"]);
    if plans.iter().all(|plan| plan.steps.is_empty()) {
        line(nothing.to_owned());
    }
    for plan in plans {
        if !plan.steps.is_empty() {
            let why = if plan.why.is_empty() { String::new() } else { format!(" ({})", plan.why) };
            line(format!("with {}{why}", plan.way));
            plan.steps.iter().for_each(|step| line(format!("  {step}")));
        }
        if !dry_run {
            host_dns::perform(plan).map_err(|error| failure(&error))?;
        }
        plan.notes.iter().for_each(|note| line(format!("note: {note}")));
    }
    if dry_run {
        line("dry run: nothing was changed".to_owned());
    }
    Ok(Told { text, good: true })
}

fn failure(error: &host_dns::ActError) -> Failure {
    let code = match error.obstacle {
        Obstacle::Privilege => Code::NoPermission,
        Obstacle::ReadOnly | Obstacle::Immutable => Code::CannotCreate,
        Obstacle::Other => Code::Io,
    };
    let mut failure = Failure::from_error(code, "error", error);
    let left = if error.left.is_empty() { "nothing was changed".to_owned() } else { error.left.join("; ") };
    failure.message = format!("{} ({left})", failure.message);
    failure
}

fn told(report: Report, json: bool) -> Told {
    let text = if json {
        format!("{:#}\n", report.json)
    } else {
        report.lines.iter().map(|(label, words)| format!("{label:<18} {words}\n")).collect()
    };
    Told { text, good: report.faults.is_empty() }
}

/// Asks on a runtime that ends with the question.
fn answers<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Failure::from_error(Code::Io, "the runtime", &error))?.block_on(work))
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match timeout(ANSWER_MAX, work).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn cluster(config: &Config) -> Vec<(IpAddr, Result<(), String>)> {
    let mut found = Vec::new();
    for addr in &config.cluster_dns {
        let at = SocketAddr::new(*addr, defaults::DNS_PORT);
        found.push((*addr, within(dns::probe(at, &config.cluster_domain)).await));
    }
    found
}

async fn ask(config: &Config, wish: &Wish) -> Answers {
    let mut own: Vec<SocketAddr> =
        config.cluster_dns.iter().map(|addr| SocketAddr::new(*addr, defaults::DNS_PORT)).collect();
    // What stands on our link is ours, whatever we were told: the daemon may not tell us.
    let addresses = dataplane::addresses::read().unwrap_or_default();
    let places = |one: &BoxAddress| {
        let here = config.dns_listen.iter().filter(|place| place.admits(one.addr, &one.link)).map(ListenPlace::port);
        here.chain((one.link == LINK_NAME).then_some(defaults::DNS_PORT)).collect::<Vec<u16>>()
    };
    own.extend(addresses.iter().flat_map(|one| places(one).into_iter().map(|port| SocketAddr::new(one.addr, port))));
    let upstreams = super::naming::upstreams(config);
    let v4 = config.service_cluster_ip_ranges.first().is_none_or(|range| range.addr().is_ipv4());
    let mut system = None;
    if let Some(server) = doctor::first_resolver() {
        let at = SocketAddr::new(server, defaults::DNS_PORT);
        system = Some((at, within(dns::lookup(at, &wish.known_name(), v4)).await));
    }
    Answers {
        cluster: cluster(config).await,
        system,
        upstreams: dns::in_use(upstreams, own.clone()),
        taken: doctor::dns_sockets().into_iter().filter(|at| !own.contains(at)).collect(),
    }
}

/// Tells systemd-resolved of our link where the box was set up so: its settings end
/// with the link, at the latest when the box is started anew.
pub(super) async fn keep(config: Config, mut addresses: watch::Receiver<BoxAddresses>) {
    let mut told = None;
    loop {
        let link = nix::net::if_::if_nametoindex(LINK_NAME).ok();
        if link.is_some() && link != told {
            told = link;
            tell(&config).await;
        }
        // A link that is made anew gets its addresses anew.
        if addresses.changed().await.is_err() {
            return;
        }
    }
}

/// Until it takes it: it may start after us. The record is read each time: the box
/// may have been set up while we ran, and it may be undone while we wait.
async fn tell(config: &Config) {
    let mut pause = RETRY_PAUSE_MIN;
    while let Record::Namespace(namespace) = host_dns::read_record(&config.data_dir) {
        let (sender, answer) = oneshot::channel();
        let wish = wish(config, Some(namespace));
        // A thread of its own: one that waits for systemd-resolved must not hold up our end.
        std::thread::spawn(move || drop(sender.send(host_dns::apply(&wish))));
        match answer.await {
            Ok(Ok(())) => {
                tracing::info!("systemd-resolved knows the names of Services");
                return;
            }
            Ok(Err(error)) => tracing::warn!(%error, "systemd-resolved could not be told of names of Services"),
            Err(_) => return,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}
