//! Netlink attributes: a writer and a reader. Pure.

use netlink_packet_core::NlasIterator;

/// The flag of an attribute that holds attributes.
const NESTED: u16 = 0x8000;
/// The header of an attribute: length and kind.
const HEADER: usize = 4;

/// Bytes of attributes being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dataplane) struct Attrs(Vec<u8>);

impl Attrs {
    pub(in crate::dataplane) fn new() -> Attrs {
        Attrs::default()
    }

    pub(in crate::dataplane) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Attrs {
        // The length field has 16 bits; callers split what may grow (see `batch`).
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
        self
    }

    /// A string with its final zero.
    pub(in crate::dataplane) fn text(&mut self, kind: u16, value: &str) -> &mut Attrs {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A number in network byte order, as nf_tables has them.
    pub(in crate::dataplane) fn be32(&mut self, kind: u16, value: u32) -> &mut Attrs {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(in crate::dataplane) fn be64(&mut self, kind: u16, value: u64) -> &mut Attrs {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(in crate::dataplane) fn byte(&mut self, kind: u16, value: u8) -> &mut Attrs {
        self.bytes(kind, &[value])
    }

    pub(in crate::dataplane) fn nest(&mut self, kind: u16, inner: &Attrs) -> &mut Attrs {
        self.bytes(kind | NESTED, &inner.0)
    }

    pub(in crate::dataplane) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::dataplane) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::dataplane) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn pad(&mut self) {
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
    }
}

/// The attributes in `bytes`: kind without flags, and value. A torn one ends the walk.
pub(in crate::dataplane) fn read(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    Walk { rest: bytes }
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Walk<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let attribute = NlasIterator::new(self.rest).next()?.ok()?;
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        let value = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The first attribute of a kind.
pub(in crate::dataplane) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    read(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A string attribute without its final zero.
pub(in crate::dataplane) fn text(bytes: &[u8], kind: u16) -> Option<&str> {
    let value = find(bytes, kind)?;
    std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

/// A 32-bit number in network byte order.
pub(in crate::dataplane) fn be32(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(find(bytes, kind)?.try_into().ok()?))
}

/// A 64-bit number in network byte order.
pub(in crate::dataplane) fn be64(bytes: &[u8], kind: u16) -> Option<u64> {
    Some(u64::from_be_bytes(find(bytes, kind)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Attrs::new();
        inner.be32(1, 7).byte(2, 9);
        let mut a = Attrs::new();
        a.text(3, "abc").nest(4, &inner).be64(5, 1 << 40).bytes(6, &[]);
        assert_eq!(text(a.as_bytes(), 3), Some("abc"));
        assert_eq!(be32(find(a.as_bytes(), 4).unwrap(), 1), Some(7), "the nested flag is no part of the kind");
        assert_eq!(find(find(a.as_bytes(), 4).unwrap(), 2), Some(&[9][..]), "padding is no part of the value");
        assert_eq!(be64(a.as_bytes(), 5), Some(1 << 40));
        assert_eq!(find(a.as_bytes(), 6), Some(&[][..]));
        assert_eq!((be32(a.as_bytes(), 5), be32(a.as_bytes(), 7)), (None, None), "not four bytes, not there");
        assert_eq!(read(a.as_bytes()).count(), 4);
    }

    #[test]
    fn torn_attributes_end_the_walk() {
        let mut a = Attrs::new();
        a.be32(1, 7).be32(2, 8);
        for end in 0..a.len() {
            let found = read(a.as_bytes().get(..end).unwrap()).count();
            assert!(found < 2, "{end}");
        }
        assert_eq!(read(&[0; 8]).count(), 0, "a length of zero would never end");
    }
}
