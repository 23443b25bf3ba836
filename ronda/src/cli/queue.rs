//! `queue …` and `dead-letters …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::Place;

/// Below the help of `dead-letters`.
pub const DEAD_LETTERS_HELP: &str = "\
On queues that are logs (embedded, NATS) the newest are listed first. SQS and RabbitMQ hand out the oldest only, so many as they hand out \
at once; those are looked at there, and put back. A letter is named by its id, or by as much of its beginning as no other has. \
Taking one letter out of the middle writes those before it anew behind it; nothing of them changes.";

/// Where the queues are.
#[derive(Clone, Debug, Args)]
pub struct QueuePlace {
    /// Where the queues are: embedded:, nats://…, sqs://…, amqp://… [env: RONDA_QUEUE_URL] [default: embedded:]
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
    /// Where the data directory and the configuration are.
    #[command(flatten)]
    pub place: Place,
}

/// `queue …`
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Make the queues, streams and exchanges that are missing; takes nothing away, and 'up' does it, too
    Init {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Tell what is missing or not as it shall be; ends with code 9 if anything is
    Check {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Show how much waits in each partition, and since when; asks 'up' if it runs, else the queues themselves
    Lag {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Change the number of partitions of the command queue, and of the store that belongs to it; 'up' must not run
    ///
    /// What waits is processed first. Interrupted, it is done by running it again. From then on the settings have to say the new number
    /// (storage.partitions, --partitions).
    Repartition {
        /// The new number, a power of two.
        #[arg(long)]
        partitions: u32,
        /// Wait so long at most until everything that waits is processed.
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        drain_seconds: u64,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
}

/// `dead-letters …`
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List messages that could not be read and were put aside; what is in them is not shown
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000))]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Show one with its reason, its source and the message itself, as text or in hexadecimal
    Show {
        /// Its id, as 'list' shows it.
        id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Put messages back onto the queue, and take their letters away; only those that were published directly
    ///
    /// Of a batch only the commands that the letter names go back. A frame of a gateway can't be put back: its other commands are
    /// applied, its number has passed, and who sent it was answered. Have the reports sent again.
    Redrive {
        /// Its id, as 'list' shows it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All that can be put back.
        #[arg(long)]
        all: bool,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// A file with an API key to put them back with, where messages need one (queue.direct_access = "api_key"): keys are not kept.
        #[arg(long, value_name = "FILE")]
        api_key_file: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Throw letters away
    Discard {
        /// Its id, as 'list' shows it.
        #[arg(required_unless_present_any = ["through", "all"], conflicts_with_all = ["through", "all"])]
        id: Option<String>,
        /// This one and all that are older.
        #[arg(long, value_name = "ID", conflicts_with = "all")]
        through: Option<String>,
        /// All that are there now.
        #[arg(long)]
        all: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the queues are.
        #[command(flatten)]
        place: QueuePlace,
    },
}
