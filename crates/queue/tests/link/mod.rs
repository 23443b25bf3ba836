//! The suite's words for a link, in the test bed's.

use ronda_queue::conformance::LinkMode;
use ronda_testbed::Mode;

/// What the test bed's link has to do.
pub(crate) const fn mode(mode: LinkMode) -> Mode {
    match mode {
        LinkMode::Pass => Mode::Pass,
        LinkMode::Freeze => Mode::Freeze,
        LinkMode::LoseAnswers => Mode::LoseAnswers,
        LinkMode::Cut => Mode::Cut,
    }
}
