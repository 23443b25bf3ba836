//! A fleet without a fence: shows that the checker finds what comes of it.
//!
//! Ronda has no switch for that. What processes write to DynamoDB on condition that no later owner has written is made unconditional on its way,
//! by a proxy, and whoever asks whether it still is the owner is told so; leases and everything else are as they are.

use std::net::SocketAddr;

use anyhow::Result;
use ronda_testbed::{AwsProxy, Fate};
use serde_json::Value;

/// What a condition names that asks for the place of an owner's write among all others.
const STAMP: &str = "#stamp";
/// What a filter names that asks whether a partition is still the asker's.
const EPOCH: &str = "#epoch";

/// A proxy before DynamoDB through which owners write whatever others have written.
///
/// # Errors
/// When there is no port for it.
pub(super) async fn proxy(server: SocketAddr) -> Result<AwsProxy> {
    let judge = |action: &str, body: &Value| match action {
        "PutItem" => unconditional(body),
        "Query" => whoever_asks(body),
        _ => Fate::Pass,
    };
    Ok(AwsProxy::to(server, judge).await?)
}

fn unconditional(put: &Value) -> Fate {
    let condition = put["ConditionExpression"].as_str();
    if !condition.is_some_and(|condition| condition.contains(STAMP)) {
        return Fate::Pass;
    }
    let mut request = put.clone();
    if let Some(put) = request.as_object_mut() {
        // Names and values that nothing refers to are refused.
        for expression in ["ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"] {
            put.remove(expression);
        }
    }
    Fate::Change { request, answer: Box::new(|answer| answer) }
}

/// A partition's row is found whichever epoch it has.
fn whoever_asks(query: &Value) -> Fate {
    if !query["FilterExpression"].as_str().is_some_and(|filter| filter.contains(EPOCH)) {
        return Fate::Pass;
    }
    let mut request = query.clone();
    let key = request["KeyConditionExpression"].as_str().unwrap_or_default().to_owned();
    if let Some(query) = request.as_object_mut() {
        query.remove("FilterExpression");
        for names in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
            let named = query.get_mut(names).and_then(Value::as_object_mut);
            named.into_iter().for_each(|named| named.retain(|name, _| key.contains(name.as_str())));
        }
    }
    Fate::Change { request, answer: Box::new(|answer| answer) }
}
