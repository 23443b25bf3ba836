//! The AsyncAPI 3.0 document of direct publishing, from the view of a job that publishes.

use serde_json::{Map, Value, json};

use super::samples::{self, Sample};
use super::{messages, pretty};
use crate::direct::{MAX_COMMANDS, MAX_MESSAGE_BYTES};

/// A broker, and how its messages carry what is beside the payload.
struct BrokerPart {
    /// Its name in the document.
    name: &'static str,
    /// What people call it.
    title: &'static str,
    /// Where the message's id stands.
    id: &'static str,
    /// What the names of a CloudEvent's attributes begin with among the headers.
    attribute_prefix: &'static str,
    /// Names of headers: the id if it is one, content type, key.
    headers: &'static [(&'static str, &'static str)],
}

const KEY: &str = "A Ronda API key with the scope that the command needs; where the broker's own permissions say who may publish, none.";
const CONTENT_TYPE: &str = "What the payload is. Not needed: its first byte tells.";

const BROKERS: [BrokerPart; 3] = [
    BrokerPart {
        name: "nats",
        title: "NATS JetStream",
        id: "the header `Nats-Msg-Id`",
        attribute_prefix: "ce-",
        headers: &[
            ("Nats-Msg-Id", "Another one for each message; sent again with the same id, it counts once."),
            ("Content-Type", CONTENT_TYPE),
            ("X-API-Key", KEY),
        ],
    },
    BrokerPart {
        name: "sqs",
        title: "Amazon SQS",
        id: "`MessageDeduplicationId`",
        attribute_prefix: "ce-",
        headers: &[("content-type", CONTENT_TYPE), ("x-api-key", KEY)],
    },
    BrokerPart {
        name: "rabbitmq",
        title: "RabbitMQ",
        id: "the property `message-id`",
        attribute_prefix: "cloudEvents:",
        headers: &[("x-api-key", KEY)],
    },
];

/// The document as JSON, indented: what docs/api/asyncapi.json holds.
#[must_use]
pub fn document_json() -> String {
    pretty(&document())
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut operations = Map::new();
    let mut all_messages = Map::new();
    let mut channels = Map::new();
    for broker in &BROKERS {
        let mut channel = channel(broker.name);
        channel["servers"] = json!([{"$ref": format!("#/servers/{}", broker.name)}]);
        let (mut of_channel, mut of_operation) = (Map::new(), Vec::new());
        for (kind, message) in messages_of(broker) {
            let name = format!("{}_{kind}", broker.name);
            of_operation.push(json!({"$ref": format!("#/channels/{}/messages/{kind}", broker.name)}));
            of_channel.insert(kind.to_owned(), json!({"$ref": format!("#/components/messages/{name}")}));
            all_messages.insert(name, message);
        }
        channel["messages"] = Value::Object(of_channel);
        channels.insert(broker.name.to_owned(), channel);
        let operation = json!({
            "action": "send",
            "title": format!("Publish onto {}", broker.title),
            "channel": {"$ref": format!("#/channels/{}", broker.name)},
            "messages": of_operation,
            "bindings": operation_bindings(broker.name),
        });
        operations.insert(format!("publish_{}", broker.name), operation);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": info(),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": messages::parts(),
            "messages": all_messages,
            "securitySchemes": security_schemes(),
        },
    })
}

fn info() -> Value {
    let description = format!(
        "What jobs publish straight onto the broker that Ronda runs on, in place of HTTP requests. Written from a job's view: it sends.\n\n\
         - One command a message, or an array of up to {MAX_COMMANDS}, as JSON or as MessagePack of the same shape; plain or as CloudEvents 1.0. \
         A message has at most {MAX_MESSAGE_BYTES} bytes, or what the broker takes, if that is less.\n\
         - The partition of a scheduler is the FNV-1a hash (32 bits) of the tenant and then the scheduler's id, without anything between, \
         modulo the number of partitions. NATS computes it; on SQS and RabbitMQ the publisher does. `schemas/vectors/partitions.json` has \
         examples. What comes out of another partition than its own is refused.\n\
         - A message is received when it comes out of its partition. `occurred_at` is kept and shown, and moves no deadline.\n\
         - What is wrong with a message is told by the tenant's `GET /api/v1/errors`, and the message goes to the dead letters."
    );
    json!({
        "title": "Ronda: publishing directly",
        "version": env!("CARGO_PKG_VERSION"),
        "description": description,
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        "tags": [{"name": "reports", "description": "What jobs say."}],
    })
}

fn servers() -> Value {
    let security = |name: &str| json!([{"$ref": format!("#/components/securitySchemes/{name}")}]);
    json!({
        "nats": {
            "host": "{host}:{port}", "protocol": "nats", "title": "NATS",
            "description": "A NATS server with JetStream, 2.10 or newer. With TLS where its address is `tls://…`.",
            "variables": {"host": {"default": "localhost"}, "port": {"default": "4222"}},
            "security": [security("natsCredentials")[0], security("userPassword")[0], security("clientCertificate")[0]],
            "bindings": {"nats": {}},
        },
        "sqs": {
            "host": "sqs.{region}.amazonaws.com", "protocol": "sqs", "title": "Amazon SQS",
            "description": "The account's SQS in its region.",
            "variables": {"region": {"default": "us-east-1"}},
            "security": security("awsSignature"),
        },
        "rabbitmq": {
            "host": "{host}:{port}", "protocol": "amqp", "protocolVersion": "0.9.1", "title": "RabbitMQ",
            "description": "A RabbitMQ broker with quorum queues. With TLS where its address is `amqps://…`.",
            "variables": {"host": {"default": "localhost"}, "port": {"default": "5672"}},
            "security": [security("userPassword")[0], security("clientCertificate")[0]],
        },
    })
}

fn security_schemes() -> Value {
    json!({
        "natsCredentials": {"type": "asymmetricEncryption", "description": "A credentials file (JWT and nkey), or an nkey seed."},
        "userPassword": {"type": "userPassword", "description": "User and password of the broker."},
        "clientCertificate": {"type": "X509", "description": "A client's certificate."},
        "awsSignature": {
            "type": "httpApiKey", "in": "header", "name": "Authorization",
            "description": "AWS Signature Version 4, from the credentials that the AWS SDK finds. It needs `sqs:SendMessage` and `sqs:GetQueueUrl`.",
        },
    })
}

/// Where a broker takes messages.
fn channel(broker: &str) -> Value {
    let tenant = json!({"description": "Whose scheduler: the name of the tenant.", "default": "default"});
    let partition = json!({"description": "The scheduler's partition.", "examples": ["3"]});
    match broker {
        "nats" => json!({
            "address": "ronda.in.{tenant}.{scheduler}",
            "title": "Subject of a scheduler",
            "description": "The server maps it to the scheduler's partition. Permissions on subjects can keep a publisher to its tenant.",
            "parameters": {
                "tenant": tenant,
                "scheduler": {"description": "The scheduler's id.", "examples": ["nightly-billing"]},
            },
        }),
        "sqs" => json!({
            "address": "ronda-commands-{partition}.fifo",
            "title": "FIFO queue of a partition",
            "description": "All messages of a queue have the same `MessageGroupId`, `ronda`.",
            "parameters": {"partition": partition},
            "bindings": {"sqs": {
                "queue": {"name": "ronda-commands-{partition}.fifo", "fifoQueue": true, "deduplicationScope": "queue"},
                "bindingVersion": "0.2.0",
            }},
        }),
        _ => json!({
            "address": "{partition}.{tenant}",
            "title": "Routing key of a partition and a tenant",
            "description": "Published to the exchange `ronda.in`. Topic permissions can keep a publisher to its tenant.",
            "parameters": {"partition": partition, "tenant": tenant},
            "bindings": {"amqp": {
                "is": "routingKey",
                "exchange": {"name": "ronda.in", "type": "topic", "durable": true, "autoDelete": false, "vhost": "/"},
                "bindingVersion": "0.3.0",
            }},
        }),
    }
}

fn operation_bindings(broker: &str) -> Value {
    match broker {
        "nats" => json!({"nats": {"bindingVersion": "0.1.0"}}),
        "sqs" => json!({"sqs": {
            "queues": [{"name": "ronda-commands-{partition}.fifo", "fifoQueue": true}], "bindingVersion": "0.2.0",
        }}),
        // Kept on disk, and returned when no queue takes it.
        _ => json!({"amqp": {"deliveryMode": 2, "mandatory": true, "bindingVersion": "0.3.0"}}),
    }
}

/// The messages that a broker takes, by their kinds.
fn messages_of(broker: &BrokerPart) -> [(&'static str, Value); 6] {
    let json = "application/json";
    [
        ("command", message(broker, "A command", json, "Command", samples::commands())),
        (
            "command_msgpack",
            message(broker, "A command as MessagePack", "application/msgpack", "Command", samples::commands()),
        ),
        ("batch", message(broker, "Several commands", json, "Batch", samples::batches())),
        (
            "batch_msgpack",
            message(broker, "Several commands as MessagePack", "application/msgpack", "Batch", samples::batches()),
        ),
        (
            "cloudevent",
            message(
                broker,
                "A CloudEvent in structured mode",
                "application/cloudevents+json",
                "CloudEvent",
                samples::cloud_events(),
            ),
        ),
        ("cloudevent_binary", binary_cloud_event(broker)),
    ]
}

fn message(broker: &BrokerPart, title: &str, content_type: &str, payload: &str, samples: Vec<Sample>) -> Value {
    let mut headers = Map::new();
    for (name, description) in broker.headers {
        headers.insert((*name).to_owned(), json!({"type": "string", "description": description}));
    }
    let examples: Vec<Value> = samples
        .into_iter()
        .map(|sample| json!({"name": sample.name, "summary": sample.summary, "payload": sample.payload}))
        .collect();
    let mut message = json!({
        "title": title,
        "contentType": content_type,
        "summary": format!("Its id is {}.", broker.id),
        "headers": {"type": "object", "properties": headers},
        "payload": {"$ref": format!("{}{payload}", messages::HOME)},
        "examples": examples,
    });
    if broker.name == "rabbitmq" {
        message["bindings"] = json!({"amqp": {"contentEncoding": "identity", "bindingVersion": "0.3.0"}});
    }
    message
}

/// The attributes as headers, and the command's other fields as the payload.
fn binary_cloud_event(broker: &BrokerPart) -> Value {
    let header = |attribute: &str| format!("{}{attribute}", broker.attribute_prefix);
    let mut message = message(broker, "A CloudEvent in binary mode", "application/json", "Data", Vec::new());
    let properties = &mut message["headers"]["properties"];
    for (attribute, schema) in messages::attributes() {
        properties[header(&attribute)] = schema;
    }
    message["headers"]["required"] = messages::NEEDED_ATTRIBUTES.map(header).into_iter().collect();
    message["examples"] = json!([{
        "name": "success",
        "summary": "A run has ended well.",
        "headers": {
            (header("specversion")): "1.0",
            (header("id")): "5c0b2d9e-9d3f-4b52-8a51-1f6f7b7a2f10",
            (header("source")): "/batch/host-7",
            (header("type")): "ronda.status",
            (header("subject")): "nightly-billing",
        },
        "payload": {"run_id": "2026-11-24T01:00:00", "status": "success"},
    }]);
    message
}
