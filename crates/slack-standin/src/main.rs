//! The stand-in on a terminal: shows every message as it comes.
//!
//! `ronda-slack-standin [ADDRESS [REQUEST_URL]]`: clicks and commands go to the URL, if there is one, else over Socket Mode.

use std::net::SocketAddr;

use ronda_slack_standin::{APP_TOKEN, RequestUrls, SIGNING_SECRET, Slack, StandIn, TOKEN};

#[tokio::main]
#[allow(clippy::print_stdout, reason = "showing messages on the terminal is what this program is for")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3900".to_owned());
    let address: SocketAddr = address
        .parse()
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{address}: {error}")))?;
    let slack = Slack::default().enforcing_rate().echoing();
    let stand_in = StandIn::start_on(address, slack).await?;
    let urls = std::env::args().nth(2).map(|url| RequestUrls { interactivity: url.clone(), commands: url });
    stand_in.slack().set_request_urls(urls);
    println!("SLACK_API_URL={} SLACK_BOT_TOKEN={TOKEN}", stand_in.api_url());
    println!("Signing secret: {SIGNING_SECRET}   App-level token: {APP_TOKEN}\n");
    tokio::signal::ctrl_c().await
}
