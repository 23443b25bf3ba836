//! What holds of what people say: acknowledgments, mutes and their ends.

use super::*;

/// What people say, and runs that go wrong and well.
fn said_by_somebody() -> impl Strategy<Value = Input<'static>> {
    let by = By { source: "slack", id: "ratna", name: "Ratna" };
    let ended = |status| {
        Input::Status(StatusReport {
            status,
            run_id: None,
            occurred_at: None,
            error: None,
            exit_code: None,
            duration_ms: None,
            metadata: Vec::new(),
        })
    };
    let mute = (0i64..20 * WINDOW_MS).prop_map(move |until| Input::Mute { until: Timestamp::from_millis(until), by });
    prop_oneof![
        Just(ended(ReportedStatus::Failed)),
        Just(ended(ReportedStatus::Success)),
        Just(Input::Acknowledge { alert: None, by }),
        mute,
        Just(Input::Unmute { by }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What is said to the scheduler itself may come in any order: the latest counts.
    #[test]
    fn the_latest_word_on_a_scheduler_counts_in_any_order(
        history in history(3),
        said in proptest::collection::vec((1..3 * WINDOW_MS, said_to_it()), 1..6)
            .prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle())),
    ) {
        let log = |said: &[(i64, Input<'static>)]| {
            let at = |offset: &i64| window_end(2).plus_millis(*offset);
            let message = |offset: &i64| MessageId { source: 3, sequence: offset.unsigned_abs(), index: 0 };
            let step = |(offset, input): &(i64, Input<'static>)| Step::Other(input.clone(), at(offset), message(offset));
            [plain_log(&history), said.iter().map(step).collect()].concat()
        };
        let latest = |said: &[(i64, Input<'static>)]| {
            let state = World::run(&log(said)).slot.unwrap();
            let pause_key = state.rare().pause_key;
            let rare = state.rare().clone();
            (state.spec, state.spec_key, state.paused, pause_key, rare.muting, rare.said)
        };
        let (mut in_order, shuffled) = said;
        in_order.sort_by_key(|(offset, _)| *offset);
        in_order.dedup_by_key(|(offset, _)| *offset);
        let shuffled: Vec<_> = shuffled.into_iter().filter(|one| in_order.contains(one)).collect();
        prop_assert_eq!(latest(&in_order), latest(&shuffled));
    }

    /// Whoever says so, how often and when: an alert is acknowledged once, by the first who said so after it had opened, and the next
    /// alert is acknowledged by nobody who said so before it.
    #[test]
    fn an_alert_is_acknowledged_once_and_the_next_one_anew(history in history(8)) {
        let world = World::run(&plain_log(&history));
        let mut open: Option<(&str, Timestamp, bool)> = None;
        for event in &world.events {
            match &event.kind {
                EventKind::AlertOpened { alert, .. } => open = Some((alert, event.at, false)),
                EventKind::AlertResolved { .. } => open = None,
                EventKind::AlertAcknowledged { alert, .. } => {
                    let (known, opened_at, is_acknowledged) = open.unwrap();
                    prop_assert_eq!((known, is_acknowledged), (&**alert, false));
                    prop_assert!(opened_at <= event.at);
                    open = Some((known, opened_at, true));
                }
                _ => {}
            }
        }
        let alert = world.slot.as_ref().and_then(|state| state.alert.as_deref());
        let told = open.map(|(id, _, is_acknowledged)| (id, is_acknowledged));
        prop_assert_eq!(alert.map(|alert| (&*alert.id, alert.acknowledgment.is_some())), told);
    }

    /// What somebody says takes effect once, however often, and with whatever later times, its message comes again.
    #[test]
    fn a_message_of_somebody_counts_once(
        steps in proptest::collection::vec((said_by_somebody(), 1i64..40_000), 1..16),
        copies in proptest::collection::vec((0usize..16, 0usize..16), 0..12),
    ) {
        let (mut plain, mut disturbed) = (World::run(&[register(&plain_spec())]), World::run(&[register(&plain_spec())]));
        let mut at = Timestamp::from_millis(WINDOW_MS);
        for (index, (said, gap)) in steps.iter().enumerate() {
            at = at.plus_millis(*gap);
            let message = |index| MessageId { source: 5, sequence: u64::try_from(index).unwrap(), index: 0 };
            for world in [&mut plain, &mut disturbed] {
                world.apply(said, at, message(index));
                world.apply(&Input::Tick, at, MessageId::default());
            }
            // As another gateway may tell it again, later.
            for (from, _) in copies.iter().filter(|(from, delay)| from + delay == index) {
                // More are not known at once.
                let is_of_a_person = |input: &&(Input<'static>, i64)| !matches!(input.0, Input::Status(_));
                let since = steps[*from..=index].iter().filter(is_of_a_person).count();
                if since <= MAX_KNOWN_SAID && !matches!(steps[*from].0, Input::Status(_)) {
                    disturbed.apply(&steps[*from].0, at, message(*from));
                    disturbed.apply(&Input::Tick, at, MessageId::default());
                }
            }
        }
        prop_assert_eq!(plain.state(), disturbed.state());
        prop_assert_eq!(plain.events, disturbed.events);
    }

    /// Whether anybody wants to hear changes nothing of what is concluded.
    #[test]
    fn a_mute_changes_no_judgement((spec, windows) in history(6)) {
        let is_mute = |input: &Input<'_>| matches!(input, Input::Mute { .. } | Input::Unmute { .. });
        let without = windows.iter().cloned();
        let without = without.map(|(facts, input)| (facts, input.filter(|input| !is_mute(input)))).collect();
        let judged = |world: World| -> Vec<Event> {
            let is_told = |event: &Event| !matches!(event.kind, EventKind::Muted(_) | EventKind::Unmuted { .. });
            world.events.into_iter().filter(is_told).collect()
        };
        let with = judged(World::run(&plain_log(&(spec.clone(), windows))));
        prop_assert_eq!(with, judged(World::run(&plain_log(&(spec, without)))));
    }
}
