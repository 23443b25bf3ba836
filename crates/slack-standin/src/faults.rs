//! How the stand-in fails on request.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Nothing goes wrong; to let a call pass before the next fault.
    None,
    /// 429 with `Retry-After`; nothing is kept.
    RateLimited {
        /// Seconds in `Retry-After`.
        retry_after_seconds: u64,
    },
    /// `{"ok":false,"error":code}`; nothing is kept.
    Refuse {
        /// Slack's error code.
        code: String,
    },
    /// 500 with a body that isn't JSON.
    ServerError {
        /// Whether the call takes effect all the same.
        effective: bool,
    },
    /// No answer for so long, then the connection is closed.
    Silence {
        /// Whether the call takes effect before the silence.
        effective: bool,
        /// How long, in milliseconds.
        hold_ms: u64,
    },
    /// The connection is closed at once, without an answer.
    Reset {
        /// Whether the call takes effect before.
        effective: bool,
    },
    /// The call takes effect and is answered only after so long.
    Slow {
        /// How long, in milliseconds.
        hold_ms: u64,
    },
    /// 200 with a body that isn't JSON; the call takes effect.
    Garbled,
    /// The call takes effect; its answer breaks off in the middle.
    Truncated,
}

impl Fault {
    /// Whether the call takes effect although it fails.
    #[must_use]
    pub fn is_effective(&self) -> bool {
        match self {
            Self::None | Self::Slow { .. } | Self::Garbled | Self::Truncated => true,
            Self::RateLimited { .. } | Self::Refuse { .. } => false,
            Self::ServerError { effective } | Self::Silence { effective, .. } | Self::Reset { effective } => *effective,
        }
    }
}

/// Which calls fail, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRule {
    /// Calls of this method only.
    #[serde(default)]
    pub method: Option<String>,
    /// In this channel only.
    #[serde(default)]
    pub channel: Option<String>,
    /// Only calls whose arguments, as JSON, contain this.
    #[serde(default)]
    pub containing: Option<String>,
    /// So many such calls pass before.
    #[serde(default)]
    pub skip: u64,
    /// So many fail; `None`: all from then on.
    #[serde(default)]
    pub count: Option<u64>,
    /// How.
    #[serde(flatten)]
    pub fault: Fault,
}

impl FaultRule {
    /// The next call of a method.
    #[must_use]
    pub fn next(method: &str, fault: Fault) -> Self {
        Self { count: Some(1), ..Self::always(method, fault) }
    }

    /// All calls of a method.
    #[must_use]
    pub fn always(method: &str, fault: Fault) -> Self {
        Self { method: Some(method.to_owned()), channel: None, containing: None, skip: 0, count: None, fault }
    }

    fn matches(&self, method: &str, arguments: &Map<String, Value>) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.channel.as_deref().is_none_or(|wanted| arguments.get("channel").is_some_and(|is| is == wanted))
            && self
                .containing
                .as_deref()
                .is_none_or(|wanted| serde_json::to_string(arguments).is_ok_and(|arguments| arguments.contains(wanted)))
    }
}

/// All rules, in the order in which they were made: a call meets the first that is for it; those with a count go before those without.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<FaultRule>,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// Takes the rules without a count away from a method.
    pub(crate) fn end(&mut self, method: &str) {
        self.rules.retain(|rule| rule.count.is_some() || rule.method.as_deref() != Some(method));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What this call meets.
    pub(crate) fn take(&mut self, method: &str, arguments: &Map<String, Value>) -> Fault {
        for counted in [true, false] {
            let mine = |rule: &FaultRule| rule.count.is_some() == counted && rule.matches(method, arguments);
            let Some(at) = self.rules.iter().position(mine) else { continue };
            let rule = &mut self.rules[at];
            if rule.skip > 0 {
                rule.skip -= 1;
                return Fault::None;
            }
            let fault = rule.fault.clone();
            if let Some(count) = &mut rule.count {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.rules.remove(at);
                }
            }
            return fault;
        }
        Fault::None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(faults: &mut Faults, channel: &str, text: &str) -> Fault {
        let arguments = json!({"channel":channel,"text":text});
        faults.take("chat.postMessage", arguments.as_object().unwrap_or(&Map::new()))
    }

    #[test]
    fn a_rule_is_for_its_channel_its_words_and_its_count() {
        let mut faults = Faults::default();
        faults.add(FaultRule {
            channel: Some("C1".into()),
            containing: Some("billing".into()),
            skip: 1,
            count: Some(2),
            ..FaultRule::always("chat.postMessage", Fault::Garbled)
        });
        assert_eq!(call(&mut faults, "C2", "billing"), Fault::None);
        assert_eq!(call(&mut faults, "C1", "other"), Fault::None);
        let met: Vec<Fault> = (0..4).map(|_| call(&mut faults, "C1", "billing failed")).collect();
        assert_eq!(met, [Fault::None, Fault::Garbled, Fault::Garbled, Fault::None]);
    }

    #[test]
    fn planned_ones_come_before_lasting_ones_until_these_end() {
        let mut faults = Faults::default();
        faults.add(FaultRule::always("chat.postMessage", Fault::Garbled));
        faults.add(FaultRule::next("chat.postMessage", Fault::Truncated));
        assert_eq!(call(&mut faults, "C1", ""), Fault::Truncated);
        assert_eq!(call(&mut faults, "C1", ""), Fault::Garbled);
        faults.end("chat.postMessage");
        assert_eq!(call(&mut faults, "C1", ""), Fault::None);
    }

    #[test]
    fn a_rule_can_be_written_as_json() {
        let rule: FaultRule =
            serde_json::from_value(json!({"method":"chat.update","count":1,"fault":"reset","effective":true}))
                .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rule, FaultRule::next("chat.update", Fault::Reset { effective: true }));
    }
}
