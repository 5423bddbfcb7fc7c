//! `edgesvc doctor`: asks the daemon whether it is well and hands the rest to
//! the room that looks at the box.

use std::path::Path;

use serde_json::Value;

use super::args::Doctor;
use super::client::{Ask, Client, Endpoint, whole};
use super::exit::{Code, Failure};
use super::{Daemon, output};
use crate::config::{self, Config, Inputs};

/// What the examination needs of the command line.
pub struct Examination {
    /// The configuration, or the defaults where it is not valid.
    pub config: Config,
    /// Why it is not valid.
    pub config_fault: Option<String>,
    /// The daemon.
    pub daemon: DaemonAnswer,
    /// Print JSON.
    pub json: bool,
}

/// What the daemon answered.
pub enum DaemonAnswer {
    /// Nobody is there.
    Absent(String),
    /// We may not ask.
    Denied(String),
    /// Its version and the checks that fail.
    Well {
        /// Its version.
        version: String,
        /// Names and reasons.
        failing: Vec<String>,
    },
}

/// Examines and prints; fails when something does not work.
pub(super) fn doctor(args: Doctor, daemon: &Daemon) -> Result<(), Failure> {
    let (config, config_fault) = match config::load(&args.settings.0) {
        Ok(config) => (config, None),
        Err(error) => {
            // An empty file stands for the defaults.
            let defaults = Inputs { file: Some("/dev/null".into()), ..Inputs::default() };
            let defaults = config::load(&defaults).map_err(|error| Failure::from_error(Code::Config, "", &error))?;
            (defaults, Some(Failure::from_error(Code::Config, "", &error).message))
        }
    };
    let answer = super::block_on(async { Ok(ask(&config.socket()).await) })?;
    let told = (daemon.doctor)(Examination { config, config_fault, daemon: answer, json: args.json.json() })?;
    output::print(&told.text)?;
    if told.good { Ok(()) } else { Err(Failure::different()) }
}

async fn ask(socket: &Path) -> DaemonAnswer {
    let asked = async {
        let mut client = Client::connect(&Endpoint::Socket(socket.to_owned())).await?;
        let version = client.ask(Ask::get("/version")).await?.value;
        let response = client.send(Ask { accept: "*/*", ..Ask::get("/readyz?verbose") }).await?;
        let checks = whole(response.into_body()).await?;
        let git = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default();
        let version = git.rsplit_once("edgesvc-").map_or(git, |(_, own)| own).to_owned();
        let checks = String::from_utf8_lossy(&checks);
        let failing = checks.lines().filter_map(|line| line.strip_prefix("[-]")).map(str::to_owned).collect();
        Ok(DaemonAnswer::Well { version, failing })
    };
    match asked.await {
        Ok(answer) => answer,
        Err(failure @ Failure { code: Code::NoPermission, .. }) => DaemonAnswer::Denied(failure.message),
        Err(Failure { message, .. }) => DaemonAnswer::Absent(message),
    }
}
