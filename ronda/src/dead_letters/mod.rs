//! `dead-letters list|show|redrive|discard`: see [`admin`](crate::admin) for who carries them out.

mod again;
mod key;
mod letter;
mod operation;
mod reading;

pub use key::ApiKey;
pub use letter::{Letter, Whole};
pub use operation::{Answer, Listing, Operation, Queues, perform};

use std::path::Path;

use ronda_queue::{Broker, Role};

use crate::admin::{self, Named, NotDone, Reached, socket};
use crate::cli::{DeadLettersCommand, QueuePlace};
use crate::queue::place;
use crate::text::{columns, printable};
use ronda_host::config::{DirectAccess, Settings};
use ronda_host::exit::{Code, Failure};

/// Does one.
///
/// # Errors
/// What is wrong with it, why neither the running process nor the queue could be asked, or what is damaged.
pub async fn run(command: DeadLettersCommand) -> Result<String, Failure> {
    let (operation, json, place) = operation(command)?;
    let answer = carry_out(&place, operation).await?;
    if json { admin::as_json(&answer) } else { Ok(told(&answer)) }
}

fn operation(command: DeadLettersCommand) -> Result<(Operation, bool, QueuePlace), Failure> {
    Ok(match command {
        DeadLettersCommand::List { limit, json, place } => (Operation::List { limit }, json, place),
        DeadLettersCommand::Show { id, json, place } => (Operation::Show { id }, json, place),
        DeadLettersCommand::Redrive { id, all: _, tenant, api_key_file, json, place } => {
            let api_key = api_key_file.as_deref().map(api_key).transpose()?;
            if api_key.is_some() && id.is_none() && tenant.is_none() {
                let what = "--all with --api-key-file needs --tenant: a key is one tenant's, and where the broker names none, every message \
                            that it goes with is taken for that one's";
                return Err(Failure::new(Code::Usage, what));
            }
            (Operation::Redrive { id, tenant, api_key }, json, place)
        }
        DeadLettersCommand::Discard { id, through, all: _, json, place } => {
            let and_older = through.is_some();
            (Operation::Discard { id: id.or(through), and_older }, json, place)
        }
    })
}

fn api_key(file: &Path) -> Result<ApiKey, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    let key = text.and_then(|text| ApiKey::read(&text));
    key.map_err(|what| Failure::new(Code::Usage, format!("--api-key-file {}: {what}", file.display())))
}

async fn carry_out(place: &QueuePlace, operation: Operation) -> Result<Answer, Failure> {
    let loaded = place::load(place)?;
    let settings = &loaded.settings;
    // Only what is put back needs the queue of commands, which takes long to open when much waits in it.
    let roles: &[Role] = match operation {
        Operation::Redrive { .. } => &[Role::DeadLetters, Role::Commands],
        _ => &[Role::DeadLetters],
    };
    let open = || place::open(settings, roles);
    let data = &settings.storage.data;
    match admin::reach(data, socket::DEAD_LETTERS, &Named::of(&loaded), &operation, open).await? {
        Reached::Running(answer) => Ok(answer),
        Reached::Opened(opened) => {
            let broker = opened.broker().await?;
            let done = on_broker(&*broker, roles, needs_key(settings), operation).await;
            broker.close().await;
            done.map_err(|why| why.failure(settings))
        }
    }
}

async fn on_broker(
    broker: &dyn Broker,
    roles: &[Role],
    needs_key: bool,
    operation: Operation,
) -> Result<Answer, NotDone> {
    let dead_letters = broker.queue(Role::DeadLetters).await?;
    let commands = match roles.contains(&Role::Commands) {
        true => Some(broker.queue(Role::Commands).await?),
        false => None,
    };
    let queues = Queues { dead_letters: &*dead_letters, commands: commands.as_deref(), needs_key };
    perform(queues, operation).await
}

/// Whether the queue of commands takes direct messages with an API key only.
#[must_use]
pub fn needs_key(settings: &Settings) -> bool {
    settings.queue.direct_access == DirectAccess::ApiKey
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Listed(listing) => listed(listing),
        Answer::Shown(whole) => shown(whole),
        Answer::Redriven { ids, left } => {
            let left = match left {
                0 => String::new(),
                left => format!(" {left} can't be put back: 'show' and 'redrive' with an id say why."),
            };
            format!("{} put back onto the queue of commands.{left}\n", counted(ids.len()))
        }
        Answer::Discarded { ids } => format!("{} thrown away.\n", counted(ids.len())),
    }
}

fn counted(letters: usize) -> String {
    match letters {
        0 => String::from("No dead letter was"),
        1 => String::from("1 dead letter was"),
        letters => format!("{letters} dead letters were"),
    }
}

fn listed(listing: &Listing) -> String {
    if listing.items.is_empty() {
        return String::from("There are no dead letters.\n");
    }
    let head = ["ID", "TIME", "PARTITION", "OFFSET", "REASON", "BYTES", "SOURCE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
    rows.extend(listing.items.iter().map(|letter| {
        vec![
            letter.id.clone(),
            or_none(letter.at.map(|at| ronda_schemas::api::time::format_rfc3339(at.0))),
            or_none(letter.partition.map(|partition| partition.to_string())),
            or_none(letter.offset.map(|offset| offset.to_string())),
            letter.reason.clone(),
            letter.message_bytes.to_string(),
            letter.source.clone().unwrap_or_else(|| String::from("a gateway")),
        ]
    }));
    let mut text = columns(&rows);
    let others = listing.total.saturating_sub(listing.items.len() as u64);
    if others > 0 {
        let (age, why) = match listing.is_oldest_first {
            true => ("newer", "--limit; this broker hands out its oldest only"),
            false => ("older", "--limit"),
        };
        text.push_str(&format!("… and {others} {age} ones ({why})\n"));
    }
    text
}

fn shown(whole: &Whole) -> String {
    let letter = &whole.letter;
    let mut rows = vec![vec![String::from("id"), letter.id.clone()]];
    let mut add = |name: &str, value: Option<String>| rows.extend(value.map(|value| vec![name.to_owned(), value]));
    add("time", letter.at.map(|at| ronda_schemas::api::time::format_rfc3339(at.0)));
    add("partition", letter.partition.map(|partition| partition.to_string()));
    add("offset", letter.offset.map(|offset| offset.to_string()));
    add("reason", Some(letter.reason.clone()));
    add("detail", Some(whole.detail.clone()));
    add("source", Some(letter.source.clone().unwrap_or_else(|| String::from("a gateway, in a frame"))));
    add("tenant", letter.tenant.clone());
    add("message id", whole.message_id.clone());
    let commands: Vec<String> = letter.commands.iter().map(ToString::to_string).collect();
    add("commands", Some(commands.join(", ")).filter(|commands| !commands.is_empty()));
    for (name, value) in &whole.headers {
        add("header", Some(format!("{name}: {value}")));
    }
    let part = if whole.is_whole { "all of it" } else { "its beginning" };
    let form = if whole.hex.is_some() { ", in hexadecimal" } else { "" };
    add("message", Some(format!("{} bytes; {part}{form}:", letter.message_bytes)));
    let message = whole.text.as_deref().or(whole.hex.as_deref()).unwrap_or_default();
    let message: Vec<String> = message.lines().map(printable).collect();
    format!("{}\n{}\n", columns(&rows), message.join("\n"))
}

#[cfg(test)]
mod tests {
    use ronda_domain::time::Timestamp;
    use ronda_schemas::api::time::Time;

    use super::*;

    fn letter() -> Letter {
        Letter {
            id: String::from("0123456789abcdef"),
            at: Some(Time(Timestamp::from_seconds(0))),
            partition: Some(3),
            offset: Some(17),
            commands: Vec::new(),
            reason: String::from("not_a_frame"),
            source: None,
            tenant: None,
            message_bytes: 9,
        }
    }

    #[test]
    fn a_letter_is_one_line_and_what_is_left_out_is_counted() {
        let listing = Listing { items: vec![letter()], total: 3, is_oldest_first: false };
        assert_eq!(
            listed(&listing),
            "ID                TIME                      PARTITION  OFFSET  REASON       BYTES  SOURCE\n\
             0123456789abcdef  1970-01-01T00:00:00.000Z  3          17      not_a_frame  9      a gateway\n\
             … and 2 older ones (--limit)\n"
        );
        let empty = Listing { items: Vec::new(), total: 0, is_oldest_first: false };
        assert_eq!(listed(&empty), "There are no dead letters.\n");
    }

    #[test]
    fn a_letter_is_shown_with_its_message_last() {
        let (letter, detail) = (letter(), String::from("the header is cut short"));
        let headers = vec![(String::from("x-api-key"), String::from("***"))];
        let (message_id, text) = (Some(String::from("m-1")), Some(String::from("hello")));
        let whole = Whole { letter, detail, message_id, headers, text, hex: None, is_whole: true };
        let text = shown(&whole);
        assert!(
            text.contains("header      x-api-key: ***\n") && text.ends_with("9 bytes; all of it:\n\nhello\n"),
            "{text}"
        );
        assert!(text.contains("message id  m-1\n"), "{text}");
    }
}
