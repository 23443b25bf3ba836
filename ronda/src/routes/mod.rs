//! `routes test`: where an alert would go, and why.

mod shown;

use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_host::arguments::{Place, load};
use ronda_host::exit::{Code, Failure};
use ronda_notifier::route::{Kind, Subject, decide};
use serde_json::Value;

use crate::cli::{RoutesCommand, RoutesTestArguments};
use crate::client::{Client, Method};

/// What is known of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    id: String,
    team: String,
    environment: String,
    tags: Box<[Box<str>]>,
    severity: Severity,
}

/// Does one.
///
/// # Errors
/// Mistakes in the configuration, or what the server has against it.
pub async fn run(command: RoutesCommand) -> Result<String, Failure> {
    let RoutesCommand::Test(arguments) = command;
    let place = Place { store: None, data: None, config: arguments.config.clone() };
    // Nothing is sent, so nobody is asked for tokens, addresses or passwords.
    let loaded = load(&place, Vec::new())?;
    let config = ronda_notifier_bin::config(&loaded.settings)?;
    let registered = match arguments.server() {
        Some(server) => {
            let path = ["api", "v1", "schedulers", &arguments.job];
            Client::for_reads(&server)?.send(Method::GET, &path, &[], None, None).await?.body
        }
        None => Value::Null,
    };
    let kind = arguments.kind.into();
    let at = arguments.at.unwrap_or_else(jiff::Timestamp::now);
    let job = job(arguments, &registered)?;
    let at = Timestamp::from_millis(at.as_millisecond());
    let decision = decide(&config.rules(), &subject(&job, kind), at);
    Ok(shown::told(&job, kind, &config, &decision))
}

fn subject(job: &Job, kind: Kind) -> Subject<'_> {
    Subject {
        id: &job.id,
        team: &job.team,
        environment: &job.environment,
        tags: &job.tags,
        severity: job.severity,
        kind,
    }
}

/// What the command line says of the job, and for the rest what is registered.
fn job(arguments: RoutesTestArguments, registered: &Value) -> Result<Job, Failure> {
    let text = |given: Option<String>, key: &str| {
        given.unwrap_or_else(|| registered[key].as_str().unwrap_or_default().to_owned())
    };
    let severity = match (arguments.severity, registered["severity"].as_str()) {
        (Some(given), _) => given.into(),
        (None, None) => Severity::default(),
        (None, Some(name)) => ronda_notifier_bin::settings::severity(name)
            .ok_or_else(|| Failure::new(Code::Failed, format!("the server says severity {name:?}, which is none")))?,
    };
    let tags: Vec<String> = if arguments.tags.is_empty() {
        let tags = registered["tags"].as_array().into_iter().flatten();
        tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    } else {
        arguments.tags
    };
    Ok(Job {
        id: arguments.job,
        team: text(arguments.team, "team"),
        environment: text(arguments.environment, "environment"),
        tags: tags.into_iter().map(String::into_boxed_str).collect(),
        severity,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::{RouteKind, RouteSeverity};

    fn arguments() -> RoutesTestArguments {
        RoutesTestArguments {
            job: "billing".into(),
            kind: RouteKind::Failed,
            severity: None,
            team: None,
            environment: None,
            tags: Vec::new(),
            at: None,
            url: None,
            api_key: None,
            config: None,
        }
    }

    #[test]
    fn what_is_given_goes_before_what_is_registered() {
        let registered = json!({"team": "payments", "environment": "staging", "tags": ["eu"], "severity": "critical"});
        let known = job(arguments(), &registered).unwrap();
        assert_eq!((&*known.team, &*known.environment, known.severity), ("payments", "staging", Severity::Critical));
        assert_eq!(&*known.tags[0], "eu");
        let given = RoutesTestArguments {
            severity: Some(RouteSeverity::Info),
            environment: Some("production".into()),
            ..arguments()
        };
        let known = job(given, &registered).unwrap();
        assert_eq!((&*known.team, &*known.environment, known.severity), ("payments", "production", Severity::Info));
        assert_eq!(job(arguments(), &Value::Null).unwrap().severity, Severity::Warning);
    }
}
