//! Opening a log: every record is checked, the torn end that a crash leaves is cut off, and damage is refused.
//!
//! How the two are told apart: a group is written only when the one before it is durable. So whatever a crash spoiled
//! belongs to the last group, and an intact record of a later group behind a bad place proves that durable
//! data was damaged. So does a segment that ends before the next one's header says it should, and a log that is
//! shorter than the notes knew it to be.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::notes::{self, Notes};
use super::options::{EmbeddedOptions, MAX_PARTITIONS, OpenError};
use super::record::{RECORD_HEADER_BYTES, RecordHeader, is_intact};
use super::segment::{self, Segment, SegmentHeader, create, fresh_salt, segment_number, segment_path, sync_dir};
use super::stretch::{STRETCH_BYTES, Stretches};

/// A log that is ready to be read and written.
pub(super) struct Recovered {
    pub(super) segments: VecDeque<Segment>,
    /// Settled position of each partition; 0 for none.
    pub(super) settled: Vec<u64>,
    /// Next position of each partition.
    pub(super) next: Vec<u64>,
    pub(super) next_group: u64,
}

/// Opens the log in a directory, or makes one.
pub(super) fn recover(dir: &Path, options: &EmbeddedOptions) -> Result<Recovered, OpenError> {
    let numbers = without_superseded(dir, list_segments(dir)?)?;
    let notes = notes::read(dir).map_err(OpenError::io("can't read", notes::notes_path(dir)))?;
    check_against_notes(dir, &numbers, notes.as_ref())?;
    let mut walk = Walk::new(dir, options);
    for (at, &number) in numbers.iter().enumerate() {
        walk.enter(number, at + 1 == numbers.len(), notes.as_ref())?;
    }
    if numbers.is_empty() {
        walk.begin()?;
    }
    let settled = settled_positions(&walk, notes);
    Ok(Recovered { segments: walk.segments, settled, next: walk.next, next_group: walk.next_group })
}

/// Numbers of the segments present, in order, and what an interrupted making of one left.
fn look(dir: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), OpenError> {
    let (mut numbers, mut unfinished) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).map_err(OpenError::io("can't list", dir))? {
        let entry = entry.map_err(OpenError::io("can't list", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(number) = segment_number(&name) {
            numbers.push(number);
        } else if name.ends_with(".new") {
            unfinished.push(entry.path());
        }
    }
    numbers.sort_unstable();
    Ok((numbers, unfinished))
}

/// Numbers of the segments present, in order. Removes what an interrupted making of one left.
fn list_segments(dir: &Path) -> Result<Vec<u64>, OpenError> {
    let (numbers, unfinished) = look(dir)?;
    for path in unfinished {
        std::fs::remove_file(&path).map_err(OpenError::io("can't remove", &path))?;
    }
    for pair in numbers.windows(2) {
        if let [one, other] = pair
            && one + 1 != *other
        {
            let what = "the segment file is missing, though older ones are there".to_owned();
            return Err(OpenError::Corrupt { file: segment_path(dir, one + 1), offset: 0, what });
        }
    }
    Ok(numbers)
}

/// The number of partitions that a segment was made for.
fn partitions_of(path: &Path) -> Result<usize, OpenError> {
    let mut bytes = Vec::new();
    let most = SegmentHeader::encoded_bytes(MAX_PARTITIONS as usize) as u64;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(OpenError::io("can't read", path))?;
    Ok(SegmentHeader::decode(path, &bytes)?.next.len())
}

/// How many partitions the log in a directory has; `None`: there is none yet. Changes nothing: somebody may have it open.
pub(super) fn partitions_in(dir: &Path) -> Result<Option<u32>, OpenError> {
    let newest = look(dir)?.0.last().map(|&newest| partitions_of(&segment_path(dir, newest)));
    Ok(newest.transpose()?.and_then(|partitions| u32::try_from(partitions).ok()))
}

/// Removes the segments from before the number of partitions was changed, if that was interrupted. Everything in them was settled before
/// the first segment with the new number was made.
fn without_superseded(dir: &Path, mut numbers: Vec<u64>) -> Result<Vec<u64>, OpenError> {
    let Some(&newest) = numbers.last() else { return Ok(numbers) };
    let partitions = partitions_of(&segment_path(dir, newest))?;
    let mut kept = numbers.len();
    while let Some(&number) = kept.checked_sub(1).and_then(|at| numbers.get(at)) {
        if partitions_of(&segment_path(dir, number))? != partitions {
            break;
        }
        kept -= 1;
    }
    for number in numbers.drain(..kept) {
        let path = segment_path(dir, number);
        std::fs::remove_file(&path).map_err(OpenError::io("can't remove", &path))?;
    }
    Ok(numbers)
}

fn check_against_notes(dir: &Path, numbers: &[u64], notes: Option<&Notes>) -> Result<(), OpenError> {
    match notes {
        Some(notes) if numbers.last().is_none_or(|&newest| newest < notes.durable_segment) => Err(OpenError::Corrupt {
            file: segment_path(dir, notes.durable_segment),
            offset: 0,
            what: "the segment file is missing, though it is noted as written".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What is settled: what the notes say, at least what is trimmed away, at most what was ever published.
fn settled_positions(walk: &Walk<'_>, notes: Option<Notes>) -> Vec<u64> {
    let noted = notes.map(|notes| notes.settled).filter(|settled| settled.len() == walk.next.len());
    let trimmed = walk.segments.front().map(|oldest| &oldest.index);
    (0..walk.next.len())
        .map(|partition| {
            let noted = noted.as_ref().and_then(|noted| noted.get(partition)).copied().unwrap_or(0);
            let trimmed = trimmed.and_then(|index| index.get(partition)).map_or(0, |index| index.first - 1);
            let newest = walk.next.get(partition).map_or(0, |next| next - 1);
            noted.max(trimmed).min(newest)
        })
        .collect()
}

/// The walk through the segments from the oldest on.
struct Walk<'a> {
    dir: &'a Path,
    options: &'a EmbeddedOptions,
    segments: VecDeque<Segment>,
    next: Vec<u64>,
    next_group: u64,
}

impl<'a> Walk<'a> {
    fn new(dir: &'a Path, options: &'a EmbeddedOptions) -> Self {
        let next = vec![1; options.partitions as usize];
        Self { dir, options, segments: VecDeque::new(), next, next_group: 1 }
    }

    /// Makes the first segment of a new log.
    fn begin(&mut self) -> Result<(), OpenError> {
        let salt = fresh_salt().map_err(OpenError::io("can't get a random number for", self.dir))?;
        let header = SegmentHeader { segment: 1, salt, next_group: 1, next: self.next.clone() };
        let made = create(self.dir, &header).map_err(OpenError::io("can't make", segment_path(self.dir, 1)))?;
        self.segments.push_back(made);
        Ok(())
    }

    /// Checks a segment and takes it over; cuts a torn end off the newest one.
    fn enter(&mut self, number: u64, newest: bool, notes: Option<&Notes>) -> Result<(), OpenError> {
        let path = segment_path(self.dir, number);
        if newest {
            forget_cached(&path)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(OpenError::io("can't open", &path))?;
        let file = Arc::new(file);
        let unreadable = |error| OpenError::io("can't read", &path)(error);
        let mut stretches = Stretches::new(&file).map_err(unreadable)?;
        let header = SegmentHeader::decode(&path, stretches.at(0, STRETCH_BYTES).map_err(unreadable)?)?;
        self.check_header(&path, number, &header)?;
        let mut segment = Segment::empty(&header, path.clone(), Arc::clone(&file));
        let known = match notes {
            Some(notes) if notes.durable_segment == number => notes.durable_bytes,
            _ => 0,
        };
        let mut scan = Scan { segment: &mut segment, next_group: header.next_group, open_group: Vec::new() };
        scan.run(&mut stretches).map_err(unreadable)?;
        let (good, length) = (scan.segment.length, stretches.length());
        // Only a bad place has anything behind it to be looked at, and then at each of its bytes.
        let is_damaged = good < length && scan.is_damage(&std::fs::read(&path).map_err(unreadable)?);
        if good < known.max(if newest { 0 } else { length }) || is_damaged {
            let what = "what follows is not what was written".to_owned();
            return Err(OpenError::Corrupt { file: path, offset: good, what });
        }
        self.next_group = scan.next_group;
        self.next = segment.index.iter().map(segment::PartitionIndex::next).collect();
        if newest {
            cut(&segment.file, &segment.path, good, length)?;
        }
        self.segments.push_back(segment);
        Ok(())
    }

    fn check_header(&self, path: &Path, number: u64, header: &SegmentHeader) -> Result<(), OpenError> {
        if header.next.len() != self.next.len() {
            return Err(OpenError::PartitionCount {
                dir: self.dir.to_owned(),
                have: u32::try_from(header.next.len()).unwrap_or(u32::MAX),
                asked: self.options.partitions,
            });
        }
        let goes_on = self.segments.is_empty() || (header.next == self.next && header.next_group == self.next_group);
        if goes_on && header.segment == number && header.next.iter().all(|&next| next >= 1) {
            return Ok(());
        }
        let what = "it does not go on where the segment before it ends".to_owned();
        Err(OpenError::Corrupt { file: path.to_owned(), offset: 0, what })
    }
}

/// Makes the newest segment end behind its last intact record. Also makes what is kept durable: after a crash of
/// the process alone, the last group may be in the system's cache only.
fn cut(file: &File, path: &PathBuf, good: u64, length: u64) -> Result<(), OpenError> {
    if good < length {
        tracing::warn!(
            queue.file = %path.display(), queue.kept_bytes = good, queue.cut_bytes = length - good,
            "cutting off a write that a crash interrupted; nothing in it was confirmed"
        );
        file.set_len(good).map_err(OpenError::io("can't cut", path))?;
    }
    file.sync_all().map_err(OpenError::io("can't sync", path))?;
    if let Some(dir) = path.parent() {
        sync_dir(dir).map_err(OpenError::io("can't sync", dir))?;
    }
    Ok(())
}

/// Has the newest segment read from the disk: after a failed fsync, which only it can have had, the system's cache may hold what the disk does
/// not. Pages that wait to be written can't be dropped, so they are written first. A system that keeps the file cached all the same is no
/// worse than without it.
fn forget_cached(path: &Path) -> Result<(), OpenError> {
    let file = File::open(path).map_err(OpenError::io("can't open", path))?;
    file.sync_all().map_err(OpenError::io("can't sync", path))?;
    if let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed) {
        tracing::warn!(%error, queue.file = %path.display(), "the newest segment could not be made to be read from the disk");
    }
    Ok(())
}

/// Reads the records of one segment into its index.
struct Scan<'a> {
    segment: &'a mut Segment,
    /// Number of the group being read, or of the next one.
    next_group: u64,
    /// Partition and bytes of the records read of a group whose last one has not come yet.
    open_group: Vec<(usize, u64)>,
}

impl Scan<'_> {
    /// Goes on until the end or the first record that isn't exactly what must come next. Only whole groups are kept:
    /// one without its end was never confirmed. `segment.length` tells where the last whole group ends.
    fn run(&mut self, stretches: &mut Stretches<'_>) -> io::Result<()> {
        while let Some(record) = self.next_record(stretches)? {
            let partition = usize::from(record.partition);
            let Some(index) = self.segment.index.get_mut(partition) else { break };
            let Ok(offset) = u32::try_from(self.segment.length) else { break };
            if record.position != index.next() || record.group != self.next_group {
                break;
            }
            index.offsets.push(offset);
            index.bytes += record.record_bytes();
            self.segment.length += record.record_bytes();
            self.open_group.push((partition, record.record_bytes()));
            if record.last_in_group {
                self.open_group.clear();
                self.next_group += 1;
            }
        }
        for (partition, bytes) in self.open_group.drain(..) {
            self.segment.length -= bytes;
            if let Some(index) = self.segment.index.get_mut(partition) {
                index.offsets.pop();
                index.bytes -= bytes;
            }
        }
        Ok(())
    }

    /// The intact record that comes next, if one does.
    fn next_record(&self, stretches: &mut Stretches<'_>) -> io::Result<Option<RecordHeader>> {
        let offset = self.segment.length;
        let Some(record) = RecordHeader::decode(stretches.at(offset, RECORD_HEADER_BYTES)?) else { return Ok(None) };
        let Ok(count) = usize::try_from(record.record_bytes()) else { return Ok(None) };
        let whole = stretches.at(offset, count)?;
        Ok((whole.len() == count && is_intact(self.segment.salt, whole)).then_some(record))
    }

    /// The intact record that begins at a place, if one does.
    fn record_at(&self, bytes: &[u8], offset: u64) -> Option<RecordHeader> {
        let rest = bytes.get(usize::try_from(offset).ok()?..)?;
        let record = RecordHeader::decode(rest)?;
        let whole = rest.get(..usize::try_from(record.record_bytes()).ok()?)?;
        is_intact(self.segment.salt, whole).then_some(record)
    }

    /// Whether an intact record of a later group follows the bad place.
    fn is_damage(&self, bytes: &[u8]) -> bool {
        let mut offset = self.segment.length;
        let end = (bytes.len() as u64).saturating_sub(RECORD_HEADER_BYTES as u64);
        while offset < end {
            offset += 1;
            let plausible = self.plausible_at(bytes, offset);
            if plausible && self.record_at(bytes, offset).is_some() {
                return true;
            }
        }
        false
    }

    /// Cheap look before the checksum: a known partition, and a position and a group that may come in what is left of
    /// the file. The upper bounds keep a message full of look-alikes from costing a checksum at each of its bytes.
    fn plausible_at(&self, bytes: &[u8], offset: u64) -> bool {
        let header = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).and_then(RecordHeader::decode);
        let most = (bytes.len() / RECORD_HEADER_BYTES) as u64;
        header.is_some_and(|record| {
            let later = record.group > self.next_group && record.group <= self.next_group + most;
            let index = self.segment.index.get(usize::from(record.partition));
            later && index.is_some_and(|index| (index.next()..=index.next() + most).contains(&record.position))
        })
    }
}
