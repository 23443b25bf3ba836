//! A night in real time: real shell scripts report with curl, Slack is the stand-in, and everything that a person would have seen is
//! written down at the end and held against what must have been seen.

mod judge;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use crate::rust;
use crate::server::{free_port, unlimited_key};

const JOBS: [&str; 5] = ["good", "flaky", "hanging", "late", "beating"];
const SCHEDULERS: [&str; 6] = ["good", "flaky", "hanging", "late", "never", "beating"];
const CHANNEL: &str = "C0NIGHT";
/// How long after the last minute the window closes and messages may still come.
const AFTERMATH: Duration = Duration::from_secs(75);

/// Everything that was started, ended with it.
struct Started(Vec<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a night is written down, and what is wrong with it.
pub(crate) struct Outcome {
    pub(crate) report: PathBuf,
    pub(crate) wrong: Vec<String>,
}

/// Runs the night for so many minutes, on release binaries that are made first unless they are `built`, writes its report and judges it.
pub(crate) fn run(root: &Path, minutes: u64, built: bool) -> anyhow::Result<Outcome> {
    if !built {
        let packages = ["build", "--release", "-p", "ronda", "-p", "ronda-slack-standin"];
        ensure!(rust::cargo(root).args(packages).status()?.success(), "the binaries do not build");
    }
    let target = rust::target_dir(root)?;
    let folder = target.join("night");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let (slack, api, admin) = (free_port()?, free_port()?, free_port()?);
    wait_for_the_minute()?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    std::fs::write(folder.join("ronda.toml"), configuration(began, minutes))?;
    let mut started = Started(Vec::new());
    let release = target.join("release");
    let slack_stand_in = Command::new(release.join("ronda-slack-standin"))
        .arg(format!("127.0.0.1:{slack}"))
        .stdout(std::fs::File::create(folder.join("slack.txt"))?)
        .spawn()?;
    started.0.push(slack_stand_in);
    // Made before the server owns the directory: opening it at the same time would keep the server out.
    let key = unlimited_key(&release.join("ronda"), &folder, Path::new("data"), "night")?;
    let ronda = Command::new(release.join("ronda"))
        .args(["up", "--config", "ronda.toml", "--data", "data"])
        .args(["--listen", &format!("127.0.0.1:{api}"), "--admin-listen", &format!("127.0.0.1:{admin}")])
        .env("SLACK_API_URL", format!("http://127.0.0.1:{slack}/api/"))
        .env("SLACK_BOT_TOKEN", "xoxb-stand-in")
        .env("SLACK_CHANNEL", CHANNEL)
        .current_dir(&folder)
        .stdout(std::fs::File::create(folder.join("screen.txt"))?)
        .stderr(std::fs::File::create(folder.join("log.txt"))?)
        .spawn()?;
    started.0.push(ronda);
    let url = format!("http://127.0.0.1:{api}");
    let job = |name: &str| {
        let mut command = Command::new("bash");
        command.arg(root.join("xtask/night").join(name)).stdin(Stdio::null());
        command.env("RONDA_URL", &url).env("RONDA_API_KEY", &key).env("NIGHT_BEGAN", began.to_string());
        command
    };
    ensure!(job("register.sh").status()?.success(), "the jobs could not be registered");
    for name in JOBS {
        started.0.push(job(&format!("{name}.sh")).spawn()?);
    }
    println!("the night is on for {minutes} minutes; messages: {}", folder.join("slack.txt").display());
    std::thread::sleep(Duration::from_secs(minutes * 60) + AFTERMATH);
    let seen: Vec<judge::Seen> =
        serde_json::from_str(&stand_in(slack, "seen")?).context("the stand-in tells what it saw as JSON")?;
    let wrong = judge::judge(&seen, minutes);
    let report = folder.join("report.txt");
    std::fs::write(&report, tell(&folder, &release.join("ronda"), &url, &key, slack)?)?;
    Ok(Outcome { report, wrong })
}

/// The window is the night itself, on the minute, in the default zone.
fn configuration(began: u64, minutes: u64) -> String {
    let wib = |seconds: u64| {
        let minute = (seconds / 60 + 7 * 60) % (24 * 60);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    format!(
        "[[boards]]\nname = \"night\"\ntitle = \"{}\"\nstart = \"{}\"\nend = \"{}\"\n",
        judge::TITLE,
        wib(began),
        wib(began + minutes * 60)
    )
}

fn wait_for_the_minute() -> anyhow::Result<()> {
    let into = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() % 60;
    std::thread::sleep(Duration::from_secs(60 - into));
    Ok(())
}

/// What the stand-in answers under a name of its own.
fn stand_in(port: u16, what: &str) -> anyhow::Result<String> {
    let url = format!("http://127.0.0.1:{port}/stand-in/{what}");
    let output = Command::new("curl").args(["--silent", "--show-error", "--fail", "--noproxy", "*", &url]).output()?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What was seen in Slack, then what the command line says at the end.
fn tell(folder: &Path, ronda: &Path, url: &str, key: &str, slack: u16) -> anyhow::Result<String> {
    let mut report = String::from("# What was seen in Slack, in order\n\n");
    report.push_str(&stand_in(slack, "transcript")?);
    let mut ask = |title: &str, arguments: &[&str]| -> anyhow::Result<()> {
        let output = Command::new(ronda)
            .arg("schedulers")
            .args(arguments)
            .env("RONDA_URL", url)
            .env("RONDA_API_KEY", key)
            .current_dir(folder)
            .output()?;
        report.push_str(&format!("\n# {title}\n\n{}", String::from_utf8_lossy(&output.stdout)));
        report.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    ask("schedulers list", &["list"])?;
    for scheduler in SCHEDULERS {
        ask(&format!("schedulers show {scheduler}"), &["show", scheduler])?;
        ask(&format!("schedulers history {scheduler}"), &["history", scheduler])?;
    }
    Ok(report)
}
