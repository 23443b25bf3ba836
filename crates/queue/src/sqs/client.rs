//! The client of the SDK, with time-outs short enough that a dead endpoint is noticed, and without retries of its own where we must know.

use std::path::Path;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Builder, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::address::Address;
use crate::broker::BrokerOptions;
use crate::error::{QueueError, QueueErrorKind};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Longest that one attempt of a call may take, its connection included.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long a receive waits for a message at the server. Longer saves little, as gateways send a pulse a second; shorter lets a receiver
/// that goes leave the partition sooner.
pub(super) const WAIT_SECONDS: u32 = 3;
const SETUP_WITHIN: Duration = Duration::from_secs(20);

/// One client, with what differs between kinds of calls.
#[derive(Clone)]
pub(super) struct Clients {
    /// Sends, deletes and extends: one attempt, so that its caller decides what comes next.
    pub(super) call: Client,
    /// Receives, which wait at the server.
    pub(super) poll: Client,
    /// Makes and asks for queues: tries again by itself.
    pub(super) setup: Client,
}

impl Clients {
    pub(super) async fn connect(options: &BrokerOptions, address: &Address) -> Result<Self, QueueError> {
        if options.client_certificate_file.is_some() || options.client_key_file.is_some() {
            return Err(refused(
                "SQS knows no client certificates: leave client_certificate_file and client_key_file out",
            ));
        }
        let tls = TlsContext::builder().with_trust_store(trust(options.ca_file.as_deref()).await?);
        let tls = tls.build().map_err(|error| refused(format!("ca_file can't be used: {error}")))?;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls)
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .retry_config(RetryConfig::standard())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &address.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Ok(name) = AppName::new(options.client_name.clone()) {
            loader = loader.app_name(name);
        }
        if let Some(file) = &options.credentials_file {
            loader = loader.credentials_provider(credentials(file, address, http).await?);
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(refused(
                "no AWS region is named: write it into the address (sqs://eu-central-1) or set AWS_REGION",
            ));
        }
        let mut config = Builder::from(&shared);
        if let Some(endpoint) = &address.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let with = |retries: RetryConfig, attempt: Duration, whole: Duration| {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT_WITHIN)
                .operation_attempt_timeout(attempt)
                .operation_timeout(whole);
            Client::from_conf(config.clone().retry_config(retries).timeout_config(timeouts.build()).build())
        };
        let poll_within = ANSWER_WITHIN + Duration::from_secs(WAIT_SECONDS.into());
        Ok(Self {
            call: with(RetryConfig::disabled(), ANSWER_WITHIN, ANSWER_WITHIN),
            poll: with(RetryConfig::disabled(), poll_within, poll_within),
            setup: with(RetryConfig::standard().with_max_attempts(5), ANSWER_WITHIN, SETUP_WITHIN),
        })
    }
}

async fn trust(file: Option<&Path>) -> Result<TrustStore, QueueError> {
    let store = TrustStore::default();
    let Some(file) = file else { return Ok(store) };
    let pem = tokio::fs::read(file)
        .await
        .map_err(|error| refused(format!("ca_file {}: {error}", file.display())).with_source(error))?;
    Ok(store.with_pem_certificate(pem))
}

/// A file as the AWS tools have it: `[default]` with `aws_access_key_id` and `aws_secret_access_key`.
#[allow(deprecated, reason = "its new home is a crate that we otherwise don't need")]
async fn credentials(
    file: &Path,
    address: &Address,
    http: SharedHttpClient,
) -> Result<ProfileFileCredentialsProvider, QueueError> {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    tokio::fs::metadata(file)
        .await
        .map_err(|error| refused(format!("credentials_file {}: {error}", file.display())).with_source(error))?;
    let files = ProfileFiles::builder().with_file(ProfileFileKind::Credentials, file).build();
    // A profile may name a role, which is asked for by HTTP.
    let region = address.region.clone().map(Region::new);
    let config = ProviderConfig::without_region().with_region(region).with_http_client(http);
    Ok(ProfileFileCredentialsProvider::builder().configure(&config).profile_files(files).build())
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> QueueError {
    QueueError::permanent(QueueErrorKind::InvalidOptions, message)
}

/// Waits between attempts: short at first, never more than a second, so that a server that came back is in use within two.
pub(super) struct Waits(ExponentialBackoff);

impl Waits {
    const LONGEST: Duration = Duration::from_millis(500);

    pub(super) fn new() -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Self::LONGEST)
            .without_max_times()
            .with_jitter();
        Self(waits.build())
    }

    pub(super) fn next_wait(&mut self) -> Duration {
        self.0.next().unwrap_or(Self::LONGEST)
    }
}
