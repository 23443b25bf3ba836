//! `store migrate|check`: the tables of a store on a server.

use ronda_host::arguments::{Place, load};
use ronda_host::config::Settings;
use ronda_host::exit::{Code, Failure};
use ronda_host::store;
use ronda_store::backend;
use serde_json::json;

use crate::cli::StoreCommand;

/// Does one.
///
/// # Errors
/// What is wrong, or why the store can't be used.
pub async fn run(command: StoreCommand) -> Result<String, Failure> {
    match command {
        StoreCommand::Migrate { json, place } => migrate(&settings(&place)?, json).await,
        StoreCommand::Check { json, place } => check(&settings(&place)?, json).await,
    }
}

fn settings(place: &Place) -> Result<Settings, Failure> {
    let settings = load(place, Vec::new())?.settings;
    if settings.store.url.is_embedded() {
        let what =
            "the embedded store makes and checks its tables itself, on each start: name a server (store.url, --store)";
        return Err(Failure::new(Code::Refused, what));
    }
    Ok(settings)
}

async fn migrate(settings: &Settings, json: bool) -> Result<String, Failure> {
    let options = store::options(settings);
    let made = store::patiently(settings, || Box::pin(backend::migrate(&options))).await?;
    if json {
        return Ok(format!("{:#}\n", json!({ "made": made })));
    }
    if made.is_empty() {
        return Ok(String::from("Everything was there; nothing was made.\n"));
    }
    Ok(made.iter().map(|made| format!("{made}\n")).collect())
}

async fn check(settings: &Settings, json: bool) -> Result<String, Failure> {
    let options = store::options(settings);
    let found = backend::check(&options).await.map_err(|error| store::failure(settings, &error))?;
    let text = match (json, found.is_empty()) {
        (true, _) => format!("{:#}\n", json!({ "findings": found })),
        (false, true) => String::from("The tables are as they shall be.\n"),
        (false, false) => found.iter().map(|found| format!("{found}\n")).collect(),
    };
    if found.is_empty() {
        return Ok(text);
    }
    crate::print(&text);
    let things = if found.len() == 1 { String::from("1 thing is") } else { format!("{} things are", found.len()) };
    let what = format!("{things} not as they shall be; 'ronda store migrate' makes what is missing");
    Err(Failure::new(Code::Store, what))
}
