//! The system's packages that tests need.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::report::Outcome;

/// Installs what is missing, where that can be done; what stays missing is told as skipped.
pub(crate) fn install(root: &Path) -> anyhow::Result<Outcome> {
    let script = root.join(".ci/packages");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} can't be run", script.display()))?;
    if !output.status.success() {
        bail!("{} ended with {}", script.display(), output.status);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let skipped =
        said.lines().filter_map(|line| line.strip_prefix("!! SKIPPED ")).map(str::to_owned).collect::<Vec<_>>();
    Ok(if skipped.is_empty() { Outcome::passed() } else { Outcome { skipped, ..Outcome::default() } })
}
