//! What the SQS adapter costs beside a bare client of the SDK: equal frames, the same server, every publisher waits for its answer.
//!
//!     cargo run --release -p ronda-queue --features sqs --example sqs
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use base64::Engine;
use bytes::Bytes;
use ronda_queue::{BrokerOptions, Queue, ReceiveLimit, Role, connect};
use ronda_testbed::ElasticMq;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PARTITIONS: u32 = 4;
const TIME: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Outcome<()> {
    println!("frame bytes | bare frames/s | adapter frames/s | ratio | received and settled frames/s");
    for bytes in [1_000, 16_000, 48_000] {
        let server = ElasticMq::start(false)?;
        let frame = Bytes::from((0..bytes).map(|n: u32| n.to_le_bytes()[0] ^ 0x5a).collect::<Vec<_>>());
        let endpoint = format!("http://{}", server.address());
        let options = BrokerOptions {
            partitions: PARTITIONS,
            credentials_file: Some(server.credentials_file()?),
            ..BrokerOptions::new(format!("sqs://eu-central-1?endpoint={endpoint}"))
        };
        let broker = connect(options).await?;
        broker.init().await?;
        let queue = broker.queue(Role::Commands).await?;
        // Both to warm up, then in turns that are fair: the server gets slower as it gets fuller.
        bare_publishers(&endpoint, &frame).await?;
        adapter(&queue, &frame).await?;
        let (mut bare, mut ours) = (0, 0);
        for turn in [false, true, true, false, false, true, true, false] {
            if turn {
                ours += adapter(&queue, &frame).await?;
            } else {
                bare += bare_publishers(&endpoint, &frame).await?;
            }
        }
        let received = receivers(&queue).await?;
        let rate = |count: u64| count as f64 / (TIME.as_secs_f64() * 4.0);
        println!("{bytes} | {:.0} | {:.0} | {:.2} | {received:.0}", rate(bare), rate(ours), rate(ours) / rate(bare));
        broker.close().await;
    }
    Ok(())
}

/// One publisher a partition that sends one frame after the other.
async fn bare_publishers(endpoint: &str, frame: &Bytes) -> Outcome<u64> {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_sdk_sqs::Config::builder()
        .region(aws_sdk_sqs::config::Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .http_client(http)
        .credentials_provider(aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "example"));
    let client = aws_sdk_sqs::Client::from_conf(config.build());
    let end = Instant::now() + TIME;
    let publishers = (0..PARTITIONS).map(|partition| {
        let (client, frame) = (client.clone(), frame.clone());
        tokio::spawn(async move {
            let name = format!("ronda-commands-{partition}.fifo");
            let url = client.get_queue_url().queue_name(name).send().await?.queue_url.ok_or("no queue")?;
            let mut sent = 0_u64;
            while Instant::now() < end {
                let attribute = MessageAttributeValue::builder().data_type("String").string_value("1").build()?;
                let entry = SendMessageBatchRequestEntry::builder()
                    .id("0")
                    .message_body(base64::engine::general_purpose::STANDARD.encode(&frame))
                    .message_attributes("ronda-frame", attribute)
                    .message_group_id("ronda")
                    .message_deduplication_id(format!("{end:?}-{partition}-{sent}"))
                    .build()?;
                client.send_message_batch().queue_url(&url).entries(entry).send().await?;
                sent += 1;
            }
            Outcome::Ok(sent)
        })
    });
    sum(publishers.collect()).await
}

async fn adapter(queue: &Arc<dyn Queue>, frame: &Bytes) -> Outcome<u64> {
    let end = Instant::now() + TIME;
    let publishers = (0..PARTITIONS).map(|partition| {
        let (queue, frame) = (Arc::clone(queue), frame.clone());
        tokio::spawn(async move {
            let mut sent = 0_u64;
            while Instant::now() < end {
                queue.publish(partition, frame.clone()).await?;
                sent += 1;
            }
            Outcome::Ok(sent)
        })
    });
    sum(publishers.collect()).await
}

/// Reads for a while, and answers frames a second.
async fn receivers(queue: &Arc<dyn Queue>) -> Outcome<f64> {
    let end = Instant::now() + TIME;
    let receivers = (0..PARTITIONS).map(|partition| {
        let queue = Arc::clone(queue);
        tokio::spawn(async move {
            let mut receiver = queue.open(partition, None).await?;
            let mut received = 0_u64;
            while Instant::now() < end {
                let Ok(got) = tokio::time::timeout(TIME, receiver.receive(ReceiveLimit::default())).await else {
                    break;
                };
                let got = got?;
                received += got.len() as u64;
                if let Some(last) = got.last() {
                    receiver.settle(last.token).await?;
                }
            }
            Outcome::Ok(received)
        })
    });
    Ok(sum(receivers.collect()).await? as f64 / TIME.as_secs_f64())
}

async fn sum(tasks: Vec<tokio::task::JoinHandle<Outcome<u64>>>) -> Outcome<u64> {
    let mut all = 0;
    for task in tasks {
        all += task.await??;
    }
    Ok(all)
}
