//! The state machine against a model of a channel that loses answers, and of processes that are killed.

use proptest::prelude::*;
use ronda_domain::time::Timestamp;

use super::*;
use crate::channel::{ChannelErrorKind, Found, Posted};

const POLICY: Policy =
    Policy { reconcile_interval_ms: 30_000, give_up_ms: 600_000, board_interval_ms: 10_000, can_find: true };

fn facts(number: u64) -> Facts {
    Facts::Admin(Box::new(AdminFacts::Destination {
        channel: "C".into(),
        code: number.to_string(),
        at: Timestamp::MIN,
    }))
}

fn digest() -> Facts {
    Facts::Digest(Box::new(DigestFacts {
        opened_at: Timestamp::MIN,
        more: 0,
        entries: vec![DigestEntry {
            surface: "a".into(),
            name: "a".into(),
            team: "".into(),
            status: ronda_domain::record::OccurrenceStatus::Failed,
            subject: ronda_domain::record::Subject::Silence { since: Timestamp::MIN },
            ended: false,
            later: None,
        }],
        maybe_repeat: false,
        more_ended: 0,
    }))
}

fn surface() -> Surface {
    Surface::new("k".into(), "C".into(), facts(0), 0, 0)
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Something new is to be shown.
    Desire,
    /// Time passes.
    Wait(u64),
    /// The next call is carried out and answered.
    Answered,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is not carried out, and no answer comes.
    RequestLost,
    /// It is refused for now.
    RateLimited,
    /// The process is killed after the claim; the call is carried out all the same, or not.
    Killed { carried_out: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Desire),
        (1_u64..70_000).prop_map(Step::Wait),
        Just(Step::Answered),
        Just(Step::AnswerLost),
        Just(Step::RequestLost),
        Just(Step::RateLimited),
        any::<bool>().prop_map(|carried_out| Step::Killed { carried_out }),
    ]
}

/// A call that reaches the channel after the process that made it was taken for dead.
#[derive(Clone, Debug)]
enum Late {
    Post(Found),
    Edit { ts: String, revision: u64 },
}

/// A channel with one surface's messages, which appear in its history a while after they were posted.
#[derive(Default)]
struct World {
    now_ms: u64,
    messages: Vec<(u64, Found)>,
    most: usize,
    posted: usize,
    /// Calls on their way, and when they arrive.
    late: Vec<(u64, Late)>,
}

const HISTORY_LAG_MS: u64 = 20_000;
/// Posted again after two intervals at the earliest, and looked for two more later.
const LATEST_POST_MS: u64 = 4 * 30_000 - HISTORY_LAG_MS;
/// Looked for after two intervals.
const LATEST_EDIT_MS: u64 = 2 * 30_000 - 1;

impl World {
    fn post(&mut self, generation: u32, revision: u64) -> String {
        let ts = format!("{:010}", self.posted);
        self.posted += 1;
        self.messages.push((self.now_ms, Found { ts: ts.clone(), generation, revision }));
        self.most = self.most.max(self.messages.len());
        ts
    }

    /// Time passes, and what was on its way arrives.
    fn pass(&mut self, millis: u64) {
        let until_ms = self.now_ms + millis;
        self.late.sort_by_key(|(at_ms, _)| *at_ms);
        while let Some((at_ms, _)) = self.late.first().filter(|(at_ms, _)| *at_ms <= until_ms) {
            self.now_ms = self.now_ms.max(*at_ms);
            match self.late.remove(0).1 {
                Late::Post(found) => drop(self.post(found.generation, found.revision)),
                Late::Edit { ts, revision } => {
                    let message = self.messages.iter_mut().find(|(_, message)| message.ts == ts);
                    message.into_iter().for_each(|(_, message)| message.revision = revision);
                }
            }
        }
        self.now_ms = until_ms;
    }

    /// The process stands still with a claimed call in its hands; another one takes over, and the call is made all the same.
    fn stall(&mut self, surface: &mut Surface, post_ms: u64, edit_ms: u64) {
        if let Some(work) = surface.work(self.now_ms) {
            surface.claim(&work, 1, "slack", 0);
            let late = match (&work, &surface.phase) {
                (Work::Post, Phase::Posting { revision, .. }) => {
                    let (generation, revision) = (surface.generation, *revision);
                    Some((post_ms, Late::Post(Found { ts: String::new(), generation, revision })))
                }
                (Work::Edit { ts, .. }, Phase::Editing { revision, .. }) => {
                    Some((edit_ms, Late::Edit { ts: ts.clone(), revision: *revision }))
                }
                _ => None,
            };
            self.late.extend(late.map(|(after_ms, late)| (self.now_ms + after_ms, late)));
        }
        surface.recover(self.now_ms, "slack", Some("C"), &POLICY);
    }

    fn carry_out(&mut self, surface: &Surface, work: &Work) -> Outcome {
        match work {
            Work::Post => {
                let Phase::Posting { revision, .. } = surface.phase else { panic!("a post without a claim") };
                let ts = self.post(surface.generation, revision);
                Outcome::Posted(Posted { channel: "C".into(), ts })
            }
            Work::Edit { ts, .. } => {
                let Phase::Editing { revision, .. } = surface.phase else { panic!("an edit without a claim") };
                match self.messages.iter_mut().find(|(_, message)| message.ts == *ts) {
                    Some((_, message)) => {
                        message.revision = revision;
                        Outcome::Edited
                    }
                    None => Outcome::Failed(ChannelErrorKind::Missing { code: "message_not_found".into() }),
                }
            }
            Work::Find => {
                let visible = |(at, _): &&(u64, Found)| at + HISTORY_LAG_MS <= self.now_ms;
                Outcome::Found(self.messages.iter().filter(visible).map(|(_, found)| found.clone()).collect())
            }
            Work::Delete { ts, .. } => {
                self.messages.retain(|(_, message)| message.ts != *ts);
                Outcome::Deleted
            }
        }
    }

    fn take(&mut self, surface: &mut Surface, step: Step) {
        let Some(work) = surface.work(self.now_ms) else {
            if matches!(step, Step::Killed { .. }) {
                surface.recover(self.now_ms, "slack", Some("C"), &POLICY);
            }
            return;
        };
        surface.claim(&work, 1, "slack", 0);
        let lost = Outcome::Failed(ChannelErrorKind::Ambiguous);
        let outcome = match step {
            Step::Desire | Step::Wait(_) => return,
            Step::Answered => self.carry_out(surface, &work),
            Step::AnswerLost => {
                self.carry_out(surface, &work);
                lost
            }
            Step::RequestLost => lost,
            Step::RateLimited => {
                let retry_after = std::time::Duration::from_secs(30);
                Outcome::Failed(ChannelErrorKind::NotSent { retry_after, rate_limited: true })
            }
            Step::Killed { carried_out } => {
                if carried_out {
                    self.carry_out(surface, &work);
                }
                surface.recover(self.now_ms, "slack", Some("C"), &POLICY);
                return;
            }
        };
        surface.settle(&work, outcome, self.now_ms, &POLICY);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is lost, in whatever order: never two messages, and in the end one, with what was desired last.
    #[test]
    fn one_message_that_says_the_newest(steps in proptest::collection::vec(step(), 0..40)) {
        let mut world = World::default();
        let mut surface = surface();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Desire => {
                    number += 1;
                    surface.desire(facts(number), 0);
                }
                Step::Wait(millis) => world.pass(millis),
                other => world.take(&mut surface, other),
            }
        }
        for _ in 0..200 {
            world.pass(10_000);
            world.take(&mut surface, Step::Answered);
        }
        prop_assert!(surface.is_settled(), "{surface:?}");
        prop_assert_eq!(world.most, 1, "posted twice");
        prop_assert_eq!(world.messages.len(), 1);
        prop_assert_eq!(world.messages[0].1.revision, surface.desired);
        prop_assert_eq!(surface.desired, number + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Senders stand still and their calls arrive late, but each before the look that is made because of it: whatever else is lost, in the
    /// end there is one message, with what was desired last, though nobody but the newest owner does anything about it.
    #[test]
    fn what_stalled_senders_do_late_is_put_right(
        steps in proptest::collection::vec((step(), proptest::option::weighted(0.3, 0_u64..LATEST_POST_MS)), 0..30),
    ) {
        let mut world = World::default();
        let mut surface = surface();
        let mut number = 0;
        for (step, stall) in steps {
            match step {
                Step::Desire => {
                    number += 1;
                    surface.desire(facts(number), 0);
                }
                Step::Wait(millis) => world.pass(millis),
                other => world.take(&mut surface, other),
            }
            if let Some(after_ms) = stall {
                world.stall(&mut surface, after_ms, after_ms.min(LATEST_EDIT_MS));
            }
        }
        for _ in 0..300 {
            world.pass(10_000);
            world.take(&mut surface, Step::Answered);
        }
        prop_assert!(surface.is_settled(), "{surface:?}");
        prop_assert_eq!(world.messages.len(), 1);
        prop_assert_eq!(world.messages[0].1.revision, surface.desired);
    }
}

#[test]
fn what_comes_late_is_removed_also_when_the_answer_to_the_second_post_was_lost() {
    let (mut world, mut surface) = (World::default(), surface());
    world.stall(&mut surface, LATEST_POST_MS - 1, 0);
    while surface.generation == 0 {
        world.pass(1_000);
        world.take(&mut surface, Step::Answered);
    }
    world.take(&mut surface, Step::AnswerLost);
    assert!(matches!(surface.phase, Phase::Unknown { .. }), "{surface:?}");
    for _ in 0..300 {
        world.pass(1_000);
        world.take(&mut surface, Step::Answered);
    }
    assert!(surface.is_settled() && world.most == 2, "it did come late");
    assert_eq!(world.messages.len(), 1);
}

#[test]
fn a_post_without_answer_is_looked_up_twice_before_it_is_made_again() {
    let mut surface = surface();
    let mut calls = Vec::new();
    let mut now_ms = 0;
    for _ in 0..100 {
        if let Some(work) = surface.work(now_ms) {
            surface.claim(&work, 1, "slack", 0);
            let outcome = match work {
                Work::Find => Outcome::Found(Vec::new()),
                _ => Outcome::Failed(ChannelErrorKind::Ambiguous),
            };
            calls.push((now_ms / 1_000, work.clone()));
            surface.settle(&work, outcome, now_ms, &POLICY);
        }
        now_ms += 1_000;
    }
    let expected =
        [(0, Work::Post), (1, Work::Find), (30, Work::Find), (60, Work::Find), (61, Work::Post), (62, Work::Find)];
    assert_eq!(calls[..4], expected[..4]);
    assert_eq!(calls[4].1, Work::Post);
    assert_eq!(surface.generation, 1);
}

#[test]
fn a_late_twin_is_removed_and_the_earliest_kept() {
    let mut surface = surface();
    surface.phase = Phase::Live;
    surface.generation = 1;
    surface.applied = Some(Applied { revision: 1, channel: "C".into(), ts: "2".into() });
    surface.check_at_ms = Some(60_000);
    assert_eq!(surface.work(59_999), None);
    assert_eq!(surface.work(60_000), Some(Work::Find));
    let twin = |ts: &str, generation| Found { ts: ts.into(), generation, revision: 1 };
    surface.settle(&Work::Find, Outcome::Found(vec![twin("2", 1), twin("1", 0)]), 60_000, &POLICY);
    assert_eq!(surface.applied.as_ref().map(|applied| applied.ts.as_str()), Some("1"));
    assert_eq!(surface.work(60_000), Some(Work::Delete { channel: "C".into(), ts: "2".into() }));
}

#[test]
fn what_was_shown_on_a_terminal_is_shown_on_slack_and_found_again_there() {
    let mut surface = surface();
    surface.facts = digest();
    let applied = |ts: &str| Applied { revision: 1, channel: "C".into(), ts: ts.into() };
    surface.target = "slack".into();
    surface.phase = Phase::Live;
    surface.applied = Some(applied("7"));
    surface.recover(0, "terminal", Some("C"), &POLICY);
    assert_eq!(surface.work(0), Some(Work::Post), "what is true now is shown there too");
    surface.phase = Phase::Live;
    surface.applied = Some(applied("0001"));
    surface.recover(0, "slack", Some("C"), &POLICY);
    assert_eq!((&surface.phase, &surface.applied), (&Phase::Live, &Some(applied("7"))));
}

#[test]
fn a_post_of_unknown_fate_is_looked_up_when_its_kind_of_channel_comes_back() {
    for phase in [Phase::Posting { fence: 1, revision: 1 }, Phase::Unknown { since_ms: 5, reads: 1 }] {
        let mut surface = surface();
        surface.claim(&Work::Post, 1, "slack", 1_700);
        surface.phase = phase;
        surface.recover(0, "terminal", Some("C"), &POLICY);
        assert_eq!(surface.work(0), None, "what is over is not shown on the terminal");
        let mut surface = Surface::decode(&surface.encode().unwrap()).unwrap();
        surface.recover(0, "slack", Some("C"), &POLICY);
        assert_eq!(surface.work(0), Some(Work::Find), "not posted without a lookup");
        assert_eq!(surface.first_claim_wall_ms, 1_700, "looked for from when it was first tried");
        let found = Found { ts: "9".into(), generation: 0, revision: 1 };
        surface.settle(&Work::Find, Outcome::Found(vec![found]), 0, &POLICY);
        assert!(surface.is_settled(), "{surface:?}");
    }
}

#[test]
fn a_reply_whose_parent_is_gone_is_not_looked_up_for_ever() {
    let missing = || Outcome::Failed(ChannelErrorKind::Missing { code: "thread_not_found".into() });
    let mut reply = surface();
    reply.parent = Some("parent".into());
    reply.phase = Phase::Unknown { since_ms: 0, reads: 0 };
    for (at_ms, reads) in [(1_000, 0), (30_000, 1)] {
        reply.settle(&Work::Find, missing(), at_ms, &POLICY);
        assert_eq!(reply.phase, Phase::Unknown { since_ms: 0, reads }, "it may still turn up beside its parent");
    }
    reply.settle(&Work::Find, missing(), 60_000, &POLICY);
    assert_eq!((&reply.phase, reply.is_settled()), (&Phase::Gone, true));
    let mut stray = surface();
    stray.parent = Some("parent".into());
    stray.phase = Phase::Unknown { since_ms: 0, reads: 0 };
    let posted = Posted { channel: "C".into(), ts: "7".into() };
    stray.settle(&Work::Find, Outcome::Failed(ChannelErrorKind::Orphaned { stray: posted }), 1_000, &POLICY);
    assert_eq!(stray.work(1_000), Some(Work::Delete { channel: "C".into(), ts: "7".into() }));
    let mut other = surface();
    other.phase = Phase::Unknown { since_ms: 0, reads: 0 };
    other.settle(&Work::Find, missing(), 1_000, &POLICY);
    assert_eq!(other.phase, Phase::Unknown { since_ms: 0, reads: 0 }, "a message of its own has nothing to lose");
}

#[test]
fn rows_survive_their_encoding() {
    let mut surface = surface();
    surface.phase = Phase::Unknown { since_ms: 3, reads: 1 };
    assert_eq!(Surface::decode(&surface.encode().unwrap()).unwrap(), surface);
}

#[test]
fn a_channel_that_was_corrected_gets_what_is_open_and_what_nobody_has_seen() {
    let mut open = surface();
    open.facts = digest();
    open.claim(&Work::Post, 1, "slack", 0);
    open.settle(&Work::Post, Outcome::Posted(Posted { channel: "C".into(), ts: "1".into() }), 0, &POLICY);
    open.recover(0, "slack", Some("D"), &POLICY);
    assert_eq!((open.work(0), open.channel.as_str()), (Some(Work::Post), "D"));
    open.recover(0, "slack", Some("C"), &POLICY);
    assert_eq!((&open.phase, open.applied.as_ref().map(|applied| applied.ts.as_str())), (&Phase::Live, Some("1")));

    let mut refused = surface();
    refused.claim(&Work::Post, 1, "slack", 0);
    let kind = ChannelErrorKind::DestinationBroken { code: "channel_not_found".into() };
    refused.settle(&Work::Post, Outcome::Failed(kind), 0, &POLICY);
    refused.recover(0, "slack", Some("D"), &POLICY);
    assert_eq!(refused.work(0), Some(Work::Post), "a notice that nobody has seen");
    refused.recover(0, "terminal", None, &POLICY);
    assert_eq!(refused.phase, Phase::Gone, "nothing asks for it any more");
}

#[test]
fn what_is_refused_in_its_plainest_form_is_kept_and_tried_again_later() {
    let mut surface = surface();
    let mut now_ms = 0;
    for _ in 0..2 {
        let work = surface.work(now_ms).unwrap();
        surface.claim(&work, 1, "slack", 0);
        let kind = ChannelErrorKind::Payload { code: "invalid_arguments".into() };
        surface.settle(&work, Outcome::Failed(kind), now_ms, &POLICY);
    }
    assert_eq!((&surface.phase, surface.work(60_000), surface.is_settled()), (&Phase::Absent, None, false));
    now_ms = 3_600_000;
    assert_eq!(surface.work(now_ms), Some(Work::Post));
}

#[test]
fn a_digest_of_unknown_fate_is_posted_again_when_the_history_stays_unreadable() {
    for (facts, expected) in [(digest(), true), (facts(0), false)] {
        let mut surface = surface();
        surface.facts = facts;
        surface.phase = Phase::Unknown { since_ms: 0, reads: 0 };
        let broken = || Outcome::Failed(ChannelErrorKind::DestinationBroken { code: "missing_scope".into() });
        surface.settle(&Work::Find, broken(), 599_999, &POLICY);
        assert!(matches!(surface.phase, Phase::Unknown { .. }));
        surface.settle(&Work::Find, broken(), 600_000, &POLICY);
        assert_eq!(surface.work(600_000) == Some(Work::Post), expected);
        let repeat = matches!(&surface.facts, Facts::Digest(digest) if digest.maybe_repeat);
        assert_eq!(repeat, expected, "it says that it may be one");
    }
}

#[test]
fn a_message_that_can_not_be_edited_any_more_is_still_there() {
    let mut surface = surface();
    surface.claim(&Work::Post, 1, "slack", 0);
    surface.settle(&Work::Post, Outcome::Posted(Posted { channel: "C".into(), ts: "1".into() }), 0, &POLICY);
    surface.desire(facts(1), 0);
    let edit = surface.work(0).unwrap();
    surface.claim(&edit, 1, "slack", 0);
    let kind = ChannelErrorKind::Fixed { code: "edit_window_closed".into() };
    surface.settle(&edit, Outcome::Failed(kind), 0, &POLICY);
    surface.desire(facts(2), 0);
    assert_eq!((&surface.phase, surface.work(1_000_000), surface.is_settled()), (&Phase::Live, None, true));
    assert!(surface.applied.is_some(), "so that replies find it");
}

#[test]
fn what_comes_in_numbers_waits_once_and_not_for_ever() {
    let mut surface = surface();
    surface.phase = Phase::Live;
    surface.applied = Some(Applied { revision: 1, channel: "C".into(), ts: "1".into() });
    for number in 0..20 {
        surface.desire_with_others(facts(100 + number), 0, number * 100);
    }
    assert_eq!(surface.work(1_999), None);
    assert!(matches!(surface.work(2_000), Some(Work::Edit { .. })));
}

#[test]
fn a_twin_is_looked_for_once_the_latest_post_must_be_there_however_soon_an_earlier_one_was_found() {
    let (mut world, mut surface) = (World::default(), surface());
    // A post on its way while it is taken for lost, and so the next one, of which the first is found before the second comes.
    world.stall(&mut surface, 74_416, 0);
    world.pass(31_908);
    world.take(&mut surface, Step::Answered);
    world.pass(32_508);
    world.take(&mut surface, Step::Answered);
    world.stall(&mut surface, LATEST_POST_MS - 1, 0);
    for _ in 0..30 {
        world.pass(10_000);
        world.take(&mut surface, Step::Answered);
    }
    assert_eq!(world.messages.len(), 1, "{:?}", world.messages);
}

#[test]
fn where_nothing_can_be_looked_up_an_unknown_post_is_made_again_under_the_same_generation() {
    let blind = Policy { can_find: false, ..POLICY };
    let mut surface = surface();
    surface.claim(&Work::Post, 1, "webhook", 0);
    surface.settle(&Work::Post, Outcome::Failed(ChannelErrorKind::Ambiguous), 0, &blind);
    assert_eq!(surface.work(1_999), None);
    assert_eq!((surface.work(2_000), surface.generation), (Some(Work::Post), 0));

    // Killed between the claim and the answer.
    surface.claim(&Work::Post, 1, "webhook", 0);
    surface.recover(5_000, "webhook", Some("C"), &blind);
    assert_eq!((surface.work(5_000), surface.generation), (Some(Work::Post), 0));

    surface.claim(&Work::Post, 2, "webhook", 0);
    let posted = Posted { channel: "C".into(), ts: "m".into() };
    surface.settle(&Work::Post, Outcome::Posted(posted), 6_000, &blind);
    surface.desire(facts(1), 0);
    let edit = Work::Edit { channel: "C".into(), ts: "m".into() };
    surface.claim(&edit, 2, "webhook", 0);
    surface.settle(&edit, Outcome::Failed(ChannelErrorKind::Ambiguous), 6_000, &blind);
    assert_eq!(surface.work(8_000), Some(edit.clone()));
    surface.claim(&edit, 2, "webhook", 0);
    surface.settle(&edit, Outcome::Edited, 8_000, &blind);
    assert!(surface.is_settled(), "nothing is left to be looked up: {surface:?}");
}

#[test]
fn who_takes_it_over_looks_for_a_twin_once_the_latest_post_must_be_there() {
    let (mut world, mut surface) = (World::default(), surface());
    world.stall(&mut surface, 80_705, 0);
    world.pass(32_201);
    world.take(&mut surface, Step::Answered);
    world.pass(41_763);
    world.take(&mut surface, Step::Answered);
    world.stall(&mut surface, 66_742, 0);
    world.pass(26_741);
    // The first one is found, and at that moment somebody else takes it over.
    world.take(&mut surface, Step::Answered);
    world.stall(&mut surface, 0, 0);
    for _ in 0..30 {
        world.pass(10_000);
        world.take(&mut surface, Step::Answered);
    }
    assert_eq!(world.messages.len(), 1, "{:?}", world.messages);
}
