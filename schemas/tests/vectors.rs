//! The vectors for other languages say what this release does.

use std::path::PathBuf;

use base64::Engine as _;
use ronda_domain::id::{hash_of, partition_of};
use ronda_schemas::direct::{DirectCommand, Wrong, read};
use serde_json::Value;

fn vectors(name: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let Value::Array(vectors) = file["vectors"].take() else { panic!("no vectors") };
    vectors
}

#[test]
fn partitions_are_as_the_vectors_say() {
    for vector in vectors("partitions.json") {
        let text = |name: &str| vector[name].as_str().expect("a text");
        let (tenant, scheduler) = (text("tenant"), text("scheduler_id"));
        assert_eq!(u64::from(hash_of(tenant, scheduler)), vector["fnv1a32"].as_u64().expect("a number"));
        for (partitions, partition) in vector["partitions"].as_object().expect("an object") {
            let partitions = partitions.parse().expect("a number");
            assert_eq!(u64::from(partition_of(tenant, scheduler, partitions)), partition.as_u64().expect("a number"));
        }
    }
}

fn check(name: &str, expected: &Value, found: &Result<DirectCommand<'_>, Wrong>) {
    let mut expected = expected.clone();
    if let Some(code) = expected["error"].as_str().filter(|_| expected.get("type").is_none()) {
        assert_eq!(found.as_ref().expect_err(name).code, code, "{name}");
        return;
    }
    let found = found.as_ref().unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
    let event = expected.as_object_mut().and_then(|command| command.remove("event"));
    let plain = expected.to_string();
    let plain = read(plain.as_bytes(), &[]).expect(name).remove(0).expect(name);
    assert_eq!((&found.scheduler_id, &found.body), (&plain.scheduler_id, &plain.body), "{name}");
    let named = found.named.as_ref().map(|named| (named.source.as_str(), named.id.as_str()));
    let event =
        event.as_ref().map(|event| (event["source"].as_str().expect("a source"), event["id"].as_str().expect("an id")));
    assert_eq!(named, event, "{name}");
}

#[test]
fn messages_are_the_commands_that_the_vectors_say() {
    for vector in vectors("messages.json") {
        let name = vector["name"].as_str().expect("a name");
        let message = match vector["message_base64"].as_str() {
            Some(text) => base64::engine::general_purpose::STANDARD.decode(text).expect("base64"),
            None => vector["message"].as_str().expect("a message").as_bytes().to_vec(),
        };
        let headers = vector["headers"].as_object().into_iter().flatten();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect();
        let commands = match (read(&message, &headers), vector["error"].as_str()) {
            // The whole of it, or its only command.
            (found, Some(code)) => {
                let wrong = found.and_then(|mut commands| commands.remove(0)).expect_err(name);
                assert_eq!(wrong.code, code, "{name}");
                continue;
            }
            (found, None) => found.unwrap_or_else(|wrong| panic!("{name}: {wrong:?}")),
        };
        let expected = vector["commands"].as_array().expect(name);
        assert_eq!(commands.len(), expected.len(), "{name}");
        expected.iter().zip(&commands).for_each(|(expected, found)| check(name, expected, found));
    }
}
