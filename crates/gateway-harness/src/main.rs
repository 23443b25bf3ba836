//! One gateway as a process: see the library.

use clap::Parser;
use ronda_gateway_harness::{Arguments, run};

/// As the product's binary has it, since this is measured, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Arguments::parse()).await
}
