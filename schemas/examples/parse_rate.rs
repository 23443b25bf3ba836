//! How many events a second one core reads from bulk bodies, checks, and encodes into command buffers.
//!
//! `cargo run --release -p ronda-schemas --example parse_rate`
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ronda_domain::id::partition_of;
use ronda_schemas::api::{BulkEvents, Invalid};
use ronda_schemas::command::Command;
use ronda_schemas::frame::CommandBuffer;

const EVENTS: usize = 500;
const PARTITIONS: u32 = 8;
const MEASURE_FOR: Duration = Duration::from_secs(2);

fn event(out: &mut String, number: usize) {
    // Writing to a string can't fail.
    let _ = if number.is_multiple_of(2) {
        write!(
            out,
            r#"{{"type":"status","scheduler_id":"job-{number:05}","status":"success","run_id":"2026-11-23T18:00:{:02}Z","duration_ms":{number},"occurred_at":"2026-11-23T18:00:00Z"}}"#,
            number % 60
        )
    } else {
        write!(
            out,
            r#"{{"type":"heartbeat","scheduler_id":"job-{number:05}","run_id":"r-{number:08}","progress":{{"done":{number},"total":5000,"message":"invoices"}}}}"#
        )
    };
}

fn encode(mut events: BulkEvents<'_>, buffers: &mut [CommandBuffer]) -> Result<usize, Invalid> {
    let mut count = 0;
    while let Some(event) = events.next_event()? {
        let event = event?;
        let partition = partition_of("acme", &event.scheduler_id, PARTITIONS) as usize;
        let command = Command {
            tenant: "acme",
            scheduler: &event.scheduler_id,
            age_ms: 0,
            input: event.body.input(),
            message: None,
        };
        if let Some(buffer) = buffers.get_mut(partition) {
            count += usize::from(buffer.push(&command).is_ok());
        }
    }
    Ok(count)
}

fn measure(name: &str, body: &str, work: impl Fn(&[u8]) -> Result<usize, Invalid>) -> Result<(), Invalid> {
    let (started, mut events) = (Instant::now(), 0);
    while started.elapsed() < MEASURE_FOR {
        events += work(black_box(body.as_bytes()))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "it is a rate for people")]
    let rate = events as f64 / seconds;
    println!("{name:<24} {rate:>12.0} events/s   {} bytes an event", body.len() / EVENTS);
    Ok(())
}

fn main() -> Result<(), Invalid> {
    let (mut array, mut lines) = ("[".to_owned(), String::new());
    for number in 0..EVENTS {
        if number > 0 {
            array.push(',');
        }
        event(&mut array, number);
        event(&mut lines, number);
        lines.push('\n');
    }
    array.push(']');
    let parse = |mut events: BulkEvents<'_>| {
        let mut count = 0;
        while let Some(event) = events.next_event()? {
            black_box(event?);
            count += 1;
        }
        Ok(count)
    };
    let fresh = || (0..PARTITIONS).map(|_| CommandBuffer::default()).collect::<Vec<_>>();
    measure("array, read", &array, |body| parse(BulkEvents::array(body)))?;
    measure("array, read and encoded", &array, |body| encode(BulkEvents::array(body), &mut fresh()))?;
    measure("lines, read", &lines, |body| parse(BulkEvents::ndjson(body)))?;
    measure("lines, read and encoded", &lines, |body| encode(BulkEvents::ndjson(body), &mut fresh()))
}
