//! What this process is called among its like, and which partitions it works on.

use std::time::Duration;

use ronda_lease::{LeaseConfig, Leases, Ownership};
use ronda_schemas::lease::Group;

use crate::config::Settings;
use crate::exit::{Failure, chain};
use crate::parts::Rows;
use crate::process::{Process, Service};

/// Host and process id.
#[must_use]
pub fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        host => host,
    };
    format!("{host}:{}", std::process::id())
}

impl Process {
    /// Which partitions a service of this process works on: all of them, where the store is this process's alone; else those that its leases give
    /// it, which begin to be kept.
    ///
    /// # Errors
    /// Settings that can't be used.
    pub fn ownership(&mut self, group: Group, settings: &Settings) -> Result<Ownership, Failure> {
        let partitions = match group {
            Group::Processor => self.parts.commands.partitions(),
            Group::Notifier => self.parts.events.partitions(),
        };
        if matches!(self.parts.rows, Rows::Embedded(_)) {
            return Ok(Ownership::all(partitions));
        }
        let config = LeaseConfig { lease_ms: settings.replicas.lease_ms, ..LeaseConfig::default() };
        let leases = Leases::new(&config, group, partitions, name(), self.store())
            .map_err(|error| Failure::other(chain(&error)))?;
        let (owner, ownership) = Ownership::new();
        let clock = self.clock.clone();
        let (service, part) = match group {
            Group::Processor => (Service::ProcessorLeases, "processor-leases"),
            Group::Notifier => (Service::NotifierLeases, "notifier-leases"),
        };
        let leases = leases.telling(self.health.component(part));
        self.start(service, Duration::from_millis(config.leave_ms), |stop| async move {
            leases.run(owner, clock, stop).await;
            Ok(())
        });
        Ok(ownership)
    }
}
