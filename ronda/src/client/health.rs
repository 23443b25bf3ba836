//! How a process of this machine says that it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use super::http::builder;
use crate::cli::HealthArguments;
use crate::text::{printable, whole_columns};
use ronda_host::arguments::{Place, load};
use ronda_host::exit::{Code, Failure, chain};

/// Shorter than whoever asks would wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// What the admin listener answers.
#[derive(Deserialize)]
struct Report {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    ok: bool,
    reason: String,
}

/// Asks the admin listener of the configuration.
///
/// # Errors
/// `Unreachable` when nothing answers, `Refused` with each part's reason when it is not well.
pub async fn health(arguments: &HealthArguments) -> Result<String, Failure> {
    let place = Place { store: None, data: None, config: arguments.config.clone() };
    let flag = arguments.admin_listen.map(|address| ("server", "admin_listen", "--admin-listen", address.to_string()));
    let listen = load(&place, flag.into_iter().collect())?.settings.server.admin_listen;
    let url = format!("http://{}/health/{}", reachable(listen), if arguments.live { "live" } else { "ready" });
    let unreachable =
        |error: reqwest::Error| Failure::new(Code::Unreachable, format!("{url} gave no answer: {}", chain(&error)));
    // A proxy of the environment is not for this machine's own addresses.
    let http =
        builder(false).no_proxy().timeout(ANSWER_WITHIN).build().map_err(|error| Failure::other(chain(&error)))?;
    let answer = http.get(&url).send().await.map_err(unreachable)?;
    let status = answer.status();
    let body = answer.text().await.map_err(unreachable)?;
    told(&url, status, &body, arguments.json)
}

/// An address that something listening on all of them is found at.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

fn told(url: &str, status: StatusCode, body: &str, json: bool) -> Result<String, Failure> {
    let Ok(report) = serde_json::from_str::<Report>(body) else {
        let what = format!("{url} answered {status}, and not with a report: is another program listening there?");
        return Err(Failure::new(Code::Refused, what));
    };
    let row = |part: &Component| {
        let state = if part.ok { "ok" } else { "not ok" };
        vec![part.name.clone(), state.to_owned(), printable(&part.reason)]
    };
    let rows = report.components.iter().map(row).collect::<Vec<_>>();
    let text = if json { format!("{body}\n") } else { whole_columns(&rows) };
    if status.is_success() { Ok(text) } else { Err(Failure::new(Code::Refused, format!("{url}: {status}\n{text}"))) }
}

#[cfg(test)]
mod tests {
    use ronda_runtime::telemetry::MetricsHandle;
    use ronda_runtime::{CancellationToken, Health, admin};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_exit_tells_how_the_process_is_and_the_text_which_part_and_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let process = Health::new();
        let part = process.component("processor");
        part.set_ready(false, "partition 2 comes no further");
        let ask = |live, json| {
            let arguments = HealthArguments { live, admin_listen: Some(address), json, config: None };
            async move { health(&arguments).await }
        };
        let shutdown = CancellationToken::new();
        let serving =
            tokio::spawn(admin::serve(listener, process.clone(), MetricsHandle::detached(), shutdown.clone()));

        let refused = ask(false, false).await.unwrap_err();
        assert_eq!(refused.code, Code::Refused);
        assert!(refused.message.contains("processor  not ok  partition 2 comes no further"), "{refused}");
        assert!(ask(true, false).await.unwrap().contains("processor"));
        part.set_ready(true, "");
        assert_eq!(ask(false, false).await.unwrap(), "processor  ok\n");
        assert!(ask(false, true).await.unwrap().starts_with(r#"{"ok":true"#));

        shutdown.cancel();
        serving.await.unwrap().unwrap();
        assert_eq!(ask(false, false).await.unwrap_err().code, Code::Unreachable);
    }

    #[test]
    fn what_listens_everywhere_is_asked_on_loopback_and_what_is_no_report_is_refused() {
        for (listen, asked) in
            [("0.0.0.0:3001", "127.0.0.1:3001"), ("[::]:3001", "[::1]:3001"), ("10.0.0.7:3001", "10.0.0.7:3001")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
        let refused = told("http://a", StatusCode::OK, "<html>", false).unwrap_err();
        assert!(refused.code == Code::Refused && refused.message.contains("another program"), "{refused}");
    }
}
