//! The registers of one rule: bytes, known or not. Pure.

use super::evaluate::Step;
use crate::dataplane::netlink::attrs::{be32, find};

const WORDS: usize = 16;

/// Sixteen words of four bytes; a word that could not be computed is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Registers([Option<[u8; 4]>; WORDS]);

/// The word a register's number names: 1 to 4 are the old ones of 16 bytes.
fn word(register: u32) -> usize {
    let word = match register {
        1..=4 => (register - 1) * 4,
        part => part.saturating_sub(8),
    };
    usize::try_from(word).unwrap_or(WORDS)
}

impl Registers {
    /// Writes a value, filled up with zeros to whole words; `None` makes four words unknown.
    pub(super) fn write(&mut self, register: u32, value: Option<&[u8]>) -> Step {
        let from = self.0.iter_mut().skip(word(register));
        match value {
            None => from.take(4).for_each(|word| *word = None),
            Some(value) => {
                for (word, bytes) in from.zip(value.chunks(4)) {
                    let mut whole = [0; 4];
                    whole.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
                    *word = Some(whole);
                }
            }
        }
        Step::On
    }

    /// So many bytes, if all are known.
    pub(super) fn read(&self, register: u32, len: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len + 4);
        for word in self.0.iter().skip(word(register)).take(len.div_ceil(4)) {
            bytes.extend((*word)?);
        }
        bytes.truncate(len);
        (bytes.len() == len).then_some(bytes)
    }

    /// Expressions that need nothing but registers.
    pub(super) fn compute(&mut self, name: &str, data: &[u8]) -> Step {
        self.computed(name, data).unwrap_or_else(|| Step::Doubt(name.to_owned()))
    }

    fn computed(&mut self, name: &str, data: &[u8]) -> Option<Step> {
        let register = be32(data, 1)?;
        let value = |kind: u16| find(find(data, kind)?, 1);
        match name {
            "cmp" => {
                let right = value(3)?;
                let left = self.read(register, right.len())?;
                let left = left.as_slice();
                let holds = match be32(data, 2)? {
                    0 => left == right,
                    1 => left != right,
                    2 => left < right,
                    3 => left <= right,
                    4 => left > right,
                    _ => left >= right,
                };
                Some(if holds { Step::On } else { Step::Off })
            }
            "range" => {
                let (first, last) = (value(3)?, value(4)?);
                let left = self.read(register, first.len())?;
                let within = first <= left.as_slice() && left.as_slice() <= last;
                Some(if within == (be32(data, 2)? == 0) { Step::On } else { Step::Off })
            }
            "bitwise" => {
                let len = usize::try_from(be32(data, 3)?).ok()?;
                let target = be32(data, 2)?;
                let result = match (self.read(register, len), be32(data, 6).unwrap_or_default(), value(4), value(5)) {
                    (Some(bytes), 0, Some(mask), Some(xor)) => Some(
                        bytes
                            .iter()
                            .zip(mask)
                            .zip(xor)
                            .map(|((byte, mask), xor)| byte & mask ^ xor)
                            .collect::<Vec<_>>(),
                    ),
                    _ => None,
                };
                Some(self.write(target, result.as_deref()))
            }
            "hash" => {
                let (target, len) = (be32(data, 2)?, usize::try_from(be32(data, 3)?).ok()?);
                let (below, seed) = (be32(data, 4)?, be32(data, 5).unwrap_or_default());
                // Type 1 is the symmetric hash of the flow, which only the kernel knows.
                let jenkins = be32(data, 7).unwrap_or_default() == 0;
                let bytes = self.read(register, len).filter(|_| jenkins);
                let offset = be32(data, 6).unwrap_or_default();
                let number = bytes.map(|bytes| below_of(jhash(&bytes, seed), below).wrapping_add(offset));
                Some(self.write(target, number.map(u32::to_ne_bytes).as_ref().map(<[u8; 4]>::as_slice)))
            }
            // "byteorder"
            _ => {
                let (target, len) = (be32(data, 2)?, usize::try_from(be32(data, 4)?).ok()?);
                let size = usize::try_from(be32(data, 5)?).ok()?.max(1);
                let swap = cfg!(target_endian = "little");
                let bytes = self.read(register, len).map(|bytes| {
                    let part = |part: &[u8]| if swap { part.iter().rev().copied().collect() } else { part.to_vec() };
                    bytes.chunks(size).flat_map(part).collect::<Vec<u8>>()
                });
                Some(self.write(target, bytes.as_deref()))
            }
        }
    }
}

/// Scales a hash, as the kernel does: into so many equal parts.
fn below_of(hash: u32, below: u32) -> u32 {
    u32::try_from((u64::from(hash) * u64::from(below)) >> 32).unwrap_or_default()
}

/// Bob Jenkins' hash lookup3, as in the kernel's `jhash.h`.
fn jhash(bytes: &[u8], seed: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(u32::try_from(bytes.len()).unwrap_or_default()).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    // Its last bytes, at least one and at most twelve, are mixed in another way.
    let whole = bytes.len().saturating_sub(1) / 12 * 12;
    let (head, tail) = bytes.split_at_checked(whole).unwrap_or_default();
    let word = |bytes: &[u8], at: usize, read: fn([u8; 4]) -> u32| {
        let mut word = [0; 4];
        word.iter_mut().zip(bytes.iter().skip(at)).for_each(|(to, byte)| *to = *byte);
        read(word)
    };
    let mut add = |bytes: &[u8], read: fn([u8; 4]) -> u32, mix: &dyn Fn(&mut u32, &mut u32, &mut u32)| {
        a = a.wrapping_add(word(bytes, 0, read));
        b = b.wrapping_add(word(bytes, 4, read));
        c = c.wrapping_add(word(bytes, 8, read));
        mix(&mut a, &mut b, &mut c);
    };
    head.chunks(12).for_each(|twelve| add(twelve, u32::from_ne_bytes, &mix));
    if !tail.is_empty() {
        add(tail, u32::from_le_bytes, &last_mix);
    }
    c
}

fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    let step = |x: &mut u32, y: &mut u32, z: u32, bits: u32| {
        *x = x.wrapping_sub(*y) ^ y.rotate_left(bits);
        *y = y.wrapping_add(z);
    };
    step(a, c, *b, 4);
    step(b, a, *c, 6);
    step(c, b, *a, 8);
    step(a, c, *b, 16);
    step(b, a, *c, 19);
    step(c, b, *a, 4);
}

fn last_mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    let step = |x: &mut u32, y: u32, bits: u32| *x = (*x ^ y).wrapping_sub(y.rotate_left(bits));
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;
    use crate::dataplane::netlink::Attrs;

    fn data(bytes: &[u8]) -> Attrs {
        let mut value = Attrs::new();
        value.bytes(1, bytes);
        value
    }

    fn goes_on(registers: &mut Registers, name: &str, attrs: &Attrs) -> Option<bool> {
        match registers.compute(name, attrs.as_bytes()) {
            Step::On => Some(true),
            Step::Off => Some(false),
            _ => None,
        }
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        let mut registers = Registers::default();
        assert_eq!(registers.read(1, 2), None);
        drop(registers.write(1, Some(&[1, 2, 3, 4, 5])));
        assert_eq!(registers.read(9, 4), Some(vec![5, 0, 0, 0]), "register 9 is the second word of register 1");
        drop(registers.write(1, None));
        assert_eq!(registers.read(1, 4), None);
        let mut cmp = Attrs::new();
        cmp.be32(1, 1).be32(2, 0).nest(3, &data(&[1]));
        assert_eq!(goes_on(&mut registers, "cmp", &cmp), None);
    }

    #[test]
    fn comparisons_masks_and_ranges_are_computed() {
        let mut registers = Registers::default();
        drop(registers.write(1, Some(&[10, 43, 7, 1])));
        let mut mask = Attrs::new();
        mask.be32(1, 1).be32(2, 1).be32(3, 4).nest(4, &data(&[255, 255, 0, 0])).nest(5, &data(&[0; 4]));
        assert_eq!(goes_on(&mut registers, "bitwise", &mask), Some(true));
        for (op, right, expected) in [(0, [10, 43, 0, 0], true), (1, [10, 43, 0, 0], false), (2, [10, 44, 0, 0], true)]
        {
            let mut cmp = Attrs::new();
            cmp.be32(1, 1).be32(2, op).nest(3, &data(&right));
            assert_eq!(goes_on(&mut registers, "cmp", &cmp), Some(expected), "{op} {right:?}");
        }
        let mut range = Attrs::new();
        range.be32(1, 1).be32(2, 0).nest(3, &data(&[10, 0, 0, 0])).nest(4, &data(&[10, 42, 0, 0]));
        assert_eq!(goes_on(&mut registers, "range", &range), Some(false));
    }
}
