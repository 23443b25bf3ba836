//! A proxy before a server that speaks AWS's JSON protocols, as DynamoDB and SQS do: it understands just enough HTTP to count calls by their
//! action, to answer for the server, to change calls, and to lose or hold them back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Makes another answer of an answer.
pub type Rewrite = Box<dyn FnOnce(Value) -> Value + Send>;

/// What becomes of a call.
pub enum Fate {
    /// The server gets it.
    Pass,
    /// The server gets it with another body, and the caller another answer.
    Change {
        /// The other body.
        request: Value,
        /// Makes the other answer of the server's.
        answer: Rewrite,
    },
    /// The server gets nothing.
    Answer(u16, Value),
    /// The connection breaks before the server has it.
    Lose,
    /// The connection breaks before the server has it; what it did not get is kept, to be carried out later.
    Keep,
    /// The server carries it out, and the connection breaks before the answer.
    LoseAnswer,
    /// The caller hears nothing.
    Silence,
    /// The server gets it once the other end says so.
    Hold(oneshot::Receiver<()>),
}

impl Fate {
    /// A refusal with this code, such as `ThrottlingException`.
    #[must_use]
    pub fn refuse(code: &str) -> Self {
        Self::Answer(400, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "told so"}))
    }

    /// What a process that is dead gets done.
    #[must_use]
    pub fn dead() -> Self {
        Self::refuse("AccessDeniedException")
    }
}

/// Decides by action and body.
type Judge = Box<dyn FnMut(&str, &Value) -> Fate + Send>;

#[derive(Clone)]
struct State {
    server: SocketAddr,
    judge: Arc<Mutex<Judge>>,
    calls: Arc<Mutex<BTreeMap<String, u64>>>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A proxy before one server, with an address of its own. It ends with its value.
pub struct AwsProxy {
    address: SocketAddr,
    state: State,
    task: JoinHandle<()>,
}

impl AwsProxy {
    /// Makes a proxy to a server. The judge decides on each call by its action, such as `PutItem`, and its body.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn to(
        server: SocketAddr,
        judge: impl FnMut(&str, &Value) -> Fate + Send + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let judge: Judge = Box::new(judge);
        let (calls, kept) = (Arc::default(), Arc::default());
        let state = State { server, judge: Arc::new(Mutex::new(judge)), calls, kept };
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, shared.clone()));
            }
        });
        Ok(Self { address, state, task })
    }

    /// What the client connects to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often each action was called.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.state.calls.lock().clone()
    }

    /// Carries out what was kept back, and answers what the server said to each.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn carry_out_kept(&self) -> anyhow::Result<Vec<Value>> {
        let kept = std::mem::take(&mut *self.state.kept.lock());
        let mut answers = Vec::new();
        for request in kept {
            answers.push(exchange(self.state.server, &request).await?);
        }
        Ok(answers)
    }
}

impl Drop for AwsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls DynamoDB without an SDK, by a client that signs nothing; DynamoDB Local lets it in.
///
/// # Errors
/// When the server can't be asked. A refusal is an answer.
pub async fn call_dynamodb(server: SocketAddr, action: &str, body: &Value) -> anyhow::Result<Value> {
    let headers = [
        ("host", server.to_string()),
        ("x-amz-target", format!("DynamoDB_20120810.{action}")),
        ("content-type", String::from("application/x-amz-json-1.0")),
        (
            "authorization",
            String::from(
                "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=none",
            ),
        ),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let request = Http { first: String::from("POST / HTTP/1.1"), headers, body: body.to_string().into_bytes() };
    exchange(server, &request.bytes()).await
}

/// One request on a connection of its own.
async fn exchange(server: SocketAddr, request: &[u8]) -> anyhow::Result<Value> {
    let mut stream = BufReader::new(TcpStream::connect(server).await?);
    stream.write_all(request).await?;
    let answer = Http::read(&mut stream).await.context("the server hung up")?;
    Ok(serde_json::from_slice(&answer.body)?)
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
        let header = |line: &String| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers: Vec<_> = lines.iter().skip(1).filter_map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(Ok(0), |(_, value)| value.parse());
        let mut body = vec![0; length.ok()?];
        stream.read_exact(&mut body).await.ok()?;
        Some(Self { first: lines.first()?.clone(), headers, body })
    }

    fn header(&self, wanted: &str) -> &str {
        self.headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
    }

    fn bytes(&self) -> Vec<u8> {
        // The sum of a body that is changed would be wrong.
        let dropped = ["content-length", "x-amz-crc32"];
        let headers = self.headers.iter().filter(|(name, _)| !dropped.contains(&name.as_str()));
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut bytes = format!("{}\r\n{headers}content-length: {}\r\n\r\n", self.first, self.body.len()).into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

fn told(status: u16, body: &Value) -> Http {
    let headers = vec![(String::from("content-type"), String::from("application/x-amz-json-1.0"))];
    Http { first: format!("HTTP/1.1 {status} Told"), headers, body: body.to_string().into_bytes() }
}

async fn connection(client: TcpStream, state: State) {
    let Ok(server) = TcpStream::connect(state.server).await else { return };
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(mut request) = Http::read(&mut client).await {
        let action = request.header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
        *state.calls.lock().entry(action.clone()).or_default() += 1;
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let fate = (state.judge.lock())(&action, &body);
        let (mut change, mut is_answer_lost): (Option<Rewrite>, _) = (None, false);
        match fate {
            Fate::Pass => {}
            Fate::Change { request: body, answer } => {
                request.body = body.to_string().into_bytes();
                change = Some(answer);
            }
            Fate::Answer(status, body) => {
                if client.write_all(&told(status, &body).bytes()).await.is_err() {
                    return;
                }
                continue;
            }
            Fate::Lose => return,
            Fate::Keep => {
                state.kept.lock().push(request.bytes());
                return;
            }
            Fate::LoseAnswer => is_answer_lost = true,
            Fate::Silence => {
                // Until the caller hangs up.
                let _ = client.read_u8().await;
                return;
            }
            Fate::Hold(go) => {
                let _ = go.await;
            }
        }
        if server.write_all(&request.bytes()).await.is_err() {
            return;
        }
        let Some(mut answer) = Http::read(&mut server).await else { return };
        if is_answer_lost {
            return;
        }
        if let Some(change) = change {
            let Ok(body) = serde_json::from_slice(&answer.body) else { return };
            answer.body = change(body).to_string().into_bytes();
        }
        if client.write_all(&answer.bytes()).await.is_err() {
            return;
        }
    }
}
