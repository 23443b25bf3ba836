//! What the publisher promises, against a queue that does as it is told.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ronda_domain::input::Input;
use ronda_queue::{Capabilities, Depth, Partition, Position, Published, QueueError, QueueErrorKind, Receiver};
use ronda_runtime::{Health, ManualClock};
use ronda_schemas::frame::{Frame, FrameHeader, FrameKind, MAX_REFUSED_TENANTS, Refused};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep};

use super::*;

/// Confirms what it has permits for; fails while told to.
struct Told {
    partitions: u32,
    permits: Semaphore,
    failing: AtomicBool,
    published: Mutex<Vec<(Partition, Bytes)>>,
    attempts: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    linger: Option<Duration>,
}

impl Told {
    fn new(partitions: u32, permits: usize) -> Arc<Self> {
        Self::lingering(partitions, permits, None)
    }

    fn lingering(partitions: u32, permits: usize, linger: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            linger,
            partitions,
            permits: Semaphore::new(permits),
            failing: AtomicBool::new(false),
            published: Mutex::default(),
            attempts: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        })
    }

    fn frames(&self) -> Vec<(Partition, FrameHeader, u32)> {
        let published = self.published.lock();
        let read = |(partition, bytes): &(Partition, Bytes)| {
            let frame = Frame::decode(bytes).unwrap();
            (*partition, frame.header.clone(), frame.command_count())
        };
        published.iter().map(read).collect()
    }

    fn numbers(&self) -> Vec<u64> {
        self.frames().iter().map(|(_, header, _)| header.number).collect()
    }
}

#[async_trait]
impl Queue for Told {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message_bytes: 1 << 20,
            positions: true,
            log: true,
            refuses_when_full: true,
            max_unsettled: None,
            blocks_until_settled: false,
            linger: self.linger,
            direct: false,
        }
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        if self.failing.load(Ordering::SeqCst) {
            return Err(QueueError::transient(QueueErrorKind::Unavailable, Duration::from_millis(100), "told to fail"));
        }
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let permit = self.permits.acquire().await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        permit.unwrap().forget();
        self.published.lock().push((partition, message));
        Ok(Published { position: None })
    }

    async fn open(&self, _: Partition, _: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        Err(QueueError::permanent(QueueErrorKind::Unavailable, "not for reading"))
    }

    async fn depth(&self, _: Partition) -> Result<Depth, QueueError> {
        Ok(Depth::default())
    }
}

struct Running {
    queue: Arc<Told>,
    publisher: Arc<Publisher>,
    senders: JoinSet<()>,
    health: Health,
}

fn start(queue: &Arc<Told>, config: &Config) -> Running {
    let health = Health::new();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let component = health.component("ingest-gateway");
    let publisher = Arc::new(Publisher::new(config, 7, Arc::clone(queue) as Arc<dyn Queue>, clock, component));
    let senders = publisher.start();
    Running { queue: Arc::clone(queue), publisher, senders, health }
}

async fn joined(queue: &Arc<Told>, config: &Config) -> Running {
    let running = start(queue, config);
    queue.permits.add_permits(queue.partitions as usize);
    eventually(|| running.publisher.is_joined()).await;
    running
}

/// Lets paused time pass until it is so.
async fn eventually(mut so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if so() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be");
}

fn command() -> Command<'static> {
    Command { tenant: "acme", scheduler: "nightly", age_ms: 0, input: Input::Pause, message: None }
}

fn quiet() -> Config {
    Config { pulse_period_ms: 3_600_000, ..Config::default() }
}

#[test]
fn partitions_that_are_joined_at_once_are_all_joined_in_the_end() {
    const PARTITIONS: u32 = 8;
    for round in 0..2_000 {
        let health = Health::new();
        let (component, clock) = (health.component("ingest-gateway"), Arc::new(ManualClock::at(1_000_000)));
        let queue = Told::new(PARTITIONS, 0) as Arc<dyn Queue>;
        let publisher = Publisher::new(&quiet(), 7, queue, clock, component);
        std::thread::scope(|threads| {
            for _ in 0..PARTITIONS {
                threads.spawn(|| publisher.shared.joined());
            }
        });
        let readiness = health.readiness();
        assert!(readiness.ok, "round {round}: {:?}", readiness.components);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_before_every_partition_is_joined() {
    let queue = Told::new(2, 1);
    let running = start(&queue, &quiet());
    eventually(|| queue.frames().len() == 1).await;
    sleep(Duration::from_secs(2)).await;
    assert!(!running.publisher.is_joined() && !running.health.readiness().ok);
    assert!(matches!(running.publisher.submit(&command(), Until::Durable), Err(SubmitError::Starting)));
    queue.permits.add_permits(1);
    eventually(|| running.publisher.is_joined()).await;
    assert!(running.health.readiness().ok);
    assert!(queue.frames().iter().all(|(_, header, _)| header.kind == FrameKind::Join && header.number == 1));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_alone_says_so_in_its_first_frames() {
    let running = joined(&Told::new(2, 0), &Config { alone: true, ..quiet() }).await;
    assert!(running.queue.frames().iter().all(|(_, header, _)| header.kind == FrameKind::JoinAlone));
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_frame_is_in_flight_shares_the_next_one() {
    let running = joined(&Told::new(1, 0), &quiet()).await;
    let first = running.publisher.submit(&command(), Until::Durable).unwrap();
    eventually(|| running.queue.in_flight.load(Ordering::SeqCst) == 1).await;
    let others: Vec<_> = (0..99).map(|_| running.publisher.submit(&command(), Until::Durable).unwrap()).collect();
    running.queue.permits.add_permits(2);
    let accepted = running.publisher.confirmed(first).await.unwrap();
    assert_eq!(accepted.message, MessageId { source: 7, sequence: 2, index: 0 });
    for (index, ticket) in (0..).zip(others) {
        let accepted = running.publisher.confirmed(ticket).await.unwrap();
        assert_eq!(accepted.message, MessageId { source: 7, sequence: 3, index });
    }
    let counts: Vec<u32> = running.queue.frames().iter().map(|(_, _, count)| *count).collect();
    assert_eq!(counts, [0, 1, 99]);
    assert_eq!(
        running.queue.most_in_flight.load(Ordering::SeqCst),
        1,
        "one frame of a partition is in flight at a time"
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_frame_that_somebody_waits_for_says_so() {
    let running = joined(&Told::new(1, 100), &quiet()).await;
    for until in [Until::Durable, Until::Applied, Until::Durable] {
        let ticket = running.publisher.submit(&command(), until).unwrap();
        running.publisher.confirmed(ticket).await.unwrap();
    }
    let kinds: Vec<FrameKind> = running.queue.frames().iter().map(|(_, header, _)| header.kind).collect();
    assert_eq!(kinds, [FrameKind::Join, FrameKind::Normal, FrameKind::Awaited, FrameKind::Normal]);
}

#[tokio::test(start_paused = true)]
async fn a_frame_fills_while_commands_come_in_and_goes_at_once_when_none_does() {
    let running = joined(&Told::new(1, 100), &Config { linger_ms: 10, ..quiet() }).await;
    let began = Instant::now();
    let mut tickets = Vec::new();
    for _ in 0..100 {
        tickets.push(running.publisher.submit(&command(), Until::Durable).unwrap());
        // One turn of the runtime, in a tenth of the longest time that a frame may fill.
        tokio::task::yield_now().await;
        if tickets.len() % 10 == 0 {
            advance(Duration::from_millis(10)).await;
        }
    }
    for ticket in tickets {
        running.publisher.confirmed(ticket).await.unwrap();
    }
    let frames = running.queue.frames().len() - 1;
    assert!((2..=20).contains(&frames), "neither one a command nor one for all: {frames}");
    let lone = running.publisher.submit(&command(), Until::Durable).unwrap();
    let asked = Instant::now();
    running.publisher.confirmed(lone).await.unwrap();
    assert_eq!((asked.elapsed(), asked - began), (Duration::ZERO, Duration::from_millis(100)), "it did not linger");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_confirmed_by_a_queue_that_never_confirms() {
    let queue = Told::new(1, 0);
    let running = joined(&queue, &quiet()).await;
    let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
    eventually(|| queue.in_flight.load(Ordering::SeqCst) == 1).await;
    let waiting = running.publisher.submit(&command(), Until::Durable).unwrap();
    assert!(matches!(running.publisher.confirmed(ticket).await, Err(SubmitError::Unconfirmed)), "it may be there");
    let refused = running.publisher.confirmed(waiting).await;
    assert!(matches!(refused, Err(SubmitError::Away)), "its frame was never sent: {refused:?}");
    assert!(
        matches!(running.publisher.submit(&command(), Until::Durable), Err(SubmitError::Away)),
        "refused at once meanwhile"
    );
    assert!(!running.health.readiness().ok);
}

#[tokio::test(start_paused = true)]
async fn once_the_queue_is_known_to_be_away_the_other_partitions_say_so_soon_and_all_are_back_soon() {
    for hangs in [false, true] {
        let running = joined(&Told::new(2, 0), &quiet()).await;
        let names: Vec<String> = (0..100).map(|number| format!("job-{number}")).collect();
        let submit = |partition: u32| {
            let in_it = |name: &&String| partition_of("acme", name, 2) == partition;
            let scheduler = names.iter().find(in_it).unwrap();
            running.publisher.submit(&Command { scheduler, ..command() }, Until::Durable)
        };
        running.queue.failing.store(!hangs, Ordering::SeqCst);
        let began = Instant::now();
        assert!(running.publisher.confirmed(submit(0).unwrap()).await.is_err());
        assert!(began.elapsed() >= Duration::from_secs(4), "what may be a moment is waited out: {:?}", began.elapsed());
        let began = Instant::now();
        assert!(running.publisher.confirmed(submit(1).unwrap()).await.is_err());
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        sleep(Duration::from_secs(60)).await;
        running.queue.failing.store(false, Ordering::SeqCst);
        running.queue.permits.add_permits(100);
        sleep(Duration::from_secs(2)).await;
        for partition in 0..2 {
            running.publisher.confirmed(submit(partition).unwrap()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_frame_is_sent_again_under_its_number_and_confirmed() {
    let running = joined(&Told::new(1, 0), &quiet()).await;
    running.queue.failing.store(true, Ordering::SeqCst);
    let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
    eventually(|| running.queue.attempts.load(Ordering::SeqCst) >= 3).await;
    running.queue.failing.store(false, Ordering::SeqCst);
    running.queue.permits.add_permits(1);
    assert_eq!(running.publisher.confirmed(ticket).await.unwrap().message.sequence, 2);
    assert_eq!(running.queue.numbers(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_given_up_is_declared_in_the_next_frame() {
    let running = joined(&Told::new(1, 0), &quiet()).await;
    running.queue.failing.store(true, Ordering::SeqCst);
    let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
    assert!(running.publisher.confirmed(ticket).await.is_err());
    sleep(Duration::from_secs(600)).await;
    running.queue.failing.store(false, Ordering::SeqCst);
    running.queue.permits.add_permits(2);
    eventually(|| running.health.readiness().ok).await;
    let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
    assert_eq!(running.publisher.confirmed(ticket).await.unwrap().message.sequence, 4);
    let frames = running.queue.frames();
    assert_eq!(running.queue.numbers(), [1, 3, 4], "a long outage uses up one number");
    assert_eq!((frames[1].1.abandoned.as_slice(), frames[1].2), (&[2][..], 0));
    assert!(frames[2].1.abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_sends_nothing_pulses_and_a_frame_is_a_pulse() {
    let running = joined(&Told::new(1, 1_000), &Config::default()).await;
    sleep(Duration::from_millis(10_500)).await;
    let frames = running.queue.frames();
    assert_eq!(frames.len(), 11, "one to join, one a second");
    assert!(frames.iter().skip(1).all(|(_, header, count)| header.kind == FrameKind::Normal && *count == 0));
    for _ in 0..20 {
        let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
        running.publisher.confirmed(ticket).await.unwrap();
        sleep(Duration::from_millis(500)).await;
    }
    assert!(running.queue.frames().iter().skip(11).all(|(_, _, count)| *count == 1), "no pulse between frames");
}

#[tokio::test(start_paused = true)]
async fn leaving_comes_after_everything_that_was_taken() {
    let mut running = joined(&Told::new(2, 0), &quiet()).await;
    let tickets: Vec<_> = (0..10).map(|_| running.publisher.submit(&command(), Until::Durable).unwrap()).collect();
    running.publisher.close();
    assert!(matches!(running.publisher.submit(&command(), Until::Durable), Err(SubmitError::Closed)));
    running.queue.permits.add_permits(100);
    for ticket in tickets {
        running.publisher.confirmed(ticket).await.unwrap();
    }
    while running.senders.join_next().await.is_some() {}
    for partition in 0..2 {
        let frames = running.queue.frames();
        let last = frames.iter().rev().find(|(number, _, _)| *number == partition).unwrap();
        assert_eq!((last.1.kind, last.2), (FrameKind::Leave, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_queue_fills_a_bounded_buffer_and_then_refuses() {
    let config =
        Config { max_buffered_bytes: 10_000, max_frame_bytes: 1_000, publish_attempt_timeout_ms: 60_000, ..quiet() };
    let running = joined(&Told::new(1, 0), &config).await;
    let mut tickets = Vec::new();
    let refused = loop {
        match running.publisher.submit(&command(), Until::Durable) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
        assert!(tickets.len() < 10_000, "the buffer has no bound");
    };
    assert!(matches!(refused, SubmitError::Full));
    assert!(running.publisher.buffered_bytes() <= 10_100);
    running.queue.permits.add_permits(1_000);
    for ticket in tickets {
        running.publisher.confirmed(ticket).await.unwrap();
    }
    assert_eq!(running.publisher.buffered_bytes(), 0);
    assert!(running.queue.published.lock().iter().all(|(_, frame)| frame.len() < 1_200), "frames are bounded too");
    assert!(running.publisher.submit(&command(), Until::Durable).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_bulk_goes_to_its_partitions_in_order_and_names_what_was_not_taken() {
    let running = joined(&Told::new(4, 100), &quiet()).await;
    let names: Vec<String> = (0..100).map(|number| format!("job-{number}")).collect();
    let mut bulk = running.publisher.bulk("acme");
    for (item, name) in (0..).zip(&names) {
        bulk.push(item, &Command { scheduler: name, ..command() }).unwrap();
    }
    let outcome = bulk.commit().await;
    assert_eq!((outcome.accepted, outcome.refused.len()), (100, 0));
    assert_eq!(running.queue.frames().iter().map(|(_, _, count)| count).sum::<u32>(), 100);
    running.queue.failing.store(true, Ordering::SeqCst);
    let mut bulk = running.publisher.bulk("acme");
    bulk.push(5, &command()).unwrap();
    let outcome = bulk.commit().await;
    assert_eq!(outcome.accepted, 0);
    assert_eq!(outcome.refused.first().map(|(items, _)| items.clone()), Some(vec![5]));
}

#[tokio::test(start_paused = true)]
async fn a_pulse_that_does_not_get_through_closes_the_partition_until_one_does() {
    let running = joined(&Told::new(1, 5), &Config::default()).await;
    running.queue.failing.store(true, Ordering::SeqCst);
    eventually(|| !running.health.readiness().ok).await;
    assert!(matches!(running.publisher.submit(&command(), Until::Durable), Err(SubmitError::Away)));
    running.queue.failing.store(false, Ordering::SeqCst);
    running.queue.permits.add_permits(10);
    eventually(|| running.health.readiness().ok).await;
    assert!(running.publisher.submit(&command(), Until::Durable).is_ok());
    advance(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_frame_says_once_that_reports_were_refused() {
    let queue = Told::new(2, 0);
    let running = joined(&queue, &Config { max_buffered_bytes: 1, ..quiet() }).await;
    let first = running.publisher.submit(&command(), Until::Durable).unwrap();
    assert!(matches!(running.publisher.submit(&command(), Until::Durable), Err(SubmitError::Full)));
    let partition = first.partition;
    queue.permits.add_permits(1);
    running.publisher.confirmed(first).await.unwrap();
    running.publisher.note_refused();
    for _ in 0..2 {
        let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
        queue.permits.add_permits(1);
        running.publisher.confirmed(ticket).await.unwrap();
    }
    let frames = queue.frames();
    let refused: Vec<_> =
        frames.iter().filter(|frame| frame.0 == partition).map(|frame| frame.1.refused.clone()).collect();
    // The join, the one that was being sent when another was refused or the one after it, and then only what was noted.
    assert!(matches!(refused[..], [Refused::Nobody, _, Refused::Anybody, Refused::Nobody]), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn reports_that_were_taken_and_given_up_are_said_to_be_refused() {
    let queue = Told::new(1, 0);
    let running = joined(&queue, &quiet()).await;
    let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
    assert!(running.publisher.confirmed(ticket).await.is_err(), "nothing is confirmed");
    queue.permits.add_permits(100);
    sleep(Duration::from_secs(2)).await;
    let ticket = running.publisher.submit(&command(), Until::Durable).unwrap();
    running.publisher.confirmed(ticket).await.unwrap();
    // The given-up frame may have arrived all the same: then there is no hole in the numbers to tell by.
    let refused: Vec<_> = queue.frames().iter().map(|frame| frame.1.refused.clone()).collect();
    assert!(refused.contains(&Refused::Anybody), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_and_what_was_refused_of_a_tenant_are_said_of_that_tenant_alone() {
    let queue = Told::new(2, 0);
    let running = joined(&queue, &Config { max_buffered_bytes: 1, ..quiet() }).await;
    let first = running.publisher.submit(&command(), Until::Durable).unwrap();
    let partition = first.partition;
    eventually(|| queue.in_flight.load(Ordering::SeqCst) == 1).await;
    assert!(matches!(running.publisher.submit(&command(), Until::Durable), Err(SubmitError::Full)));
    let confirm = async |ticket| {
        queue.permits.add_permits(1);
        running.publisher.confirmed(ticket).await.unwrap();
    };
    let next = || running.publisher.submit(&command(), Until::Durable).unwrap();
    confirm(first).await;
    confirm(next()).await;
    running.publisher.note_refused_of("zeta");
    running.publisher.note_refused_of("zeta");
    confirm(next()).await;
    (0..=MAX_REFUSED_TENANTS).for_each(|number| running.publisher.note_refused_of(&format!("tenant-{number}")));
    confirm(next()).await;
    let frames = queue.frames();
    let refused: Vec<_> =
        frames.iter().filter(|frame| frame.0 == partition).skip(2).map(|frame| frame.1.refused.clone()).collect();
    let of = |tenant: &str| Refused::Tenants(vec![tenant.into()]);
    assert_eq!(refused, [of("acme"), of("zeta"), Refused::Anybody]);
}

#[tokio::test(start_paused = true)]
async fn where_publishes_are_dear_a_frame_gathers_for_the_queues_own_time() {
    let queue = Told::lingering(1, 0, Some(Duration::from_millis(40)));
    let health = Health::new();
    let clock = Arc::new(ronda_runtime::SystemClock::new());
    let component = health.component("ingest-gateway");
    let publisher = Arc::new(Publisher::new(&quiet(), 7, Arc::clone(&queue) as Arc<dyn Queue>, clock, component));
    let _senders = publisher.start();
    queue.permits.add_permits(9);
    eventually(|| publisher.is_joined()).await;
    let mut tickets = Vec::new();
    for until in [Until::Durable, Until::Applied, Until::Durable] {
        tickets.push(publisher.submit(&command(), until).unwrap());
        tokio::task::yield_now().await;
    }
    for ticket in tickets {
        publisher.confirmed(ticket).await.unwrap();
    }
    assert_eq!(queue.frames().iter().map(|frame| frame.2).collect::<Vec<_>>(), [0, 3]);
}
