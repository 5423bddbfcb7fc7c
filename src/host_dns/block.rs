//! Our lines in configuration files of others: at their end, between two comments
//! that say how to take them out again. Pure.

const BEGIN: &str = "# edgesvc dns setup: begin";
const END: &str = "# edgesvc dns setup: end";
/// Said behind [`BEGIN`]: how the file ended before, so that it can end so again.
const MADE: &str = " (there was no file)";
const CUT: &str = " (there was no end of line)";

/// A block that begins and does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The file with these lines in it, in place of those of an earlier time.
pub(super) fn with(text: Option<&str>, lines: &[String]) -> Result<String, Broken> {
    let former = match text {
        None => None,
        Some(text) => without(text)?.unwrap_or_else(|| Some(text.to_owned())),
    };
    let (before, how) = match &former {
        None => (String::new(), MADE),
        Some(text) if text.is_empty() || text.ends_with('\n') => (text.clone(), ""),
        Some(text) => (format!("{text}\n"), CUT),
    };
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Ok(format!("{before}{BEGIN}{how}\n{lines}{END}\n"))
}

/// The file as it was, the inner `None` where there was none; the outer one where
/// it has no such lines.
#[allow(clippy::option_option, reason = "a file that was not there, and lines that are not there")]
pub(super) fn without(text: &str) -> Result<Option<Option<String>>, Broken> {
    let (mut before, mut after) = (String::new(), String::new());
    let (mut how, mut ended) = (None, false);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        match (&how, ended) {
            (None, _) => match bare.strip_prefix(BEGIN) {
                Some(said) => how = Some(said.to_owned()),
                None => before.push_str(line),
            },
            (Some(_), false) => ended = bare == END,
            (Some(_), true) => after.push_str(line),
        }
    }
    let Some(how) = how else { return Ok(None) };
    if !ended {
        return Err(Broken);
    }
    if how == CUT && after.is_empty() {
        before.pop();
    }
    // Lines of others that came since stay.
    let gone = how == MADE && before.is_empty() && after.is_empty();
    Ok(Some((!gone).then(|| before + &after)))
}

/// Our lines.
pub(super) fn lines(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    Some(rest.split_once(END).map_or(rest, |(lines, _)| lines))
}
