//! How many heartbeats a second one core applies: 100,000 schedulers, each with a healthy open run, in a shuffled order,
//! the lookup of the scheduler in a map included; and how long a run of a nightly job takes from its start to its end, the ticks
//! after both included. Prints one line of JSON.

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
    let mut states: HashMap<SchedulerKey, Option<Scheduler>> = HashMap::with_capacity(SCHEDULERS);
    let mut keys = Vec::with_capacity(SCHEDULERS);
    for number in 0..SCHEDULERS {
        let id = format!("nightly-billing-{number}");
        let schedule = ScheduleDraft {
            cron: Some("0 1 * * *".to_owned()),
            timezone: Some("Asia/Jakarta".to_owned()),
            ..ScheduleDraft::default()
        };
        let draft = SpecDraft {
            id: id.clone(),
            schedule: Some(schedule),
            heartbeat_timeout_seconds: Some(120),
            ..SpecDraft::default()
        };
        let spec = draft.validate().map_err(|errors| format!("{errors:?}"))?;
        let key = SchedulerKey { tenant: tenant.clone(), scheduler: SchedulerId::new(&id)? };
        let mut slot = None;
        let message = MessageId { source: 1, sequence: u64::try_from(number)?, index: 0 };
        apply(&mut slot, &key, &Input::Register(Box::new(spec)), start, message, &mut effects);
        let running = report(ReportedStatus::Running, "scheduled__2026-11-24T01:00:00");
        apply(&mut slot, &key, &Input::Status(running), start, message, &mut effects);
        apply(&mut slot, &key, &Input::Tick, start, message, &mut effects);
        effects.clear();
        states.insert(key.clone(), slot);
        keys.push(key);
    }
    let memory: usize = states.values().flatten().map(Scheduler::approximate_memory_bytes).sum();

    #[allow(clippy::disallowed_methods)]
    let started = Instant::now();
    let mut deadlines = 0_u64;
    for number in 0..HEARTBEATS {
        // A prime stride visits them in an order that caches don't guess.
        let Some(key) = keys.get(number.wrapping_mul(7_919) % SCHEDULERS) else { continue };
        let progress = ProgressReport { done: u64::try_from(number)?, total: None, message: None };
        let report = HeartbeatReport {
            run_id: Some("scheduled__2026-11-24T01:00:00"),
            occurred_at: None,
            progress: Some(progress),
        };
        let at = start.plus_millis(i64::try_from(number / 1_000)?);
        let message = MessageId { source: 2, sequence: u64::try_from(number)?, index: 0 };
        if let Some(slot) = states.get_mut(key) {
            apply(slot, key, &Input::Heartbeat(report), at, message, &mut effects);
            deadlines += u64::from(slot.as_ref().and_then(next_deadline).is_some());
        }
        effects.clear();
    }
    let seconds = started.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let rate = HEARTBEATS as f64 / seconds;
    let bytes = memory / SCHEDULERS;
    // 18:00 UTC is 01:00 in Jakarta; after all that was said above.
    let first = Timestamp::from_seconds(1_795_543_200);
    let mut slot = keys.first().and_then(|key| states.remove(key)).flatten();
    let micros = keys.first().map_or(0.0, |key| run_micros(&mut slot, key, first));
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{{\"heartbeats_per_second\":{rate:.0},\"bytes_per_scheduler\":{bytes},\"deadlines\":{deadlines},\"micros_per_run\":{micros:.2}}}"
        );
    }
    Ok(())
}
