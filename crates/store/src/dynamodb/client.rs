//! The client of the SDK: TLS by ring, and time-outs and retries as the options say.

use std::path::Path;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::invalid;
use super::options::DynamoOptions;
use crate::error::StoreError;

/// First and longest wait between two attempts. The SDK's own are made for services that answer in seconds.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) async fn connect(options: &DynamoOptions) -> Result<Client, StoreError> {
    let tls = TlsContext::builder().with_trust_store(trust(options.ca_file.as_deref()).await?);
    let tls = tls.build().map_err(|error| invalid(format!("ca_file can't be used: {error}")))?;
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
        .operation_attempt_timeout(Duration::from_millis(options.attempt_timeout_ms))
        .operation_timeout(Duration::from_millis(options.call_timeout_ms));
    let retries = RetryConfig::standard()
        .with_max_attempts(options.max_attempts.max(1))
        .with_initial_backoff(WAITS.0)
        .with_max_backoff(WAITS.1);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(retries)
        .timeout_config(timeouts.build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Ok(name) = AppName::new(options.client_name.clone()) {
        loader = loader.app_name(name);
    }
    if let Some(file) = &options.credentials_file {
        loader = loader.credentials_provider(credentials(file, options, http).await?);
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        return Err(invalid("no AWS region is named: set one, or AWS_REGION"));
    }
    // How many further attempts there may be in all is counted for these tables alone, not for the whole process.
    let mut config =
        Builder::from(&shared).retry_partition(RetryPartition::new(format!("dynamodb-{}", options.prefix)));
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

async fn trust(file: Option<&Path>) -> Result<TrustStore, StoreError> {
    let store = TrustStore::default();
    let Some(file) = file else { return Ok(store) };
    let pem = tokio::fs::read(file)
        .await
        .map_err(|error| invalid(format!("ca_file {}: {error}", file.display())).caused_by(error))?;
    Ok(store.with_pem_certificate(pem))
}

/// A file as the AWS tools have it: `[default]` with `aws_access_key_id` and `aws_secret_access_key`.
#[allow(deprecated, reason = "its new home is a crate that we otherwise don't need")]
async fn credentials(
    file: &Path,
    options: &DynamoOptions,
    http: SharedHttpClient,
) -> Result<ProfileFileCredentialsProvider, StoreError> {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    tokio::fs::metadata(file)
        .await
        .map_err(|error| invalid(format!("credentials_file {}: {error}", file.display())).caused_by(error))?;
    let files = ProfileFiles::builder().with_file(ProfileFileKind::Credentials, file).build();
    // A profile may name a role, which is asked for by HTTP.
    let region = options.region.clone().map(Region::new);
    let config = ProviderConfig::without_region().with_region(region).with_http_client(http);
    Ok(ProfileFileCredentialsProvider::builder().configure(&config).profile_files(files).build())
}
