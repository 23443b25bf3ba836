//! Frames: many commands of one gateway and partition in one queue message, and the pulse that they are.
//!
//! Layout (MessagePack): `[version, gateway, number, wall_ms, mono_ms, kind, abandoned, commands]`. Commands are encoded one by one as
//! they come in and only joined here, so a frame is built without a second pass over them. Version 2 is the same with more kinds;
//! version 3 has `refused` between `abandoned` and `commands`, and in version 4 that may be a list of tenants. Version 5 has more kinds of
//! commands, and `refused` is nothing, `true` or a list; version 6 has one more. A frame is written in the oldest version that has all of it.

use bytes::Bytes;
use ronda_domain::time::Timestamp;

use crate::codec::DecodeError;
use crate::command::Command;

/// The newest version that this release reads, and writes.
pub const FRAME_VERSION: u32 = 6;
const WHAT: &str = "frame";

/// What a frame says about its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// It goes on.
    Normal,
    /// It is the first of a gateway that has just started.
    Join,
    /// It is the last of a gateway that leaves.
    Leave,
    /// As [`Join`](Self::Join), of a gateway that knows that it is the only one: every earlier gateway start has sent its last frame.
    JoinAlone,
    /// As [`Normal`](Self::Normal), and somebody waits until its commands are applied: a processor does not hold its commit back.
    Awaited,
}

impl FrameKind {
    const ALL: [(u8, Self); 5] =
        [(0, Self::Normal), (1, Self::Join), (2, Self::Leave), (3, Self::JoinAlone), (4, Self::Awaited)];

    fn code(self) -> u8 {
        Self::ALL.into_iter().find_map(|(code, kind)| (kind == self).then_some(code)).unwrap_or_default()
    }

    /// The oldest version that has it.
    const fn version(self) -> u32 {
        match self {
            Self::Normal | Self::Join | Self::Leave => 1,
            Self::JoinAlone | Self::Awaited => 2,
        }
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, kind)| (known == code).then_some(kind))
    }
}

/// Everything of a frame but its commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The gateway's start: a random number made when its process started.
    pub gateway: u64,
    /// Counts this gateway's frames in this partition, from 1.
    pub number: u64,
    /// The gateway's wall clock when the frame was closed: everything that it accepted for this partition before has been sent.
    pub wall: Timestamp,
    /// The gateway's monotonic clock at the same moment, in milliseconds since its start.
    pub mono_ms: u64,
    /// Whether it joins, goes on or leaves.
    pub kind: FrameKind,
    /// Numbers of earlier frames that the gateway gave up on: they may or may not have arrived; nobody was answered 2xx for them.
    pub abandoned: Vec<u64>,
    /// Whose reports the gateway has refused, by its own fault, since the frame before: they were not heard.
    pub refused: Refused,
}

/// Whose reports a gateway has refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Refused {
    /// Nobody's.
    #[default]
    Nobody,
    /// These tenants', at most [`MAX_REFUSED_TENANTS`].
    Tenants(Vec<Box<str>>),
    /// Anybody's, as far as it knows.
    Anybody,
}

/// Most tenants that a frame names.
pub const MAX_REFUSED_TENANTS: usize = 16;

impl FrameHeader {
    /// The oldest version that has all of it.
    const fn version(&self) -> u32 {
        match self.refused {
            Refused::Nobody => self.kind.version(),
            Refused::Anybody => 3,
            Refused::Tenants(_) => 4,
        }
    }
}

/// Commands encoded one after another, not yet in a frame.
#[derive(Debug, Default)]
pub struct CommandBuffer {
    bytes: Vec<u8>,
    count: u32,
    /// The oldest version of a frame that has all of them; 0: there are none.
    version: u32,
}

impl CommandBuffer {
    /// Appends a command; answers its index in the frame to be.
    ///
    /// # Errors
    /// When the command can't be encoded; the buffer is as before.
    pub fn push(&mut self, command: &Command<'_>) -> Result<u32, DecodeError> {
        let before = self.bytes.len();
        if let Err(error) = rmp_serde::encode::write(&mut self.bytes, command) {
            self.bytes.truncate(before);
            return Err(DecodeError::malformed("command", error));
        }
        self.version = self.version.max(command.frame_version());
        Ok(self.counted(1))
    }

    /// Appends another buffer's commands; answers the index of the first of them.
    pub fn append(&mut self, other: &Self) -> u32 {
        self.bytes.extend_from_slice(&other.bytes);
        self.version = self.version.max(other.version);
        self.counted(other.count)
    }

    fn counted(&mut self, more: u32) -> u32 {
        let first = self.count;
        self.count += more;
        first
    }

    /// Encoded size, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no command is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many commands are in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Closes the frame.
    #[must_use]
    pub fn into_frame(self, header: &FrameHeader) -> Bytes {
        let mut out = Vec::with_capacity(self.bytes.len() + 64 + header.abandoned.len() * 9);
        // Writing into a Vec can't fail: the results are infallible in all but type.
        let _ = write_header(&mut out, header, header.version().max(self.version));
        let _ = rmp::encode::write_array_len(&mut out, self.count);
        out.extend_from_slice(&self.bytes);
        out.into()
    }
}

fn write_header(out: &mut Vec<u8>, header: &FrameHeader, version: u32) -> Result<(), rmp::encode::ValueWriteError> {
    use rmp::encode::{write_array_len, write_sint, write_uint};
    write_array_len(out, array_len(version))?;
    write_uint(out, u64::from(version))?;
    write_uint(out, header.gateway)?;
    write_uint(out, header.number)?;
    write_sint(out, header.wall.as_millis())?;
    write_uint(out, header.mono_ms)?;
    write_uint(out, u64::from(header.kind.code()))?;
    write_array_len(out, u32::try_from(header.abandoned.len()).unwrap_or(u32::MAX))?;
    for number in &header.abandoned {
        write_uint(out, *number)?;
    }
    match &header.refused {
        Refused::Nobody if version >= 5 => {
            rmp::encode::write_nil(out).map_err(rmp::encode::ValueWriteError::InvalidDataWrite)?;
        }
        Refused::Nobody => {}
        Refused::Anybody => {
            rmp::encode::write_bool(out, true).map_err(rmp::encode::ValueWriteError::InvalidDataWrite)?;
        }
        Refused::Tenants(tenants) => {
            write_array_len(out, u32::try_from(tenants.len()).unwrap_or(u32::MAX))?;
            for tenant in tenants {
                rmp::encode::write_str(out, tenant)?;
            }
        }
    }
    Ok(())
}

/// How many parts a frame of this version has.
const fn array_len(version: u32) -> u32 {
    if version >= 3 { 9 } else { 8 }
}

/// A frame taken apart; its commands are decoded one by one.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// Who sent it, and when.
    pub header: FrameHeader,
    count: u32,
    commands: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame's header; its commands are read by [`commands`](Self::commands).
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are of a newer version or not a frame.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = bytes;
        let length = rmp::decode::read_array_len(&mut input).map_err(malformed)?;
        let version: u32 = rmp::decode::read_int(&mut input).map_err(malformed)?;
        if version > FRAME_VERSION {
            return Err(DecodeError::NewerVersion { what: WHAT, found: version, newest: FRAME_VERSION });
        }
        if length != array_len(version) {
            return Err(malformed(format!("an array of {length} in place of {}", array_len(version))));
        }
        let gateway = rmp::decode::read_int(&mut input).map_err(malformed)?;
        let number = rmp::decode::read_int(&mut input).map_err(malformed)?;
        let wall = Timestamp::from_millis(rmp::decode::read_int(&mut input).map_err(malformed)?);
        let mono_ms = rmp::decode::read_int(&mut input).map_err(malformed)?;
        let kind: u8 = rmp::decode::read_int(&mut input).map_err(malformed)?;
        let kind = FrameKind::of(kind).ok_or_else(|| malformed(format!("unknown kind {kind}")))?;
        let abandoned_count = rmp::decode::read_array_len(&mut input).map_err(malformed)?;
        let mut abandoned = Vec::new();
        for _ in 0..abandoned_count {
            abandoned.push(rmp::decode::read_int(&mut input).map_err(malformed)?);
        }
        let refused = read_refused(&mut input, version)?;
        let count = rmp::decode::read_array_len(&mut input).map_err(malformed)?;
        let header = FrameHeader { gateway, number, wall, mono_ms, kind, abandoned, refused };
        Ok(Self { header, count, commands: input })
    }

    /// How many commands the frame says it has.
    #[must_use]
    pub fn command_count(&self) -> u32 {
        self.count
    }

    /// The commands in order. One that can't be read is an error, and the next comes all the same; only where the bytes themselves
    /// don't say where it begins, nothing more comes.
    pub fn commands(&self) -> impl Iterator<Item = Result<Command<'a>, DecodeError>> + use<'a> {
        let mut reader = rmp_serde::Deserializer::from_read_ref(self.commands);
        // Where the reader began, and how many commands it has read since.
        let (mut from, mut read) = (self.commands, 0_u32);
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            read += 1;
            let command = <Command<'a> as serde::Deserialize>::deserialize(&mut reader);
            if command.is_err() {
                match after(from, read) {
                    Some(rest) => {
                        (from, read) = (rest, 0);
                        reader = rmp_serde::Deserializer::from_read_ref(rest);
                    }
                    None => left = 0,
                }
            }
            Some(command.map_err(|error| DecodeError::malformed("command", error)))
        })
    }
}

fn read_refused(input: &mut &[u8], version: u32) -> Result<Refused, DecodeError> {
    match (version, input.first()) {
        (0..=2, _) => Ok(Refused::Nobody),
        (3, _) => {
            let anybody = rmp::decode::read_bool(input).map_err(malformed)?;
            Ok(if anybody { Refused::Anybody } else { Refused::Nobody })
        }
        (5.., Some(&NIL)) => rmp::decode::read_nil(input).map(|()| Refused::Nobody).map_err(malformed),
        (5.., Some(&TRUE)) => rmp::decode::read_bool(input).map(|_| Refused::Anybody).map_err(malformed),
        _ => read_tenants(input).map(Refused::Tenants),
    }
}

/// How MessagePack begins nothing, and `true`.
const NIL: u8 = 0xc0;
const TRUE: u8 = 0xc3;

fn read_tenants(input: &mut &[u8]) -> Result<Vec<Box<str>>, DecodeError> {
    let count = rmp::decode::read_array_len(input).map_err(malformed)?;
    if count as usize > MAX_REFUSED_TENANTS {
        return Err(malformed(format!("{count} tenants in place of at most {MAX_REFUSED_TENANTS}")));
    }
    let mut tenants = Vec::new();
    for _ in 0..count {
        let whole = *input;
        let (tenant, rest) = rmp::decode::read_str_from_slice(whole).map_err(malformed)?;
        tenants.push(tenant.into());
        *input = rest;
    }
    Ok(tenants)
}

/// What comes after so many values, whatever they are.
fn after(bytes: &[u8], values: u32) -> Option<&[u8]> {
    let mut reader = rmp_serde::Deserializer::new(bytes);
    for _ in 0..values {
        <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut reader).ok()?;
    }
    Some(reader.into_inner())
}

fn malformed(reason: impl std::fmt::Display) -> DecodeError {
    DecodeError::malformed(WHAT, reason)
}

#[cfg(test)]
mod tests {
    use ronda_domain::attention::By;
    use ronda_domain::id::MessageId;
    use ronda_domain::input::{HeartbeatReport, Input, ProgressReport, ReportedStatus, StatusReport};

    use super::*;

    fn header() -> FrameHeader {
        FrameHeader {
            gateway: u64::MAX,
            number: 7,
            wall: Timestamp::from_millis(1_795_443_535_123),
            mono_ms: 12_345,
            kind: FrameKind::Join,
            abandoned: vec![5, 6],
            refused: Refused::Tenants(vec!["acme".into(), "other".into()]),
        }
    }

    fn commands() -> Vec<Command<'static>> {
        let status = StatusReport {
            status: ReportedStatus::Failed,
            run_id: Some("run-1"),
            occurred_at: Some(Timestamp::from_millis(-5)),
            error: Some("disk full"),
            exit_code: Some(-1),
            duration_ms: Some(5_321),
            metadata: vec![("host", "batch-7")],
        };
        let heartbeat = HeartbeatReport {
            run_id: None,
            occurred_at: None,
            progress: Some(ProgressReport { done: 40, total: Some(100), message: None }),
        };
        let by = By { source: "slack", id: "U0123456789", name: "Ratna" };
        let until = Timestamp::from_millis(1_795_447_135_000);
        let inputs = [
            Input::Status(status),
            Input::Heartbeat(heartbeat),
            Input::Delete,
            Input::Pause,
            Input::Resume,
            Input::Acknowledge { alert: None, by },
            Input::Acknowledge { alert: Some("alert:due:1795443600000:failed:0"), by },
            Input::Mute { until, by },
            Input::Unmute { by },
        ];
        inputs
            .into_iter()
            .map(|input| Command { tenant: "acme", scheduler: "nightly-billing", age_ms: 3, input, message: None })
            .collect()
    }

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let mut buffer = CommandBuffer::default();
        for command in commands() {
            buffer.push(&command).unwrap();
        }
        let bytes = buffer.into_frame(&header());
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!(frame.header, header());
        assert_eq!(frame.commands().collect::<Result<Vec<_>, _>>().unwrap(), commands());
    }

    #[test]
    fn a_frame_of_any_version_says_whose_reports_were_refused() {
        let all = commands();
        let tenants = Refused::Tenants(vec!["acme".into()]);
        for refused in [Refused::Nobody, Refused::Anybody, tenants] {
            for command in [&all[0], &all[5], &all[6]] {
                let mut buffer = CommandBuffer::default();
                buffer.push(command).unwrap();
                let header = FrameHeader { refused: refused.clone(), ..header() };
                let bytes = buffer.into_frame(&header);
                let frame = Frame::decode(&bytes).unwrap();
                assert_eq!(frame.header, header);
                assert_eq!(frame.commands().next().unwrap().unwrap(), *command);
            }
        }
    }

    #[test]
    fn a_command_keeps_the_message_that_it_was_given() {
        let message = MessageId { source: u64::MAX, sequence: 1 << 63, index: 7 };
        let given = commands().into_iter().map(|command| Command { message: Some(message), ..command });
        for (given, plain) in given.zip(commands()) {
            let mut buffer = CommandBuffer::default();
            buffer.push(&given).unwrap();
            buffer.push(&plain).unwrap();
            let bytes = buffer.into_frame(&header());
            let read: Vec<_> = Frame::decode(&bytes).unwrap().commands().collect::<Result<_, _>>().unwrap();
            assert_eq!(read, [given, plain]);
        }
    }

    #[test]
    fn a_buffer_appended_counts_on() {
        let mut first = CommandBuffer::default();
        assert_eq!(first.push(&commands()[0]).unwrap(), 0);
        let mut second = CommandBuffer::default();
        second.push(&commands()[1]).unwrap();
        assert_eq!(first.append(&second), 1);
        let bytes = first.into_frame(&header());
        assert_eq!(Frame::decode(&bytes).unwrap().commands().count(), 2);
    }

    #[test]
    fn the_clock_is_no_command() {
        let mut buffer = CommandBuffer::default();
        let tick = Command { tenant: "a", scheduler: "b", age_ms: 0, input: Input::Tick, message: None };
        assert!(buffer.push(&tick).is_err());
        assert!(buffer.is_empty());
        assert_eq!(buffer.count(), 0);
    }

    #[test]
    fn a_command_that_cannot_be_read_takes_no_other_with_it() {
        let all = commands();
        let mut buffer = CommandBuffer::default();
        buffer.push(&all[0]).unwrap();
        // A command of a kind that a later release may know.
        buffer.bytes.extend([0x94, 0xa1, b'a', 0xa1, b'b', 0x00, 0x81, 0xa3, b'n', b'e', b'w', 0x92, 0x01, 0x80]);
        buffer.counted(1);
        buffer.push(&all[1]).unwrap();
        let bytes = buffer.into_frame(&header());
        let read: Vec<_> = Frame::decode(&bytes).unwrap().commands().collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].as_ref().unwrap(), &all[0]);
        assert!(read[1].is_err());
        assert_eq!(read[2].as_ref().unwrap(), &all[1]);
    }

    #[test]
    fn rubbish_is_refused_and_never_panics() {
        let mut buffer = CommandBuffer::default();
        for command in commands() {
            buffer.push(&command).unwrap();
        }
        let bytes = buffer.into_frame(&header());
        for cut in 0..bytes.len() {
            if let Ok(frame) = Frame::decode(&bytes[..cut]) {
                assert!(frame.commands().any(|command| command.is_err()));
            }
        }
        let mut newer = bytes.to_vec();
        newer[1] = 7;
        assert!(matches!(Frame::decode(&newer), Err(DecodeError::NewerVersion { found: 7, .. })));
    }
}
