//! Which subscribers a security parameter index may name (docs/wire.md, one-time indices).

use record::Nai;
use wire::mip::Spi;

/// Parts of the table, a power of two: the low bits of an index choose one, so that neither random indices nor
/// numbered ones crowd in few.
const PARTS: usize = 4096;
/// The other bits of an index, and those of a subscriber's number: 48 together. So there are at most 268 million
/// subscribers, which is more than fit into memory.
const HIGH_BITS: u32 = 32 - PARTS.trailing_zeros();
const NUMBER_BITS: u32 = 48 - HIGH_BITS;

/// The other bits of an index above the number of a subscriber, in the order of both.
type Entry = [u8; 6];

/// The indices by which subscribers name themselves now. A million subscribers with 16 indices each fit: an index
/// takes 6 octets and at most an eighth more, a subscriber 16 and his name.
///
/// It is as large as the subscribers make it, whatever strangers send.
pub struct Names {
    /// In each part, in order.
    parts: Vec<Vec<Entry>>,
    subscribers: Vec<Option<Nai>>,
    free: Vec<u32>,
}

impl Default for Names {
    fn default() -> Self {
        Self { parts: vec![Vec::new(); PARTS], subscribers: Vec::new(), free: Vec::new() }
    }
}

/// The part of an index, and the number of its first entry there.
const fn place(spi: Spi) -> (usize, u64) {
    (spi.0 as usize % PARTS, ((spi.0 >> (32 - HIGH_BITS)) as u64) << NUMBER_BITS)
}

const fn entry(number: u64) -> Entry {
    let [_, _, entry @ ..] = number.to_be_bytes();
    entry
}

const fn number([a, b, c, d, e, f]: Entry) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

impl Names {
    /// A number for a subscriber that has none yet, below 2^28.
    pub fn enter(&mut self, nai: Nai) -> u32 {
        if let Some(number) = self.free.pop() {
            self.subscribers[number as usize] = Some(nai);
            return number;
        }
        self.subscribers.push(Some(nai));
        u32::try_from(self.subscribers.len() - 1).unwrap_or(u32::MAX)
    }

    /// Gives a number back; its indices were removed before.
    pub fn leave(&mut self, number: u32) {
        let place = self.subscribers.get_mut(number as usize);
        if place.and_then(Option::take).is_some() {
            self.free.push(number);
        }
    }

    /// This index may name that subscriber.
    pub fn add(&mut self, number: u32, spi: Spi) {
        let (part, above) = place(spi);
        let entry = entry(above | u64::from(number));
        let part = &mut self.parts[part];
        if let Err(at) = part.binary_search(&entry) {
            if part.len() == part.capacity() {
                // By less than Vec would take: there are millions of entries.
                part.reserve_exact(part.len() / 8 + 4);
            }
            part.insert(at, entry);
        }
    }

    /// This index names that subscriber no longer.
    pub fn remove(&mut self, number: u32, spi: Spi) {
        let (part, above) = place(spi);
        let part = &mut self.parts[part];
        if let Ok(at) = part.binary_search(&entry(above | u64::from(number))) {
            part.remove(at);
        }
    }

    /// The numbers of the subscribers that an index may name, in order.
    pub fn numbers(&self, spi: Spi) -> impl Iterator<Item = u32> {
        let (part, above) = place(spi);
        let part = &self.parts[part];
        let from = part.partition_point(|entry| number(*entry) < above);
        let numbers = part[from..].iter().map(move |entry| number(*entry) ^ above);
        numbers
            .take_while(|number| number >> NUMBER_BITS == 0)
            .filter_map(|number| u32::try_from(number).ok())
    }

    /// The subscribers that an index may name, in order of their numbers.
    pub fn candidates(&self, spi: Spi) -> impl Iterator<Item = &Nai> {
        self.numbers(spi).filter_map(|number| self.subscribers.get(number as usize)?.as_ref())
    }

    /// True if it may name somebody.
    #[must_use]
    pub fn is_taken(&self, spi: Spi) -> bool {
        self.numbers(spi).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crypto::Rng;

    use super::*;

    fn nai(n: u32) -> Nai {
        Nai::parse(&format!("traveller-{n}@home.example")).unwrap()
    }

    #[test]
    fn an_index_names_whom_it_was_given_to_and_nobody_else() {
        let (mut names, mut rng) = (Names::default(), Rng::from_seed([3; 32]));
        let mut model = BTreeSet::new();
        let numbers: Vec<_> = (0..50).map(|n| names.enter(nai(n))).collect();
        for _ in 0..20_000 {
            // Few bits, so that indices meet, in two parts and at both ends of them.
            let spi = Spi([0, 0x1000, 0xffff_f000][rng.u32() as usize % 3] | rng.u32() & 3);
            let number = numbers[rng.u32() as usize % numbers.len()];
            if rng.u32() & 1 == 0 {
                names.add(number, spi);
                model.insert((spi, number));
            } else {
                names.remove(number, spi);
                model.remove(&(spi, number));
            }
            let expected: Vec<_> = model.range((spi, 0)..=(spi, u32::MAX)).map(|(_, n)| nai(*n)).collect();
            assert_eq!(names.candidates(spi).cloned().collect::<Vec<_>>(), expected);
            assert_eq!(names.is_taken(spi), !expected.is_empty());
        }
    }

    #[test]
    fn a_number_that_was_given_back_is_another_subscribers() {
        let mut names = Names::default();
        let (one, two) = (names.enter(nai(1)), names.enter(nai(2)));
        names.add(two, Spi(1000));
        names.leave(one);
        names.leave(one);
        let three = names.enter(nai(3));
        assert_eq!((three, names.enter(nai(4))), (one, two + 1));
        assert_eq!(names.candidates(Spi(1000)).collect::<Vec<_>>(), [&nai(2)]);
    }
}
