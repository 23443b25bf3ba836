//! The operations, the same on the socket and on the queues themselves.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_processor::DeadLetter;
use ronda_queue::{Queue, QueueError};
use ronda_schemas::codec::Versioned;
use serde::{Deserialize, Serialize};

use super::letter::{self, Letter, Whole};
use super::reading::{self, Extent};
use crate::exit::chain;

/// Longest time for reading: nobody should wait for a disk that hangs.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Longest time for taking letters out.
const CHANGE_WITHIN: Duration = Duration::from_secs(300);

/// One operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Lists letters.
    List {
        /// At most so many.
        limit: u32,
    },
    /// Shows one.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Puts messages back onto the queue of commands.
    Redrive {
        /// Which; none: all that can be put back.
        id: Option<String>,
    },
    /// Throws letters away.
    Discard {
        /// Which; none: all.
        id: Option<String>,
        /// And all that are older.
        and_older: bool,
    },
}

/// What an operation gives.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// What there is.
    Listed(Listing),
    /// One letter.
    Shown(Box<Whole>),
    /// Put back.
    Redriven {
        /// Ids.
        ids: Vec<String>,
        /// How many were left, because a gateway sent them or they are not whole.
        left: u64,
    },
    /// Thrown away.
    Discarded {
        /// Ids.
        ids: Vec<String>,
    },
}

/// What there is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listing {
    /// Newest first; of a broker that hands out its oldest only, the oldest first.
    pub items: Vec<Letter>,
    /// How many are kept in all; on a broker, about.
    pub total: u64,
    /// Whether these are the oldest, and not the newest.
    pub is_oldest_first: bool,
}

/// The queues that it takes.
#[derive(Clone, Copy)]
pub struct Queues<'a> {
    /// Where letters are.
    pub dead_letters: &'a dyn Queue,
    /// Where messages are put back; none: nothing is.
    pub commands: Option<&'a dyn Queue>,
}

/// Carries an operation out.
///
/// # Errors
/// What is wrong with it, what a queue said, or that it took too long.
pub async fn perform(queues: Queues<'_>, operation: Operation) -> Result<Answer, String> {
    let within = match operation {
        Operation::List { .. } | Operation::Show { .. } => READ_WITHIN,
        Operation::Redrive { .. } | Operation::Discard { .. } => CHANGE_WITHIN,
    };
    let done = tokio::time::timeout(within, Box::pin(carry_out(queues, operation))).await;
    done.unwrap_or_else(|_| Err(format!("the dead letters took longer than {} s", within.as_secs())))
}

async fn carry_out(queues: Queues<'_>, operation: Operation) -> Result<Answer, String> {
    let queue = queues.dead_letters;
    match operation {
        Operation::List { limit } => list(queue, limit).await.map(Answer::Listed).map_err(|error| said(&error)),
        Operation::Show { id } => {
            let mut found: HashMap<String, Vec<u8>> = HashMap::new();
            let visit = |bytes: &[u8], _| {
                let own = letter::id(bytes);
                // Two are enough to say that the name is too short.
                if own.starts_with(&id) && found.len() < 2 {
                    found.insert(own, bytes.to_vec());
                }
            };
            reading::visit(queue, visit).await.map_err(|error| said(&error))?;
            let own = the_one(queue, &id, found.keys())?;
            let whole = found.get(&own).map(|bytes| letter::read_whole(bytes));
            whole.map(|whole| Answer::Shown(Box::new(whole))).ok_or_else(|| unknown(queue, &id))
        }
        Operation::Redrive { id } => redrive(queues, id.as_deref()).await,
        Operation::Discard { id, and_older } => discard(queue, id.as_deref(), and_older).await,
    }
}

fn said(error: &QueueError) -> String {
    chain(error)
}

fn unknown(queue: &dyn Queue, id: &str) -> String {
    match queue.capabilities().max_unsettled {
        Some(most) => format!(
            "there is no dead letter {id:?} among the oldest {most}, which is what this broker hands out at once"
        ),
        None => format!("there is no dead letter {id:?}; 'ronda dead-letters list' shows their ids"),
    }
}

/// The only id among those that begin so.
fn the_one<'a>(queue: &dyn Queue, id: &str, mut found: impl Iterator<Item = &'a String>) -> Result<String, String> {
    let one = found.next().ok_or_else(|| unknown(queue, id))?;
    if found.next().is_some() {
        return Err(format!("several dead letters begin with {id:?}; give more of the one that is meant"));
    }
    Ok(one.clone())
}

async fn list(queue: &dyn Queue, limit: u32) -> Result<Listing, QueueError> {
    let is_oldest_first = !queue.capabilities().log;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut seen = HashSet::new();
    let mut items: Vec<(Timestamp, usize, Letter)> = Vec::new();
    let visit = |bytes: &[u8], _| {
        if seen.insert(letter::id(bytes)) {
            let letter = letter::read(bytes);
            items.push((letter.at.map_or(Timestamp::MIN, |at| at.0), seen.len(), letter));
            if items.len() >= 2 * limit.max(1_000) {
                keep(&mut items, limit, is_oldest_first);
            }
        }
    };
    reading::visit(queue, visit).await?;
    keep(&mut items, limit, is_oldest_first);
    let total = if is_oldest_first { queue.depth(0).await?.messages } else { seen.len() as u64 };
    Ok(Listing { items: items.into_iter().map(|(_, _, letter)| letter).collect(), total, is_oldest_first })
}

/// Keeps the first of them, by time and then as they lie.
fn keep(items: &mut Vec<(Timestamp, usize, Letter)>, limit: usize, is_oldest_first: bool) {
    items.sort_by_key(|(at, place, _)| (*at, *place));
    if !is_oldest_first {
        items.reverse();
    }
    items.truncate(limit);
}

/// Letters that shall go, and how far the queue has to be read for it.
#[derive(Default)]
struct Chosen {
    ids: HashSet<String>,
    extent: Extent,
}

impl Chosen {
    fn add(&mut self, id: String, extent: Extent) {
        self.ids.insert(id);
        self.extent = extent;
    }

    fn into_sorted(self) -> Vec<String> {
        let mut ids: Vec<String> = self.ids.into_iter().collect();
        ids.sort_unstable();
        ids
    }
}

async fn discard(queue: &dyn Queue, id: Option<&str>, and_older: bool) -> Result<Answer, String> {
    let mut chosen = Chosen::default();
    let own = match id {
        Some(id) => Some(find(queue, id).await?),
        None => None,
    };
    let wanted = |letter: &Letter| match &own {
        None => true,
        Some(own) if and_older => letter.id == own.id || letter.at < own.at,
        Some(own) => letter.id == own.id,
    };
    // Those of the same moment go with it if they lie before it.
    let mut is_passed = false;
    let visit = |bytes: &[u8], extent| {
        let letter = letter::read(bytes);
        let is_own = own.as_ref().is_some_and(|own| own.id == letter.id);
        let is_beside = and_older && !is_passed && own.as_ref().is_some_and(|own| own.at == letter.at);
        if wanted(&letter) || is_beside {
            chosen.add(letter.id, extent);
        }
        is_passed |= is_own;
    };
    reading::visit(queue, visit).await.map_err(|error| said(&error))?;
    if !chosen.ids.is_empty() {
        reading::take_out(queue, &chosen.ids, chosen.extent, None).await.map_err(|error| said(&error))?;
    }
    Ok(Answer::Discarded { ids: chosen.into_sorted() })
}

async fn find(queue: &dyn Queue, id: &str) -> Result<Letter, String> {
    let mut found: HashMap<String, Letter> = HashMap::new();
    let visit = |bytes: &[u8], _| {
        let letter = letter::read(bytes);
        if letter.id.starts_with(id) && found.len() < 2 {
            found.insert(letter.id.clone(), letter);
        }
    };
    reading::visit(queue, visit).await.map_err(|error| said(&error))?;
    let own = the_one(queue, id, found.keys())?;
    found.remove(&own).ok_or_else(|| unknown(queue, id))
}

async fn redrive(queues: Queues<'_>, id: Option<&str>) -> Result<Answer, String> {
    let queue = queues.dead_letters;
    let own = match id {
        Some(id) => Some(find(queue, id).await?),
        None => None,
    };
    let mut chosen = Chosen::default();
    let (mut left, mut why) = (HashSet::new(), "");
    let visit = |bytes: &[u8], extent| {
        let own_id = letter::id(bytes);
        if own.as_ref().is_some_and(|own| own.id != own_id) {
            return;
        }
        match refusal(bytes) {
            None => chosen.add(own_id, extent),
            Some(refusal) => {
                left.insert(own_id);
                why = refusal;
            }
        }
    };
    reading::visit(queue, visit).await.map_err(|error| said(&error))?;
    if own.is_some() && chosen.ids.is_empty() {
        return Err(String::from(why));
    }
    if !chosen.ids.is_empty() {
        let commands = queues.commands.ok_or("the queue of commands is not open")?;
        reading::take_out(queue, &chosen.ids, chosen.extent, Some(commands)).await.map_err(|error| said(&error))?;
    }
    Ok(Answer::Redriven { ids: chosen.into_sorted(), left: left.len() as u64 })
}

/// Why a letter's message can't be put back; `None`: it can.
fn refusal(bytes: &[u8]) -> Option<&'static str> {
    let Ok(letter) = DeadLetter::decode(bytes) else {
        return Some("the letter itself can't be read, so there is nothing to put back");
    };
    if letter::origin(&letter).is_none() {
        return Some(
            "a gateway sent it, in a frame: the frame's other commands are applied, and its number has passed, so that it would be \
             dropped. Have the reports sent again",
        );
    }
    if letter.command.is_some() {
        return Some(
            "it names commands of a batch, and the batch's other commands are applied: put back, they would be applied again. Have the \
             named ones published again",
        );
    }
    let is_whole = letter.message.len() as u64 == letter.message_bytes;
    (!is_whole).then_some("it was too large to be kept whole, so it can't be put back: have it published again")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;
    use ronda_processor::dead_letter::LetterOrigin;
    use ronda_queue::{
        Capabilities, Depth, EmbeddedOptions, EmbeddedQueue, Origin, Partition, Position, Published, Receiver,
    };

    use super::*;

    fn letter(position: u64) -> DeadLetter {
        DeadLetter {
            partition: 2,
            position,
            command: Some(1),
            more: Vec::new(),
            at: Timestamp::from_seconds(60 + i64::try_from(position / 2).unwrap()),
            code: "bad_command".into(),
            detail: "unknown variant `secret`".into(),
            message_bytes: 100,
            message: vec![b'x'; 100].into(),
            origin: None,
        }
    }

    async fn letters(dir: &std::path::Path) -> EmbeddedQueue {
        let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() };
        let queue = EmbeddedQueue::open(dir, options).unwrap();
        for position in 1..=6 {
            queue.publish(0, letter(position).encode().unwrap().into()).await.unwrap();
        }
        queue
    }

    async fn done(queue: &EmbeddedQueue, operation: Operation) -> Answer {
        perform(Queues { dead_letters: queue, commands: None }, operation).await.unwrap()
    }

    async fn listed(queue: &EmbeddedQueue) -> Vec<Option<u64>> {
        let Answer::Listed(listing) = done(queue, Operation::List { limit: 100 }).await else { panic!("a list") };
        assert_eq!(listing.total, listing.items.len() as u64);
        listing.items.iter().map(|letter| letter.offset).collect()
    }

    fn named(position: u64) -> String {
        letter::id(&letter(position).encode().unwrap())
    }

    #[tokio::test]
    async fn the_newest_are_listed_first_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let queue = letters(dir.path()).await;
        // Again, as after a crash.
        queue.publish(0, letter(2).encode().unwrap().into()).await.unwrap();
        assert_eq!(listed(&queue).await, [6, 5, 4, 3, 2, 1].map(Some));
        let Answer::Listed(listing) = done(&queue, Operation::List { limit: 2 }).await else { panic!("a list") };
        assert_eq!((listing.items.len(), listing.items[0].offset, listing.total), (2, Some(6), 6));
    }

    #[tokio::test]
    async fn one_letter_is_taken_out_of_the_middle_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let queue = letters(dir.path()).await;
        queue.publish(0, letter(2).encode().unwrap().into()).await.unwrap();
        let id = named(3);
        let discard = |id: &str| Operation::Discard { id: Some(id.to_owned()), and_older: false };
        let Answer::Discarded { ids } = done(&queue, discard(&id[..6])).await else { panic!("discarded") };
        assert_eq!((ids, listed(&queue).await), (vec![id.clone()], vec![Some(6), Some(5), Some(4), Some(2), Some(1)]));
        done(&queue, discard(&named(2))).await;
        assert_eq!(listed(&queue).await, [6, 5, 4, 1].map(Some), "both copies went");
        let refused = perform(Queues { dead_letters: &queue, commands: None }, discard(&id)).await.unwrap_err();
        assert!(refused.contains("there is no dead letter"), "{refused}");
    }

    #[tokio::test]
    async fn a_letter_goes_with_all_that_are_older_wherever_they_lie_now() {
        let dir = tempfile::tempdir().unwrap();
        let queue = letters(dir.path()).await;
        // The first two lie behind the others from here on.
        done(&queue, Operation::Discard { id: Some(named(3)), and_older: false }).await;
        done(&queue, Operation::Discard { id: Some(named(4)), and_older: true }).await;
        assert_eq!(listed(&queue).await, [6, 5].map(Some));
        let Answer::Discarded { ids } = done(&queue, Operation::Discard { id: None, and_older: false }).await else {
            panic!("discarded")
        };
        assert_eq!((ids.len(), listed(&queue).await, queue.depth(0).await.unwrap().messages), (2, vec![], 0));
    }

    #[tokio::test]
    async fn a_frame_is_shown_and_not_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let queue = letters(dir.path()).await;
        let Answer::Shown(whole) = done(&queue, Operation::Show { id: named(1) }).await else { panic!("shown") };
        assert_eq!(whole.text.map(|text| text.len()), Some(100));
        let queues = Queues { dead_letters: &queue, commands: Some(&queue) };
        let refused = perform(queues, Operation::Redrive { id: Some(named(1)) }).await.unwrap_err();
        assert!(refused.contains("Have the reports sent again"), "{refused}");
        let Answer::Redriven { ids, left } = done(&queue, Operation::Redrive { id: None }).await else {
            panic!("some")
        };
        assert_eq!((ids.len(), left, listed(&queue).await.len()), (0, 6, 6));
        let refused = perform(queues, Operation::Show { id: String::new() }).await.unwrap_err();
        assert!(refused.contains("several"), "{refused}");
    }

    #[test]
    fn a_batch_of_which_the_most_is_applied_is_not_put_back() {
        let of_batch = DeadLetter { origin: Some(Box::new(LetterOrigin::default())), ..letter(1) };
        let refused = refusal(&of_batch.encode().unwrap()).unwrap();
        assert!(refused.contains("would be applied again"), "{refused}");
        let whole = DeadLetter { command: None, ..of_batch };
        assert_eq!(refusal(&whole.encode().unwrap()), None);
    }

    /// Takes direct messages, and remembers them.
    #[derive(Default)]
    struct Commands(Mutex<Vec<(u32, Bytes, Origin)>>);

    #[async_trait]
    impl Queue for Commands {
        fn partitions(&self) -> u32 {
            2
        }

        fn capabilities(&self) -> Capabilities {
            panic!("nobody asks")
        }

        async fn publish(&self, _: Partition, _: Bytes) -> Result<Published, QueueError> {
            panic!("no frame is put back")
        }

        async fn publish_direct(
            &self,
            partition: Partition,
            message: Bytes,
            origin: &Origin,
        ) -> Result<Published, QueueError> {
            self.0.lock().unwrap().push((partition, message, origin.clone()));
            Ok(Published { position: None })
        }

        async fn open(&self, _: Partition, _: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
            panic!("nobody reads")
        }

        async fn depth(&self, _: Partition) -> Result<Depth, QueueError> {
            panic!("nobody asks")
        }
    }

    #[tokio::test]
    async fn what_was_published_directly_is_put_back_with_its_origin_and_frames_stay() {
        let dir = tempfile::tempdir().unwrap();
        let queue = letters(dir.path()).await;
        let named_tenant = Some("acme".into());
        let origin = LetterOrigin { source: "ronda.in.acme.job".into(), named_tenant, ..LetterOrigin::default() };
        let direct = DeadLetter { partition: 3, origin: Some(Box::new(origin)), command: None, ..letter(9) };
        queue.publish(0, direct.encode().unwrap().into()).await.unwrap();
        // Readable ones go where they belong now, wherever they came from.
        let readable = |scheduler: &str| {
            let message = format!(r#"{{"type":"heartbeat","scheduler_id":"{scheduler}"}}"#);
            DeadLetter { message_bytes: message.len() as u64, message: message.into(), ..direct.clone() }
        };
        let schedulers = ["a", "b", "c", "d"];
        for letter in schedulers.map(readable) {
            queue.publish(0, letter.encode().unwrap().into()).await.unwrap();
        }
        let commands = Commands::default();
        let queues = Queues { dead_letters: &queue, commands: Some(&commands) };
        let Answer::Redriven { ids, left } = perform(queues, Operation::Redrive { id: None }).await.unwrap() else {
            panic!("put back")
        };
        assert_eq!((ids.len(), left, ids.contains(&letter::id(&direct.encode().unwrap()))), (5, 6, true));
        let put_back = commands.0.lock().unwrap().clone();
        let [(partition, message, origin), readable @ ..] = put_back.as_slice() else { panic!("five: {put_back:?}") };
        let went: Vec<u32> = readable.iter().map(|(partition, ..)| *partition).collect();
        assert_eq!(went, schedulers.map(|scheduler| ronda_domain::id::partition_of("acme", scheduler, 2)));
        assert_eq!((*partition, message, origin.tenant.as_deref()), (1, &direct.message, Some("acme")));
        assert_eq!(listed(&queue).await, [6, 5, 4, 3, 2, 1].map(Some));
    }
}
