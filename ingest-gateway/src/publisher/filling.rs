//! A frame while it fills, and how it is closed so that every command keeps the time at which it was received.
//!
//! Commands are encoded as they come, when the frame's time is not known yet, with an age of 0. A frame that fills within
//! [`EXACT_WITHIN_MS`] takes the time of its first command for all of them: nobody is taken to be later than they were. One that had to wait
//! longer, because the queue was slow, is encoded once more with each command's true age; there is time for that then.

use std::sync::Arc;

use ronda_domain::time::Timestamp;
use ronda_schemas::codec::DecodeError;
use ronda_schemas::command::Command;
use ronda_schemas::frame::{CommandBuffer, Frame, FrameHeader, FrameKind, Refused};

use super::Until;
use super::completion::FrameCompletion;

/// Within this a frame's commands count as received at once, in milliseconds.
const EXACT_WITHIN_MS: u64 = 10;
/// Receive times are noted this far apart, in milliseconds.
const MARK_EVERY_MS: u64 = 5;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Milliseconds since the Unix epoch.
    pub(super) wall: i64,
    /// Milliseconds on the monotonic clock.
    pub(super) mono: u64,
}

/// From this command on, the commands were received at this time.
#[derive(Clone, Copy, Debug)]
struct Mark {
    first: u32,
    mono: u64,
}

/// A frame that takes commands.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) buffer: CommandBuffer,
    pub(super) completion: Arc<FrameCompletion>,
    opened: Moment,
    sealed: Option<Moment>,
    marks: Vec<Mark>,
    /// Whether somebody waits until it is applied.
    awaited: bool,
}

impl Filling {
    /// A frame whose first command comes now.
    pub(super) fn open(now: Moment) -> Self {
        Self {
            buffer: CommandBuffer::default(),
            completion: Arc::default(),
            opened: now,
            sealed: None,
            marks: vec![Mark { first: 0, mono: now.mono }],
            awaited: false,
        }
    }

    /// Says what who put a command into it waits for.
    pub(super) fn wanted(&mut self, until: Until) {
        self.awaited |= until == Until::Applied;
    }

    /// Appends a command that was received now; answers its index.
    pub(super) fn push(&mut self, command: &Command<'_>, now: Moment) -> Result<u32, DecodeError> {
        let index = self.buffer.push(command)?;
        self.mark(index, now);
        Ok(index)
    }

    /// Appends commands that were received now.
    pub(super) fn append(&mut self, commands: &CommandBuffer, now: Moment) {
        let first = self.buffer.append(commands);
        self.mark(first, now);
    }

    fn mark(&mut self, first: u32, now: Moment) {
        let last = self.marks.last().map_or(0, |mark| mark.mono);
        if now.mono >= last.saturating_add(MARK_EVERY_MS) {
            self.marks.push(Mark { first, mono: now.mono });
        }
    }

    /// When its first command came, on the monotonic clock.
    pub(super) const fn opened_mono(&self) -> u64 {
        self.opened.mono
    }

    /// Says that no more commands come: it is full.
    pub(super) fn seal(&mut self, now: Moment) {
        self.sealed.get_or_insert(now);
    }

    /// Whether it takes no more commands.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Closes the frame: its bytes, and the completion of those who wait for it.
    pub(super) fn close(self, numbering: Numbering, now: Moment) -> (bytes::Bytes, Arc<FrameCompletion>) {
        let end = self.sealed.unwrap_or(now);
        let span = end.mono.saturating_sub(self.opened.mono);
        let quick = span <= EXACT_WITHIN_MS;
        let kind = if self.awaited { FrameKind::Awaited } else { FrameKind::Normal };
        let header = numbering.header(if quick { self.opened } else { end }, kind);
        let plain = self.buffer.into_frame(&header);
        let bytes = if quick { None } else { with_ages(&plain, &header, &self.marks, end.mono) };
        (bytes.unwrap_or(plain), self.completion)
    }
}

/// The same frame with each command's age. `None` can only mean that what was just written can't be read: the plain frame is then better
/// than none.
fn with_ages(plain: &[u8], header: &FrameHeader, marks: &[Mark], end_mono: u64) -> Option<bytes::Bytes> {
    let frame = Frame::decode(plain).ok()?;
    let mut aged = CommandBuffer::default();
    let mut marks = marks.iter().peekable();
    let mut received = end_mono;
    for (index, command) in (0u32..).zip(frame.commands()) {
        while let Some(mark) = marks.next_if(|mark| mark.first <= index) {
            received = mark.mono;
        }
        let age_ms = u32::try_from(end_mono.saturating_sub(received)).unwrap_or(u32::MAX);
        aged.push(&Command { age_ms, ..command.ok()? }).ok()?;
    }
    Some(aged.into_frame(header))
}

/// What a frame's header says besides its time.
#[derive(Debug)]
pub(super) struct Numbering {
    pub(super) gateway: u64,
    pub(super) number: u64,
    pub(super) abandoned: Vec<u64>,
    /// Whose reports were refused since the frame before.
    pub(super) refused: Refused,
}

impl Numbering {
    /// The header of a frame of this time.
    pub(super) fn header(self, at: Moment, kind: FrameKind) -> FrameHeader {
        FrameHeader {
            gateway: self.gateway,
            number: self.number,
            wall: Timestamp::from_millis(at.wall),
            mono_ms: at.mono,
            kind,
            abandoned: self.abandoned,
            refused: self.refused,
        }
    }

    /// A frame without commands.
    pub(super) fn empty_frame(self, at: Moment, kind: FrameKind) -> bytes::Bytes {
        CommandBuffer::default().into_frame(&self.header(at, kind))
    }
}

#[cfg(test)]
mod tests {
    use ronda_domain::input::Input;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment { wall: 1_000_000 + i64::try_from(millis).unwrap(), mono: millis }
    }

    fn command() -> Command<'static> {
        Command { tenant: "acme", scheduler: "nightly", age_ms: 0, input: Input::Pause, message: None }
    }

    fn receive_times(filling: Filling, now: Moment) -> (i64, Vec<i64>) {
        let (bytes, _) =
            filling.close(Numbering { gateway: 1, number: 1, abandoned: vec![], refused: Refused::Nobody }, now);
        let frame = Frame::decode(&bytes).unwrap();
        let wall = frame.header.wall.as_millis();
        (wall, frame.commands().map(|command| wall - i64::from(command.unwrap().age_ms)).collect())
    }

    #[test]
    fn a_frame_that_fills_quickly_has_the_time_of_its_first_command() {
        let mut filling = Filling::open(at(0));
        filling.push(&command(), at(0)).unwrap();
        filling.push(&command(), at(9)).unwrap();
        assert_eq!(receive_times(filling, at(10)), (1_000_000, vec![1_000_000, 1_000_000]));
    }

    #[test]
    fn a_frame_that_had_to_wait_keeps_when_each_command_came() {
        let mut filling = Filling::open(at(0));
        filling.push(&command(), at(0)).unwrap();
        filling.push(&command(), at(3_000)).unwrap();
        let mut bulk = CommandBuffer::default();
        bulk.push(&command()).unwrap();
        bulk.push(&command()).unwrap();
        filling.append(&bulk, at(7_000));
        let (wall, times) = receive_times(filling, at(8_000));
        assert_eq!(wall, 1_008_000);
        assert_eq!(times, [1_000_000, 1_003_000, 1_007_000, 1_007_000]);
    }

    #[test]
    fn a_sealed_frame_has_the_time_of_its_sealing_however_late_it_is_sent() {
        let mut filling = Filling::open(at(0));
        filling.push(&command(), at(0)).unwrap();
        filling.seal(at(500));
        assert_eq!(receive_times(filling, at(9_000)), (1_000_500, vec![1_000_000]));
    }
}
