//! `edgesvc top`: what Services and endpoints are used for, and how fast.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::args::Top;
use super::client::{Ask, Client};
use super::exit::Failure;
use super::{output, tabs};

/// Rows shown; the rest is counted in one line.
const ROWS_MAX: usize = 40;

/// What rows are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// A row for each Service.
    #[default]
    Services,
    /// A row for each endpoint of a Service.
    Endpoints,
}

/// Connections, packets, bytes.
type Sums = [u64; 3];

/// Namespace, Service, endpoint.
type Place = (String, String, String);

const MEMBERS: [&str; 3] = ["connections", "packets", "bytes"];

/// Prints every interval what changed since the one before; with `--once` what
/// was counted from the beginning and over one interval.
pub(super) async fn top(args: Top) -> Result<(), Failure> {
    let mut client = super::connect(&args.server).await?;
    let (mut before, traffic) = read(&mut client, &args).await?;
    let mut at = Instant::now();
    loop {
        tokio::time::sleep(args.interval).await;
        let (now, _) = read(&mut client, &args).await?;
        let past = at.elapsed();
        at = Instant::now();
        let rows = rates(&before, &now, past);
        output::print(&if args.json.json() { as_json(&rows) } else { as_text(&rows, args.what, traffic) })?;
        if args.once {
            return Ok(());
        }
        if !args.json.json() {
            output::line("")?;
        }
        before = now;
    }
}

async fn read(client: &mut Client, args: &Top) -> Result<(BTreeMap<Place, Sums>, bool), Failure> {
    let answer = client.ask(Ask::get("/edgesvc/v1/dataplane/counters")).await?.value;
    let rows = answer.get("counts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let row = |row: &Value| {
        let word = |member: &str| row.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let sums = MEMBERS.map(|member| row.get(member).and_then(Value::as_u64).unwrap_or_default());
        ((word("namespace"), word("service"), word("endpoint")), sums)
    };
    let wanted = |(namespace, _, endpoint): &Place| {
        endpoint.is_empty() == (args.what == What::Services) && args.namespace.as_ref().is_none_or(|n| n == namespace)
    };
    let traffic = answer.get("traffic").and_then(Value::as_bool).unwrap_or_default();
    Ok((rows.iter().map(row).filter(|(place, _)| wanted(place)).collect(), traffic))
}

/// One row: where, what was counted, and how much of it a second.
struct Row<'a> {
    place: &'a Place,
    sums: Sums,
    rates: [f64; 3],
}

/// The busiest first.
fn rates<'a>(before: &BTreeMap<Place, Sums>, now: &'a BTreeMap<Place, Sums>, past: Duration) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::with_capacity(now.len());
    for (place, sums) in now {
        let old = before.get(place).copied().unwrap_or_default();
        let mut rates = [0.0; 3];
        for ((rate, new), old) in rates.iter_mut().zip(sums).zip(old) {
            // A count that fell began again: all of it is new.
            let grown = if *new >= old { new - old } else { *new };
            #[expect(clippy::cast_precision_loss, reason = "a rate is read to a few digits")]
            let grown = grown as f64;
            *rate = grown / past.as_secs_f64().max(0.001);
        }
        rows.push(Row { place, sums: *sums, rates });
    }
    let busy = |row: &Row<'_>| row.rates[2] + row.rates[0];
    rows.sort_by(|one, other| busy(other).total_cmp(&busy(one)).then_with(|| other.sums.cmp(&one.sums)));
    rows
}

fn as_text(rows: &[Row<'_>], what: What, traffic: bool) -> String {
    let mut text = String::from("NAMESPACE\tSERVICE\t");
    if what == What::Endpoints {
        text.push_str("ENDPOINT\t");
    }
    text.push_str("CONNECTIONS\tCONN/S");
    text.push_str(if traffic { "\tPACKETS/S\tBYTES/S\n" } else { "\n" });
    for Row { place: (namespace, service, endpoint), sums, rates } in rows.iter().take(ROWS_MAX) {
        let endpoint = if what == What::Endpoints { format!("{endpoint}\t") } else { String::new() };
        // Writing to a String cannot fail.
        let told = write!(text, "{namespace}\t{service}\t{endpoint}{}\t{:.1}", sums[0], rates[0]);
        let more = if traffic { format!("\t{:.0}\t{:.0}\n", rates[1], rates[2]) } else { "\n".to_owned() };
        text.push_str(if told.is_ok() { &more } else { "\n" });
    }
    let mut text = tabs::align(&text, 6, 3);
    if rows.len() > ROWS_MAX {
        text.push_str(&format!("... and {} more\n", rows.len() - ROWS_MAX));
    }
    text
}

fn as_json(rows: &[Row<'_>]) -> String {
    let row = |row: &Row<'_>| {
        let (namespace, service, endpoint) = row.place;
        json!({
            "namespace": namespace, "service": service, "endpoint": endpoint,
            "connections": row.sums[0], "packets": row.sums[1], "bytes": row.sums[2],
            "connectionsPerSecond": row.rates[0], "packetsPerSecond": row.rates[1], "bytesPerSecond": row.rates[2],
        })
    };
    format!("{}\n", json!({ "items": rows.iter().map(row).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(service: &str) -> Place {
        ("default".to_owned(), service.to_owned(), String::new())
    }

    #[test]
    fn rates_are_what_grew_and_a_count_that_began_again_is_all_new() {
        let before =
            BTreeMap::from([(place("a"), [10, 100, 1000]), (place("b"), [50, 0, 0]), (place("gone"), [1, 1, 1])]);
        let now = BTreeMap::from([(place("a"), [14, 100, 1000]), (place("b"), [20, 0, 0]), (place("new"), [0, 0, 0])]);
        let rows = rates(&before, &now, Duration::from_secs(2));
        let seen: Vec<_> = rows.iter().map(|row| (row.place.1.as_str(), row.sums[0], row.rates[0])).collect();
        assert_eq!(seen, [("b", 20, 10.0), ("a", 14, 2.0), ("new", 0, 0.0)]);
        let text = as_text(&rows, What::Services, false);
        assert!(text.starts_with("NAMESPACE   SERVICE   CONNECTIONS   CONN/S\n"), "{text}");
        assert!(text.contains("default     a         14            2.0\n"), "{text}");
        let text = as_text(&rows, What::Services, true);
        assert!(text.contains("BYTES/S"), "{text}");
    }
}
