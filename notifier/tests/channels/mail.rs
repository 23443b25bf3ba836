//! Mail, taken by aiosmtpd.

use std::path::Path;
use std::sync::Arc;

use ronda_notifier::channel::{About, ChannelErrorKind, PostRequest};
use ronda_notifier::mail::Security;
use ronda_notifier::{Channel, MailChannel, MailConfig};
use ronda_runtime::{Secret, SystemClock};
use serde_json::json;

use super::stranger::Stranger;
use super::{about, post, update};

pub(crate) const SERVER: (&str, &str) = ("aiosmtpd", "1.4.6");
pub(crate) const OPS: &str = "mail:ops";

pub(crate) fn config(port: u16) -> MailConfig {
    let lists = [("ops".to_owned(), vec!["Ops <ops@example.com>".to_owned(), "night@example.com".to_owned()])];
    MailConfig {
        port,
        security: Security::None,
        lists: lists.into(),
        timeout_ms: 5_000,
        ..MailConfig::new("localhost", "Ronda <ronda@example.com>")
    }
}

pub(crate) fn channel(config: MailConfig) -> MailChannel {
    MailChannel::new(config, Arc::new(SystemClock::new())).unwrap()
}

async fn plain() -> Option<(Stranger, MailChannel)> {
    let server = Stranger::start("mailbox.py", SERVER, &["none"]).await?;
    let channel = channel(config(server.port));
    Some((server, channel))
}

#[tokio::test]
async fn an_alert_and_its_replies_are_one_thread_in_text_and_html() {
    let Some((mut server, channel)) = plain().await else { return };
    let posted = channel.post(post(OPS, "alert/1", "🔴 Billing <failed> & \"more\"")).await.unwrap();
    let mail = server.next().await;
    assert_eq!(
        (&mail["from"], &mail["to"]),
        (&json!("ronda@example.com"), &json!(["ops@example.com", "night@example.com"]))
    );
    let headers = &mail["headers"];
    assert_eq!(headers["subject"], "🔴 Billing <failed> & \"more\"");
    assert_eq!((&headers["message-id"], &headers["auto-submitted"]), (&json!(posted.ts), &json!("auto-generated")));
    assert!(headers["in-reply-to"].is_null());
    assert_eq!(
        mail["text"].as_str().unwrap().trim_end().replace("\r\n", "\n"),
        "🔴 Billing <failed> & \"more\"\n  Severity  critical"
    );
    let html = mail["html"].as_str().unwrap();
    assert!(
        html.contains("🔴 Billing &lt;failed&gt; &amp;") && html.contains("href=\"https://wiki/billing\""),
        "{html}"
    );

    let reply = PostRequest { thread_ts: Some(posted.ts.clone()), ..post(OPS, "reply/1", "Billing is well again") };
    channel.post(reply).await.unwrap();
    let headers = server.next().await["headers"].clone();
    assert_eq!((&headers["in-reply-to"], &headers["references"]), (&json!(posted.ts), &json!(posted.ts)));
}

#[tokio::test]
async fn of_updates_only_the_end_of_a_digest_is_worth_a_mail() {
    let Some((mut server, channel)) = plain().await else { return };
    let posted = channel.post(post(OPS, "digest/1", "30 alerts")).await.unwrap();
    server.next().await;
    channel.update(update(OPS, &posted.ts, "digest/1", 2, About { what: "digest", ..about() })).await.unwrap();
    channel.update(update(OPS, &posted.ts, "alert/1", 3, About { is_over: true, ..about() })).await.unwrap();
    channel
        .update(update(OPS, &posted.ts, "digest/1", 4, About { what: "digest", is_over: true, ..about() }))
        .await
        .unwrap();
    let mail = server.next().await;
    assert!(mail["headers"]["message-id"].as_str().unwrap().contains(".r4@"), "nothing came before it: {mail}");
    assert_eq!(mail["headers"]["in-reply-to"], json!(posted.ts));
}

#[tokio::test]
async fn what_the_server_answers_is_what_the_port_says() {
    let Some((mut server, channel)) = plain().await else { return };
    let broken = |code: &str| ChannelErrorKind::DestinationBroken { code: code.into() };
    for (fault, wanted) in [
        ("rcpt 550", Some(broken("smtp_550"))),
        ("rcpt 450", None),
        ("data 451", None),
        ("data 554", Some(ChannelErrorKind::Payload { code: "smtp_554".into() })),
    ] {
        server.tell(fault).await;
        let error = channel.post(post(OPS, "alert/1", "x")).await.unwrap_err();
        match wanted {
            Some(wanted) => assert_eq!(error.kind, wanted, "{fault}"),
            None => assert_eq!(error.kind.class(), "not_sent", "{fault}"),
        }
    }
    let error = channel.delete(OPS, "<x@y>").await.unwrap_err();
    assert_eq!(error.kind.class(), "fixed");
    let error = channel.post(post("mail:nobody", "alert/1", "x")).await.unwrap_err();
    assert_eq!(error.kind, broken("no_such_list"));
}

#[tokio::test]
async fn a_connection_lost_after_the_final_dot_is_ambiguous_and_the_repeat_has_the_same_id() {
    let Some((mut server, channel)) = plain().await else { return };
    server.tell("drop").await;
    let error = channel.post(post(OPS, "alert/1", "x")).await.unwrap_err();
    assert_eq!(error.kind, ChannelErrorKind::Ambiguous);
    let posted = channel.post(post(OPS, "alert/1", "x")).await.unwrap();
    let (first, second) = (server.next().await, server.next().await);
    assert_eq!(first["headers"]["message-id"], json!(posted.ts));
    assert_eq!(second["headers"]["message-id"], json!(posted.ts));
}

/// A certificate for `localhost` that signs itself: its files, and its PEM.
fn certificate(dir: &Path) -> (String, String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate.display().to_string(), key.display().to_string(), made.cert.pem().into_bytes())
}

#[tokio::test]
async fn the_connection_is_encrypted_before_the_password_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key, pem) = certificate(dir.path());
    for (mode, security) in [("starttls", Security::StartTls), ("tls", Security::Tls)] {
        let Some(mut server) = Stranger::start("mailbox.py", SERVER, &[mode, &certificate, &key]).await else { return };
        let login = MailConfig {
            security,
            user: "ronda".into(),
            password: Secret::new("secret"),
            ca_pem: Some(pem.clone()),
            ..config(server.port)
        };
        let channel = channel(login.clone());
        channel.check(&[OPS.to_owned()]).await.unwrap();
        channel.post(post(OPS, "alert/1", "x")).await.unwrap();
        let mail = server.next().await;
        assert_eq!((&mail["encrypted"], &mail["login"]), (&json!(true), &json!("ronda")), "{mode}");

        let wrong = self::channel(MailConfig { password: Secret::new("other"), ..login.clone() });
        let error = wrong.check(&[OPS.to_owned()]).await.unwrap_err();
        assert_eq!(error.kind, ChannelErrorKind::DestinationBroken { code: "smtp_535".into() }, "{mode}");
        assert!(!error.message.contains("other"));

        let stranger = self::channel(MailConfig { ca_pem: None, ..login });
        let error = stranger.post(post(OPS, "alert/1", "x")).await.unwrap_err();
        assert_ne!(error.kind, ChannelErrorKind::Ambiguous, "{mode}: a certificate that nobody vouches for");
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    let Some(server) = Stranger::start("mailbox.py", SERVER, &["none"]).await else { return };
    let channel = channel(MailConfig { security: Security::StartTls, ..config(server.port) });
    let error = channel.post(post(OPS, "alert/1", "x")).await.unwrap_err();
    assert_eq!(error.kind, ChannelErrorKind::DestinationBroken { code: "smtp_not_offered".into() });
}
