//! What ends a server when the process that started it is gone.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Ends the server when this process is gone without having done so: one that keeps a server for all its tests never drops it.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn over(pid: u32, directory: &Path) -> anyhow::Result<Self> {
        // Its input ends with this process.
        let script = "read -r end; kill -9 \"$0\"; rm -rf \"$1\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, &pid.to_string()]).arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("sh could not be started")?))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
