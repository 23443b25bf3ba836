//! What an adapter makes of a broker, beside a bare publisher of equal messages on the same server: in turns, so that both see the same
//! machine.
//!
//! `cargo run --release -p ronda-queue --features nats --example broker_throughput -- nats://127.0.0.1:4222 [BYTES] [IN FLIGHT] [PARTITIONS]`
//!
//! For SQS `RONDA_QUEUE_CREDENTIALS_FILE` names the file with the credentials.
//!
//! Use a server that nothing else is on: streams are made with a prefix of their own, and left there.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ronda_queue::{BrokerOptions, Queue, ReceiveLimit, Role, connect};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CASE: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

/// What is measured.
#[derive(Clone)]
struct Case {
    url: String,
    prefix: String,
    bytes: usize,
    in_flight: u32,
    partitions: u32,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the first argument is the broker's address")?;
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    // One in flight a partition, as gateways send frames.
    let (bytes, in_flight, partitions) = (number(8_192)?, number(16)?, number(16)?);
    let prefix = format!("throughput-{partitions}");
    let case = Case { url, prefix, bytes: usize::try_from(bytes)?, in_flight, partitions };
    println!(
        "{bytes} bytes, {in_flight} in flight over {partitions} partitions, {ROUNDS} rounds of {} s each",
        CASE.as_secs()
    );
    println!("| publisher | messages/s | MB/s | p50 ms | p99 ms | read and settled |");
    println!("|---|---|---|---|---|---|");
    let options = BrokerOptions {
        prefix: case.prefix.clone(),
        partitions,
        max_bytes: 4 << 30,
        credentials_file: credentials_file(),
        ..BrokerOptions::new(case.url.clone())
    };
    let broker = connect(options).await?;
    broker.init().await?;
    let queue = broker.queue(Role::Commands).await?;
    for _ in 0..ROUNDS {
        bare(&case).await?;
        adapter(&case, Arc::clone(&queue), false).await?;
        adapter(&case, Arc::clone(&queue), true).await?;
    }
    broker.close().await;
    Ok(())
}

/// The adapter's publishes, with or without a reader a partition behind them.
async fn adapter(case: &Case, queue: Arc<dyn Queue>, reading: bool) -> Outcome<()> {
    let count = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..if reading { case.partitions } else { 0 })
        .map(|partition| tokio::spawn(read(Arc::clone(&queue), partition, Arc::clone(&count))))
        .collect();
    let begin = Instant::now();
    let publishers: Vec<_> = (0..case.in_flight)
        .map(|publisher| {
            let (queue, message) = (Arc::clone(&queue), Bytes::from(vec![0x5a; case.bytes]));
            let partition = publisher % case.partitions;
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begin.elapsed() < CASE {
                    let start = Instant::now();
                    queue.publish(partition, message.clone()).await?;
                    times.push(start.elapsed());
                }
                Ok::<_, ronda_queue::QueueError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for publisher in publishers {
        times.extend(publisher.await??);
    }
    let elapsed = begin.elapsed();
    let read = count.load(Ordering::Relaxed);
    for reader in readers {
        reader.abort();
    }
    let name = if reading { "adapter, being read" } else { "adapter" };
    report(name, case, &mut times, elapsed, reading.then_some(read));
    // The next round begins with an empty queue.
    drain(&queue, case.partitions).await
}

/// Reads and settles for as long as it is let.
async fn read(queue: Arc<dyn Queue>, partition: u32, count: Arc<AtomicU64>) -> Result<(), ronda_queue::QueueError> {
    let mut receiver = queue.open(partition, None).await?;
    loop {
        let got = receiver.receive(ReceiveLimit::default()).await?;
        count.fetch_add(got.len() as u64, Ordering::Relaxed);
        if let Some(last) = got.last() {
            receiver.settle(last.token).await?;
        }
    }
}

async fn drain(queue: &Arc<dyn Queue>, partitions: u32) -> Outcome<()> {
    for partition in 0..partitions {
        let mut receiver = queue.open(partition, None).await?;
        while queue.depth(partition).await?.messages > 0 {
            let got = receiver.receive(ReceiveLimit { messages: usize::MAX, bytes: usize::MAX }).await?;
            if let Some(last) = got.last() {
                receiver.settle(last.token).await?;
            }
        }
    }
    Ok(())
}

fn report(name: &str, case: &Case, times: &mut [Duration], elapsed: Duration, read: Option<u64>) {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    println!(
        "| {name} | {rate:.0} | {:.1} | {:.2} | {:.2} | {} |",
        rate * case.bytes as f64 / 1e6,
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        read.map_or_else(|| String::from("–"), |read| format!("{:.1} %", read as f64 * 100.0 / times.len() as f64)),
    );
}

fn credentials_file() -> Option<PathBuf> {
    std::env::var_os("RONDA_QUEUE_CREDENTIALS_FILE").map(PathBuf::from)
}

/// A publisher without the adapter, of the same messages to the same place.
async fn bare(case: &Case) -> Outcome<()> {
    match case.url.split(':').next() {
        #[cfg(feature = "nats")]
        Some("nats" | "tls") => bare_nats(case).await,
        #[cfg(feature = "rabbitmq")]
        Some("amqp" | "amqps") => bare_rabbitmq(case).await,
        #[cfg(feature = "sqs")]
        Some("sqs") => bare_sqs(case).await,
        other => Err(format!("there is no bare publisher for {other:?}, or this was built without it").into()),
    }
}

#[cfg(feature = "nats")]
async fn bare_nats(case: &Case) -> Outcome<()> {
    let context = async_nats::jetstream::new(async_nats::connect(&case.url).await?);
    let begin = Instant::now();
    let publishers: Vec<_> = (0..case.in_flight)
        .map(|publisher| {
            let (context, message) = (context.clone(), Bytes::from(vec![0x5a; case.bytes]));
            let subject = format!("{}.f.{}.1", case.prefix, publisher % case.partitions);
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begin.elapsed() < CASE {
                    let start = Instant::now();
                    context.publish(subject.clone(), message.clone()).await?.await?;
                    times.push(start.elapsed());
                }
                Ok::<_, async_nats::jetstream::context::PublishError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for publisher in publishers {
        times.extend(publisher.await??);
    }
    report("bare async-nats", case, &mut times, begin.elapsed(), None);
    let stream = context.get_stream(format!("{}_COMMANDS", case.prefix.to_uppercase().replace('-', "_"))).await?;
    stream.purge().await?;
    Ok(())
}

#[cfg(feature = "rabbitmq")]
async fn bare_rabbitmq(case: &Case) -> Outcome<()> {
    use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueuePurgeOptions};
    use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
    let connection = Connection::connect(&case.url, ConnectionProperties::default()).await?;
    let mut channels: Vec<Channel> = Vec::new();
    for _ in 0..case.partitions.min(case.in_flight) {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channels.push(channel);
    }
    let begin = Instant::now();
    let publishers: Vec<_> = (0..case.in_flight)
        .zip(channels.iter().cycle().cloned())
        .map(|(publisher, channel)| {
            let message = vec![0x5a; case.bytes];
            let (exchange, key) = (format!("{}.frames", case.prefix), (publisher % case.partitions).to_string());
            tokio::spawn(async move {
                let mut times = Vec::new();
                let sent = BasicPublishOptions { mandatory: true, immediate: false };
                while begin.elapsed() < CASE {
                    let start = Instant::now();
                    let properties = BasicProperties::default().with_delivery_mode(2);
                    let (exchange, key) = (exchange.as_str().into(), key.as_str().into());
                    channel.basic_publish(exchange, key, sent, &message, properties).await?.await?;
                    times.push(start.elapsed());
                }
                Ok::<_, lapin::Error>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for publisher in publishers {
        times.extend(publisher.await??);
    }
    report("bare lapin", case, &mut times, begin.elapsed(), None);
    for partition in 0..case.partitions {
        let queue = format!("{}.commands.{partition}", case.prefix);
        channels[0].queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

#[cfg(feature = "sqs")]
async fn bare_sqs(case: &Case) -> Outcome<()> {
    use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
    use base64::Engine;
    let client = bare_sqs_client(case);
    let begin = Instant::now();
    let publishers: Vec<_> = (0..case.in_flight)
        .map(|publisher| {
            let (client, frame) = (client.clone(), vec![0x5a; case.bytes]);
            let name = format!("{}-commands-{}.fifo", case.prefix, publisher % case.partitions);
            tokio::spawn(async move {
                let url = client.get_queue_url().queue_name(name).send().await?.queue_url.ok_or("no queue")?;
                let mut times = Vec::new();
                while begin.elapsed() < CASE {
                    let start = Instant::now();
                    let attribute = MessageAttributeValue::builder().data_type("String").string_value("1").build()?;
                    let entry = SendMessageBatchRequestEntry::builder()
                        .id("0")
                        .message_body(base64::engine::general_purpose::STANDARD.encode(&frame))
                        .message_attributes("ronda-frame", attribute)
                        .message_group_id("ronda")
                        .message_deduplication_id(format!("{begin:?}-{publisher}-{}", times.len()))
                        .build()?;
                    client.send_message_batch().queue_url(&url).entries(entry).send().await?;
                    times.push(start.elapsed());
                }
                Outcome::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for publisher in publishers {
        times.extend(publisher.await??);
    }
    report("bare aws-sdk-sqs", case, &mut times, begin.elapsed(), None);
    for partition in 0..case.partitions {
        let name = format!("{}-commands-{partition}.fifo", case.prefix);
        let url = client.get_queue_url().queue_name(name).send().await?.queue_url.ok_or("no queue")?;
        client.purge_queue().queue_url(url).send().await?;
    }
    Ok(())
}

/// With credentials from the environment alone; a server that plays SQS takes any.
#[cfg(feature = "sqs")]
fn bare_sqs_client(case: &Case) -> aws_sdk_sqs::Client {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    let (region, endpoint) = case.url.trim_start_matches("sqs://").split_once("?endpoint=").unwrap_or((&case.url, ""));
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| String::from("test"));
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
    let mut config = aws_sdk_sqs::Config::builder()
        .region(aws_sdk_sqs::config::Region::new(region.to_owned()))
        .http_client(http)
        .credentials_provider(aws_sdk_sqs::config::Credentials::new(id, secret, None, None, "environment"));
    if !endpoint.is_empty() {
        config = config.endpoint_url(endpoint);
    }
    aws_sdk_sqs::Client::from_conf(config.build())
}
