//! `edgesvc env` and `edgesvc exec`: Services as environment variables, printed,
//! kept in a file, or given to a command. The rule is in [`crate::env`].

mod args;
mod exec;
mod file;
mod follow;
mod on_change;
mod services;
mod watch;

pub(super) use args::{Env, Exec};
pub(super) use exec::exec;

use super::args::Server;
use super::exit::{Code, Failure};
use super::output;
use crate::env::{self, EnvError, Variable, Wanted};
use services::Services;

/// Prints the variables, or keeps a file equal to them.
pub(super) async fn env(args: Env) -> Result<(), Failure> {
    let wanted = Wanted { namespace: &args.namespace(), links: args.links.enable_service_links, names: &args.services };
    if let Some(file) = &args.watch {
        return watch::watch(&args, &wanted, file).await;
    }
    let services = services::seen_from(&args.server, wanted.namespace).await?;
    let unmet: Vec<String> = env::unmet(&services, &wanted).iter().map(ToString::to_string).collect();
    if !unmet.is_empty() {
        return Err(Failure::new(Code::Refused, unmet.join("\n")));
    }
    output::print(&args.format.text(&variables(&services, &wanted)?)?)
}

fn variables(services: &Services, wanted: &Wanted<'_>) -> Result<Vec<Variable>, Failure> {
    Ok(env::variables(services, wanted)?)
}

impl From<EnvError> for Failure {
    fn from(error: EnvError) -> Failure {
        Failure::new(Code::Refused, error.to_string())
    }
}

/// The variables of a namespace, asked for once.
async fn variables_once(server: &Server, wanted: &Wanted<'_>) -> Result<Vec<Variable>, Failure> {
    variables(&services::seen_from(server, wanted.namespace).await?, wanted)
}
