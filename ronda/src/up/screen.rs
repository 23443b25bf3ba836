//! What `up` says on the screen once everything runs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use ronda_ingest_gateway::keys::DEFAULT_RATE_LIMIT_PER_MINUTE;
use ronda_runtime::Secret;

use ronda_notifier_bin::slack::Slack;

use super::asked::Asked;

/// What there is to say.
pub(super) struct Screen<'a> {
    /// Address of the API, as bound.
    pub(super) api: SocketAddr,
    /// Address of health and metrics, as bound.
    pub(super) admin: SocketAddr,
    /// The data directory, if anything lies there.
    pub(super) data: Option<&'a Path>,
    /// Partitions of the command queue.
    pub(super) partitions: u32,
    /// The queues' address and prefix, when they are on a broker.
    pub(super) queue: Option<&'a str>,
    /// The store's address, when it is on a server.
    pub(super) store: Option<&'a str>,
    /// The configuration file that was read.
    pub(super) file: Option<&'a Path>,
    /// The key that was made on this first start; none on later ones.
    pub(super) key: Option<&'a Secret>,
    /// Slack, when messages go there.
    pub(super) slack: Option<Slack<'a>>,
    /// How people in Slack ask, where Slack is used at all.
    pub(super) asked: Option<Asked>,
    /// Where messages go when they don't go to Slack, and not here alone.
    pub(super) elsewhere: Option<&'a str>,
    /// This program's file, unless the shell finds it by its name.
    pub(super) program: Option<&'a Path>,
}

impl Screen<'_> {
    /// The text.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let (api, admin) = (reachable(self.api), reachable(self.admin));
        let mut out = format!("\nRonda {}: the night watch is on.\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |label: &str, text: String| {
            let _ = writeln!(out, "  {label:<8}{text}");
        };
        if let Some(key) = self.key {
            line("Key", key.expose().to_owned());
            line("", String::from("keep it: it is shown this once (tenant default, all scopes,"));
            line("", format!("{DEFAULT_RATE_LIMIT_PER_MINUTE} requests a minute; 'ronda keys create' makes others)\n"));
        }
        line("API", format!("http://{api}/api/v1"));
        line("Docs", format!("http://{api}/api/docs"));
        line("Health", format!("http://{admin}/health/ready and /metrics"));
        match (self.data, self.store) {
            (Some(data), _) => line("Data", format!("{} ({} partitions)", data.display(), self.partitions)),
            (None, Some(store)) => line("Store", format!("{store} ({} partitions)", self.partitions)),
            (None, None) => {}
        }
        if let Some(queue) = self.queue {
            line("Queue", queue.to_owned());
        }
        if let Some(file) = self.file {
            line("Config", file.display().to_string());
        }
        match (&self.slack, self.elsewhere) {
            (Some(slack), _) => {
                for (at, text) in slack.lines().into_iter().enumerate() {
                    line(if at == 0 { "Slack" } else { "" }, text);
                }
            }
            (None, Some(elsewhere)) => line("Alerts", elsewhere.to_owned()),
            (None, None) => {
                line("Slack", String::from("off: messages are shown here. To turn it on (docs/slack.md):"));
                line("", format!("SLACK_BOT_TOKEN=xoxb-… SLACK_CHANNEL=C… {} up", self.command()));
            }
        }
        for (at, text) in self.asked.iter().flat_map(Asked::lines).enumerate() {
            line(if at == 0 { "/ronda" } else { "" }, text);
        }
        match self.key {
            Some(key) => self.tour(key, &api, &mut out),
            None => {
                line("Key", String::from("made on the first start; another one, also while this runs:"));
                let data = self.data.map(|data| format!(" --data {}", quoted(data))).unwrap_or_default();
                line("", format!("{} keys create --name laptop{data}", self.command()));
            }
        }
        out.push_str("\nCtrl-C stops it in order; nothing that was answered 2xx is lost.\n");
        out
    }

    /// What to type for this program, wherever the terminal stands.
    fn command(&self) -> String {
        self.program.map_or_else(|| String::from("ronda"), quoted)
    }

    /// Lines to paste, none wider than an old terminal. Reports wait until they are applied: reads are a moment behind.
    fn tour(&self, key: &Secret, api: &str, out: &mut String) {
        let key = key.expose();
        // What the command line needs to be found.
        let folder = self.program.and_then(Path::parent);
        let path = folder.map(|folder| format!("export PATH={}:\"$PATH\"\n", quoted(folder))).unwrap_or_default();
        let _ = write!(
            out,
            "\nTry it in another terminal: a job that is expected every minute.\n\n\
             export RONDA_URL='http://{api}'\n\
             export RONDA_API_KEY='{key}'\n\
             curl -sS http://{api}/api/v1/schedulers/register \\\n  \
             -H 'X-API-Key: {key}' \\\n  \
             -H 'Content-Type: application/json' \\\n  \
             -d '{{\"id\":\"demo\",\"name\":\"Demo job\",\"start_grace_seconds\":20,\n  \
             \"schedule\":{{\"cron\":\"* * * * *\",\"timezone\":\"Asia/Jakarta\"}}}}'; echo\n\
             call() {{ curl -sS -H \"X-API-Key: $RONDA_API_KEY\" -H 'Prefer: wait=5' \\\n  \
             -H 'Content-Type: application/json' \"$RONDA_URL/api/v1/schedulers$@\"; echo; }}\n\
             call /demo/status -X PUT -d '{{\"status\":\"running\"}}'\n\
             call /demo/status -X PUT -d '{{\"status\":\"success\"}}'\n\
             call /demo/status -X PUT -d '{{\"status\":\"failed\",\"error\":\"disk full\"}}'\n\
             call\n\n\
             The same with Ronda's own command line; the last line ends the demo.\n\n\
             {path}\
             ronda status demo running\n\
             ronda schedulers list\n\
             ronda schedulers delete demo\n"
        );
    }
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("127.0.0.1:{}", address.port()) } else { address.to_string() }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen<'a>(key: Option<&'a Secret>, slack: Option<Slack<'a>>) -> Screen<'a> {
        let address = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let (api, admin, data) = (address(3000), address(3001), Some(Path::new("/d/my data")));
        let (queue, store, file, asked, elsewhere, program) = (None, None, None, None, None, None);
        Screen { api, admin, data, partitions: 8, queue, store, file, key, slack, asked, elsewhere, program }
    }

    #[test]
    fn the_first_start_shows_the_key_first_and_in_lines_that_work_as_pasted() {
        let key = Secret::new("rk_abcdefghijklmnopqrstuvwxyz012345");
        let text = screen(Some(&key), None).text();
        assert!(text.contains("the night watch is on.\n\n  Key     rk_abc"), "{text}");
        assert!(text.contains("export RONDA_API_KEY='rk_abc"), "{text}");
        assert!(text.contains("export RONDA_URL='http://127.0.0.1:3000'\n"), "{text}");
        assert!(text.contains("SLACK_BOT_TOKEN=xoxb-… SLACK_CHANNEL=C… ronda up"), "{text}");
        assert!(!text.contains("export PATH"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "too wide: {line}");
        }
    }

    #[test]
    fn later_starts_say_how_to_make_another_key_and_give_no_tour() {
        let slack = Slack { channels: "C1", status: ronda_notifier::NotifierStatus::default() };
        let mut screen = screen(None, Some(slack));
        screen.file = Some(Path::new("ronda.toml"));
        screen.asked = Some(Asked { https: false, socket: None });
        let text = screen.text();
        assert!(text.contains("ronda keys create --name laptop --data '/d/my data'"), "{text}");
        assert!(text.contains("on: C1") && !text.contains("SLACK_BOT_TOKEN"), "{text}");
        assert!(text.contains("\n  /ronda  and the buttons: off. To turn them on"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("  Config  ronda.toml\n") && !text.contains("Try it"), "{text}");
    }

    #[test]
    fn without_slack_it_is_said_where_messages_go_instead() {
        let text = Screen { elsewhere: Some("alerts to webhook:ops"), ..screen(None, None) }.text();
        assert!(text.contains("  Alerts  alerts to webhook:ops\n") && !text.contains("Slack"), "{text}");
    }

    #[test]
    fn a_program_that_no_shell_finds_is_named_by_its_path() {
        let key = Secret::new("rk_abc");
        let program = Some(Path::new("/src/my ronda/target/release/ronda"));
        let first = Screen { program, ..screen(Some(&key), None) }.text();
        let later = Screen { program, ..screen(None, None) }.text();
        assert!(first.contains("C… '/src/my ronda/target/release/ronda' up\n"), "{first}");
        assert!(first.contains("export PATH='/src/my ronda/target/release':\"$PATH\"\n"), "{first}");
        assert!(later.contains("  '/src/my ronda/target/release/ronda' keys create --name laptop"), "{later}");
    }
}
