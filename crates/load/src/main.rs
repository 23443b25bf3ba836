//! The load generator's command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ronda_load::compare::{Settings, measure};
use ronda_load::load::{Plan, register_all, run};
use ronda_load::request::{Shape, Target};
use ronda_load::{chaos, fleet, notify};

/// The same as Ronda's, so that the bare server is not at a disadvantage.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Load for Ronda's HTTP interface, on loopback only")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The bare axum server that Ronda is compared with.
    Bare {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:3990")]
        listen: SocketAddr,
    },
    /// Registers schedulers.
    Register(Against),
    /// Measures a Ronda that it starts itself beside its limits; fails when one is not kept.
    Compare {
        /// The binary to measure: a release build.
        #[arg(long)]
        ronda: PathBuf,
        /// How long each measurement lasts, in seconds.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
        /// How long the whole pipeline is held at its rate, in seconds.
        #[arg(long, default_value_t = 60)]
        pipeline_seconds: u64,
        /// Only measurements whose name contains this: ingest, events, pipeline, start.
        #[arg(long)]
        only: Option<String>,
    },
    /// The same on a broker: needs a binary with the brokers' adapters.
    Queues {
        /// The binary to measure: a release build.
        #[arg(long)]
        ronda: PathBuf,
        /// The program that measures publishers of frames: the example `broker_throughput` of `ronda-queue`.
        #[arg(long)]
        publishers: Option<PathBuf>,
        /// `ronda-gateway-harness`: a gateway that runs by itself.
        #[arg(long)]
        gateway: Option<PathBuf>,
        /// How long each measurement lasts, in seconds.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
        /// Only measurements whose name contains this: gateway, ingest, events, direct, sqs, rabbitmq.
        #[arg(long)]
        only: Option<String>,
    },
    /// Breaks one part after another of a Ronda that it starts itself while load goes on, and compares what was confirmed with what was
    /// applied and told; fails when something is lost, doubled, or told wrongly.
    Chaos(ChaosArguments),
    /// Breaks one replica after another of a fleet on a broker and a database, at random, while load goes on, and compares in the same way.
    Fleet(FleetArguments),
    /// Measures how long partitions stand still when processors come, go, or are killed; fails when a limit is not kept.
    Replicas(FleetArguments),
    /// Counts what heartbeats cost in a database, with commits close together and far apart.
    Cost(FleetArguments),
    /// Measures how long it takes from the report of a failure to the call that tells it, among reports of others; fails when a limit is not kept.
    Notify(NotifyArguments),
    /// Sends load and prints what came of it as one line of JSON.
    Run(RunArguments),
}

#[derive(clap::Args)]
struct Against {
    /// Address of the server; loopback only.
    #[arg(long, default_value = "127.0.0.1:3000")]
    address: SocketAddr,
    /// API key.
    #[arg(long, env = "RONDA_API_KEY", default_value = "")]
    key: String,
    /// How many schedulers.
    #[arg(long, default_value_t = 10_000)]
    schedulers: usize,
}

#[derive(clap::Args)]
struct RunArguments {
    #[command(flatten)]
    against: Against,
    /// `status`, `heartbeat`, or `events:500`.
    #[arg(long, default_value = "status")]
    shape: String,
    /// Connections at once.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Events a second; as many as go when left out.
    #[arg(long)]
    rate: Option<u64>,
    /// Ends quietly when the server is killed.
    #[arg(long)]
    until_broken: bool,
    /// Where to write the ledger, as JSON.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Worker threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(clap::Args)]
struct ChaosArguments {
    /// The binary: with the brokers' adapters, unless the queue is embedded.
    #[arg(long)]
    ronda: PathBuf,
    /// `ronda-gateway-harness`, as a second gateway on the same queue.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// embedded, nats, sqs or rabbitmq.
    #[arg(long)]
    queue: chaos::Kind,
    /// So many rounds of each kind of trouble.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Only trouble with these: broker, gateway, up.
    #[arg(long, value_delimiter = ',')]
    only: Vec<chaos::Part>,
    /// Only this trouble: kill, stall.
    #[arg(long, value_delimiter = ',', default_value = "kill,stall")]
    deeds: Vec<chaos::Deed>,
    /// How long load goes on before each fault, and after it, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Reports a second over HTTP.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Messages a second straight onto the queue.
    #[arg(long, default_value_t = 500)]
    direct_rate: u64,
    /// Lose frames on purpose when ronda is killed: the run then has to fail.
    #[arg(long)]
    lose: bool,
    /// Where logs and ledgers go; by default they go with the run, when all was well.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the table goes, as Markdown.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(clap::Args)]
struct FleetArguments {
    /// The binary, with all adapters.
    #[arg(long)]
    ronda: PathBuf,
    /// nats, sqs or rabbitmq.
    #[arg(long)]
    queue: chaos::Kind,
    /// cassandra or dynamodb.
    #[arg(long)]
    store: fleet::Database,
    /// How long it goes on, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// How far apart troubles are at most, in seconds.
    #[arg(long, default_value_t = 5)]
    every_seconds: u64,
    /// What the order of troubles is made of.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Reports a second over HTTP.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Messages a second straight onto the queue.
    #[arg(long, default_value_t = 50)]
    direct_rate: u64,
    /// How many gateways.
    #[arg(long, default_value_t = 2)]
    gateways: usize,
    /// How many processors.
    #[arg(long, default_value_t = 3)]
    processors: usize,
    /// How many notifiers.
    #[arg(long, default_value_t = 2)]
    notifiers: usize,
    /// Only trouble that the fence is for: a processor stands still until others have its partitions, wakes, and the others are killed.
    #[arg(long)]
    zombies: bool,
    /// Without the fence between owners, to see that what comes of it is found: on DynamoDB.
    #[arg(long)]
    unfenced: bool,
    /// Where logs and ledgers go; by default they go with the run, when all was well.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(clap::Args)]
struct NotifyArguments {
    /// The binary: with the brokers' adapters, unless the queue is embedded.
    #[arg(long)]
    ronda: PathBuf,
    /// embedded, nats, sqs or rabbitmq.
    #[arg(long, default_value = "embedded")]
    queue: chaos::Kind,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Failures a second.
    #[arg(long, default_value_t = 3.0)]
    failures: f64,
    /// Reports a second of others; as many as the limit asks for when left out.
    #[arg(long)]
    rate: Option<u64>,
}

fn shape(text: &str) -> Result<Shape> {
    match text.split_once(':') {
        Some(("events", count)) => Ok(Shape::Events(count.parse().context("events:N")?)),
        _ if text == "status" => Ok(Shape::Status),
        _ if text == "heartbeat" => Ok(Shape::Heartbeat),
        _ => anyhow::bail!("unknown shape {text:?}: status, heartbeat or events:N"),
    }
}

fn target(against: &Against) -> Result<Target> {
    anyhow::ensure!(against.address.ip().is_loopback(), "load goes to loopback addresses only");
    Ok(Target { address: against.address.to_string(), key: against.key.clone() })
}

#[allow(clippy::print_stderr, reason = "why it failed is for whoever started it")]
fn main() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On one line; as `main`'s own result it would bring a backtrace with RUST_BACKTRACE=1.
            eprintln!("ronda-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<()> {
    let threads = if let Command::Run(run) = &arguments.command { run.threads } else { 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(carry_out(arguments.command))
}

async fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::Bare { listen } => {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            axum::serve(listener, ronda_load::bare::router()).await.context("serving")
        }
        Command::Compare { ronda, seconds, pipeline_seconds, only } => {
            let settings = Settings {
                binary: ronda,
                duration: Duration::from_secs(seconds),
                pipeline_duration: Duration::from_secs(pipeline_seconds),
                only,
            };
            show(&measure(&settings).await?)
        }
        Command::Queues { ronda, publishers, gateway, seconds, only } => {
            let duration = Duration::from_secs(seconds);
            let settings = Settings { binary: ronda, duration, pipeline_duration: duration, only };
            let programs =
                ronda_load::queues::Programs { publishers: publishers.as_deref(), gateway: gateway.as_deref() };
            show(&ronda_load::queues::measure(&settings, programs).await?)
        }
        Command::Chaos(arguments) => chaos(arguments).await,
        Command::Fleet(arguments) => fleet(arguments).await,
        Command::Replicas(arguments) => show(&fleet::measure(&fleet_settings(arguments)?).await?),
        Command::Cost(arguments) => cost(arguments).await,
        Command::Notify(arguments) => {
            let settings = notify::Settings {
                ronda: std::path::absolute(arguments.ronda)?,
                kind: arguments.queue,
                duration: Duration::from_secs(arguments.seconds),
                failures_per_second: arguments.failures,
                rate: arguments.rate,
            };
            show(&notify::measure(&settings).await?)
        }
        Command::Register(against) => register_all(&target(&against)?, against.schedulers).await,
        Command::Run(arguments) => run_and_print(arguments).await,
    }
}

#[allow(clippy::print_stdout, reason = "the figures are this program's output")]
fn show(figures: &[ronda_load::compare::Figure]) -> Result<()> {
    for figure in figures {
        let verdict = if figure.holds { "ok  " } else { "FAIL" };
        println!("{verdict}  {}: {}  (limit: {})", figure.name, figure.figure, figure.limit);
    }
    anyhow::ensure!(figures.iter().all(|figure| figure.holds), "a limit is not kept");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the table is this program's output")]
async fn chaos(arguments: ChaosArguments) -> Result<()> {
    let settings = chaos::Settings {
        ronda: arguments.ronda,
        gateway: arguments.gateway,
        kind: arguments.queue,
        rounds: arguments.rounds,
        only: arguments.only,
        deeds: arguments.deeds,
        around: Duration::from_secs(arguments.seconds),
        rate: arguments.rate,
        direct_rate: arguments.direct_rate,
        lose: arguments.lose,
        folder: arguments.folder,
    };
    let outcome = chaos::run(&settings).await?;
    let table = outcome.markdown();
    if let Some(path) = &arguments.report {
        std::fs::write(path, &table).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("{table}");
    for wrong in outcome.wrong() {
        println!("!! {wrong}");
    }
    println!("{}", serde_json::to_string(&outcome)?);
    anyhow::ensure!(outcome.holds(), "not everything was as it should be");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the table is this program's output")]
async fn fleet(arguments: FleetArguments) -> Result<()> {
    let outcome = fleet::run(&fleet_settings(arguments)?).await?;
    println!("{}", outcome.markdown());
    for trouble in &outcome.troubles {
        println!("{trouble}");
    }
    for wrong in &outcome.wrong {
        println!("!! {wrong}");
    }
    println!("{}", serde_json::to_string(&outcome)?);
    anyhow::ensure!(outcome.holds(), "not everything was as it should be");
    Ok(())
}

fn fleet_settings(arguments: FleetArguments) -> Result<fleet::Settings> {
    Ok(fleet::Settings {
        ronda: std::path::absolute(arguments.ronda)?,
        kind: arguments.queue,
        database: arguments.store,
        duration: Duration::from_secs(arguments.seconds),
        every: Duration::from_secs(arguments.every_seconds),
        seed: arguments.seed,
        rate: arguments.rate,
        direct_rate: arguments.direct_rate,
        replicas: [arguments.gateways, arguments.processors, arguments.notifiers],
        zombies: arguments.zombies,
        unfenced: arguments.unfenced,
        environment: Vec::new(),
        folder: arguments.folder,
    })
}

#[allow(clippy::print_stdout, reason = "the figures are this program's output")]
async fn cost(arguments: FleetArguments) -> Result<()> {
    for (number, cost) in fleet::cost(&fleet_settings(arguments)?).await?.into_iter().enumerate() {
        print!("{}", cost.markdown(number == 0));
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the figures are this program's output")]
async fn run_and_print(arguments: RunArguments) -> Result<()> {
    let plan = Plan {
        target: target(&arguments.against)?,
        connections: arguments.connections,
        duration: Duration::from_secs(arguments.seconds),
        rate_per_second: arguments.rate,
        shape: shape(&arguments.shape)?,
        schedulers: arguments.against.schedulers,
        until_broken: arguments.until_broken,
    };
    let outcome = run(&plan).await?;
    if let Some(path) = &arguments.ledger {
        std::fs::write(path, serde_json::to_vec(&outcome.ledger)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let figures = serde_json::json!({
        "events_per_second": outcome.rate().round(),
        "acknowledged": outcome.acknowledged,
        "failed_requests": outcome.failed,
        "seconds": (outcome.elapsed.as_secs_f64() * 100.0).round() / 100.0,
        "latency_ms": {
            "p50": outcome.latency.value_at_quantile(0.5) as f64 / 1_000.0,
            "p99": outcome.latency.value_at_quantile(0.99) as f64 / 1_000.0,
            "max": outcome.latency.max() as f64 / 1_000.0,
        },
    });
    println!("{figures}");
    Ok(())
}
