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
