//! A proxy that understands just enough HTTP to count calls by their action, and to answer for the server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a call.
pub(crate) enum Fate {
    /// The server gets it.
    Pass,
    /// The server gets it with another body, and the caller another answer.
    Change { request: Value, answer: Box<dyn FnOnce(Value) -> Value + Send> },
    /// The server gets nothing.
    Answer(u16, Value),
}

/// Decides by action and body.
type Judge = Box<dyn FnMut(&str, &Value) -> Fate + Send>;

#[derive(Clone)]
struct State {
    server: SocketAddr,
    judge: Arc<Mutex<Judge>>,
    calls: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// A proxy before one server. It ends with its value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: State,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr, judge: impl FnMut(&str, &Value) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = State { server, judge: Arc::new(Mutex::new(Box::new(judge))), calls: Arc::default() };
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, shared.clone()));
            }
        });
        Self { address, state, task }
    }

    /// How often each action was called.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        self.state.calls.lock().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// First line, headers and body of a request or an answer.
struct Http {
    first: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Http {
    async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let headers: Vec<_> = lines
            .iter()
            .skip(1)
            .filter_map(|line| {
                line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().expect("a length"))];
        stream.read_exact(&mut body).await.ok()?;
        Some(Self { first: lines.first()?.clone(), headers, body })
    }

    fn header(&self, wanted: &str) -> &str {
        self.headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
    }

    fn bytes(&self) -> Vec<u8> {
        let headers = self.headers.iter().filter(|(name, _)| name != "content-length");
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut bytes = format!("{}\r\n{headers}content-length: {}\r\n\r\n", self.first, self.body.len()).into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

async fn connection(client: TcpStream, state: State) {
    let Ok(server) = TcpStream::connect(state.server).await else { return };
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(mut request) = Http::read(&mut client).await {
        let action = request.header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
        *state.calls.lock().entry(action.clone()).or_default() += 1;
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let fate = (state.judge.lock())(&action, &body);
        let change = match fate {
            Fate::Pass => None,
            Fate::Change { request: body, answer } => {
                request.body = body.to_string().into_bytes();
                Some(answer)
            }
            Fate::Answer(status, body) => {
                let headers = vec![(String::from("content-type"), String::from("application/x-amz-json-1.0"))];
                let answer =
                    Http { first: format!("HTTP/1.1 {status} Told"), headers, body: body.to_string().into_bytes() };
                if client.write_all(&answer.bytes()).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if server.write_all(&request.bytes()).await.is_err() {
            return;
        }
        let Some(mut answer) = Http::read(&mut server).await else { return };
        if let Some(change) = change {
            answer.body = change(serde_json::from_slice(&answer.body).expect("JSON")).to_string().into_bytes();
        }
        if client.write_all(&answer.bytes()).await.is_err() {
            return;
        }
    }
}
