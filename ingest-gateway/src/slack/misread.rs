//! What is answered when a text is no command: what is wrong with it, and what works in its place. Pure.
//!
//! What was not understood is said once, as that, and is no part of the advice: who enters what is advised gets what they meant.

use super::answer::{Answer, usage};
use super::command::Misread;
use super::escape::mrkdwn;

/// Most characters of what was not understood.
const SAID: usize = 60;
/// Where a job is to be named, as it stands in `mrkdwn`.
const SOME_JOB: &str = "&lt;job&gt;";
/// What else could stand in the place of `1h`.
const OTHER_TIMES: &str = "or `30m`, `1d`, `until 06:00`, `morning`";

impl Answer {
    /// What was written can't be read.
    pub(crate) fn misread(misread: &Misread) -> Self {
        match misread {
            Misread::Unknown(word, near) => {
                let near = near.map(|near| format!(" Did you mean “{near}”?")).unwrap_or_default();
                Self::new(format!("There is no command “{}”.{near}", mrkdwn(word, SAID))).with(usage())
            }
            Misread::NoJob(command) => {
                let time = if *command == "mute" { " 1h" } else { "" };
                Self::new(format!("Say which job: `/ronda {command} {SOME_JOB}{time}`"))
            }
            Misread::TooLong => {
                Self::new("A mute lasts 30 days at most. A job that is expected no more can be paused.".to_owned())
            }
        }
    }

    /// A mute whose last words are no time, or that has none. `jobs`: the ids of those that the words before are the name of.
    pub(crate) fn no_time(said: &[String], jobs: &[String]) -> Self {
        let how = format!("`/ronda mute {} 1h`, {OTHER_TIMES}.", example(jobs));
        let said = if said.is_empty() { None } else { Some(mrkdwn(&said.join(" "), SAID)) };
        Self::new(match (said, jobs) {
            (None, _) => format!("Say for how long: {how}"),
            (Some(said), []) => format!("“{said}” is no time, and what stands before it is no job. Say both: {how}"),
            (Some(said), _) => format!("“{said}” is no time. Say for how long: {how}"),
        })
    }

    /// A mute whose time stands before the job. `time`: words that were read as one.
    pub(crate) fn time_comes_last(time: &[String], jobs: &[String]) -> Self {
        Self::new(format!("The time comes last: `/ronda mute {} {}`", example(jobs), mrkdwn(&time.join(" "), SAID)))
    }
}

/// The job to be named in an example. Which of several is meant is not known; an id has no character that would be markup.
fn example(jobs: &[String]) -> &str {
    match jobs {
        [only] => only,
        _ => SOME_JOB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer) -> String {
        answer.to_json()["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_was_not_understood_is_harmless_and_no_advice() {
        let nasty = ["<!channel> @here `x`".to_owned()];
        for answer in [
            Answer::misread(&Misread::Unknown(nasty.concat(), None)),
            Answer::no_time(&nasty, &[]),
            Answer::no_time(&nasty, &["a".into()]),
            Answer::no_time(&["x".repeat(3_000)], &[]),
        ] {
            let text = text(&answer);
            assert!(!text.contains("<!") && !text.contains("@here") && !text.contains("`x`"), "{text}");
            assert!(text.len() < 1_500, "{text}");
            let advised = text.split_once('`').unwrap().1;
            assert!(!advised.contains("channel") && !advised.contains("xxx"), "{text}");
        }
    }

    #[test]
    fn of_several_jobs_none_is_the_example() {
        let told = text(&Answer::no_time(&[], &["a".into(), "b".into()]));
        assert_eq!(told, format!("Say for how long: `/ronda mute &lt;job&gt; 1h`, {OTHER_TIMES}."));
        let told = text(&Answer::time_comes_last(&["2h".into()], &["a".into()]));
        assert_eq!(told, "The time comes last: `/ronda mute a 2h`");
    }
}
