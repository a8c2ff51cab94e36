//! What happens to the frames of one direction of a link, as a pure function of their times and of the dice.
//!
//! Order of things: the cut, the dice of the loss, the queue before the transmitter, the transmission at the
//! link's rate, then the way. Without reordering frames leave in the order in which they came, jitter or not.
//! Each frame takes the same number of throws whatever the values are, so that a change of one value does not
//! change the fate that another value gives to later frames.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use super::random::Random;

/// More frames than that never wait at once on the way, whatever the delay: memory is bounded.
const MOST_ON_THE_WAY: usize = 65_536;

/// How bad a link is. The default is a perfect one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Impairment {
    /// Nanoseconds from the end of the transmission to the arrival.
    pub(crate) delay: u64,
    /// The delay varies evenly by up to so many nanoseconds in both directions; at most the delay.
    pub(crate) jitter: u64,
    /// 0 to 100.
    pub(crate) loss_percent: f64,
    /// 0 to 100: arrives twice.
    pub(crate) duplicate_percent: f64,
    /// 0 to 100: skips the delay, and so overtakes what is on the way.
    pub(crate) reorder_percent: f64,
    /// 0 to 100: an IPv4 packet arrives with bits changed, or cut short. No others do, for ARP has no checksum.
    pub(crate) damage_percent: f64,
    /// Bits per second in each direction, of whole frames; unlimited if absent.
    pub(crate) rate: Option<u64>,
    /// Frames that wait for the transmitter at most; only a rate makes any wait.
    pub(crate) queue: usize,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            delay: 0,
            jitter: 0,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
            reorder_percent: 0.0,
            damage_percent: 0.0,
            rate: None,
            queue: 100,
        }
    }
}

/// Why a frame never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Loss,
    Queue,
    Cut,
}

/// What a frame that arrives went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) duplicated: bool,
    pub(super) reordered: bool,
    pub(super) damaged: bool,
}

/// One direction of a link. Times are nanoseconds of a clock that never goes back.
pub(super) struct Discipline {
    impairment: Impairment,
    cut: bool,
    random: Random,
    /// Throws of its own, so that no other fate depends on what is damaged.
    damage: Random,
    /// When the transmitter is free again.
    free: u64,
    /// Ends of the transmissions that wait or run.
    transmissions: VecDeque<u64>,
    /// When the last frame that kept its place arrives.
    last: u64,
    /// By time of arrival, then by number.
    way: BTreeMap<(u64, u64), Box<[u8]>>,
    number: u64,
}

struct Throws {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    jitter: f64,
    damage: f64,
    how: f64,
    place: f64,
}

impl Discipline {
    pub(super) fn new(impairment: Impairment, cut: bool, random: Random) -> Self {
        Self {
            impairment,
            cut,
            damage: random.beside(),
            random,
            free: 0,
            transmissions: VecDeque::new(),
            last: 0,
            way: BTreeMap::new(),
            number: 0,
        }
    }

    /// A frame enters.
    pub(super) fn offer(&mut self, now: u64, frame: &[u8]) -> Result<Passage, Dropped> {
        let throws = self.throws();
        if self.cut {
            return Err(Dropped::Cut);
        }
        if throws.loss < self.impairment.loss_percent {
            return Err(Dropped::Loss);
        }
        if self.way.len() >= MOST_ON_THE_WAY {
            return Err(Dropped::Queue);
        }
        let sent = self.transmit(now, frame.len())?;
        let passage = Passage {
            duplicated: throws.duplicate < self.impairment.duplicate_percent,
            reordered: throws.reorder < self.impairment.reorder_percent,
            damaged: throws.damage < self.impairment.damage_percent && is_ipv4(frame),
        };
        let frame: Cow<'_, [u8]> =
            if passage.damaged { damaged(frame, throws.how, throws.place).into() } else { frame.into() };
        let arrival = if passage.reordered { sent } else { self.keep_place(sent, throws.jitter) };
        for _ in 0..=usize::from(passage.duplicated) {
            self.number += 1;
            self.way.insert((arrival, self.number), frame.as_ref().into());
        }
        Ok(passage)
    }

    /// When the next frame arrives.
    pub(super) fn next(&self) -> Option<u64> {
        self.way.keys().next().map(|(arrival, _)| *arrival)
    }

    /// The next frame, if it has arrived by now.
    pub(super) fn take(&mut self, now: u64) -> Option<Box<[u8]>> {
        if self.next()? > now {
            return None;
        }
        self.way.pop_first().map(|(_, frame)| frame)
    }

    /// Changes what happens to frames that enter from now on.
    pub(super) fn impair(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// Cuts, and hands back what was on its way; or ends a cut.
    pub(super) fn cut(&mut self, cut: bool) -> impl Iterator<Item = Box<[u8]>> {
        self.cut = cut;
        let lost = if cut { std::mem::take(&mut self.way) } else { BTreeMap::new() };
        lost.into_values()
    }

    fn throws(&mut self) -> Throws {
        let mut percent = || self.random.unit() * 100.0;
        let (loss, duplicate, reorder) = (percent(), percent(), percent());
        let jitter = self.random.unit();
        let [damage, how, place] = [(); 3].map(|()| self.damage.unit());
        Throws { loss, duplicate, reorder, jitter, damage: damage * 100.0, how, place }
    }

    /// Waits for the transmitter and passes it; hands back when the last bit left.
    fn transmit(&mut self, now: u64, length: usize) -> Result<u64, Dropped> {
        let Some(rate) = self.impairment.rate else {
            return Ok(now);
        };
        while self.transmissions.front().is_some_and(|end| *end <= now) {
            self.transmissions.pop_front();
        }
        // One of them is being transmitted and waits no more.
        if self.transmissions.len() > self.impairment.queue {
            return Err(Dropped::Queue);
        }
        let nanoseconds = length as u64 * 8 * 1_000_000_000 / rate.max(1);
        self.free = self.free.max(now) + nanoseconds;
        self.transmissions.push_back(self.free);
        Ok(self.free)
    }

    fn keep_place(&mut self, sent: u64, throw: f64) -> u64 {
        let Impairment { delay, jitter, .. } = self.impairment;
        let spread = (2.0 * jitter as f64 * throw) as u64;
        self.last = self.last.max(sent + (delay + spread).saturating_sub(jitter));
        self.last
    }
}

/// Ethernet header.
const HEADER: usize = 14;

fn is_ipv4(frame: &[u8]) -> bool {
    frame.get(12..HEADER) == Some(&[8, 0]) && frame.len() > HEADER
}

/// One bit is another, or the end is missing, as often as the other; both throws are below 1.
fn damaged(frame: &[u8], how: f64, place: f64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let place = place * (frame.len() - HEADER) as f64;
    let at = HEADER + place as usize;
    if how < 0.5 {
        frame.truncate(at);
    } else if let Some(octet) = frame.get_mut(at) {
        *octet ^= 1 << ((place.fract() * 8.0) as u8);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn discipline(impairment: Impairment) -> Discipline {
        Discipline::new(impairment, false, Random::new(1, "test"))
    }

    /// Offers a numbered frame each `step`, and hands back what arrived: number and time.
    fn run(discipline: &mut Discipline, frames: u32, step: u64) -> Vec<(u32, u64)> {
        let mut arrived = Vec::new();
        let mut collect = |discipline: &mut Discipline, until: u64| {
            while let Some(at) = discipline.next().filter(|at| *at <= until) {
                let frame = discipline.take(at).unwrap();
                arrived.push((u32::from_be_bytes(frame[..4].try_into().unwrap()), at));
            }
        };
        for number in 0..frames {
            let now = u64::from(number) * step;
            collect(discipline, now);
            let mut frame = [0; 125];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            let _ = discipline.offer(now, &frame);
        }
        collect(discipline, u64::MAX);
        arrived
    }

    #[test]
    fn a_constant_delay_shifts_every_frame_and_keeps_the_order() {
        let values = Impairment { delay: 50 * MS, ..Impairment::default() };
        let mut discipline = discipline(values.clone());
        assert_eq!(discipline.offer(7, b"early"), Ok(Passage::default()));
        assert_eq!(discipline.next(), Some(50 * MS + 7));
        assert_eq!(discipline.take(50 * MS + 6), None);
        assert_eq!(discipline.take(50 * MS + 7).as_deref(), Some(&b"early"[..]));
        let arrived = run(&mut self::discipline(values), 1000, MS);
        assert_eq!(arrived.len(), 1000);
        assert!(arrived.iter().all(|(number, at)| *at == u64::from(*number) * MS + 50 * MS));
    }

    #[test]
    fn jitter_varies_the_delay_within_its_bounds_without_reordering() {
        let values = Impairment { delay: 50 * MS, jitter: 10 * MS, ..Impairment::default() };
        let arrived = run(&mut discipline(values), 2000, MS);
        let delays: Vec<u64> = arrived.iter().map(|(number, at)| at - u64::from(*number) * MS).collect();
        assert!(delays.iter().all(|delay| (40 * MS..=60 * MS).contains(delay)));
        assert!(delays.iter().max().unwrap() - delays.iter().min().unwrap() > 5 * MS, "it varies");
        assert!(arrived.is_sorted(), "no frame overtakes");
    }

    #[test]
    fn losses_stay_within_what_the_dice_allow_and_repeat_with_the_seed() {
        let values = Impairment { loss_percent: 2.0, ..Impairment::default() };
        let arrived = run(&mut discipline(values.clone()), 10_000, MS);
        let lost = 10_000 - arrived.len();
        // Mean 200, standard deviation 14.
        assert!((144..=256).contains(&lost), "{lost}");
        assert_eq!(arrived, run(&mut discipline(values.clone()), 10_000, MS));
        let mut other = Discipline::new(values, false, Random::new(2, "test"));
        assert_ne!(arrived, run(&mut other, 10_000, MS));
    }

    #[test]
    fn all_or_nothing_is_exact() {
        for (percent, expected) in [(0.0, 500), (100.0, 0)] {
            let values = Impairment { loss_percent: percent, ..Impairment::default() };
            assert_eq!(run(&mut discipline(values), 500, MS).len(), expected);
        }
    }

    #[test]
    fn another_value_does_not_change_who_is_lost() {
        let numbers = |values: Impairment| -> Vec<u32> {
            run(&mut discipline(values), 2000, MS).into_iter().map(|(number, _)| number).collect()
        };
        let lossy = Impairment { loss_percent: 5.0, ..Impairment::default() };
        let slow = Impairment { delay: 80 * MS, jitter: 3 * MS, ..lossy.clone() };
        assert_eq!(numbers(lossy), numbers(slow));
    }

    #[test]
    fn damage_meets_packets_alone_and_changes_nobody_elses_fate() {
        let packet = [&[7; 12][..], &[8, 0], &[0x45; 40]].concat();
        let fates = |values: Impairment, frame: &[u8]| {
            let mut discipline = discipline(values);
            let offered = (0..2000).map(|number| discipline.offer(number, frame)).collect::<Vec<_>>();
            (offered, std::iter::from_fn(move || discipline.take(u64::MAX)).collect::<Vec<_>>())
        };
        let lossy = Impairment { loss_percent: 5.0, ..Impairment::default() };
        let (kept, _) = fates(lossy.clone(), &packet);
        let (offered, arrived) = fates(Impairment { damage_percent: 20.0, ..lossy.clone() }, &packet);
        for (one, other) in kept.iter().zip(&offered) {
            assert_eq!(one.is_ok(), other.is_ok(), "the same are lost");
        }
        let told = offered.iter().flatten().filter(|passage| passage.damaged).count();
        let different = arrived.iter().filter(|frame| frame[..] != packet[..]);
        let cut = arrived.iter().filter(|frame| frame.len() < packet.len()).count();
        assert!((320..=440).contains(&told), "{told} of 1900");
        assert_eq!(different.clone().count(), told);
        assert!(cut > told / 3 && told - cut > told / 3, "{cut} of {told} were cut");
        for frame in different {
            let bits = frame.iter().zip(&packet).map(|(one, other)| (one ^ other).count_ones()).sum::<u32>();
            assert_eq!(bits, u32::from(frame.len() == packet.len()));
            assert_eq!(frame[..HEADER], packet[..HEADER]);
        }
        let all = Impairment { damage_percent: 100.0, ..Impairment::default() };
        let arp = [&[7; 12][..], &[8, 6], &[1; 28]].concat();
        assert!(fates(all.clone(), &arp).1.iter().all(|frame| frame[..] == arp[..]));
        assert_eq!(fates(all, &packet[..HEADER]).1.len(), 2000, "there is nothing to damage");
    }

    #[test]
    fn a_duplicate_comes_right_after_its_original() {
        let values = Impairment { duplicate_percent: 100.0, delay: MS, ..Impairment::default() };
        let arrived = run(&mut discipline(values), 3, MS);
        assert_eq!(arrived.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_reordered_frame_overtakes_what_is_on_the_way() {
        let values = Impairment { reorder_percent: 10.0, delay: 20 * MS, ..Impairment::default() };
        let arrived = run(&mut discipline(values), 1000, MS);
        assert_eq!(arrived.len(), 1000, "nothing is lost by it");
        let early = arrived.iter().filter(|(number, at)| *at == u64::from(*number) * MS).count();
        assert!((60..=140).contains(&early), "{early}");
        assert!(!arrived.iter().map(|(number, _)| number).is_sorted());
        let rest: Vec<_> = arrived.iter().filter(|(number, at)| *at != u64::from(*number) * MS).collect();
        assert!(rest.is_sorted(), "the others keep their order");
    }

    #[test]
    fn a_rate_spaces_frames_and_a_full_queue_drops_them() {
        // 1000 bits a frame: one millisecond each.
        let values = Impairment { rate: Some(1_000_000), queue: 3, delay: 5 * MS, ..Impairment::default() };
        let mut discipline = discipline(values);
        let fates: Vec<_> = (0..6).map(|_| discipline.offer(0, &[0; 125])).collect();
        assert!(fates[..4].iter().all(Result::is_ok), "one in transmission and three in the queue");
        assert_eq!(fates[4..], [Err(Dropped::Queue), Err(Dropped::Queue)]);
        for ms in [6, 7, 8, 9] {
            assert_eq!(discipline.next(), Some(ms * MS));
            discipline.take(ms * MS).unwrap();
        }
        assert!(discipline.offer(2 * MS, &[0; 125]).is_ok(), "there is room again");
    }

    #[test]
    fn a_cut_takes_what_is_on_the_way_and_whatever_comes() {
        let mut discipline = discipline(Impairment { delay: 10 * MS, ..Impairment::default() });
        discipline.offer(0, b"one").unwrap();
        assert_eq!(discipline.cut(true).count(), 1);
        assert_eq!(discipline.next(), None);
        assert_eq!(discipline.offer(1, b"two"), Err(Dropped::Cut));
        assert_eq!(discipline.cut(false).count(), 0);
        discipline.offer(2, b"three").unwrap();
        assert_eq!(discipline.next(), Some(10 * MS + 2));
    }

    #[test]
    fn better_values_never_let_a_later_frame_overtake() {
        let mut discipline = discipline(Impairment { delay: 50 * MS, ..Impairment::default() });
        discipline.offer(0, b"one").unwrap();
        discipline.impair(Impairment::default());
        discipline.offer(MS, b"two").unwrap();
        assert_eq!(discipline.take(50 * MS).as_deref(), Some(&b"one"[..]));
        assert_eq!(discipline.take(50 * MS).as_deref(), Some(&b"two"[..]));
    }
}
