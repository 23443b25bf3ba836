//! A backup is put back into a fresh place, compared, and gone on with: as docs/backup.md says it.
#![cfg(all(feature = "nats", feature = "cassandra", feature = "dynamodb"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod restored;

use restored::copies::{CASSANDRA_ALL, DYNAMODB_ALL, Database, OnCassandra, OnDynamoDb};
use restored::jobs::{self, Workers};
use restored::{Api, Site, assert_same, copy_folder, loudly, until};
use ronda_testbed::{Nats, NatsOptions, Server};
use serde_json::{Value, json};

/// What is known when the backup is made, and who asks.
struct Before {
    tenants: [Api; 2],
    revoked: Api,
    revoked_later: (Api, String),
    workers: Workers,
    known: String,
}

impl Before {
    /// Two tenants' jobs with all that can be known of them; others report all the while. People have been told.
    fn make(site: &Site) -> Self {
        let tenants = ["default", "acme"].map(|tenant| site.key(tenant).0);
        let ((revoked, id), revoked_later) = (site.key("acme"), site.key("acme"));
        assert!(revoked.is_let_in());
        site.done(&["keys", "revoke", &id]);
        let workers = Workers::start(site.key("workers").0);
        for (tenant, end) in tenants.iter().zip(["", "-acme"]) {
            jobs::make(tenant, end);
            jobs::until_told(site, end);
        }
        workers.until_more(3);
        until("the key is revoked", || (!revoked.is_let_in()).then_some(()));
        let known = site.known(&tenants.each_ref());
        Self { tenants, revoked, revoked_later, workers, known }
    }

    /// What happens after the backup: a key is revoked, a job is put right, and another one fails. People are told.
    fn and_later(&self, site: &Site) {
        site.done(&["keys", "revoke", &self.revoked_later.1]);
        let [tenant, _] = &self.tenants;
        tenant.status("mended-0", "success", "r1");
        site.until_told("mended-0", "recovered");
        tenant.status("told-later-0", "failed", "r0");
        site.until_told("told-later-0", "failed");
        tenant.done("POST", "schedulers/register", &json!({ "id": "newcomer" }));
        self.workers.until_more(2);
    }

    /// The store is as it was when the copy was made, the revoked key too; and what it can't know of is not there.
    fn is_restored(&self, site: &Site) {
        assert_same(&site.known(&self.tenants.each_ref()), &self.known);
        assert!(!self.revoked.is_let_in());
        assert!(self.revoked_later.0.is_let_in(), "a key that was revoked after the backup works again");
    }

    /// Nobody is alarmed for who reported all the while; and the messages that were there go on.
    fn goes_on(&self, site: &Site) {
        let [tenant, other] = &self.tenants;
        tenant.status("fails-0", "success", "r1");
        site.until_told("fails-0", "recovered");
        other.status("fails-0-acme", "success", "r1");
        site.until_told("fails-0-acme", "recovered");
        for job in ["fails-1", "mended-1", "fails-1-acme", "mended-0-acme", "mended-1-acme"] {
            let (posts, text) = site.told(job);
            assert!(posts == 1 && text.contains("failed") && !text.contains("recovered"), "{job}: {posts} {text}");
        }
        for job in ["fine-0", "at-work-0", "paused-0", "new-0", "fine-1-acme", "at-work-1-acme"] {
            assert_eq!(site.told(job).0, 0, "{job}: {}", site.transcript());
        }
        // Longer than their patience.
        self.workers.until_more(25);
        self.workers.went_well(site);
    }
}

/// Broker, database and services of their own.
struct Services<D> {
    site: Site,
    database: D,
    _nats: Nats,
}

impl<D: Database> Services<D> {
    fn start(database: Result<D, String>) -> Option<Self> {
        let servers = Nats::start(&NatsOptions::default()).map_err(|error| format!("{error:#}"));
        let servers = servers.and_then(|nats| Ok((nats, database?)));
        let (nats, database) = match servers {
            Ok(servers) => servers,
            Err(missing) => {
                loudly(&format!("!! SKIPPED backup and restore: {missing}"));
                return None;
            }
        };
        let mut site = Site::new();
        site.set(vec![("RONDA_QUEUE_URL", nats.url())]);
        site.set(database.settings());
        site.done(&["store", "migrate"]);
        Some(Self { site, database, _nats: nats })
    }

    /// Makes the tables in a fresh place, puts the copy into them, and starts a gateway there: nobody processes anything yet.
    fn restore(&mut self) -> Server {
        self.database.begin_anew();
        self.site.set(self.database.settings());
        self.site.done(&["store", "migrate"]);
        self.database.put_back();
        assert!(self.site.done(&["store", "check"]).contains("as they shall be"));
        self.site.start("ingest-gateway")
    }
}

/// Processors and notifiers stand still for the copy; what comes later is processed, told and gone from the queue.
#[test]
fn cassandra_is_copied_at_rest_and_what_is_lost_is_blind_time() {
    let Some(mut services) = Services::start(OnCassandra::start()) else { return };
    let mut gateway = services.site.start("ingest-gateway");
    let [mut processor, mut notifier] = ["processor", "notifier"].map(|service| services.site.start(service));
    let before = Before::make(&services.site);
    let kept = before.workers.confirmed();
    before.workers.until_kept(0..kept);
    processor.stop_in_order().unwrap();
    notifier.stop_in_order().unwrap();
    services.database.copy(CASSANDRA_ALL);

    processor.restart().unwrap();
    notifier.restart().unwrap();
    before.and_later(&services.site);
    // What is lost takes longer than their patience.
    before.workers.until_more(25);
    // An end in order purges what is settled.
    processor.stop_in_order().unwrap();
    let lost = before.workers.confirmed() + 1;
    before.tenants[0].hasty().status("waits-0", "failed", "r0");
    before.workers.until_more(2);
    gateway.kill();
    notifier.stop_in_order().unwrap();

    let _gateway = services.restore();
    before.is_restored(&services.site);
    let site = &services.site;
    let (_processor, _notifier) = (site.start("processor"), site.start("notifier"));
    site.until_told("waits-0", "failed");
    until("people are told that frames are missing", || (site.notices("The queue lost") > 0).then_some(()));
    before.goes_on(site);
    before.workers.until_kept(0..kept);
    before.workers.until_kept(lost..before.workers.confirmed());
    is_forgotten(&before, site);
}

/// What was told after the backup, of reports that are gone, stays as it was: nobody tells it again, nor goes on with it.
fn is_forgotten(before: &Before, site: &Site) {
    let [tenant, _] = &before.tenants;
    assert_eq!(tenant.get("schedulers/told-later-0")["status"], "new");
    assert_eq!(tenant.ask("GET", "schedulers/newcomer", &Value::Null).unwrap().0, 404);
    let (posts, text) = site.told("told-later-0");
    assert!(posts == 1 && text.contains("failed"), "{}", site.transcript());
    // Of this Ronda knows that it failed, and people that it was put right: that is said again once it is.
    assert_eq!(tenant.get("schedulers/mended-0")["status"], "failed");
    tenant.status("mended-0", "success", "r1");
    assert_eq!(tenant.get("schedulers/mended-0")["status"], "healthy");
    site.until_told("mended-0", "recovered");
    assert_eq!(site.told("mended-0").0, 1, "{}", site.transcript());
}

/// Processors and notifiers stand still for the copy; whatever comes later waits in the queue. Nothing is lost.
#[test]
fn dynamodb_is_copied_at_rest_and_what_waits_in_the_queue_is_taken_in() {
    let Some(mut services) = Services::start(OnDynamoDb::start()) else { return };
    let (mut gateway, mut processor) = (services.site.start("ingest-gateway"), services.site.start("processor"));
    let mut notifier = services.site.start("notifier");
    let before = Before::make(&services.site);
    processor.stop_in_order().unwrap();
    notifier.stop_in_order().unwrap();
    before.workers.until_more(2);
    services.database.copy(DYNAMODB_ALL);

    services.site.done(&["keys", "revoke", &before.revoked_later.1]);
    before.tenants[0].hasty().status("waits-0", "failed", "r0");
    before.workers.until_more(2);
    gateway.kill();

    let _gateway = services.restore();
    before.is_restored(&services.site);
    let site = &services.site;
    let (_processor, _notifier) = (site.start("processor"), site.start("notifier"));
    site.until_told("waits-0", "failed");
    before.goes_on(site);
    before.workers.until_kept(0..before.workers.confirmed());
    assert_eq!(site.notices("The queue lost"), 0, "{}", site.transcript());
}

/// One folder: queues and store of one moment.
#[test]
fn the_data_directory_is_copied_at_rest_and_put_back() {
    let site = Site::new();
    let (data, copy) = (site.folder().join("ronda-data"), site.folder().join("copy"));
    let mut up = site.start("up");
    let before = Before::make(&site);
    let kept = before.workers.confirmed();
    before.workers.until_kept(0..kept);
    up.stop_in_order().unwrap();
    copy_folder(&data, &copy);
    up.restart().unwrap();
    before.and_later(&site);
    up.kill();

    std::fs::rename(&data, site.folder().join("lost")).unwrap();
    copy_folder(&copy, &data);
    up.restart().unwrap();
    let since = before.workers.confirmed() + 1;
    before.is_restored(&site);
    before.goes_on(&site);
    before.workers.until_kept(0..kept);
    before.workers.until_kept(since..before.workers.confirmed());
    is_forgotten(&before, &site);
}
