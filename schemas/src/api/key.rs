//! The body of `POST /api/v1/keys`.

use ronda_domain::limits;
use ronda_domain::time::Timestamp;

use super::fields::Fields;
use super::invalid::{Findings, Invalid};
use super::node::{self, Node};
use super::text::Lines;
use crate::row::Scopes;

const FIELDS: [&str; 4] = ["name", "scopes", "rate_limit_per_minute", "expires_at"];

/// A key to be made, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeyBody {
    /// What to call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Requests a minute, when given.
    pub rate_limit_per_minute: Option<u32>,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Reads the body of `POST /api/v1/keys`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_new_key(body: &[u8]) -> Result<NewKeyBody, Invalid> {
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let key = Fields::of(node, "", &mut findings).and_then(key);
    findings.or(key)
}

fn key(mut fields: Fields<'_>) -> Option<NewKeyBody> {
    let given = fields.has("name");
    let name = fields.text("name", limits::MAX_LABEL_BYTES, Lines::One);
    let name = fields.need("name", given, name, "what to call the key");
    let given = fields.has("scopes");
    let scopes = scopes(&mut fields);
    let scopes = fields.need("scopes", given, scopes, "some of ingest, read, admin");
    let rate_limit_per_minute = fields.integer("rate_limit_per_minute", 0, u32::MAX.into());
    let expires_at = fields.time("expires_at");
    fields.end(&FIELDS);
    Some(NewKeyBody { name: name?, scopes: scopes?, rate_limit_per_minute, expires_at })
}

fn scopes(fields: &mut Fields<'_>) -> Option<Scopes> {
    let at = fields.pointer("scopes");
    let items = match fields.take("scopes")? {
        Node::Array(items) => items,
        other => {
            let message = format!("must be an array of ingest, read and admin, and is {}", other.kind());
            fields.findings().add(at, "wrong_type", message);
            return None;
        }
    };
    if items.is_empty() {
        fields.findings().add(at, "empty", "must name at least one of ingest, read, admin");
        return None;
    }
    let mut scopes = Scopes::default();
    for (index, item) in items.iter().enumerate() {
        match item {
            Node::Text(word) if word == "ingest" => scopes.ingest = true,
            Node::Text(word) if word == "read" => scopes.read = true,
            Node::Text(word) if word == "admin" => scopes.admin = true,
            _ => fields.findings().add(format!("{at}/{index}"), "not_allowed", "must be one of ingest, read, admin"),
        }
    }
    Some(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_every_mistake_told() {
        let key =
            parse_new_key(br#"{"name":"batch","scopes":["ingest","read"],"rate_limit_per_minute":600.0}"#).unwrap();
        assert_eq!(key.scopes, Scopes { ingest: true, read: true, admin: false });
        assert_eq!((key.name.as_str(), key.rate_limit_per_minute, key.expires_at), ("batch", Some(600), None));
        let wrong =
            parse_new_key(br#"{"scopes":["write",1],"rate_limit_per_minute":-1,"expires_at":"never","note":""}"#)
                .unwrap_err();
        let idle = parse_new_key(br#"{"name":"batch","scopes":[]}"#).unwrap_err();
        assert_eq!((&*idle.fields[0].pointer, idle.fields[0].code), ("/scopes", "empty"));
        let pointers: Vec<&str> = wrong.fields.iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/scopes/0", "/scopes/1", "/rate_limit_per_minute", "/expires_at", "/note"]);
    }
}
