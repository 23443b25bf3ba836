//! `dead-letters list`: see [`admin`](crate::admin) for who reads them.

mod list;

pub use list::{Letter, Listing, Newest, list};

use crate::admin::{self, Reached, socket};
use crate::cli::DeadLettersCommand;
use crate::exit::{Code, Failure};
use crate::settings_command::load;
use crate::text::columns;
use crate::up::parts;

/// Lists them.
///
/// # Errors
/// Why neither the running process nor the queue could be asked, or what is damaged.
pub async fn run(command: DeadLettersCommand) -> Result<String, Failure> {
    let DeadLettersCommand::List { limit, json, place } = command;
    let settings = load(&place, Vec::new())?.settings;
    let data = &settings.storage.data;
    let newest = Newest { limit };
    let open = || {
        if !parts::dead_letters_directory(&settings).is_dir() {
            return Err(admin::no_data(data));
        }
        parts::open_dead_letters(&settings)
    };
    let listing: Listing = match admin::reach(data, socket::DEAD_LETTERS, &newest, open).await? {
        Reached::Running(listing) => listing,
        Reached::Opened(queue) => {
            let listing = list(&queue, newest).await.map_err(|what| Failure::new(Code::Data, what));
            queue.close().await;
            listing?
        }
    };
    if json {
        let value = serde_json::to_value(&listing).map_err(|error| Failure::other(error.to_string()))?;
        return Ok(format!("{value:#}\n"));
    }
    Ok(told(&listing))
}

fn told(listing: &Listing) -> String {
    if listing.items.is_empty() {
        return String::from("There are no dead letters.\n");
    }
    let head = ["TIME", "PARTITION", "OFFSET", "REASON", "BYTES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(listing.items.iter().map(|letter| {
        vec![
            letter.at.map_or_else(|| String::from("-"), |at| ronda_schemas::api::time::format_rfc3339(at.0)),
            letter.partition.map_or_else(|| String::from("-"), |partition| partition.to_string()),
            letter.offset.map_or_else(|| String::from("-"), |offset| offset.to_string()),
            letter.reason.clone(),
            letter.message_bytes.to_string(),
        ]
    }));
    let mut text = columns(&rows);
    let older = listing.total.saturating_sub(listing.items.len() as u64);
    if older > 0 {
        text.push_str(&format!("… and {older} older ones (--limit)\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use ronda_domain::time::Timestamp;
    use ronda_schemas::api::time::Time;

    use super::*;

    #[test]
    fn a_letter_is_one_line_and_what_is_left_out_is_counted() {
        let letter = Letter {
            at: Some(Time(Timestamp::from_seconds(0))),
            partition: Some(3),
            offset: Some(17),
            commands: Vec::new(),
            reason: String::from("not_a_frame"),
            message_bytes: 9,
        };
        let listing = Listing { items: vec![letter], total: 3 };
        assert_eq!(
            told(&listing),
            "TIME                      PARTITION  OFFSET  REASON       BYTES\n\
             1970-01-01T00:00:00.000Z  3          17      not_a_frame  9\n\
             … and 2 older ones (--limit)\n"
        );
        assert_eq!(told(&Listing { items: Vec::new(), total: 0 }), "There are no dead letters.\n");
    }
}
