use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use ronda_processor::DeadLetter;
use ronda_processor::dead_letter::LetterOrigin;
use ronda_queue::{
    Capabilities, Depth, EmbeddedOptions, EmbeddedQueue, Origin, Partition, Position, Published, Receiver,
};
use ronda_schemas::codec::Versioned;

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
    perform(Queues { dead_letters: queue, commands: None, needs_key: false }, operation).await.unwrap()
}

fn redriven(id: Option<String>) -> Operation {
    Operation::Redrive { id, tenant: None, api_key: None }
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
    let refused = perform(Queues { dead_letters: &queue, commands: None, needs_key: false }, discard(&id))
        .await
        .unwrap_err()
        .to_string();
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
    let queues = Queues { dead_letters: &queue, commands: Some(&queue), needs_key: false };
    let refused = perform(queues, redriven(Some(named(1)))).await.unwrap_err().to_string();
    assert!(refused.contains("Have the reports sent again"), "{refused}");
    let Answer::Redriven { ids, left } = perform(queues, redriven(None)).await.unwrap() else { panic!("some") };
    assert_eq!((ids.len(), left, listed(&queue).await.len()), (0, 6, 6));
    let refused = perform(queues, Operation::Show { id: String::new() }).await.unwrap_err().to_string();
    assert!(refused.contains("several"), "{refused}");
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
    let queues = Queues { dead_letters: &queue, commands: Some(&commands), needs_key: false };
    let Answer::Redriven { ids, left } = perform(queues, redriven(None)).await.unwrap() else { panic!("put back") };
    assert_eq!((ids.len(), left, ids.contains(&letter::id(&direct.encode().unwrap()))), (5, 6, true));
    let put_back = commands.0.lock().unwrap().clone();
    let [(partition, message, origin), readable @ ..] = put_back.as_slice() else { panic!("five: {put_back:?}") };
    let went: Vec<u32> = readable.iter().map(|(partition, ..)| *partition).collect();
    assert_eq!(went, schedulers.map(|scheduler| ronda_domain::id::partition_of("acme", scheduler, 2)));
    assert_eq!((*partition, message, origin.tenant.as_deref()), (1, &direct.message, Some("acme")));
    assert_eq!(listed(&queue).await, [6, 5, 4, 3, 2, 1].map(Some));
}

#[tokio::test]
async fn a_key_is_asked_for_where_one_is_needed_and_goes_with_one_tenants_letters_only() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() };
    let queue = EmbeddedQueue::open(dir.path(), options).unwrap();
    for (position, tenant) in [(1, Some("acme")), (2, Some("other")), (3, None)] {
        let origin = LetterOrigin { tenant: tenant.map(Into::into), ..LetterOrigin::default() };
        let letter = DeadLetter { origin: Some(Box::new(origin)), command: None, ..letter(position) };
        queue.publish(0, letter.encode().unwrap().into()).await.unwrap();
    }
    let commands = Commands::default();
    let queues = Queues { dead_letters: &queue, commands: Some(&commands), needs_key: true };
    let refused = perform(queues, redriven(None)).await.unwrap_err().to_string();
    assert!(refused.contains("--api-key-file") && commands.0.lock().unwrap().is_empty(), "{refused}");
    let key = ApiKey::read(" rk_1\n").unwrap();
    let operation = Operation::Redrive { id: None, tenant: Some("acme".into()), api_key: Some(key) };
    assert!(!format!("{operation:?}").contains("rk_1"), "{operation:?}");
    let passed_on = serde_json::from_value(serde_json::to_value(&operation).unwrap()).unwrap();
    let Answer::Redriven { ids, left } = perform(queues, passed_on).await.unwrap() else { panic!("put back") };
    assert_eq!((ids.len(), left, listed(&queue).await), (1, 0, vec![Some(3), Some(2)]));
    assert_eq!(commands.0.lock().unwrap()[0].2.header("x-api-key"), Some("rk_1"));
}
