//! The process; all of it is in the library.

use std::process::ExitCode;

use clap::Parser;
use ronda_host::arguments::ServiceArguments;
use ronda_host::exit::CODES_HELP;

/// Every event is a handful of small allocations on changing threads, where this allocator is much better than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ronda's ingest gateway: HTTP in, queue messages out.
#[derive(Debug, Parser)]
#[command(name = "ronda-ingest-gateway", version, after_help = CODES_HELP, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    service: ServiceArguments,
}

fn main() -> ExitCode {
    ronda_host::main(ronda_ingest_gateway_bin::run(Arguments::parse().service))
}
