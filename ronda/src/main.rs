//! Ronda's binary; all of it is in the library, where tests reach it.

/// Every event is a handful of small allocations on changing threads, where this allocator is much better than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ronda::main()
}
