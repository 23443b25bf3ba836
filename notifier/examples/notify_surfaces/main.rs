//! Measures what a notifier with many surfaces does when few of them change, and in which order it calls when it is told to wait.
//!
//! `cargo run --release -p ronda-notifier --example notify_surfaces -- DIR [scale|priority]`: DIR lies on the disk to measure. Exits with 1
//! when a limit is not kept.
#![allow(clippy::print_stdout, reason = "a measuring tool prints what it measured")]

mod counts;
mod priority;
mod rig;
mod scale;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A figure beside its limit.
struct Figure {
    name: String,
    figure: String,
    limit: String,
    holds: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("say in which directory")?);
    let only = arguments.next();
    // What a process of its own is started with.
    if let Some(part) = only.as_deref().and_then(scale::Part::named) {
        let count = arguments.next().ok_or("say how many")?.parse()?;
        scale::carry_out(part, &directory, count).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let mut figures = Vec::new();
    if wanted("scale") {
        figures.extend(scale::measure(&directory)?);
    }
    if wanted("priority") {
        figures.extend(priority::measure(&directory.join("priority")).await?);
    }
    for figure in &figures {
        let verdict = if figure.holds { "ok  " } else { "FAIL" };
        println!("{verdict}  {}: {}  (limit: {})", figure.name, figure.figure, figure.limit);
    }
    let all_hold = !figures.is_empty() && figures.iter().all(|figure| figure.holds);
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
