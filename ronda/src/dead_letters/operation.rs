//! The operations, the same on the socket and on the queues themselves.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_queue::{Queue, QueueError};
use serde::{Deserialize, Serialize};

use super::again;
use super::key::ApiKey;
use super::letter::{self, Letter, Whole};
use super::reading::{self, Extent, PutBack};
use crate::admin::NotDone;

/// Longest time for reading: nobody should wait for a disk that hangs.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Longest time for taking letters out.
const CHANGE_WITHIN: Duration = Duration::from_secs(300);
/// Why nothing is put back without a key where one is needed.
const NEEDS_KEY: &str = "messages need an API key here (queue.direct_access), and none is kept with a letter: give one with --api-key-file, \
                         or have the message published again";

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
        /// Only this tenant's.
        #[serde(default)]
        tenant: Option<String>,
        /// Goes with what is put back.
        #[serde(default)]
        api_key: Option<ApiKey>,
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
    /// Whether they are taken there with an API key only.
    pub needs_key: bool,
}

/// Carries an operation out.
///
/// # Errors
/// What is wrong with it, what a queue said, or that it took too long.
pub async fn perform(queues: Queues<'_>, operation: Operation) -> Result<Answer, NotDone> {
    let within = match operation {
        Operation::List { .. } | Operation::Show { .. } => READ_WITHIN,
        Operation::Redrive { .. } | Operation::Discard { .. } => CHANGE_WITHIN,
    };
    let done = tokio::time::timeout(within, Box::pin(carry_out(queues, operation))).await;
    done.unwrap_or_else(|_| Err(NotDone::Late(within)))
}

async fn carry_out(queues: Queues<'_>, operation: Operation) -> Result<Answer, NotDone> {
    let queue = queues.dead_letters;
    match operation {
        Operation::List { limit } => Ok(Answer::Listed(list(queue, limit).await?)),
        Operation::Show { id } => {
            let mut found: HashMap<String, Vec<u8>> = HashMap::new();
            let visit = |bytes: &[u8], _| {
                let own = letter::id(bytes);
                // Two are enough to say that the name is too short.
                if own.starts_with(&id) && found.len() < 2 {
                    found.insert(own, bytes.to_vec());
                }
            };
            reading::visit(queue, visit).await?;
            let own = the_one(queue, &id, found.keys())?;
            let whole = found.get(&own).map(|bytes| letter::read_whole(bytes));
            whole.map(|whole| Answer::Shown(Box::new(whole))).ok_or_else(|| unknown(queue, &id).into())
        }
        Operation::Redrive { id, tenant, api_key } => {
            redrive(queues, id.as_deref(), tenant.as_deref(), api_key.as_ref()).await
        }
        Operation::Discard { id, and_older } => discard(queue, id.as_deref(), and_older).await,
    }
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
fn the_one<'a>(queue: &dyn Queue, id: &str, mut found: impl Iterator<Item = &'a String>) -> Result<String, NotDone> {
    let one = found.next().ok_or_else(|| unknown(queue, id))?;
    if found.next().is_some() {
        return Err(format!("several dead letters begin with {id:?}; give more of the one that is meant").into());
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
    // The broker's own count may be behind what it has just handed out.
    let counted = if is_oldest_first { queue.depth(0).await?.messages } else { 0 };
    let total = counted.max(seen.len() as u64);
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

async fn discard(queue: &dyn Queue, id: Option<&str>, and_older: bool) -> Result<Answer, NotDone> {
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
    reading::visit(queue, visit).await?;
    if !chosen.ids.is_empty() {
        reading::take_out(queue, &chosen.ids, chosen.extent, None).await?;
    }
    Ok(Answer::Discarded { ids: chosen.into_sorted() })
}

async fn find(queue: &dyn Queue, id: &str) -> Result<Letter, NotDone> {
    let mut found: HashMap<String, Letter> = HashMap::new();
    let visit = |bytes: &[u8], _| {
        let letter = letter::read(bytes);
        if letter.id.starts_with(id) && found.len() < 2 {
            found.insert(letter.id.clone(), letter);
        }
    };
    reading::visit(queue, visit).await?;
    let own = the_one(queue, id, found.keys())?;
    found.remove(&own).ok_or_else(|| unknown(queue, id).into())
}

async fn redrive(
    queues: Queues<'_>,
    id: Option<&str>,
    tenant: Option<&str>,
    api_key: Option<&ApiKey>,
) -> Result<Answer, NotDone> {
    let queue = queues.dead_letters;
    let commands = queues.commands.ok_or("the queue of commands is not open")?;
    if queues.needs_key && api_key.is_none() {
        return Err(NEEDS_KEY.into());
    }
    let own = match id {
        Some(id) => Some(find(queue, id).await?),
        None => None,
    };
    let mut chosen = Chosen::default();
    let (mut left, mut why) = (HashSet::new(), "");
    let visit = |bytes: &[u8], extent| {
        let letter = letter::read(bytes);
        let is_other = own.as_ref().is_some_and(|own| own.id != letter.id);
        if is_other || tenant.is_some_and(|tenant| letter.tenant.as_deref() != Some(tenant)) {
            return;
        }
        match again::again(bytes, commands.partitions(), api_key) {
            Ok(_) => chosen.add(letter.id, extent),
            Err(refusal) => {
                left.insert(letter.id);
                why = refusal;
            }
        }
    };
    reading::visit(queue, visit).await?;
    if own.is_some() && chosen.ids.is_empty() {
        let why = match (why, tenant) {
            ("", Some(tenant)) => format!("it is not known to be {tenant}'s"),
            ("", None) => unknown(queue, &own.map(|own| own.id).unwrap_or_default()),
            (why, _) => String::from(why),
        };
        return Err(why.into());
    }
    if !chosen.ids.is_empty() {
        let put_back = Some(PutBack { commands, api_key });
        reading::take_out(queue, &chosen.ids, chosen.extent, put_back).await?;
    }
    Ok(Answer::Redriven { ids: chosen.into_sorted(), left: left.len() as u64 })
}

#[cfg(test)]
mod tests;
