//! Direct messages that come before the first frame of all, in a partition that has no clock yet: what time they get.
//!
//! It is the first frame's, as they wait in hand until one is behind them. When there is no more room to wait, a log is read on without
//! keeping what is read. A broker that hands out only so many would never give the frame: there they get the time at which they are
//! taken out of the queue.

use ronda_queue::{Position, ReceiveLimit, Receiver};
use ronda_runtime::{Clock, SystemClock};
use ronda_store::port::{KeyStore, PartitionStore, Retention};

use super::{BEAT, Owner, commands};
use crate::core::{Incoming, PartitionCore};
use crate::runner::ProcessorError;
use crate::runner::batch::Batch;
use crate::runner::pause::pause;
use crate::runner::vitals::Trouble;

/// So many messages, and bytes of them, wait in hand for a partition's first pulse.
const MESSAGES: usize = 10_000;
const BYTES: usize = 32 << 20;

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    /// Receives more, or finds another way to say what time it is for what waits; `false`: it is time to stop.
    pub(super) async fn find_clock(
        &mut self,
        core: &mut PartitionCore,
        receiver: &mut dyn Receiver,
        batch: &mut Batch,
    ) -> Result<bool, ProcessorError> {
        self.tell_clockless();
        let room = ReceiveLimit {
            messages: MESSAGES.min(self.max_unsettled).saturating_sub(batch.count),
            bytes: BYTES.saturating_sub(batch.bytes),
        };
        let capabilities = self.shared.commands.capabilities();
        if room.messages > 0 && room.bytes > 0 && !capabilities.blocks_until_settled {
            return self.receive_more(core, receiver, batch, room).await;
        }
        if capabilities.log {
            let last = batch.waiting.last().and_then(|incoming| incoming.position);
            return self.look_ahead(core, last.map(Position)).await;
        }
        let now_ms = SystemClock::new().wall_millis();
        batch.waiting.iter_mut().for_each(|incoming| incoming.taken_at(now_ms));
        Ok(true)
    }

    async fn receive_more(
        &self,
        core: &PartitionCore,
        receiver: &mut dyn Receiver,
        batch: &mut Batch,
        room: ReceiveLimit,
    ) -> Result<bool, ProcessorError> {
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(false),
                more = receiver.receive(room) => {
                    self.admit(core, batch, more.map_err(commands)?).await?;
                    return Ok(true);
                }
                _ = pause(BEAT, &self.cancel) => self.beat(),
            }
        }
    }

    /// Reads the log on until there is a frame, for nothing but its time.
    async fn look_ahead(&self, core: &mut PartitionCore, after: Option<Position>) -> Result<bool, ProcessorError> {
        let mut scout = self.shared.commands.open(self.partition, after).await.map_err(commands)?;
        loop {
            let ahead = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(false),
                ahead = scout.receive(ReceiveLimit::default()) => ahead.map_err(commands)?,
                _ = pause(BEAT, &self.cancel) => {
                    self.beat();
                    continue;
                }
            };
            let frames = ahead.into_iter().filter(|delivery| delivery.origin.is_none());
            let mut walls = frames.filter_map(|delivery| Incoming::new(delivery, None).wall());
            if let Some(wall) = walls.next() {
                core.first_frame_is_of(wall);
                return Ok(true);
            }
        }
    }

    /// Says once what is missing; readiness says it until the next commit.
    fn tell_clockless(&mut self) {
        let text = "no gateway has ever sent a pulse, so messages that were published directly wait for the first: start a gateway";
        self.shared.vitals.set_trouble(self.partition, Trouble { text: text.to_owned(), is_lasting: false });
        if !std::mem::replace(&mut self.is_clockless_told, true) {
            tracing::warn!(partition = self.partition, "{text}");
        }
    }
}
