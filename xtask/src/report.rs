//! Steps, timed and counted, and the line that closes a run.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// What a step came to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Checks and tests that were all right.
    pub(crate) passed: usize,
    /// What was not, in words.
    pub(crate) failures: Vec<String>,
    /// What was left out, each with its reason.
    pub(crate) skipped: Vec<String>,
}

impl Outcome {
    /// One check that was all right.
    pub(crate) fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One check that was not.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { failures: vec![what.into()], ..Self::default() }
    }

    /// What another check of the same step came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
    }

    /// One check that could not be made.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self { skipped: vec![reason.into()], ..Self::default() }
    }
}

/// All steps of a run.
pub(crate) struct Report {
    only: Option<String>,
    steps: Vec<(String, Duration, Outcome)>,
}

impl Report {
    /// A run of all steps, or of those whose name contains a text.
    pub(crate) fn new(only: Option<String>) -> Self {
        Self { only, steps: Vec::new() }
    }

    /// Does a step. One that breaks is a failure; the others go on.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Outcome>) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        println!("── {name}");
        let _ = std::io::stdout().flush();
        let started = Instant::now();
        let outcome = work().unwrap_or_else(|error| Outcome::failed(format!("{error:#}")));
        let elapsed = started.elapsed();
        for failure in &outcome.failures {
            println!("   FAILED {failure}");
        }
        println!("   {:.1} s", elapsed.as_secs_f64());
        self.steps.push((name.to_owned(), elapsed, outcome));
    }

    /// Prints times, what was skipped, what failed and the closing line. True when nothing failed.
    pub(crate) fn close(self) -> bool {
        println!("\n── Times");
        for (name, elapsed, outcome) in &self.steps {
            let (passed, failed, skipped) = (outcome.passed, outcome.failures.len(), outcome.skipped.len());
            println!(
                "   {:>7.1} s  {name}: {passed} passed, {failed} failed, {skipped} skipped",
                elapsed.as_secs_f64()
            );
        }
        let total: f64 = self.steps.iter().map(|step| step.1.as_secs_f64()).sum();
        println!("   {total:>7.1} s  in all");
        let all = |pick: fn(&Outcome) -> &Vec<String>| {
            let named = |step: &(String, Duration, Outcome)| {
                pick(&step.2).iter().map(|text| format!("{}: {text}", step.0)).collect::<Vec<_>>()
            };
            self.steps.iter().flat_map(named).collect::<Vec<_>>()
        };
        let (skipped, failures) = (all(|outcome| &outcome.skipped), all(|outcome| &outcome.failures));
        list("SKIPPED, so nothing is known about it", &skipped);
        list("FAILED", &failures);
        let passed: usize = self.steps.iter().map(|step| step.2.passed).sum();
        println!("\n{passed} passed, {} failed, {} skipped", failures.len(), skipped.len());
        failures.is_empty() && passed > 0
    }
}

fn list(title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    println!("\n!! {title}");
    for line in lines {
        println!("!!   {line}");
    }
}
