//! Questions that we ask ourselves: does the server answer for its domain, and
//! what does the box's own resolver say?

use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

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
    let reply = exchange::ask(at, &question).await?;
    match reply.metadata.response_code {
        ResponseCode::NoError if !reply.answers.is_empty() => Ok(()),
        code => Err(io::Error::other(format!("it answers {code}"))),
    }
}

/// The addresses of a name in the family of `v4`, as the server at `at` has them;
/// none if it does not know the name. The caller sets the limit of time.
///
/// # Errors
/// No answer can be had, or the server failed.
pub async fn lookup(at: SocketAddr, name: &str, v4: bool) -> io::Result<Vec<IpAddr>> {
    let name = Name::from_utf8(format!("{}.", name.trim_end_matches('.'))).map_err(io::Error::other)?;
    let mut question = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    // The box's resolver may have to ask others.
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, if v4 { RecordType::A } else { RecordType::AAAA }));
    let reply = exchange::ask(at, &question).await?;
    match reply.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(reply
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(addr) => Some(addr.0.into()),
                RData::AAAA(addr) => Some(addr.0.into()),
                _ => None,
            })
            .collect()),
        code => Err(io::Error::other(format!("it answers {code}"))),
    }
}
