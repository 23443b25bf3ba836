//! Jobs with all that can be known of them, and jobs that report whatever happens to Ronda.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Api, Site, until};

/// Jobs of each tenant that report all the while.
const WORKERS: usize = 4;
/// Longer than a report takes, and short enough to be found silent while Ronda is away.
const PATIENCE_SECONDS: u64 = 4;
const BETWEEN: Duration = Duration::from_millis(200);

/// What one tenant's quiet jobs are and did: two of each kind, whose names end in the same way.
pub fn make(api: &Api, end: &str) {
    for number in 0..2 {
        let name = |kind: &str| format!("{kind}-{number}{end}");
        let register = |kind: &str, more: Value| {
            let mut body = json!({ "id": name(kind), "name": name(kind), "team": "night", "tags": ["kept"] });
            body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            api.done("POST", "schedulers/register", &body);
        };
        for kind in ["fine", "fails", "mended", "told-later", "waits", "gone"] {
            register(kind, Value::Null);
        }
        register("new", json!({ "schedule": { "cron": "0 3 1 1 *", "timezone": "Asia/Jakarta" } }));
        register("at-work", json!({ "heartbeat_timeout_seconds": 3_600 }));
        register("paused", json!({ "schedule": { "every_seconds": 60 } }));
        for run in 0..4 {
            api.status(&name("fine"), "running", &format!("r{run}"));
            api.status(&name("fine"), "success", &format!("r{run}"));
        }
        for kind in ["fails", "mended", "gone"] {
            api.status(&name(kind), "failed", "r0");
        }
        api.status(&name("at-work"), "running", "r0");
        let progress = json!({ "run_id": "r0", "progress": { "done": 3, "total": 7, "message": "so far" } });
        api.done("POST", &format!("schedulers/{}/heartbeat", name("at-work")), &progress);
        api.done("POST", &format!("schedulers/{}/pause", name("paused")), &Value::Null);
        api.done("DELETE", &format!("schedulers/{}", name("gone")), &Value::Null);
        until_wrong(api, &name("wrong"));
    }
}

/// Reports on a job while it is being deleted: what is taken between the two is refused once it is applied, and said in the feed of errors.
fn until_wrong(api: &Api, job: &str) {
    let entries = || api.pages("errors").iter().map(|page| page["items"].as_array().unwrap().len()).sum::<usize>();
    let before = entries();
    until("a report is in the feed of errors", || {
        api.done("POST", "schedulers/register", &json!({ "id": job }));
        std::thread::scope(|scope| {
            scope.spawn(|| api.done("DELETE", &format!("schedulers/{job}"), &Value::Null));
            let report =
                || api.hasty().ask("PUT", &format!("schedulers/{job}/status"), &json!({ "status": "success" }));
            while report().unwrap().0 == 202 {}
        });
        (entries() > before).then_some(())
    });
}

/// Waits until people were told of all that is wrong with the jobs whose names end so.
pub fn until_told(site: &Site, end: &str) {
    for kind in ["fails-0", "fails-1", "mended-0", "mended-1"] {
        site.until_told(&format!("{kind}{end}"), "failed");
    }
}

/// Jobs that report on and on, and whose reports are said again until they are taken.
pub struct Workers {
    stop: Arc<AtomicBool>,
    /// Runs that were acknowledged.
    confirmed: Arc<Mutex<Vec<u64>>>,
    thread: Option<JoinHandle<()>>,
    api: Api,
}

impl Workers {
    pub fn start(api: Api) -> Self {
        for job in jobs() {
            let body = json!({ "id": job, "heartbeat_timeout_seconds": PATIENCE_SECONDS, "max_run_seconds": PATIENCE_SECONDS });
            api.done("POST", "schedulers/register", &body);
        }
        let (stop, confirmed) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<u64>>>::default());
        let (told_to_stop, list, to) = (Arc::clone(&stop), Arc::clone(&confirmed), api.hasty());
        let thread = std::thread::spawn(move || {
            for run in 0.. {
                let reports: Vec<Value> = jobs().flat_map(|job| reports(&job, run)).collect();
                while !to.ask("POST", "events", &json!(reports)).is_ok_and(|(status, _)| (200..300).contains(&status)) {
                    if told_to_stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(BETWEEN);
                }
                list.lock().unwrap().push(run);
                std::thread::sleep(BETWEEN);
                if told_to_stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self { stop, confirmed, thread: Some(thread), api }
    }

    /// How many runs of each job were acknowledged so far.
    pub fn confirmed(&self) -> usize {
        self.confirmed.lock().unwrap().len()
    }

    /// Waits until so many more were.
    pub fn until_more(&self, count: usize) -> usize {
        let wanted = self.confirmed() + count;
        until("the workers' reports are taken", || (self.confirmed() >= wanted).then_some(wanted))
    }

    /// Each of these runs is in each job's history once, and ended well.
    pub fn until_kept(&self, runs: std::ops::Range<usize>) {
        let runs = self.confirmed.lock().unwrap()[runs].to_vec();
        for job in jobs() {
            until(&format!("{runs:?} of {job} are kept: {:#?}", self.api.runs(&job)), || {
                let found = self.api.runs(&job);
                let is_kept = |run: &u64| {
                    let of_it = || found.iter().filter(|found| found["run_id"] == format!("r{run}"));
                    assert!(of_it().count() <= 1, "r{run} of {job}: {found:#?}");
                    of_it().any(|found| found["status"] == "succeeded")
                };
                runs.iter().all(is_kept).then_some(())
            });
        }
    }

    /// Nobody was alarmed for them, nor is anything wrong with one in any history.
    pub fn went_well(&self, site: &Site) {
        for job in jobs() {
            let (posts, text) = site.told(&job);
            assert_eq!(posts, 0, "{job}: {text}");
            for page in self.api.pages(&format!("schedulers/{job}/history")) {
                for item in page["items"].as_array().unwrap() {
                    let corrections = item["corrections"].as_array().into_iter().flatten();
                    let said = corrections.flat_map(|said| [&said["from"], &said["to"]]).chain([&item["status"]]);
                    for word in said.map(|word| word.as_str().unwrap()) {
                        assert!(matches!(word, "succeeded" | "expected" | "running" | "unknown"), "{job}: {item:#}");
                    }
                }
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn jobs() -> impl Iterator<Item = String> {
    (0..WORKERS).map(|number| format!("worker-{number}"))
}

fn reports(job: &str, run: u64) -> [Value; 3] {
    let run = format!("r{run}");
    [
        json!({ "type": "heartbeat", "scheduler_id": job }),
        json!({ "type": "status", "scheduler_id": job, "status": "running", "run_id": run }),
        json!({ "type": "status", "scheduler_id": job, "status": "success", "run_id": run }),
    ]
}
