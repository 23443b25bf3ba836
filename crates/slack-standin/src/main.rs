//! The stand-in on a terminal: shows every message as it comes.

use std::net::SocketAddr;

use clap::Parser;
use ronda_slack_standin::{APP_TOKEN, RequestUrls, SIGNING_SECRET, Slack, StandIn, TOKEN};
use url::Url;

/// A stand-in for Slack: shows every message as it comes, keeps Slack's limits and rates, and lets people click and ask.
///
/// What people do in it reaches the app over Socket Mode, or over HTTP where both addresses for that are given. docs/slack.md says how it is used.
#[derive(Debug, Parser)]
#[command(name = "ronda-slack-standin", version)]
struct Arguments {
    /// Where it listens, an IP address and a port; port 0 is any that is free
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:3900", value_parser = address)]
    address: SocketAddr,
    /// Where slash commands go, as under "Slash Commands", such as http://127.0.0.1:3000/slack/commands
    #[arg(long, value_name = "URL", requires = "interactivity_url", value_parser = request_url)]
    commands_url: Option<String>,
    /// Where clicks go, as under "Interactivity", such as http://127.0.0.1:3000/slack/interactions
    #[arg(long, value_name = "URL", requires = "commands_url", value_parser = request_url)]
    interactivity_url: Option<String>,
}

impl Arguments {
    fn request_urls(&self) -> Option<RequestUrls> {
        let (commands, interactivity) = self.commands_url.clone().zip(self.interactivity_url.clone())?;
        Some(RequestUrls { interactivity, commands })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port are wanted, such as 127.0.0.1:3900".to_owned())
}

fn request_url(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(text.to_owned()),
        _ => Err("the stand-in speaks plain HTTP only: http://… is wanted".to_owned()),
    }
}

#[tokio::main]
#[allow(clippy::print_stderr, reason = "why it ends is told on the terminal")]
async fn main() -> std::process::ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ronda-slack-standin: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "showing messages on the terminal is what this program is for")]
async fn run(arguments: &Arguments) -> Result<(), String> {
    let slack = Slack::default().enforcing_rate().echoing();
    let address = arguments.address;
    let stand_in =
        StandIn::start_on(address, slack).await.map_err(|error| format!("can't listen on {address}: {error}"))?;
    stand_in.slack().set_request_urls(arguments.request_urls());
    println!("SLACK_API_URL={} SLACK_BOT_TOKEN={TOKEN}", stand_in.api_url());
    println!("Signing secret: {SIGNING_SECRET}   App-level token: {APP_TOKEN}\n");
    tokio::signal::ctrl_c().await.map_err(|error| format!("can't wait for Ctrl-C: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Arguments, String> {
        let all = ["ronda-slack-standin"].into_iter().chain(arguments.iter().copied());
        Arguments::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_whole() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn clicks_and_commands_each_have_an_address() {
        let alone = parsed(&[]).unwrap();
        assert_eq!((alone.address, alone.request_urls()), (([127, 0, 0, 1], 3_900).into(), None));
        let (commands, clicks) = ("http://127.0.0.1:3000/slack/commands", "http://127.0.0.1:3000/slack/interactions");
        let both = parsed(&["127.0.0.1:0", "--commands-url", commands, "--interactivity-url", clicks]).unwrap();
        let wanted = RequestUrls { interactivity: clicks.to_owned(), commands: commands.to_owned() };
        assert_eq!((both.address.port(), both.request_urls()), (0, Some(wanted)));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_wanted() {
        for (arguments, told) in [
            (&["3900"][..], "an IP address and a port are wanted"),
            (&["localhost:3900"], "an IP address and a port are wanted"),
            (&["--commands-url", "https://a/b", "--interactivity-url", "http://a"], "plain HTTP only"),
            (&["--commands-url", "http://a/b"], "--interactivity-url"),
            (&["--interactivity-url", "http://a/b"], "--commands-url"),
            (&["127.0.0.1:0", "http://a/b"], "unexpected argument"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(told), "{arguments:?}: {error}");
        }
    }
}
