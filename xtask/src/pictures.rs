//! Pictures of Slack's messages for docs/slack.md: pages of `ronda slack preview` as a browser without a window shows them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::rust;

/// Names under which Chromium is installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// How wide a message is shown, and one with a table.
const WIDTH: u32 = 600;
const TABLE_WIDTH: u32 = 960;
/// A picture of more bytes is refused: people load the page over a phone, too.
const MAX_BYTES: u64 = 100_000;
/// What is shown in Indonesian, too.
const IN_INDONESIAN: [&str; 4] = ["failure", "missed", "night", "problems"];
/// Tells a page's height in what `--dump-dom` prints.
const MEASURE: &str =
    "<script>document.body.setAttribute('data-height',document.documentElement.scrollHeight)</script>";

/// Takes a picture of each kind anew, and removes those of kinds that are no more. Answers how many there are.
pub(crate) fn take(root: &Path) -> anyhow::Result<usize> {
    let browser = BROWSERS.into_iter().find(|name| runs(name));
    let browser = browser
        .context("there is no Chromium to take pictures with: apt-get install chromium fonts-noto-color-emoji")?;
    ensure!(rust::cargo(root).args(["build", "-p", "ronda"]).status()?.success(), "ronda does not build");
    let target = rust::target_dir(root)?;
    let ronda = target.join("debug/ronda");
    let (pages, pictures) = (target.join("slack-pictures"), root.join("docs/images/slack"));
    let _ = std::fs::remove_dir_all(&pictures);
    std::fs::create_dir_all(&pages)?;
    std::fs::create_dir_all(&pictures)?;
    let kinds = kinds(&ronda)?;
    let mut taken = 0;
    for (kind, has_table) in &kinds {
        let width = if *has_table { TABLE_WIDTH } else { WIDTH };
        let languages = if IN_INDONESIAN.contains(&kind.as_str()) { &["en", "id"][..] } else { &["en"] };
        for language in languages {
            let name = format!("{kind}.{language}");
            let html = said(Command::new(&ronda).args([
                "slack",
                "preview",
                "--format",
                "html",
                "--kind",
                kind,
                "--language",
                language,
            ]))?;
            picture(browser, &pages, &name, &html, width, &pictures.join(format!("{name}.png")))?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Every kind of message, and whether it has a table.
fn kinds(ronda: &Path) -> anyhow::Result<Vec<(String, bool)>> {
    let all: serde_json::Value =
        serde_json::from_str(&said(Command::new(ronda).args(["slack", "preview", "--format", "json"]))?)?;
    let all = all.as_object().context("'ronda slack preview' answers by kind")?;
    Ok(all.iter().map(|(kind, message)| (kind.clone(), message.to_string().contains("data_table"))).collect())
}

fn picture(browser: &str, pages: &Path, name: &str, html: &str, width: u32, picture: &PathBuf) -> anyhow::Result<()> {
    let page = pages.join(format!("{name}.html"));
    std::fs::write(&page, format!("{html}{MEASURE}"))?;
    let address = format!("file://{}", page.display());
    let dom = said(chromium(browser, width, 200).args(["--dump-dom", &address]))?;
    let height = dom.split_once("data-height=\"").and_then(|(_, rest)| rest.split_once('"'));
    let height: u32 = height.context("the page has no height")?.0.parse()?;
    std::fs::write(&page, html)?;
    said(chromium(browser, width, height).arg(format!("--screenshot={}", picture.display())).arg(&address))?;
    // A page of text needs few colours.
    let shrunk = said(Command::new("pngquant").args(["--force", "--ext", ".png", "64"]).arg(picture));
    shrunk.context("apt-get install pngquant")?;
    let bytes = std::fs::metadata(picture).with_context(|| format!("{browser} took no picture of {name}"))?.len();
    ensure!(bytes <= MAX_BYTES, "the picture of {name} has {bytes} bytes, over {MAX_BYTES}");
    Ok(())
}

fn chromium(browser: &str, width: u32, height: u32) -> Command {
    let mut command = Command::new(browser);
    // The pages are our own and load nothing, so they need no sandbox, which root can't have.
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1.25",
    ]);
    command.arg(format!("--window-size={width},{height}"));
    command
}

fn runs(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} can't be run"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8(output.stdout)?)
}
