//! A request to the app, over plain HTTP.

use axum::body::{Body, Bytes};
use http::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

/// The most of an answer that is read.
const ANSWER_BYTES: usize = 1 << 20;

/// A request as it goes over the line, so that the very same can be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) url: String,
    /// `X-Slack-Request-Timestamp` and `X-Slack-Signature`.
    pub(super) signature: Option<(String, String)>,
    pub(super) body: String,
}

/// Sends it and reads the answer's status and body.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn post(signed: &Signed) -> Result<(u16, Bytes), String> {
    let url = Url::parse(&signed.url).map_err(|error| format!("{}: {error}", signed.url))?;
    let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
        return Err(format!("{url}: the stand-in speaks plain HTTP only"));
    };
    let address = format!("{host}:{port}");
    let said = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let stream = TcpStream::connect(&address).await.map_err(|error| said(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    // Ends with the sender.
    tokio::spawn(connection);
    let mut request = Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, &address)
        .header(header::USER_AGENT, "Slackbot 1.0 (+https://api.slack.com/robots)")
        .header(header::ACCEPT, "application/json,*/*")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some((timestamp, signature)) = &signed.signature {
        request = request.header("x-slack-request-timestamp", timestamp).header("x-slack-signature", signature);
    }
    let request = request.body(Body::from(signed.body.clone())).map_err(|error| said(&error))?;
    let response = sender.send_request(request).await.map_err(|error| said(&error))?;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(Body::new(response.into_body()), ANSWER_BYTES).await;
    Ok((status, body.map_err(|error| said(&error))?))
}
