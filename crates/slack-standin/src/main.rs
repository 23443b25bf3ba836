//! The stand-in on a terminal: shows every message as it comes.

use std::net::SocketAddr;

use ronda_slack_standin::{APP_TOKEN, SIGNING_SECRET, Slack, StandIn, TOKEN};

#[tokio::main]
#[allow(clippy::print_stdout, reason = "showing messages on the terminal is what this program is for")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3900".to_owned());
    let address: SocketAddr = address
        .parse()
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{address}: {error}")))?;
    let slack = Slack::default().enforcing_rate().echoing();
    let stand_in = StandIn::start_on(address, slack).await?;
    println!("SLACK_API_URL={} SLACK_BOT_TOKEN={TOKEN}", stand_in.api_url());
    println!("Signing secret: {SIGNING_SECRET}   App-level token: {APP_TOKEN}\n");
    tokio::signal::ctrl_c().await
}
