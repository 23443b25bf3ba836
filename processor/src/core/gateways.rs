//! What a partition knows of each gateway start: its last frame, and since when it has been heard without a hole.
//!
//! The table is stored with every commit, so a new owner goes on exactly where the last one stopped.

use ronda_domain::input::Gap;
use ronda_domain::time::Timestamp;
use ronda_schemas::frame::{FrameHeader, FrameKind, Refused};
use ronda_schemas::row::{ClockAhead, GatewayRow};

/// Entries of gateways that left are forgotten once the watermark is this much later, in milliseconds: seven days.
const FORGET_AFTER_MS: i64 = 7 * 86_400_000;
/// Most entries. Beyond it the one heard longest ago that holds nothing back is forgotten.
const MAX_ENTRIES: usize = 1_024;
/// More than so many periods without a pulse are a hole.
pub(crate) const HOLE_PERIODS: i64 = 3;
/// A wall clock stepped forward by more than this isn't followed at once, in milliseconds.
const GREAT_STEP_MS: i64 = 3_600_000;
/// For so many periods it has to stay there first.
const DOUBT_PERIODS: i64 = 60;
/// Whoever reports through a gateway that fell silent is waited for, for so many times as long as the clock waits for the gateway.
const LATE_TIMES: i64 = 3;

/// One gateway start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) gateway: u64,
    pub(crate) number: u64,
    /// Its wall clock; while that is in doubt, what it would be without the step.
    pub(crate) wall: Timestamp,
    pub(crate) mono_ms: u64,
    pub(crate) live: bool,
    /// From here to `wall` it pulsed without a hole, a clock step, a lost frame or one that was given up.
    pub(crate) covered_from: Timestamp,
    /// Its wall clock was stepped far forward and is in doubt.
    pub(crate) ahead: Option<ClockAhead>,
    /// How far another live gateway's last pulse was ahead of its last one, in milliseconds. Not stored: only for people.
    pub(crate) behind_ms: i64,
}

/// A range of frame numbers, both ends included.
pub(crate) type Numbers = (u64, u64);

/// What a frame says about its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Seen before: to be dropped whole.
    Repeated,
    /// To be applied.
    New(News),
}

/// What is new with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// What counts as the gateway's wall clock.
    pub(crate) wall: Timestamp,
    /// Frames that were confirmed and never came.
    pub(crate) lost: Vec<Numbers>,
    /// The gateway's wall clock in the frame before, if there was one.
    pub(crate) previous_wall: Option<Timestamp>,
    /// Its wall clock was stepped, in either direction.
    pub(crate) is_stepped: bool,
    /// Times in which a gateway did not hear those who report through it, whatever others heard.
    pub(crate) late: Vec<Gap>,
    /// The same of single tenants, whose reports it refused.
    pub(crate) late_tenants: Vec<(Box<str>, Gap)>,
}

/// All of them, in the order in which they were first heard.
#[derive(Debug)]
pub(crate) struct Gateways {
    entries: Vec<Entry>,
    period_ms: i64,
    silent_periods: i64,
}

impl Gateways {
    /// The table as stored.
    pub(crate) fn from_rows(rows: &[GatewayRow], period_ms: u32, silent_periods: u32) -> Self {
        let entries = rows.iter().map(entry).collect();
        Self { entries, period_ms: i64::from(period_ms), silent_periods: i64::from(silent_periods) }
    }

    /// The table to store.
    pub(crate) fn to_rows(&self) -> Vec<GatewayRow> {
        self.entries.iter().map(row).collect()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) const fn hole_ms(&self) -> i64 {
        self.period_ms.saturating_mul(HOLE_PERIODS)
    }

    /// Whether this frame, or a later one of its gateway, has been taken in.
    pub(crate) fn has(&self, header: &FrameHeader) -> bool {
        self.entries.iter().any(|entry| entry.gateway == header.gateway && header.number <= entry.number)
    }

    /// Takes a frame's header in; the sender is live afterwards, and whoever has been silent for too long beside it is not.
    pub(crate) fn arrive(&mut self, header: &FrameHeader) -> Arrival {
        let index = self.entries.iter().position(|entry| entry.gateway == header.gateway);
        let known = index.and_then(|index| self.entries.get(index).copied());
        let last_number = known.map_or(0, |entry| entry.number);
        if header.number <= last_number {
            return Arrival::Repeated;
        }
        let mut news = News {
            wall: header.wall,
            lost: missing(last_number, header.number, &header.abandoned),
            previous_wall: known.map(|entry| entry.wall),
            is_stepped: false,
            late: Vec::new(),
            late_tenants: Vec::new(),
        };
        let mut covered_from = header.wall;
        let mut ahead = None;
        if let Some(entry) = known {
            let mono_ms = i64::try_from(header.mono_ms.saturating_sub(entry.mono_ms)).unwrap_or(i64::MAX);
            let expected = entry.wall.plus_millis(mono_ms);
            let mut step_ms = header.wall.millis_since(expected);
            ahead = self.doubt(entry.ahead, header.mono_ms, step_ms);
            if ahead.is_some() {
                news.wall = expected;
                covered_from = expected;
                step_ms = 0;
            }
            news.is_stepped = step_ms.abs() > self.period_ms;
            // Whoever reported in a frame that was given up was told that it was not taken.
            let gave_up = header.abandoned.iter().any(|given| *given > entry.number && *given < header.number);
            let is_whole = mono_ms <= self.hole_ms() && news.lost.is_empty() && !gave_up;
            // What only it could have heard is said again soon, or was in its hands all the while. If nobody else was there, it is a gap.
            let gap = Gap { from: entry.wall, until: expected.plus_millis(self.hole_ms()) };
            if header.refused == Refused::Anybody || (!is_whole && self.others_heard(&entry)) {
                news.late.push(gap);
            }
            if let Refused::Tenants(tenants) = &header.refused {
                news.late_tenants.extend(tenants.iter().map(|tenant| (tenant.clone(), gap)));
            }
            // A clock set back has not stopped its gateway from hearing: it covers again what it covered.
            if is_whole && (!news.is_stepped || step_ms < 0) {
                covered_from = entry.covered_from.min(news.wall);
            }
        }
        let entry = Entry {
            gateway: header.gateway,
            number: header.number,
            wall: news.wall,
            mono_ms: header.mono_ms,
            live: true,
            covered_from,
            ahead,
            behind_ms: self.behind_ms(header.gateway, news.wall),
        };
        match index.and_then(|index| self.entries.get_mut(index)) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        self.forget_skew(&entry);
        if header.kind == FrameKind::JoinAlone {
            self.drop_others(entry.gateway);
        }
        news.late.extend(self.drop_silent(&entry));
        Arrival::New(news)
    }

    fn others_live(&self, gateway: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.live && entry.gateway != gateway)
    }

    /// Whether others heard anything since this gateway was last heard, or still may.
    fn others_heard(&self, known: &Entry) -> bool {
        let is_other = |entry: &&Entry| entry.gateway != known.gateway;
        self.entries.iter().filter(is_other).any(|other| other.live || other.wall > known.wall)
    }

    fn behind_ms(&self, gateway: u64, wall: Timestamp) -> i64 {
        self.others_live(gateway).map(|other| other.wall.millis_since(wall)).max().unwrap_or_default().max(0)
    }

    /// How far the clocks of the live gateways are apart at least, in milliseconds, as of each one's last pulse.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.entries.iter().filter(|entry| entry.live).map(|entry| entry.behind_ms).max().unwrap_or_default()
    }

    /// Whether a wall clock that is so much ahead of where its gateway's monotonic clock says is in doubt, and since when. One set
    /// wrong by a year and put right within the minute must not take the partition's clock, which can't go back, with it.
    fn doubt(&self, before: Option<ClockAhead>, mono_ms: u64, step_ms: i64) -> Option<ClockAhead> {
        if step_ms <= GREAT_STEP_MS {
            return None;
        }
        let is_same = |before: &ClockAhead| step_ms.saturating_sub(before.by_ms).saturating_abs() <= self.period_ms;
        let since_mono_ms = before.filter(is_same).map_or(mono_ms, |before| before.since_mono_ms);
        let held_ms = i64::try_from(mono_ms.saturating_sub(since_mono_ms)).unwrap_or(i64::MAX);
        let is_over = held_ms >= self.period_ms.saturating_mul(DOUBT_PERIODS);
        (!is_over).then_some(ClockAhead { since_mono_ms, by_ms: step_ms })
    }

    /// The live gateway whose clock is the furthest behind.
    pub(crate) fn slowest(&self) -> Option<&Entry> {
        self.entries.iter().filter(|entry| entry.live).min_by_key(|entry| (entry.wall, entry.gateway))
    }

    /// Gateways whose clocks are ahead of the sender's by more than a hole: their clocks don't say how long the sender was silent, nor
    /// what was heard since its time. Both count from here on.
    fn forget_skew(&mut self, sender: &Entry) {
        let hole_ms = self.hole_ms();
        for other in self.entries.iter_mut().filter(|other| other.wall.millis_since(sender.wall) > hole_ms) {
            other.covered_from = other.wall;
        }
    }

    /// Nobody but this gateway is there. What the others heard stays known: a gap between them and it is found all the same.
    fn drop_others(&mut self, gateway: u64) {
        for other in self.entries.iter_mut().filter(|other| other.gateway != gateway) {
            other.live = false;
        }
    }

    /// The gateway has said its last.
    pub(crate) fn leave(&mut self, gateway: u64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.gateway == gateway) {
            entry.live = false;
        }
    }

    /// Whoever has said nothing while the sender pulsed on for the bounded time no longer counts. One that was silent for long
    /// before the sender began has less time: it is most likely the one that the sender took over from. Answers the times in which
    /// those who report through one that was dropped may still be heard of late.
    fn drop_silent(&mut self, sender: &Entry) -> Vec<Gap> {
        let bound_ms = self.period_ms.saturating_mul(self.silent_periods);
        let hole_ms = self.hole_ms();
        let mut late = Vec::new();
        for other in self.entries.iter_mut().filter(|other| other.live && other.gateway != sender.gateway) {
            let was_gone = sender.covered_from.millis_since(other.wall) > bound_ms;
            let since = sender.covered_from.max(other.wall);
            let silent_ms = sender.wall.millis_since(since);
            other.live = silent_ms <= if was_gone { hole_ms } else { bound_ms };
            if !other.live {
                let until = other.wall.plus_millis(bound_ms.saturating_mul(LATE_TIMES));
                late.push(Gap { from: other.wall, until });
            }
        }
        late
    }

    /// Forgets those that left long ago.
    pub(crate) fn forget(&mut self, watermark: Timestamp) {
        if watermark != Timestamp::MIN {
            self.entries.retain(|entry| entry.live || watermark.millis_since(entry.wall) <= FORGET_AFTER_MS);
        }
        while self.entries.len() > MAX_ENTRIES {
            let oldest = (0..self.entries.len())
                .min_by_key(|index| self.entries.get(*index).map(|entry| (entry.live, entry.wall, entry.gateway)));
            let Some(oldest) = oldest else { break };
            self.entries.remove(oldest);
        }
    }
}

const fn entry(row: &GatewayRow) -> Entry {
    let GatewayRow { gateway, number, wall, mono_ms, live, covered_from, ahead } = *row;
    Entry { gateway, number, wall, mono_ms, live, covered_from, ahead, behind_ms: 0 }
}

const fn row(entry: &Entry) -> GatewayRow {
    let Entry { gateway, number, wall, mono_ms, live, covered_from, ahead, .. } = *entry;
    GatewayRow { gateway, number, wall, mono_ms, live, covered_from, ahead }
}

/// The numbers strictly between the last applied and this one that were not given up, as ranges.
fn missing(last: u64, number: u64, abandoned: &[u64]) -> Vec<Numbers> {
    let mut given_up: Vec<u64> = abandoned.iter().copied().filter(|given| *given > last && *given < number).collect();
    given_up.sort_unstable();
    given_up.dedup();
    given_up.push(number);
    let mut ranges = Vec::new();
    let mut next = last.saturating_add(1);
    for given in given_up {
        if next < given {
            ranges.push((next, given - 1));
        }
        next = given.saturating_add(1);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use ronda_schemas::frame::FrameKind;

    use super::*;

    fn header(gateway: u64, number: u64, second: i64) -> FrameHeader {
        FrameHeader {
            gateway,
            number,
            wall: Timestamp::from_seconds(second),
            mono_ms: u64::try_from(second * 1_000).unwrap(),
            kind: FrameKind::Normal,
            abandoned: Vec::new(),
            refused: Refused::Nobody,
        }
    }

    fn table() -> Gateways {
        Gateways::from_rows(&[], 1_000, 10)
    }

    fn news(arrival: Arrival) -> News {
        match arrival {
            Arrival::New(news) => news,
            Arrival::Repeated => panic!("the frame was taken for a repeated one"),
        }
    }

    #[test]
    fn numbers_given_up_are_no_hole_and_others_are_told_as_ranges() {
        assert_eq!(missing(0, 1, &[]), []);
        assert_eq!(missing(3, 5, &[4]), []);
        assert_eq!(missing(3, 10, &[6, 5, 99]), [(4, 4), (7, 9)]);
        assert_eq!(missing(0, u64::MAX, &[]), [(1, u64::MAX - 1)]);
    }

    #[test]
    fn a_repeated_frame_is_known_again() {
        let mut table = table();
        news(table.arrive(&header(1, 1, 10)));
        assert_eq!(table.arrive(&header(1, 1, 10)), Arrival::Repeated);
        news(table.arrive(&header(2, 1, 10)));
    }

    #[test]
    fn a_silent_gateway_is_dropped_after_the_bounded_time_of_anothers_pulses() {
        let mut table = table();
        news(table.arrive(&header(1, 1, 10)));
        for second in 10..=20_i64 {
            news(table.arrive(&header(2, u64::try_from(second - 9).unwrap(), second)));
            assert!(table.entries()[0].live, "{second}");
        }
        news(table.arrive(&header(2, 12, 21)));
        assert!(!table.entries()[0].live);
        news(table.arrive(&header(1, 2, 21)));
        assert!(table.entries()[0].live, "one that returns counts again");
    }

    #[test]
    fn the_predecessor_of_a_restart_is_let_go_after_three_periods() {
        let mut table = table();
        news(table.arrive(&header(1, 1, 10)));
        for second in 310..=313_i64 {
            news(table.arrive(&header(2, u64::try_from(second - 309).unwrap(), second)));
            assert!(table.entries()[0].live);
        }
        news(table.arrive(&header(2, 5, 314)));
        assert!(!table.entries()[0].live);
    }

    #[test]
    fn old_entries_go_and_the_table_stays_bounded() {
        let mut table = table();
        news(table.arrive(&header(1, 1, 10)));
        table.leave(1);
        table.forget(Timestamp::from_seconds(10 + 7 * 86_400));
        assert_eq!(table.entries().len(), 1);
        table.forget(Timestamp::from_seconds(11 + 7 * 86_400));
        assert!(table.entries().is_empty());
        for gateway in 0..2_000 {
            news(table.arrive(&header(gateway, 1, 10)));
            table.leave(gateway);
            table.forget(Timestamp::from_seconds(10));
        }
        assert_eq!(table.entries().len(), MAX_ENTRIES);
    }
}
