//! What `up` says on the screen once everything runs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use ronda_runtime::Secret;

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
    /// The channel, when messages go to Slack.
    pub(super) slack: Option<&'a str>,
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
        line("API", format!("http://{api}/api/v1"));
        line("Docs", format!("http://{api}/api/docs"));
        line("Health", format!("http://{admin}/health/ready and /metrics"));
        line("Data", format!("{} ({} partitions)", self.data.display(), self.partitions));
        match self.slack {
            Some(channel) => line("Slack", format!("on, to {channel}")),
            None => {
                line("Slack", String::from("off: messages are shown here. To turn it on, start with"));
                line("", String::from("SLACK_BOT_TOKEN=xoxb-… SLACK_CHANNEL=C… ronda up"));
            }
        }
        match self.key {
            Some(key) => {
                line("Key", key.expose().to_owned());
                line("", String::from("made just now for tenant default, with all scopes; it is shown this once"));
            }
            None => {
                line("Key", String::from("made on the first start; another one, also while this runs:"));
                line("", format!("ronda keys create --name laptop --data {}", quoted(self.data)));
            }
        }
        self.tour(&api, &mut out);
        out
    }

    fn tour(&self, api: &str, out: &mut String) {
        let key = self.key.map_or("<your key>", Secret::expose);
        let demo = format!("http://{api}/api/v1/schedulers/demo");
        let auth = "-H \"X-API-Key: $RONDA_API_KEY\"";
        let json = "-H 'Content-Type: application/json'";
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
        Screen { api: address(3000), admin: address(3001), data: Path::new("/d/my data"), partitions: 8, key, slack }
    }

    #[test]
    fn the_first_start_shows_the_key_in_lines_that_work_as_pasted() {
        let key = Secret::new("rk_abc");
        let text = screen(Some(&key), None).text();
        assert!(text.contains("export RONDA_API_KEY='rk_abc'"), "{text}");
        assert!(text.contains("http://127.0.0.1:3000/api/v1/schedulers/register"), "{text}");
        assert!(text.contains("SLACK_BOT_TOKEN"), "{text}");
    }

    #[test]
    fn later_starts_say_how_to_make_another_key() {
        let text = screen(None, Some("C1")).text();
        assert!(text.contains("ronda keys create --name laptop --data '/d/my data'"), "{text}");
        assert!(text.contains("on, to C1") && !text.contains("SLACK_BOT_TOKEN"), "{text}");
    }
}
