//! One gateway as a process: see the library.

use clap::Parser;
use ronda_gateway_harness::{Arguments, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Arguments::parse()).await
}
