//! Settings of the allocator, which it takes from the environment only, and before the program begins.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// After how long the allocator gives free memory back to the system, in milliseconds.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";
/// It does so when a thread ends, such as the one that opened the data directory, and its own default of a second is longer than that
/// takes: what a start needed for a moment would stay for days. At once (0) costs some 5 % of the events a second.
const PURGE_DELAY_MS: &str = "10";

/// Starts the program anew in the same process, with the allocator's settings in the environment, when it is to run for long and
/// nobody has set them. Where that can't be done it goes on as it is: it only takes more memory.
pub fn with_allocator_settings() {
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let arguments: Vec<_> = arguments.collect();
    if arguments.first().is_none_or(|command| command != OsStr::new("up")) || std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    again.args(arguments).env(PURGE_DELAY, PURGE_DELAY_MS);
    if let Some(name) = name {
        again.arg0(name);
    }
    // Comes back only when it failed.
    let _ = again.exec();
}
