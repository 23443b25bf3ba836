//! What `up` says on the screen once everything runs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use ronda_runtime::Secret;

/// The address that the command line asks when it is told none.
const USUAL: &str = "127.0.0.1:3000";

/// What there is to say.
pub(super) struct Screen<'a> {
    /// Address of the API, as bound.
    pub(super) api: SocketAddr,
    /// Address of health and metrics, as bound.
    pub(super) admin: SocketAddr,
    /// The data directory.
    pub(super) data: &'a Path,
    /// Partitions of the command queue.
    pub(super) partitions: u32,
    /// The key that was made on this first start; none on later ones.
    pub(super) key: Option<&'a Secret>,
    /// The channels, when messages go to Slack.
    pub(super) slack: Option<&'a str>,
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
            line(
                "",
                String::from("keep it: made just now for tenant default, with all scopes; it is shown this once\n"),
            );
        }
        line("API", format!("http://{api}/api/v1"));
        line("Docs", format!("http://{api}/api/docs"));
        line("Health", format!("http://{admin}/health/ready and /metrics"));
        line("Data", format!("{} ({} partitions)", self.data.display(), self.partitions));
        match self.slack {
            Some(channels) => line("Slack", format!("on: {channels}")),
            None => {
                line("Slack", String::from("off: messages are shown here. To turn it on, start with"));
                line("", format!("SLACK_BOT_TOKEN=xoxb-… SLACK_CHANNEL=C… {} up", self.command()));
            }
        }
        if self.key.is_none() {
            line("Key", String::from("made on the first start; another one, also while this runs:"));
            line("", format!("{} keys create --name laptop --data {}", self.command(), quoted(self.data)));
        }
        self.tour(&api, &mut out);
        out
    }

    /// What to type for this program, wherever the terminal stands.
    fn command(&self) -> String {
        self.program.map_or_else(|| String::from("ronda"), quoted)
    }

    fn tour(&self, api: &str, out: &mut String) {
        let key = self.key.map_or("<your key>", Secret::expose);
        let demo = format!("http://{api}/api/v1/schedulers/demo");
        let auth = "-H \"X-API-Key: $RONDA_API_KEY\"";
        let json = "-H 'Content-Type: application/json'";
        // What the command line needs to be found, and to find the server.
        let folder = self.program.and_then(Path::parent);
        let path = folder.map(|folder| format!("export PATH={}:\"$PATH\"\n", quoted(folder))).unwrap_or_default();
        let url = if api == USUAL { String::new() } else { format!("export RONDA_URL='http://{api}'\n") };
        let _ = write!(
            out,
            "\nTry it in another terminal: a job that is expected every minute.\n\n\
             export RONDA_API_KEY='{key}'\n\
             curl -sS http://{api}/api/v1/schedulers/register {auth} {json} -d '{{\"id\":\"demo\",\"name\":\"Demo job\",\
             \"schedule\":{{\"cron\":\"* * * * *\",\"timezone\":\"Asia/Jakarta\"}},\"start_grace_seconds\":20}}'\n\
             curl -sS -X PUT {demo}/status {auth} {json} -d '{{\"status\":\"running\"}}'\n\
             curl -sS -X PUT {demo}/status {auth} {json} -d '{{\"status\":\"success\"}}'\n\
             curl -sS -X PUT {demo}/status {auth} {json} -d '{{\"status\":\"failed\",\"error\":\"disk full\"}}'\n\
             curl -sS http://{api}/api/v1/schedulers {auth}\n\n\
             The same with Ronda's own command line:\n\n\
             {path}{url}\
             ronda status demo running\n\
             ronda schedulers list\n\n\
             Ctrl-C stops it in order; nothing that was answered 2xx is lost.\n"
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

    fn screen<'a>(key: Option<&'a Secret>, slack: Option<&'a str>) -> Screen<'a> {
        let address = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let (api, admin, data) = (address(3000), address(3001), Path::new("/d/my data"));
        Screen { api, admin, data, partitions: 8, key, slack, program: None }
    }

    #[test]
    fn the_first_start_shows_the_key_first_and_in_lines_that_work_as_pasted() {
        let key = Secret::new("rk_abc");
        let text = screen(Some(&key), None).text();
        assert!(text.contains("the night watch is on.\n\n  Key     rk_abc\n"), "{text}");
        assert!(text.contains("export RONDA_API_KEY='rk_abc'"), "{text}");
        assert!(text.contains("http://127.0.0.1:3000/api/v1/schedulers/register"), "{text}");
        assert!(text.contains("SLACK_BOT_TOKEN=xoxb-… SLACK_CHANNEL=C… ronda up"), "{text}");
        assert!(!text.contains("export PATH") && !text.contains("RONDA_URL"), "{text}");
    }

    #[test]
    fn later_starts_say_how_to_make_another_key() {
        let text = screen(None, Some("C1")).text();
        assert!(text.contains("ronda keys create --name laptop --data '/d/my data'"), "{text}");
        assert!(text.contains("on: C1") && !text.contains("SLACK_BOT_TOKEN"), "{text}");
    }

    #[test]
    fn a_program_that_no_shell_finds_is_named_by_its_path() {
        let mut screen = screen(None, None);
        screen.program = Some(Path::new("/src/my ronda/target/release/ronda"));
        screen.api = SocketAddr::from(([127, 0, 0, 1], 8080));
        let text = screen.text();
        for wanted in [
            "C… '/src/my ronda/target/release/ronda' up\n",
            "  '/src/my ronda/target/release/ronda' keys create --name laptop",
            "export PATH='/src/my ronda/target/release':\"$PATH\"\n",
            "export RONDA_URL='http://127.0.0.1:8080'\n",
        ] {
            assert!(text.contains(wanted), "missing: {wanted}\nin:\n{text}");
        }
    }
}
