//! `/healthz`, `/livez`, `/readyz`: whether we work, check by check.

use super::answer::Answer;
use super::handle::Call;
use super::identity::User;
use crate::model::role::MASTERS;

/// One thing that is well or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name in `/livez/NAME`.
    pub name: &'static str,
    /// Why it is not well; withheld here from all but administrators.
    pub failure: Option<String>,
    /// Whether `/livez` asks it too: a restart could mend it.
    pub live: bool,
}

impl Check {
    fn reason_for(&self, user: &User) -> &str {
        let administers = user.groups.iter().any(|group| group == MASTERS);
        self.failure.as_deref().filter(|_| administers).unwrap_or("reason withheld")
    }
}

/// Answers an endpoint, or one of its checks.
pub(super) fn answer(call: &Call, endpoint: &str, check: Option<&str>) -> Answer {
    let mut checks = vec![Check { name: "ping", failure: None, live: true }];
    checks.extend((call.api.checks)());
    if endpoint == "livez" {
        checks.retain(|check| check.live);
    }
    match check {
        None => summary(endpoint, &checks, &call.user, call.query.has("verbose"), call.query.get("exclude")),
        Some(name) => match checks.iter().find(|check| check.name == name) {
            Some(check) if check.failure.is_none() => Answer::text(200, "ok"),
            Some(check) => {
                Answer::text(500, format!("internal server error: {}: {}\n", check.name, check.reason_for(&call.user)))
            }
            None => Answer::text(404, "404 page not found\n"),
        },
    }
}

fn summary(endpoint: &str, checks: &[Check], user: &User, verbose: bool, exclude: Option<&str>) -> Answer {
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        let line = if exclude == Some(check.name) {
            format!("[+]{} excluded: ok\n", check.name)
        } else if check.failure.is_none() {
            format!("[+]{} ok\n", check.name)
        } else {
            failed = true;
            format!("[-]{} failed: {}\n", check.name, check.reason_for(user))
        };
        lines.push_str(&line);
    }
    if failed {
        return Answer::text(500, format!("{lines}{endpoint} check failed\n"));
    }
    if verbose { Answer::text(200, format!("{lines}{endpoint} check passed\n")) } else { Answer::text(200, "ok") }
}
