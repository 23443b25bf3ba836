//! What of a letter's message is put back, and as what.
//!
//! A message that was refused as a whole goes back as it was. Of a batch of which the other commands are applied only those go back that
//! the letter names, each as a message of its own. What has no id of its publisher's gets one that is made of the letter's, so that it
//! counts once also when somebody is killed between putting it back and taking the letter out.

use bytes::Bytes;
use ronda_domain::id::partition_of;
use ronda_processor::DeadLetter;
use ronda_queue::Origin;
use ronda_schemas::codec::Versioned;
use ronda_schemas::direct::{self, ID_HEADERS};

use super::key::ApiKey;
use super::letter;

/// One message to put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) partition: u32,
    pub(super) message: Bytes,
    pub(super) origin: Origin,
}

/// The messages of a letter to put back, in their order.
///
/// # Errors
/// Why it can't be put back.
pub(super) fn again(bytes: &[u8], partitions: u32, api_key: Option<&ApiKey>) -> Result<Vec<Again>, &'static str> {
    let Ok(found) = DeadLetter::decode(bytes) else {
        return Err("the letter itself can't be read, so there is nothing to put back");
    };
    let Some(mut origin) = letter::origin(&found) else {
        return Err(
            "a gateway sent it, in a frame: the frame's other commands are applied, and its number has passed, so that it would be \
                    dropped. Have the reports sent again",
        );
    };
    if found.message.len() as u64 != found.message_bytes {
        return Err("it was too large to be kept whole, so it can't be put back: have it published again");
    }
    let id = letter::id(bytes);
    let messages = match found.command {
        None => {
            name(&mut origin, &id);
            vec![(found.message.clone(), origin)]
        }
        Some(first) => named_commands(&found, first, &origin, &id)?,
    };
    let known = found.origin.as_deref().and_then(|origin| origin.tenant.as_deref());
    let messages = messages.into_iter().map(|(message, mut origin)| {
        let partition = partition(known.or(origin.tenant.as_deref()), &message, &origin, partitions.max(1));
        let partition = partition.unwrap_or(found.partition % partitions.max(1));
        if let Some(key) = api_key {
            // First: SQS takes ten of them.
            origin.headers.insert(0, (String::from("x-api-key"), key.as_str().to_owned()));
        }
        Again { partition, message, origin }
    });
    Ok(messages.collect())
}

/// Those commands of a batch that a letter names.
fn named_commands(
    found: &DeadLetter,
    first: u32,
    origin: &Origin,
    id: &str,
) -> Result<Vec<(Bytes, Origin)>, &'static str> {
    const TORN: &str = "it names commands of a batch that can't be taken apart, and the batch's other commands are applied: have the named ones \
                        published again";
    let parts = direct::parts(&found.message, &origin.headers).ok_or(TORN)?;
    let named = std::iter::once(first).chain(found.more.iter().copied());
    let messages = named.map(|index| {
        let part = parts.get(usize::try_from(index).ok()?)?;
        let mut origin = origin.clone();
        // By the batch's id they would be its first command.
        origin.headers.retain(|(name, _)| *name != direct::TRANSFER_ENCODING && !ID_HEADERS.contains(&name.as_str()));
        origin.message_id = None;
        name(&mut origin, &format!("{id}-{index}"));
        Some((Bytes::copy_from_slice(part), origin))
    });
    messages.collect::<Option<_>>().ok_or(TORN)
}

/// Sees to it that a message has an id, also where the broker gives ids itself: as a header.
fn name(origin: &mut Origin, fresh: &str) {
    let is_named = ID_HEADERS.iter().any(|name| origin.header(name).is_some_and(|id| !id.is_empty()));
    if is_named {
        return;
    }
    let id = origin.message_id.take().filter(|id| !id.is_empty()).unwrap_or_else(|| format!("redriven-{fresh}"));
    // Ahead of the others: SQS has room for few and leaves out the last.
    origin.headers.insert(0, (ID_HEADERS[1].to_owned(), id.clone()));
    origin.message_id = Some(id);
}

/// Where a message belongs now: there may be another number of partitions since. `None`: that can't be read.
fn partition(tenant: Option<&str>, message: &[u8], origin: &Origin, partitions: u32) -> Option<u32> {
    let commands = direct::read(message, &origin.headers).unwrap_or_default();
    let scheduler = commands.into_iter().find_map(|command| {
        let scheduler = command.map_or_else(|wrong| wrong.scheduler, |command| command.scheduler_id.into_owned());
        (!scheduler.is_empty()).then_some(scheduler)
    })?;
    Some(partition_of(tenant?, &scheduler, partitions))
}

#[cfg(test)]
mod tests {
    use ronda_domain::time::Timestamp;
    use ronda_processor::LetterOrigin;

    use super::*;

    const PARTITIONS: u32 = 8;

    fn letter(message: &str, commands: &[u32], headers: &[(&str, &str)]) -> DeadLetter {
        let own = |text: &str| Box::<str>::from(text);
        DeadLetter {
            partition: 3,
            position: 7,
            command: commands.first().copied(),
            more: commands.iter().skip(1).copied().collect(),
            at: Timestamp::from_seconds(60),
            code: "wrong_partition".into(),
            detail: "it belongs elsewhere".into(),
            message_bytes: message.len() as u64,
            message: message.to_owned().into(),
            origin: Some(Box::new(LetterOrigin {
                tenant: Some(own("acme")),
                source: own("ronda.in.acme.job"),
                named_tenant: Some(own("acme")),
                message_id: None,
                headers: headers.iter().map(|(name, value)| (own(name), own(value))).collect(),
            })),
        }
    }

    fn put_back(letter: &DeadLetter) -> Vec<Again> {
        again(&letter.encode().unwrap(), PARTITIONS, None).unwrap()
    }

    fn ids(messages: &[Again]) -> Vec<&str> {
        messages.iter().map(|again| again.origin.header("message-id").unwrap_or_default()).collect()
    }

    #[test]
    fn of_a_batch_only_the_named_commands_go_back_each_by_itself() {
        let command = |scheduler: &str| format!(r#"{{"type":"pause","scheduler_id":"{scheduler}"}}"#);
        let batch = format!("[{}, {},\n{}]", command("a"), command("b"), command("c"));
        let of_batch = letter(&batch, &[1, 2], &[("nats-msg-id", "the-batch"), ("trace", "t")]);
        let messages = put_back(&of_batch);
        let texts: Vec<_> = messages.iter().map(|again| again.message.clone()).collect();
        assert_eq!(texts, [command("b"), command("c")].map(Bytes::from));
        let partitions: Vec<_> = messages.iter().map(|again| again.partition).collect();
        assert_eq!(partitions, ["b", "c"].map(|scheduler| partition_of("acme", scheduler, PARTITIONS)));
        assert_eq!(ids(&messages), ids(&put_back(&of_batch)), "who is killed in between says the same again");
        assert_ne!(ids(&messages)[0], ids(&messages)[1]);
        let origin = &messages[0].origin;
        assert_eq!((origin.header("nats-msg-id"), origin.header("trace")), (None, Some("t")));
        assert_eq!(origin.message_id.as_deref(), origin.header("message-id"));
        assert_eq!(origin.header("ronda-redriven"), Some("1"));
    }

    #[test]
    fn a_whole_message_keeps_its_id_and_gets_one_if_it_has_none() {
        let message = r#"{"type":"pause","scheduler_id":"a"}"#;
        let named = put_back(&letter(message, &[], &[("message-id", "m-1")]));
        assert_eq!((ids(&named), named[0].message.clone()), (vec!["m-1"], Bytes::from(message)));
        let mut by_broker = letter(message, &[], &[]);
        by_broker.origin.as_deref_mut().unwrap().message_id = Some("sqs-1".into());
        assert_eq!(ids(&put_back(&by_broker)), ["sqs-1"], "the broker gives it another one");
        let none = put_back(&letter(message, &[], &[]));
        assert!(ids(&none)[0].starts_with("redriven-"), "{none:?}");
        assert_eq!(none[0].origin.message_id.as_deref(), Some(ids(&none)[0]));
    }

    #[test]
    fn what_can_not_be_taken_apart_or_is_cut_stays() {
        for (message, commands) in [("rubbish", &[1][..]), (r#"[{"type":"pause"}]"#, &[4])] {
            let refused = again(&letter(message, commands, &[]).encode().unwrap(), PARTITIONS, None).unwrap_err();
            assert!(refused.contains("can't be taken apart"), "{refused}");
        }
        let cut = DeadLetter { message_bytes: 100, ..letter("{", &[], &[]) };
        let refused = again(&cut.encode().unwrap(), PARTITIONS, None).unwrap_err();
        assert!(refused.contains("kept whole"), "{refused}");
    }

    #[test]
    fn a_key_goes_with_what_is_put_back() {
        let key = ApiKey::read("rk_1\n").unwrap();
        let bytes = letter(r#"{"type":"pause","scheduler_id":"a"}"#, &[], &[]).encode().unwrap();
        let messages = again(&bytes, PARTITIONS, Some(&key)).unwrap();
        assert_eq!(messages[0].origin.header("x-api-key"), Some("rk_1"));
    }
}
