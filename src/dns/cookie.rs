//! DNS cookies (RFC 7873, RFC 9018): a client that brings back what we gave it
//! is where it says it is, so that it needs no protection from forgers.

use std::net::IpAddr;

use tokio::time::Instant;

use super::request::Cookie;

/// How long a cookie is good, in seconds.
const SECONDS_MAX: u32 = 3600;
/// The first byte of our part of a cookie: how it is made.
const VERSION: u8 = 1;

/// Makes and knows cookies; those of an earlier process are not known, which
/// costs a client nothing but the advantage.
#[derive(Debug)]
pub(crate) struct Cookies {
    key: ring::hmac::Key,
    began: Instant,
}

impl Cookies {
    pub(crate) fn new() -> Cookies {
        let random = ring::rand::SystemRandom::new();
        let mut secret = [0; 32];
        // Without the kernel's random bytes, which only a broken system lacks, cookies
        // could be forged: they are then worth as little as none.
        if ring::rand::SecureRandom::fill(&random, &mut secret).is_err() {
            fastrand::fill(&mut secret);
        }
        Cookies { key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), began: Instant::now() }
    }

    /// Our part of the cookie for a client.
    pub(crate) fn make(&self, client: [u8; 8], addr: IpAddr) -> [u8; 16] {
        self.made_at(client, addr, self.seconds())
    }

    /// Whether the client brings one that we gave to it.
    pub(crate) fn knows(&self, cookie: &Cookie, addr: IpAddr) -> bool {
        let Some(server) = cookie.server else { return false };
        let [VERSION, 0, 0, 0, a, b, c, d, ..] = server else { return false };
        let at = u32::from_be_bytes([a, b, c, d]);
        // Our own clock, which never goes back.
        let fresh = self.seconds().checked_sub(at).is_some_and(|age| age <= SECONDS_MAX);
        fresh && self.made_at(cookie.client, addr, at) == server
    }

    fn made_at(&self, client: [u8; 8], addr: IpAddr, seconds: u32) -> [u8; 16] {
        let mut context = ring::hmac::Context::with_key(&self.key);
        context.update(&client);
        context.update(&seconds.to_be_bytes());
        match addr {
            IpAddr::V4(v4) => context.update(&v4.octets()),
            IpAddr::V6(v6) => context.update(&v6.octets()),
        }
        let tag = context.sign();
        let mut server = [0; 16];
        let parts = [VERSION, 0, 0, 0].into_iter().chain(seconds.to_be_bytes()).chain(tag.as_ref().iter().copied());
        for (place, byte) in server.iter_mut().zip(parts) {
            *place = byte;
        }
        server
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cookie_counts_for_its_client_and_for_an_hour() {
        let cookies = Cookies::new();
        let (addr, other): (IpAddr, IpAddr) = ("10.9.0.11".parse().unwrap(), "10.9.0.12".parse().unwrap());
        let client = *b"client-1";
        let given = Cookie { client, server: Some(cookies.make(client, addr)), reply: None };
        assert!(cookies.knows(&given, addr) && !cookies.knows(&given, other));
        assert!(!cookies.knows(&Cookie { client: *b"client-2", ..given }, addr));
        assert!(!cookies.knows(&Cookie { server: None, ..given }, addr));
        assert!(!Cookies::new().knows(&given, addr));
        tokio::time::advance(Duration::from_secs(SECONDS_MAX.into())).await;
        assert!(cookies.knows(&given, addr));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!cookies.knows(&given, addr));
    }
}
