//! What the diagnostic commands do on the daemon's side of the house.

use serde_json::json;

use crate::cli::exit::{Code, Failure};
use crate::cli::{DaemonAnswer, Examination, Question, Told};
use crate::dataplane::{self, Leg, Origin, Trace, TraceError};
use crate::doctor::{self, Finding, Level};

/// `edgesvc doctor`.
///
/// # Errors
/// None; what cannot be seen is a finding.
pub fn doctor(asked: Examination) -> Result<Told, Failure> {
    let daemon = match asked.daemon {
        DaemonAnswer::Absent(why) => doctor::Daemon::Absent(why),
        DaemonAnswer::Denied(why) => doctor::Daemon::Denied(why),
        DaemonAnswer::Well { version, failing } => doctor::Daemon::Answers { version, failing },
    };
    let findings = doctor::examine(&doctor::gather(&asked.config, asked.config_fault, daemon));
    let good = findings.iter().all(|finding| finding.level != Level::Failure);
    let text = if asked.json { as_json(&findings) } else { as_text(&findings) };
    Ok(Told { text, good })
}

fn as_json(findings: &[Finding]) -> String {
    let one = |finding: &Finding| json!({"check": finding.check, "level": finding.level.as_str(), "cause": finding.cause, "mend": finding.mend});
    format!("{:#}\n", json!({ "checks": findings.iter().map(one).collect::<Vec<_>>() }))
}

fn as_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        text.push_str(&line.to_string());
        text.push('\n');
    };
    for finding in findings {
        line(format_args!("{:<8} {:<17} {}", finding.level.as_str(), finding.check, finding.cause));
        if !finding.mend.is_empty() {
            line(format_args!("{:27}mend: {}", "", finding.mend));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (failures, warnings, unknown) = (count(Level::Failure), count(Level::Warning), count(Level::Unknown));
    line(format_args!("{failures} failed, {warnings} warnings, {unknown} could not be looked at"));
    text
}

/// `edgesvc trace`.
///
/// # Errors
/// The kernel's tables cannot be read, or the client's place means nothing here.
pub fn trace(asked: Question) -> Result<Told, Failure> {
    let from = match &asked.from {
        None => Origin::Host,
        Some(from) => from.parse().map_or_else(|_| Origin::Link(from.clone()), Origin::Address),
    };
    let question = dataplane::Question { protocol: asked.protocol, to: asked.to, from };
    let traced = dataplane::trace(&question).map_err(|error| match error {
        TraceError::Kernel(error) => super::dataplane_failure(&error),
        TraceError::Question(words) => Failure::new(Code::Usage, format!("error: --from: {words}")),
    })?;
    let what = format!("{} {}", asked.protocol, asked.to);
    let text = if asked.json { trace_json(&what, &traced) } else { trace_text(&what, &traced) };
    Ok(Told { text, good: traced.reaches() })
}

/// What comes of the connection, in one line.
fn verdict(trace: &Trace) -> String {
    if let Some(refused) = &trace.refused {
        return format!("not reached: {refused}");
    }
    let blocked: u32 = trace.endpoints.iter().filter(|leg| leg.blocked.is_some()).map(|leg| leg.chosen).sum();
    match (blocked, trace.endpoints.first().map_or(1, |leg| leg.of)) {
        (0, _) => "reached, whatever endpoint is chosen".to_owned(),
        (all, of) if all == of => "not reached: no endpoint can be".to_owned(),
        (some, of) => format!("not always reached: {some} of {of} connections fail"),
    }
}

fn trace_text(what: &str, trace: &Trace) -> String {
    let mut lines = vec![format!("{what} from {}", trace.from)];
    lines.extend(trace.steps.iter().map(|step| format!("  {step}")));
    for Leg { endpoint, chosen, of, steps, blocked } in &trace.endpoints {
        lines.push(format!("endpoint {endpoint} ({chosen} of {of})"));
        lines.extend(steps.iter().map(|step| format!("  {step}")));
        lines.push(blocked.as_ref().map_or_else(|| "  reached".to_owned(), |why| format!("  FAILS: {why}")));
    }
    lines.extend(trace.flows.iter().map(|flow| format!("conntrack: {flow}")));
    lines.extend(trace.unseen.iter().map(|unseen| format!("not seen: {unseen}")));
    lines.push(format!("verdict: {}", verdict(trace)));
    lines.join("\n") + "\n"
}

fn trace_json(what: &str, trace: &Trace) -> String {
    let leg = |leg: &Leg| json!({"endpoint": leg.endpoint, "chosen": leg.chosen, "of": leg.of, "steps": leg.steps, "blocked": leg.blocked});
    let document = json!({
        "connection": what, "from": trace.from, "steps": trace.steps,
        "endpoints": trace.endpoints.iter().map(leg).collect::<Vec<_>>(), "conntrack": trace.flows,
        "notSeen": trace.unseen, "refused": trace.refused, "reached": trace.reaches(), "verdict": verdict(trace),
    });
    format!("{document:#}\n")
}
