//! Prints how many commands a second go through decode and step with 100,000 schedulers, and the memory that a scheduler takes.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement for people")]

use std::time::Instant;

use bytes::Bytes;
use ronda_domain::SpecDraft;
use ronda_domain::id::TenantId;
use ronda_domain::input::{HeartbeatReport, Input};
use ronda_domain::spec::Schedule;
use ronda_domain::time::Timestamp;
use ronda_processor::{Access, Config, Direct, Incoming, PartitionCore};
use ronda_queue::Origin;
use ronda_schemas::command::Command;
use ronda_schemas::frame::{CommandBuffer, FrameHeader, FrameKind, Refused};
use ronda_schemas::row::{PartitionRow, Scopes};

const SCHEDULERS: usize = 100_000;
const PER_FRAME: usize = 200;
const FRAMES_A_COMMIT: usize = 16;
const SINGLES_A_COMMIT: usize = 512;

fn frame(number: u64, ids: impl Iterator<Item = usize>, input: impl Fn(usize) -> Input<'static>) -> Bytes {
    let mut buffer = CommandBuffer::default();
    for id in ids {
        let scheduler = format!("job-{id:06}-nightly-billing");
        buffer
            .push(&Command { tenant: "acme", scheduler: &scheduler, age_ms: 0, input: input(id), message: None })
            .unwrap();
    }
    let header = FrameHeader {
        gateway: 1,
        number,
        wall: Timestamp::from_millis(1_795_453_200_000 + i64::try_from(number).unwrap()),
        mono_ms: number,
        kind: FrameKind::Normal,
        abandoned: Vec::new(),
        refused: Refused::Nobody,
    };
    buffer.into_frame(&header)
}

/// A heartbeat that was published directly.
fn single(position: u64, n: usize, has_id: bool) -> Incoming {
    let text = format!(r#"{{"type":"heartbeat","scheduler_id":"job-{n:06}-nightly-billing","run_id":"run-1"}}"#);
    let message_id = has_id.then(|| format!("{n:036}"));
    let origin = Origin {
        tenant: Some("acme".to_owned()),
        message_id,
        headers: Vec::new(),
        source: "in".to_owned(),
        published_ms: None,
    };
    let scopes = Scopes { ingest: true, read: false, admin: true };
    let access = Ok(Access { tenant: TenantId::new("acme").unwrap(), scopes });
    let direct = Some(Box::new(Direct { origin, access }));
    Incoming { position: Some(position), message: text.into(), direct }
}

fn play(core: &mut PartitionCore, frames: &[Incoming]) -> f64 {
    let started = Instant::now();
    let at_once = if frames.iter().any(|one| one.direct.is_some()) { SINGLES_A_COMMIT } else { FRAMES_A_COMMIT };
    for part in frames.chunks(at_once) {
        let mut left = part;
        while !left.is_empty() {
            let (through, _) = core.step(left);
            core.committed();
            core.published();
            left = &left[through..];
        }
    }
    started.elapsed().as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a rate to look at")]
fn main() {
    let row = PartitionRow { partitions: 1, watermark: Timestamp::MIN, ..PartitionRow::default() };
    let mut core = PartitionCore::new(&row, 4, Config::default());
    let mut number = 0;
    let mut frames = |input: &dyn Fn(usize) -> Input<'static>| -> Vec<Incoming> {
        let next = |first: usize| {
            number += 1;
            Incoming::frame(Some(number), frame(number, first..first + PER_FRAME, input))
        };
        (0..SCHEDULERS).step_by(PER_FRAME).map(next).collect()
    };
    let registered = frames(&|_| {
        let draft = SpecDraft { id: "nightly-billing".to_owned(), ..SpecDraft::default() };
        let mut spec = draft.validate().unwrap();
        spec.team = "payments".into();
        spec.schedule = Schedule::Cron { expression: "0 1 * * *".into(), timezone: "Asia/Jakarta".into() };
        spec.heartbeat_timeout_seconds = Some(120);
        Input::Register(Box::new(spec))
    });
    let beat = |_| Input::Heartbeat(HeartbeatReport { run_id: Some("run-1"), occurred_at: None, progress: None });
    let (first, second) = (frames(&beat), frames(&beat));
    let rate = |seconds: f64| SCHEDULERS as f64 / seconds;
    println!("registrations a second:          {:>12.0}", rate(play(&mut core, &registered)));
    println!("memory a scheduler, idle:        {:>12} bytes", core.memory_estimate() / SCHEDULERS);
    println!("first heartbeats a second:       {:>12.0}", rate(play(&mut core, &first)));
    println!("further heartbeats a second:     {:>12.0}", rate(play(&mut core, &second)));
    println!("memory a scheduler, a run open:  {:>12} bytes", core.memory_estimate() / SCHEDULERS);
    for (name, id) in [("", false), (" with an id", true)] {
        number += 1;
        let singles: Vec<_> = (0..SCHEDULERS).map(|n| single(number + n as u64, n, id)).collect();
        number += SCHEDULERS as u64;
        println!("single JSON heartbeats{name} a second: {:>12.0}", rate(play(&mut core, &singles)));
    }
}
