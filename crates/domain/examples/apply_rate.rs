//! How many heartbeats a second one core applies: 100,000 schedulers, each with a healthy open run, in a shuffled order. Once
//! `apply` alone, with a limit; once, to compare, with the lookup of the scheduler by its key in a map and its next deadline. And
//! how long a run of a nightly job takes from its start to its end, the ticks after both included. Prints one line of JSON; ends
//! with an error when the limit is not kept.

use std::collections::HashMap;
// The domain reads no clock; measuring it does.
use std::time::Instant;

use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::{HeartbeatReport, Input, ProgressReport, ReportedStatus, StatusReport};
use ronda_domain::time::Timestamp;
use ronda_domain::{Effects, ScheduleDraft, Scheduler, SpecDraft, apply, next_deadline};

const SCHEDULERS: usize = 100_000;
const HEARTBEATS: usize = 5_000_000;
const NIGHTS: u32 = 20_000;
/// Heartbeats a second that `apply` alone has to keep up.
const LEAST_PER_SECOND: f64 = 2_000_000.0;
const RUN: &str = "scheduled__2026-11-24T01:00:00";

/// Microseconds that one run of a nightly job takes: `running`, a tick, `success`, a tick.
fn run_micros(slot: &mut Option<Scheduler>, key: &SchedulerKey, first: Timestamp) -> f64 {
    let mut effects = Effects::new();
    #[allow(clippy::disallowed_methods)]
    let started = Instant::now();
    for night in 0..NIGHTS {
        let at = first.plus_millis(i64::from(night) * 86_400_000);
        let run_id = format!("night-{night}");
        for (index, status) in [ReportedStatus::Running, ReportedStatus::Success].into_iter().enumerate() {
            let at = at.plus_seconds(if index == 0 { 1 } else { 60 });
            let message = MessageId { source: 3, sequence: u64::from(night), index: u32::from(index == 1) };
            apply(slot, key, &Input::Status(report(status, &run_id)), at, message, &mut effects);
            apply(slot, key, &Input::Tick, at, message, &mut effects);
        }
        effects.clear();
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(NIGHTS)
}

/// A nightly job with an open run.
fn running(id: &str, key: &SchedulerKey, start: Timestamp, sequence: u64) -> Result<Option<Scheduler>, String> {
    let schedule = ScheduleDraft {
        cron: Some("0 1 * * *".to_owned()),
        timezone: Some("Asia/Jakarta".to_owned()),
        ..ScheduleDraft::default()
    };
    let draft = SpecDraft {
        id: id.to_owned(),
        schedule: Some(schedule),
        heartbeat_timeout_seconds: Some(120),
        ..SpecDraft::default()
    };
    let spec = draft.validate().map_err(|errors| format!("{errors:?}"))?;
    let (mut slot, mut effects) = (None, Effects::new());
    let message = MessageId { source: 1, sequence, index: 0 };
    apply(&mut slot, key, &Input::Register(Box::new(spec)), start, message, &mut effects);
    apply(&mut slot, key, &Input::Status(report(ReportedStatus::Running, RUN)), start, message, &mut effects);
    apply(&mut slot, key, &Input::Tick, start, message, &mut effects);
    Ok(slot)
}

/// All the schedulers' places, in an order that caches can't guess and that is the same every time.
fn shuffled() -> Vec<usize> {
    let mut order: Vec<usize> = (0..SCHEDULERS).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_usize;
    for last in (1..SCHEDULERS).rev() {
        // Marsaglia's xorshift64.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        order.swap(last, random % (last + 1));
    }
    order
}

/// Heartbeats a second, given by the scheduler's place to what applies them.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)]
fn heartbeats_per_second(start: Timestamp, mut each: impl FnMut(usize, &Input<'_>, Timestamp, MessageId)) -> f64 {
    let order = shuffled();
    #[allow(clippy::disallowed_methods)]
    let started = Instant::now();
    for (number, place) in order.iter().cycle().take(HEARTBEATS).enumerate() {
        let progress = ProgressReport { done: number as u64, total: None, message: None };
        let report = HeartbeatReport { run_id: Some(RUN), occurred_at: None, progress: Some(progress) };
        let at = start.plus_millis(number as i64 / 1_000);
        let message = MessageId { source: 2, sequence: number as u64, index: 0 };
        each(*place, &Input::Heartbeat(report), at, message);
    }
    HEARTBEATS as f64 / started.elapsed().as_secs_f64()
}

const fn report(status: ReportedStatus, run_id: &str) -> StatusReport<'_> {
    StatusReport {
        status,
        run_id: Some(run_id),
        occurred_at: None,
        error: None,
        exit_code: None,
        duration_ms: None,
        metadata: Vec::new(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tenant = TenantId::new("acme")?;
    let start = Timestamp::from_seconds(1_795_000_000);
    let mut effects = Effects::new();
    let (mut states, mut keys) = (Vec::with_capacity(SCHEDULERS), Vec::with_capacity(SCHEDULERS));
    for number in 0..SCHEDULERS {
        let id = format!("nightly-billing-{number}");
        let key = SchedulerKey { tenant: tenant.clone(), scheduler: SchedulerId::new(&id)? };
        states.push(running(&id, &key, start, u64::try_from(number)?)?);
        keys.push(key);
    }
    let memory: usize = states.iter().flatten().map(Scheduler::approximate_memory_bytes).sum();
    let bytes = memory / SCHEDULERS;

    let alone = heartbeats_per_second(start, |index, input, at, message| {
        if let (Some(slot), Some(key)) = (states.get_mut(index), keys.get(index)) {
            apply(slot, key, input, at, message, &mut effects);
            effects.clear();
        }
    });
    let mut deadlines = 0_u64;
    let mut by_key: HashMap<SchedulerKey, Option<Scheduler>> = keys.iter().cloned().zip(states).collect();
    let with_lookup = heartbeats_per_second(start.plus_seconds(60), |index, input, at, message| {
        if let Some((key, slot)) = keys.get(index).and_then(|key| Some((key, by_key.get_mut(key)?))) {
            apply(slot, key, input, at, message, &mut effects);
            deadlines += u64::from(slot.as_ref().and_then(next_deadline).is_some());
            effects.clear();
        }
    });
    // 18:00 UTC is 01:00 in Jakarta; after all that was said above.
    let first = Timestamp::from_seconds(1_795_543_200);
    let mut slot = keys.first().and_then(|key| by_key.remove(key)).flatten();
    let micros = keys.first().map_or(0.0, |key| run_micros(&mut slot, key, first));
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{{\"heartbeats_per_second\":{alone:.0},\"with_lookup_per_second\":{with_lookup:.0},\"bytes_per_scheduler\":{bytes},\"deadlines\":{deadlines},\"micros_per_run\":{micros:.2}}}"
        );
    }
    if alone < LEAST_PER_SECOND {
        return Err(format!("{alone:.0} heartbeats a second; the least is {LEAST_PER_SECOND:.0}").into());
    }
    Ok(())
}
