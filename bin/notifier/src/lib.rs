//! The notifier as a part of a process, and as a process of its own.

pub mod settings;
pub mod slack;

use std::sync::Arc;
use std::time::Duration;

use ronda_host::alone;
use ronda_host::arguments::ServiceArguments;
use ronda_host::config::Settings;
use ronda_host::exit::{Code, Failure, chain};
use ronda_host::process::{Process, Service};
use ronda_notifier::{
    Channel, Config, MailChannel, Notifier, NotifierStatus, SlackChannel, SlackConfig, Switchboard, TerminalChannel,
    WebhookChannel,
};
use ronda_schemas::lease::Group;
use tokio::sync::watch;

pub use settings::{checked, config, destinations, flaws, goes_elsewhere, slack_is_on};

/// Starts it in a process. Answers how it is doing, when messages go to Slack.
///
/// # Errors
/// Settings that it can't use.
pub fn start(
    process: &mut Process,
    config: Config,
    settings: &Settings,
) -> Result<Option<watch::Receiver<NotifierStatus>>, Failure> {
    let other = |error: &dyn std::error::Error| Failure::other(chain(error));
    let home: Arc<dyn Channel> = if slack_is_on(settings) {
        let slack = SlackConfig {
            api_url: settings.slack.api_url.clone(),
            ..SlackConfig::new(settings.slack.bot_token.clone())
        };
        Arc::new(SlackChannel::new(slack).map_err(|error| other(&error))?)
    } else {
        Arc::new(TerminalChannel::stdout(process.clock.clone(), &config.timezone))
    };
    let mut channel = Switchboard::new(home);
    for webhook in settings::webhooks(settings) {
        let name = webhook.name.clone();
        let webhook = WebhookChannel::new(webhook, process.clock.clone()).map_err(|error| other(&error))?;
        channel = channel.with_webhook(&name, webhook);
    }
    if let Some(mail) = settings::mail(settings)? {
        channel = channel.with_mail(MailChannel::new(mail, process.clock.clone()).map_err(|error| other(&error))?);
    }
    let channel: Arc<dyn Channel> = Arc::new(channel);
    let (events, clock) = (process.parts.events.clone(), process.clock.clone());
    let notifier = Notifier::build(config, events, process.store(), clock, channel, &process.health)
        .map_err(|error| other(&error))?;
    let status = slack_is_on(settings).then(|| notifier.status());
    let ownership = process.ownership(Group::Notifier, settings)?;
    process.start(Service::Notifier, Duration::ZERO, |stop| async move {
        notifier.run(ownership, stop).await.map_err(|error| {
            let code = if error.needs_newer_release() { Code::Data } else { Code::Failed };
            Failure::new(code, chain(&error))
        })
    });
    Ok(status)
}

/// Runs it alone, until a signal ends it.
///
/// # Errors
/// Why it could not start, or what failed.
pub async fn run(arguments: ServiceArguments) -> Result<(), Failure> {
    let settings = alone::settings(&arguments, "notifier", settings::checked)?;
    let config = config(&settings)?;
    let (stop, process) = alone::open(&settings).await?;
    let Some(mut process) = process else { return Ok(()) };
    let admin = alone::admin(&settings).await?;
    let status = start(&mut process, config, &settings)?;
    let told = async {
        if let Some(status) = status {
            slack::log_refusals(status).await;
        }
    };
    alone::until(process, admin, "notifier", stop, told).await
}
