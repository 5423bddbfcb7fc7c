//! A question to ourselves: does the server answer for its domain?

use std::io;
use std::net::SocketAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::exchange;

/// Asks the server at `at` for the version of its domain's schema (spec/dns.md,
/// `dns-version`). The caller sets the limit of time.
///
/// # Errors
/// No answer can be had, or it is not the record that is always there.
pub async fn probe(at: SocketAddr, domain: &str) -> io::Result<()> {
    let name = Name::from_utf8(format!("dns-version.{}.", domain.trim_end_matches('.'))).map_err(io::Error::other)?;
    let mut question = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    question.add_query(Query::query(name, RecordType::TXT));
    let reply = exchange::ask(at, question).await?;
    match reply.metadata.response_code {
        ResponseCode::NoError if !reply.answers.is_empty() => Ok(()),
        code => Err(io::Error::other(format!("it answers {code}"))),
    }
}
