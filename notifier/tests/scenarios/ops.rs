//! An operator's place outside of Slack: a webhook whose receiver writes down what it is told.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// See the module.
#[derive(Default)]
pub(crate) struct Ops {
    told: Arc<Mutex<Vec<String>>>,
}

impl Ops {
    /// Begins to listen; answers where.
    pub(crate) async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let told = Arc::clone(&self.told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let told = Arc::clone(&told);
                tokio::spawn(async move { take(stream, &told).await });
            }
        });
        url
    }

    /// The texts that it was told, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().clone()
    }
}

/// Takes one request, and ends the connection.
async fn take(mut stream: TcpStream, told: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(body) = whole_body(&request) else { continue };
        let event: serde_json::Value = serde_json::from_slice(body).unwrap();
        told.lock().push(event["data"]["text"].as_str().unwrap_or_default().to_owned());
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        return;
    }
}

/// What follows the head, once all of it is there.
fn whole_body(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    request[end..].get(..length)
}
