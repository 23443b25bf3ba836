//! How one message lies in a segment file.
//!
//! Little endian: `crc32 u32 · length u32 · partition u16 · flags u16 · position u64 · group u64 · message`. The checksum
//! covers everything after itself and starts from the segment's salt, so that neither bytes of an older file on
//! recycled blocks nor bytes that somebody put into a message can pass for a record.

/// Bytes in front of each message.
pub(super) const RECORD_HEADER_BYTES: usize = 28;

/// Flag: the last record of the group that was written and made durable together.
const LAST_IN_GROUP: u16 = 1;

/// The fields in front of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) length: u32,
    pub(super) partition: u16,
    pub(super) last_in_group: bool,
    pub(super) position: u64,
    pub(super) group: u64,
}

impl RecordHeader {
    /// Appends the record to `buffer`.
    pub(super) fn encode(&self, salt: u32, message: &[u8], buffer: &mut Vec<u8>) {
        let flags = if self.last_in_group { LAST_IN_GROUP } else { 0 };
        let mut fields = [0_u8; RECORD_HEADER_BYTES];
        fields[4..8].copy_from_slice(&self.length.to_le_bytes());
        fields[8..10].copy_from_slice(&self.partition.to_le_bytes());
        fields[10..12].copy_from_slice(&flags.to_le_bytes());
        fields[12..20].copy_from_slice(&self.position.to_le_bytes());
        fields[20..28].copy_from_slice(&self.group.to_le_bytes());
        let crc = checksum(salt, &fields[4..], message);
        fields[..4].copy_from_slice(&crc.to_le_bytes());
        buffer.extend_from_slice(&fields);
        buffer.extend_from_slice(message);
    }

    /// Reads the fields without judging them. `None` if there are too few bytes or flags that nobody sets.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields: &[u8; RECORD_HEADER_BYTES] = bytes.first_chunk()?;
        let flags = u16_at(fields, 10);
        (flags & !LAST_IN_GROUP == 0).then(|| Self {
            length: u32_at(fields, 4),
            partition: u16_at(fields, 8),
            last_in_group: flags & LAST_IN_GROUP != 0,
            position: u64_at(fields, 12),
            group: u64_at(fields, 20),
        })
    }

    /// Bytes of the whole record in the file.
    pub(super) fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.length)
    }
}

/// Whether a record (header and message, exactly) is what was written.
pub(super) fn is_intact(salt: u32, record: &[u8]) -> bool {
    match (record.first_chunk::<4>(), record.get(4..RECORD_HEADER_BYTES), record.get(RECORD_HEADER_BYTES..)) {
        (Some(crc), Some(fields), Some(message)) => u32::from_le_bytes(*crc) == checksum(salt, fields, message),
        _ => false,
    }
}

fn checksum(salt: u32, fields: &[u8], message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(fields);
    hasher.update(message);
    hasher.finalize()
}

/// The `u16` at a fixed place; zero if it isn't there, which no caller can meet.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

/// The `u32` at a fixed place, as [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// The `u64` at a fixed place, as [`u16_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_written_and_any_changed_byte_is_noticed() {
        let header = RecordHeader { length: 5, partition: 3, last_in_group: true, position: 7, group: 9 };
        let mut record = Vec::new();
        header.encode(0xfeed, b"hello", &mut record);
        assert_eq!(RecordHeader::decode(&record), Some(header));
        assert!(is_intact(0xfeed, &record));
        assert!(!is_intact(0xbeef, &record), "another segment's record must not pass");
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 0x10;
            assert!(!is_intact(0xfeed, &changed), "byte {at}");
        }
        assert!(!is_intact(0, &[0; 64]), "zeros are not a record");
    }
}
