//! What the diagnostic commands do on the daemon's side of the house.

use serde_json::json;

use crate::cli::exit::Failure;
use crate::cli::{DaemonAnswer, Examination, Told};
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
