//! Messages that were published onto the queue directly. They have no time of their own: they get the partition's clock, and don't move it.

use ronda_domain::id::{MessageId, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::command::Command;
use ronda_schemas::direct::{self, DirectCommand, Named, Wrong};
use ronda_schemas::row::ErrorRow;

use super::PartitionCore;
use super::errors::cut;
use super::incoming::{Access, Direct, Incoming, Place};
use super::told::LeftOut;

/// Longest text about what is wrong with a message, in bytes.
const MAX_DETAIL_BYTES: usize = 2_000;

impl PartitionCore {
    /// When a direct message that comes first of these comes in; `None`: no gateway has ever said what time it is, as far as these go.
    pub(super) fn time_of(&mut self, deliveries: &[Incoming]) -> Option<Timestamp> {
        if self.watermark != Timestamp::MIN || deliveries.first().is_none_or(|first| first.direct.is_none()) {
            return Some(self.watermark);
        }
        let published = deliveries.first().and_then(|first| first.direct.as_deref()?.origin.published_ms);
        // Those without a time of their own, before the first frame, come in at the frame's.
        if published.is_none() && self.first_wall.is_none() {
            self.first_wall = deliveries.iter().find_map(Incoming::wall);
        }
        let at = published.map(Timestamp::from_millis).or(self.first_wall)?;
        // Never before an earlier one's: what is said later must not look older, as the frame is that lay behind a long backlog.
        self.made_up = self.made_up.max(at);
        Some(self.made_up)
    }

    /// Whether the deliveries begin with direct messages that can't be taken until there is a frame behind them.
    #[must_use]
    pub const fn lacks_clock(&self) -> bool {
        self.lacks_clock
    }

    /// The first frame of all, which is further behind in the queue than what is taken together, was closed at this time.
    pub fn first_frame_is_of(&mut self, wall: Timestamp) {
        self.first_wall.get_or_insert(wall);
    }

    /// Applies a direct message's commands.
    pub(super) fn direct(&mut self, place: Place<'_>, origin: &Direct, at: Timestamp) {
        self.work.counts.direct_messages += 1;
        let own = self.own_id(place, origin);
        match &origin.access {
            Err(denied) => self.put_aside_direct(place, "", None, denied.code, &denied.detail),
            Ok(access) => match direct::read(&place.incoming.message, &origin.origin.headers) {
                Ok(commands) => {
                    let is_batch = commands.len() > 1;
                    for (index, command) in (0_u32..).zip(commands) {
                        let message = MessageId { index, ..own };
                        let index = is_batch.then_some(index);
                        match command {
                            Ok(command) => self.direct_command(place, access, (at, message), index, &command),
                            Err(wrong) => self.wrong(place, access, (at, message), index, &wrong),
                        }
                    }
                }
                Err(wrong) => self.wrong(place, access, (at, own), None, &wrong),
            },
        }
        self.tick(place.position, MessageId { index: u32::MAX, ..own });
    }

    /// The message that it is: what its publisher calls it, so that one sent twice is one; else its place in the queue.
    fn own_id(&self, place: Place<'_>, origin: &Direct) -> MessageId {
        match (&origin.access, origin.id()) {
            (Ok(access), Some(id)) => {
                direct::message_id(access.tenant.as_str(), &Named { source: String::new(), id: id.to_owned() }, 0)
            }
            _ => MessageId { source: self.place_source, sequence: place.position, index: 0 },
        }
    }

    fn direct_command(
        &mut self,
        place: Place<'_>,
        access: &Access,
        (at, own): (Timestamp, MessageId),
        index: Option<u32>,
        command: &DirectCommand<'_>,
    ) {
        let tenant = access.tenant.as_str();
        // It has a name of its own, so its place in a batch says nothing: a retry may come in another batch, or alone.
        let named = command.named.as_ref().map(|named| direct::message_id(tenant, named, 0));
        let message = named.unwrap_or(own);
        let scope =
            if command.body.needs_admin() { ("admin", access.scopes.admin) } else { ("ingest", access.scopes.ingest) };
        if let (scope, false) = scope {
            let wrong = Wrong {
                code: "forbidden",
                detail: format!("the key does not have the scope {scope}, which this takes"),
                scheduler: command.scheduler_id.clone().into_owned(),
                command: command.body.name(),
            };
            return self.wrong(place, access, (at, message), index, &wrong);
        }
        let (scheduler, input) = (&*command.scheduler_id, command.body.input());
        let command = Command { tenant, scheduler, age_ms: 0, input, message: Some(message) };
        self.command(place, (at, message), index, &command);
    }

    /// What can't be read goes to the dead letters and to its tenant's error feed.
    fn wrong(
        &mut self,
        place: Place<'_>,
        access: &Access,
        (at, message): (Timestamp, MessageId),
        index: Option<u32>,
        wrong: &Wrong,
    ) {
        self.refused = self.refused.saturating_add(1);
        self.work.counts.refused += 1;
        self.put_aside_direct(place, access.tenant.as_str(), index, wrong.code, &wrong.detail);
        self.tell_error(
            place,
            ErrorRow {
                tenant: access.tenant.clone(),
                at,
                message,
                scheduler: cut(&wrong.scheduler, 256).into(),
                command: wrong.command.into(),
                code: wrong.code.into(),
                detail: cut(&wrong.detail, MAX_DETAIL_BYTES).into(),
            },
        );
    }

    pub(super) fn put_aside_direct(
        &mut self,
        place: Place<'_>,
        tenant: &str,
        index: Option<u32>,
        code: &str,
        detail: &str,
    ) {
        // Further commands of a letter that is kept are only noted in it.
        let is_begun = self.work.dead_letters.iter().rev().take_while(|letter| letter.position == place.position);
        if is_begun.into_iter().any(|letter| *letter.code == *code) || self.told.letter(tenant) {
            self.put_aside(place, index, code, detail);
        } else {
            self.work.counts.letters_left_out += 1;
        }
    }

    /// An entry for a tenant's error feed. Of what gateways bring, all are told: it has passed their rate limits.
    pub(super) fn tell_error(&mut self, place: Place<'_>, row: ErrorRow) {
        if place.direct().is_none() || self.told.error(row.tenant.as_str()) {
            self.work.errors.push(row);
        } else {
            self.work.counts.errors_left_out += 1;
        }
    }

    /// The clock has moved: tells what was left out in the minute before.
    pub(super) fn tell_left_out(&mut self) {
        for LeftOut { tenant, minute, errors, letters } in self.told.come_to(self.watermark) {
            let Ok(tenant) = TenantId::new(&tenant) else { continue };
            let [source, _] = direct::digest_of(&[b"left out"]);
            let sequence = u64::try_from(minute).unwrap_or_default();
            self.work.errors.push(ErrorRow {
                tenant,
                at: self.watermark,
                message: MessageId { source, sequence, index: self.partition },
                scheduler: Box::default(),
                command: "message".into(),
                code: "errors_left_out".into(),
                detail: format!(
                    "of messages published directly within a minute, {errors} more errors are not listed and {letters} more \
                     messages are not in the dead letters: there were too many"
                )
                .into(),
            });
        }
    }
}
