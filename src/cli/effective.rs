//! The configuration that counts for commands which act on the box beside the daemon.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::block_on;
use super::client::{Ask, Client, Endpoint};
use super::exit::Failure;
use crate::config::{self, Config, Inputs};

/// A daemon that hangs must not keep the box from being looked at or set back.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// That of the daemon, if one runs and tells us: another shell has neither its flags nor its
/// environment. Else what was given.
pub(super) fn effective(given: Config) -> Result<Config, Failure> {
    let socket = Endpoint::Socket(given.socket());
    let ask = async {
        let mut client = Client::connect(&socket).await?;
        client.ask(Ask::get("/edgesvc/v1/settings")).await
    };
    let told = block_on(async { Ok(timeout(ANSWER_MAX, ask).await.ok().and_then(Result::ok)) })?;
    Ok(told.and_then(|answer| read(&answer.value)).unwrap_or(given))
}

fn read(told: &Value) -> Option<Config> {
    let settings = told.get("settings")?.as_object()?;
    let flag = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let flags = settings.iter().map(flag).collect::<Option<_>>()?;
    // An empty file: what the daemon read of its own is among the settings.
    config::load(&Inputs { flags, file: Some("/dev/null".into()), ..Inputs::default() }).ok()
}
