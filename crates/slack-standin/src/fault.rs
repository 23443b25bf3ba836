//! How the stand-in fails on request.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// One way to fail. Each is used up by one call.
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
    /// The call takes effect and is answered only after so long.
    Slow {
        /// How long, in milliseconds.
        hold_ms: u64,
    },
    /// 200 with a body that isn't JSON; the call takes effect.
    Garbled,
}

/// Faults for one method, in the order in which they will be met.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

impl FaultPlan {
    /// The fault that the next call meets.
    pub fn take(&mut self) -> Fault {
        self.next.pop_front().or_else(|| self.always.clone()).unwrap_or(Fault::None)
    }

    /// One more call that fails so.
    pub fn push(&mut self, fault: Fault) {
        self.next.push_back(fault);
    }

    /// Every call after the planned ones fails so; `None`: they pass.
    pub fn always(&mut self, fault: Option<Fault>) {
        self.always = fault;
    }
}
