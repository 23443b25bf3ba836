//! JSON as it was written, for the slow path: order and repeated names kept, size and depth bounded.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::invalid::Invalid;
use super::{MAX_DEPTH, text};

/// Most values in one body: it bounds the memory that reading a body takes.
pub(crate) const MAX_NODES: usize = 20_000;

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool,
    /// An integer within 64 bits, or a number written with a fraction or exponent that is one.
    Integer(i128),
    /// Any other number.
    Number,
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Integer(_) => "a number",
            Self::Number => "a number with a fraction, or a very large one",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a whole body.
///
/// # Errors
/// [`Invalid`] when it is not UTF-8, not JSON, too deep or too large.
pub(crate) fn read(body: &[u8]) -> Result<Node, Invalid> {
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(&error))?;
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(Invalid::json("The body is empty; send a JSON object."));
    }
    let mut left = MAX_NODES;
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = NodeSeed { depth: 0, left: &mut left };
    let node = seed.deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
    node.map_err(|error| not_json(&error))
}

pub(crate) fn not_utf8(error: &std::str::Utf8Error) -> Invalid {
    Invalid::json(format!(
        "The body is not UTF-8: the byte at offset {} is not part of a character.",
        error.valid_up_to()
    ))
}

pub(crate) fn not_json(error: &serde_json::Error) -> Invalid {
    // The parser's words can hold a piece of the body: they are bounded and escaped.
    Invalid::json(format!("The body is not JSON that can be read: {}.", text::excerpt(&error.to_string())))
}

/// Reads a whole body of MessagePack: maps are objects, and their names are strings. At most so many values.
///
/// # Errors
/// [`Invalid`] when it is not MessagePack, has what JSON has no word for, is too deep or too large.
pub(crate) fn read_msgpack(body: &[u8], max_nodes: usize) -> Result<Node, Invalid> {
    let mut left = max_nodes;
    let mut reader = rmp_serde::Deserializer::new(body);
    let node = NodeSeed { depth: 0, left: &mut left }.deserialize(&mut reader).map_err(|error| {
        Invalid::msgpack(format!(
            "The body is not MessagePack that can be read: {}.",
            text::excerpt(&error.to_string())
        ))
    })?;
    match reader.into_inner() {
        [] => Ok(node),
        more => Err(Invalid::msgpack(format!("After the body's one value there are {} more bytes.", more.len()))),
    }
}

struct NodeSeed<'l> {
    depth: usize,
    left: &'l mut usize,
}

impl NodeSeed<'_> {
    fn inner<E: serde::de::Error>(&mut self) -> Result<NodeSeed<'_>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        *self.left = self.left.checked_sub(1).ok_or_else(|| E::custom(format!("more than {MAX_NODES} values")))?;
        Ok(NodeSeed { depth: self.depth + 1, left: self.left })
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what JSON has a word for")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        // To JSON, 1.0 and 1e0 are the integer 1. Up to 2^53 that can be told exactly.
        #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
        let whole = (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i128);
        Ok(whole.map_or(Node::Number, Node::Integer))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        loop {
            let seed = self.inner()?;
            let Some(item) = seq.next_element_seed(seed)? else { return Ok(Node::Array(items)) };
            items.push(item);
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let seed = self.inner().map_err(|error: A::Error| A::Error::custom(error.to_string()))?;
            pairs.push((name, map.next_value_seed(seed)?));
        }
        Ok(Node::Object(pairs))
    }
}
