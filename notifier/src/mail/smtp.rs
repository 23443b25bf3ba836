//! One mail, one connection. lettre's own transport does the same in one step, but then a failure does not tell whether the final dot had
//! been sent, and that is what decides whether the mail may be there.

use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use super::{MailConfig, Security};
use crate::channel::{ChannelError, ChannelErrorKind};

/// Not sent, and may be tried again.
const SOON: Duration = Duration::from_secs(30);

/// What is wrong with the authorities' certificates, if there are any.
pub(super) fn certificate_mistake(config: &MailConfig) -> Option<String> {
    let pem = config.ca_pem.as_ref()?;
    // Text without a single certificate in it is no error to who reads them.
    if !String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----") {
        return Some("has no certificate in it that can be read; it must be PEM".to_owned());
    }
    tls(config).err().map(|what| format!("can't be used: {what}"))
}

/// Makes a server's certificates trusted as the settings say.
pub(super) fn tls(config: &MailConfig) -> Result<Option<TlsParameters>, String> {
    if config.security == Security::None {
        return Ok(None);
    }
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.ca_pem {
        let certificates =
            Certificate::from_pem(pem).map_err(|error| format!("the certificates can't be read: {error}"))?;
        builder = builder.add_root_certificate(certificates);
    }
    builder.build().map(Some).map_err(|error| format!("TLS can't be set up: {error}"))
}

/// Sends a mail.
pub(super) async fn send(config: &MailConfig, tls: Option<&TlsParameters>, mail: &Message) -> Result<(), ChannelError> {
    let within = Duration::from_millis(config.timeout_ms);
    let up_to_data = tokio::time::timeout(within, begin(config, tls, mail, within)).await;
    let mut connection = up_to_data.map_err(|_| not_sent("no answer in time"))??;
    // From here on the mail may be taken, whatever we hear of it.
    let answer = tokio::time::timeout(within, connection.message(&mail.formatted())).await;
    let outcome = match answer {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.status().is_some() => {
            Err(refused(&error, "the mail", |code| ChannelErrorKind::Payload { code }))
        }
        Ok(Err(_)) => Err(ambiguous("the connection was lost after the mail was sent")),
        Err(_) => Err(ambiguous("no answer in time after the mail was sent")),
    };
    // It is sent or not by now; a server that is slow to say goodbye changes nothing.
    let _ = tokio::time::timeout(Duration::from_secs(2), connection.abort()).await;
    outcome
}

/// Says hello, and gives the answer to that alone.
pub(super) async fn greet(config: &MailConfig, tls: Option<&TlsParameters>) -> Result<(), ChannelError> {
    let within = Duration::from_millis(config.timeout_ms);
    let opened = tokio::time::timeout(within, open(config, tls, within)).await;
    let mut connection = opened.map_err(|_| not_sent("no answer in time"))??;
    let _ = tokio::time::timeout(Duration::from_secs(2), connection.abort()).await;
    Ok(())
}

async fn open(
    config: &MailConfig,
    tls: Option<&TlsParameters>,
    within: Duration,
) -> Result<AsyncSmtpConnection, ChannelError> {
    let broken = |code: String| ChannelErrorKind::DestinationBroken { code };
    let hello = ClientId::Domain(config.domain().to_owned());
    let at_once = tls.filter(|_| config.security == Security::Tls).cloned();
    let server = (config.host.as_str(), config.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(server, Some(within), &hello, at_once, None)
        .await
        .map_err(|error| refused(&error, "the connection", broken))?;
    if let (Security::StartTls, Some(tls)) = (config.security, tls) {
        connection.starttls(tls.clone(), &hello).await.map_err(|error| refused(&error, "STARTTLS", broken))?;
    }
    if !config.user.is_empty() {
        let credentials = Credentials::new(config.user.clone(), config.password.expose().to_owned());
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&mechanisms, &credentials).await.map_err(|error| refused(&error, "the login", broken))?;
    }
    Ok(connection)
}

async fn begin(
    config: &MailConfig,
    tls: Option<&TlsParameters>,
    mail: &Message,
    within: Duration,
) -> Result<AsyncSmtpConnection, ChannelError> {
    let broken = |code: String| ChannelErrorKind::DestinationBroken { code };
    let mut connection = open(config, tls, within).await?;
    let envelope = mail.envelope();
    let from = connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await;
    from.map_err(|error| refused(&error, "the sender", broken))?;
    let (mut taken, mut first) = (0_usize, None);
    for recipient in envelope.to() {
        match connection.command(Rcpt::new(recipient.clone(), Vec::new())).await {
            Ok(_) => taken += 1,
            Err(error) if error.status().is_some() => {
                // Those who can be reached are not kept waiting for those who can't.
                tracing::error!(%recipient, code = status(&error), "the mail server refuses a recipient");
                first.get_or_insert_with(|| refused(&error, "every recipient", broken));
            }
            Err(error) => return Err(refused(&error, "a recipient", broken)),
        }
    }
    if taken == 0 {
        return Err(first.unwrap_or_else(|| not_sent("the mail has no recipient")));
    }
    connection.command(Data).await.map_err(|error| refused(&error, "the mail", broken))?;
    Ok(connection)
}

fn status(error: &Error) -> String {
    error.status().map_or_else(|| "none".to_owned(), |code| code.to_string())
}

/// A definite no: for now (4yz, or no connection), or until somebody changes something (5yz).
fn refused(error: &Error, what: &str, permanent: impl Fn(String) -> ChannelErrorKind) -> ChannelError {
    // The server's words may repeat what was sent to it; its code does not.
    match error.status() {
        Some(code) if error.is_permanent() => {
            ChannelError { kind: permanent(format!("smtp_{code}")), message: format!("{what} was refused: {code}") }
        }
        Some(code) => not_sent(&format!("{what} was refused for now: {code}")),
        None if error.is_client() => {
            let kind = permanent("smtp_not_offered".to_owned());
            ChannelError { kind, message: format!("{what}: the server does not offer what is needed: {error}") }
        }
        None if error.is_tls() => {
            let kind = permanent("smtp_tls".to_owned());
            ChannelError { kind, message: format!("{what}: TLS failed") }
        }
        None => not_sent(&format!("{what}: no connection, or it was lost")),
    }
}

fn not_sent(message: &str) -> ChannelError {
    let kind = ChannelErrorKind::NotSent { retry_after: SOON, rate_limited: false };
    ChannelError { kind, message: format!("mail: {message}") }
}

fn ambiguous(message: &str) -> ChannelError {
    ChannelError { kind: ChannelErrorKind::Ambiguous, message: format!("mail: {message}") }
}
