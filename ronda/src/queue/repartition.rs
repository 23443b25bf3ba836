//! Another number of partitions, for the queue of commands and for the store that belongs to it.
//!
//! What waits is processed first, by a processor of this command's own. Then the queue is changed, and last the store: as long as the
//! store has the old number, running it again finds out how far the former run came, and goes on there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ronda_lease::{Group, Ownership, living};
use ronda_processor::Processor;
use ronda_queue::{Broker, Position, Queue, QueueError, QueueErrorKind, ReceiveLimit, Role};
use ronda_runtime::{CancellationToken, Health};
use ronda_store::port::Store;
use serde::Serialize;
use tokio::time::sleep;

use super::place;
use crate::admin::{self, socket};
use ronda_host::config::{Loaded, Origin, Settings};
use ronda_host::exit::{Code, Failure, chain};
use ronda_host::parts::{self, LOCK_WAIT};
use ronda_host::store;
use ronda_store::error::StoreError;

/// Most partitions.
const MAX_PARTITIONS: u32 = 1_024;
/// Pause between two looks at what is left.
const POLL: Duration = Duration::from_millis(100);
/// How long something that came may take until it is committed.
const COMMITTED_WITHIN: Duration = Duration::from_secs(1);
/// Pause between two attempts at the store.
const AGAIN: Duration = Duration::from_millis(50);

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    /// The number before; the new one if nothing had to be done.
    from: u32,
    /// The number now.
    to: u32,
    /// How many messages were processed before the change.
    processed: u64,
}

/// Changes the number, or ends a change that was interrupted.
///
/// # Errors
/// Why it can't be changed; nothing is lost then, and it can be run again.
pub(super) async fn run(settings: &Settings, partitions: u32, drain_seconds: u64) -> Result<Done, Failure> {
    if !partitions.is_power_of_two() || partitions > MAX_PARTITIONS {
        let what = format!("--partitions is {partitions}, but must be a power of two: 1, 2, 4, … {MAX_PARTITIONS}");
        return Err(Failure::new(Code::Usage, what));
    }
    let store = open_store(settings).await?;
    let of_store = |error: StoreError| store::failure(settings, &error);
    if !settings.store.url.is_embedded() {
        nobody_lives(settings, &*store).await?;
    }
    let row = store.partition(0).await.map_err(of_store)?;
    let from = row.map_or(settings.storage.partitions, |row| row.partitions);
    let processed = match from == partitions {
        true => 0,
        false => change_queue(settings, &store, from, partitions, Duration::from_secs(drain_seconds)).await?,
    };
    store.repartition(partitions).await.map_err(of_store)?;
    // Also when the store had the number already: then this is a look.
    let broker = place::reach(&with(settings, partitions)).await?;
    let made = broker.init().await;
    broker.close().await;
    made.map_err(|error| parts::queue_failure(settings, &error))?;
    Ok(Done { from, to: partitions, processed })
}

/// For people.
pub(super) fn told(loaded: &Loaded, done: &Done) -> String {
    let Done { from, to, processed } = done;
    let first = match from == to {
        true => format!("Queue and store have {to} partitions already.\n"),
        false => format!(
            "Queue and store have {to} partitions now, and had {from}; {processed} messages were processed before.\n"
        ),
    };
    let set = loaded.settings.storage.partitions;
    if set == *to {
        return first;
    }
    let origin = loaded.origins.get("storage.partitions").unwrap_or(&Origin::Default);
    format!(
        "{first}Before the next start, set storage.partitions = {to} (or RONDA_STORAGE_PARTITIONS={to}, or 'ronda up --partitions {to}'): \
         it is {set} ({origin}).\n"
    )
}

fn with(settings: &Settings, partitions: u32) -> Settings {
    let mut settings = settings.clone();
    settings.storage.partitions = partitions;
    settings
}

/// The store. Whoever has the embedded one, nobody else can use the directory meanwhile.
async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    if !settings.store.url.is_embedded() {
        return store::reach(settings).await;
    }
    let data = &settings.storage.data;
    if socket::is_alive(data).await {
        let what = format!("'ronda up' runs on {}: stop it first, and start it with the new number", data.display());
        return Err(Failure::new(Code::Refused, what));
    }
    place::is_embedded(settings)?;
    if !data.join("store").is_dir() {
        return Err(admin::no_data(data).failure);
    }
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match parts::open_store(settings) {
            Ok(store) => return Ok(Arc::new(store)),
            Err(refusal) if refusal.is_locked && Instant::now() < deadline => sleep(AGAIN).await,
            Err(refusal) => return Err(refusal.failure),
        }
    }
}

/// Refuses while replicas live: they would be fenced by this command's own processor and take everything back.
async fn nobody_lives(settings: &Settings, store: &dyn Store) -> Result<(), Failure> {
    let look = |group| living(store, group, settings.replicas.lease_ms);
    let found = tokio::try_join!(look(Group::Processor), look(Group::Notifier));
    let (processors, notifiers) = found.map_err(|error| store::failure(settings, &error))?;
    for (group, members) in [(Group::Processor, processors), (Group::Notifier, notifiers)] {
        if let Some(member) = members.first() {
            let what = format!(
                "the {group} {} runs on this store: stop all services first, gateways too, and start them with the new number",
                member.name
            );
            return Err(Failure::new(Code::Refused, what));
        }
    }
    Ok(())
}

/// Gives the queue of commands the new number, unless it has it. Answers how many messages were processed before.
async fn change_queue(
    settings: &Settings,
    store: &Arc<dyn Store>,
    from: u32,
    to: u32,
    within: Duration,
) -> Result<u64, Failure> {
    let failed = |error: QueueError| parts::queue_failure(settings, &error);
    let old = with(settings, from);
    let Err(wrong) = made_with(&old).await? else {
        let broker = place::reach(&old).await?;
        let drained = drain(&old, &*broker, store, within).await;
        // What is settled is removed by then.
        broker.close().await;
        let processed = drained?;
        let broker = place::reach(&old).await?;
        let changed = broker.repartition(to).await;
        broker.close().await;
        return changed.map(|()| processed).map_err(|error| match error.kind {
            // The queues were as they shall be a moment ago: somebody uses them.
            QueueErrorKind::Mismatch => Failure::new(Code::Refused, format!("nothing was changed: {error}")),
            _ => failed(error),
        });
    };
    // The former run was interrupted after this.
    match made_with(&with(settings, to)).await? {
        Ok(()) => Ok(0),
        Err(_) => Err(failed(wrong)),
    }
}

/// Whether the queues have the number of partitions that the settings say, or none at all; if not, what they are.
async fn made_with(settings: &Settings) -> Result<Result<(), QueueError>, Failure> {
    let broker = place::reach(settings).await?;
    let made = broker.init().await;
    broker.close().await;
    match made {
        Ok(_) => Ok(Ok(())),
        Err(error) if error.kind == QueueErrorKind::Mismatch => Ok(Err(error)),
        Err(error) => Err(parts::queue_failure(settings, &error)),
    }
}

/// Has everything processed that waits, and every derived event published.
async fn drain(
    settings: &Settings,
    broker: &dyn Broker,
    store: &Arc<dyn Store>,
    within: Duration,
) -> Result<u64, Failure> {
    let failed = |error: QueueError| parts::queue_failure(settings, &error);
    let queue = async |role| broker.queue(role).await.map_err(failed);
    let commands = queue(Role::Commands).await?;
    let (events, dead_letters) = (queue(Role::Events).await?, queue(Role::DeadLetters).await?);
    // What is settled may not have been noted before a kill. The cursor knows.
    let mut passed = Vec::new();
    let mut waiting = 0;
    for partition in 0..commands.partitions() {
        let depth = commands.depth(partition).await.map_err(failed)?;
        let row = store.partition(partition).await.map_err(|error| store::failure(settings, &error))?;
        let cursor = row.map_or(0, |row| row.cursor);
        let is_passed = depth.newest.is_none_or(|newest| newest.0 <= cursor) && commands.capabilities().positions;
        waiting += if is_passed { 0 } else { depth.messages };
        passed.push(is_passed.then_some(depth.newest).flatten());
    }
    let (health, stop) = (Health::new(), CancellationToken::new());
    let rows = Arc::clone(store);
    let config = ronda_processor_bin::config(settings);
    let processor = Processor::build(config, commands.clone(), events, dead_letters, rows, &health);
    let processor = processor.map_err(|error| Failure::other(chain(&error)))?;
    let run = tokio::spawn({
        let (stop, partitions) = (stop.clone(), commands.partitions());
        async move { processor.run(Ownership::all(partitions), stop).await }
    });
    let left = until_settled(&*commands, &passed, &health, within).await;
    let is_quiet = match &left {
        Ok(0) => is_quiet(settings, &**store, commands.partitions()).await,
        _ => Ok(true),
    };
    stop.cancel();
    let ended = run.await.map_err(|error| Failure::other(chain(&error)))?;
    ended.map_err(|error| Failure::other(chain(&error)))?;
    let left = left.map_err(failed)?;
    if !is_quiet.map_err(|error| store::failure(settings, &error))? {
        let what = "the queues get more messages, so nothing was changed: a gateway or somebody who publishes directly is still there; what came \
                    later would lie where nobody looks for it. Stop them first";
        return Err(Failure::new(Code::Refused, what));
    }
    if left > 0 {
        let what = format!(
            "{left} messages are still not processed after {} s, so nothing was changed: run 'ronda up' until 'ronda queue lag' shows \
             none, or give it more time (--drain-seconds)",
            within.as_secs()
        );
        return Err(Failure::new(Code::Refused, what));
    }
    for (partition, newest) in (0..).zip(passed) {
        if let Some(newest) = newest {
            settle(&*commands, partition, newest).await.map_err(failed)?;
        }
    }
    Ok(waiting)
}

/// Waits until every partition is taken up, and all that was not passed before is settled. Answers how many messages are left.
async fn until_settled(
    commands: &dyn Queue,
    passed: &[Option<Position>],
    health: &Health,
    within: Duration,
) -> Result<u64, QueueError> {
    let deadline = Instant::now() + within;
    loop {
        let mut left = 0;
        for (partition, passed) in (0..).zip(passed) {
            if passed.is_none() {
                left += commands.depth(partition).await?.messages;
            }
        }
        // Taking up publishes what a former owner may not have.
        let is_up = health.readiness().ok;
        if (left == 0 && is_up) || Instant::now() > deadline {
            return Ok(if is_up { left } else { left.max(1) });
        }
        sleep(POLL).await;
    }
}

/// Whether nothing more comes: every gateway sends something to every partition in each pulse period. An embedded queue is nobody else's.
async fn is_quiet(settings: &Settings, store: &dyn Store, partitions: u32) -> Result<bool, StoreError> {
    if settings.queue.url.is_embedded() {
        return Ok(true);
    }
    let cursors = async || {
        let mut cursors = Vec::new();
        for partition in 0..partitions {
            cursors.push(store.partition(partition).await?.map(|row| row.cursor));
        }
        Ok::<_, StoreError>(cursors)
    };
    let before = cursors().await?;
    // Two pulses, and the time until the second is committed.
    sleep(Duration::from_millis(2 * u64::from(settings.server.pulse_period_ms)) + COMMITTED_WITHIN).await;
    Ok(cursors().await? == before)
}

/// Settles what the cursor has passed.
async fn settle(commands: &dyn Queue, partition: u32, through: Position) -> Result<(), QueueError> {
    if commands.depth(partition).await?.messages == 0 {
        return Ok(());
    }
    let mut receiver = commands.open(partition, None).await?;
    loop {
        let messages = receiver.receive(ReceiveLimit::default()).await?;
        let Some(last) = messages.last() else { return Ok(()) };
        if last.position.is_none_or(|last| last >= through) {
            return receiver.settle(last.token).await;
        }
    }
}
