//! The command line's side of keys.

use ronda_domain::time::Timestamp;
use ronda_runtime::{Clock, SystemClock};

use super::operation::{Answer, Operation, perform};
use crate::admin::{self, Named, Reached, socket};
use crate::cli::{KeysCommand, Scope};
use crate::text::{columns, printable};
use ronda_host::arguments::Place;
use ronda_host::arguments::load;
use ronda_host::exit::{Code, Failure};
use ronda_host::{parts, store};

/// Makes, lists or revokes.
///
/// # Errors
/// What is wrong with it, or why neither the running process nor the store could be asked.
pub async fn run(command: KeysCommand) -> Result<String, Failure> {
    let (operation, place, json) = operation(command);
    let answer = carry_out(&place, operation).await?;
    if json { admin::as_json(&answer) } else { Ok(told(&answer)) }
}

fn operation(command: KeysCommand) -> (Operation, Place, bool) {
    match command {
        KeysCommand::Create { name, tenant, scopes, rate_limit_per_minute, expires_at, json, place } => {
            let create = Operation::Create {
                tenant,
                name,
                ingest: scopes.contains(&Scope::Ingest),
                read: scopes.contains(&Scope::Read),
                admin: scopes.contains(&Scope::Admin),
                rate_limit_per_minute,
                expires_at_millis: expires_at.map(jiff::Timestamp::as_millisecond),
            };
            (create, place, json)
        }
        KeysCommand::List { tenant, json, place } => (Operation::List { tenant }, place, json),
        KeysCommand::Revoke { id, json, place } => (Operation::Revoke { id }, place, json),
    }
}

async fn carry_out(place: &Place, operation: Operation) -> Result<Answer, Failure> {
    let settings = load(place, Vec::new())?.settings;
    if !settings.store.url.is_embedded() {
        let rows = store::reach(&settings).await?;
        let now = Timestamp::from_millis(SystemClock::new().wall_millis());
        return perform(&*rows, operation, now).await.map_err(|what| Failure::new(Code::Refused, what));
    }
    let data = &settings.storage.data;
    let open = || {
        // Only a new key makes a store: a mistyped directory must not look like one without keys.
        if !matches!(operation, Operation::Create { .. }) && !data.join("store").is_dir() {
            return Err(admin::no_data(data));
        }
        parts::make_directory(data)?;
        parts::open_store(&settings)
    };
    match admin::reach(data, socket::KEYS, &Named::default(), &operation, open).await? {
        Reached::Running(answer) => Ok(answer),
        Reached::Opened(store) => {
            let now = Timestamp::from_millis(SystemClock::new().wall_millis());
            let answer = perform(&store, operation, now).await.map_err(|what| Failure::new(Code::Refused, what));
            store.close();
            answer
        }
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Created(created) => format!(
            "{}\n\nThis is key {} of tenant {}, for {}. It is shown this once.\n",
            created.key,
            created.resource.id,
            created.resource.tenant,
            created.resource.scopes.join(", ")
        ),
        Answer::Listed { items } if items.is_empty() => String::from("There are no keys.\n"),
        Answer::Listed { items } => {
            let head = ["ID", "TENANT", "SCOPES", "PER MINUTE", "MADE", "STATE", "NAME"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            rows.extend(items.iter().map(|key| {
                let time = |time: Option<ronda_schemas::api::time::Time>| time.map(|time| stamp(time.0));
                let state = match (time(key.revoked_at), time(key.expires_at)) {
                    (Some(at), _) => format!("revoked {at}"),
                    (None, Some(at)) => format!("until {at}"),
                    (None, None) => String::from("valid"),
                };
                let limit = match key.rate_limit_per_minute {
                    0 => String::from("no limit"),
                    limit => limit.to_string(),
                };
                let (scopes, made) = (key.scopes.join(","), stamp(key.created_at.0));
                vec![key.id.clone(), key.tenant.clone(), scopes, limit, made, state, printable(&key.name)]
            }));
            columns(&rows)
        }
        Answer::Revoked { key } => {
            let since = key.revoked_at.map(|at| format!(", as of {}", stamp(at.0))).unwrap_or_default();
            let (id, name) = (&key.id, printable(&key.name));
            format!(
                "Key {id} ({name}) works no more{since}; a server notices within server.key_ttl_ms (2 s by default).\n"
            )
        }
    }
}

fn stamp(time: Timestamp) -> String {
    ronda_schemas::api::time::format_rfc3339(time)
}
