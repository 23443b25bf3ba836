//! What people write after `/ronda`. Pure: texts in, wishes out.

/// What `/ronda help` says, and what follows a command that can't be read.
pub(crate) const USAGE: [(&str, &str); 7] = [
    ("/ronda status", "counts of all jobs, and what needs somebody most"),
    ("/ronda list failing", "the jobs that failed, hang or never started, 20 at most"),
    ("/ronda show <job>", "one job: how it is, its last run, what comes next"),
    ("/ronda mute <job> <time>", "no alerts of it for a while: `30m`, `2h`, `1d`, `until 06:00`, `morning`"),
    ("/ronda unmute <job>", "alerts of it again"),
    ("/ronda ack <job>", "say that you are on it"),
    ("/ronda help", "this list"),
];

/// Longest mute, in minutes: thirty days. What nobody wants to hear of for longer is to be paused.
const MAX_MUTE_MINUTES: u32 = 30 * 24 * 60;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Counts.
    Status,
    /// The jobs that are not well.
    ListFailing,
    /// Something of one job, by its id or name.
    OfJob(JobWish, String),
    /// A mute, of words that do not end with a time. Which of them are the job, only the jobs' names tell.
    MuteWithoutTime(Vec<String>),
    /// What can be written.
    Help,
}

/// What somebody wants of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobWish {
    /// To see it.
    Show,
    /// No alerts of it until then.
    Mute(MuteFor),
    /// Alerts of it again.
    Unmute,
    /// That everybody knows who is on it.
    Acknowledge,
}

/// How long a mute lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MuteFor {
    /// So many minutes, at least one.
    Minutes(u32),
    /// Until the wall clock next shows this hour and minute.
    Until(i8, i8),
    /// Until the night is over.
    Morning,
}

/// Why a text is no command. It may contain what somebody wrote, not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misread {
    /// The first word is none that is known; the nearest one that is.
    Unknown(String, Option<&'static str>),
    /// A command without its job.
    NoJob(&'static str),
    /// A mute that is too long.
    TooLong,
}

const WORDS: [&str; 7] = ["status", "list", "show", "mute", "unmute", "ack", "help"];

/// Reads what stands after `/ronda`.
pub(crate) fn parse(text: &str) -> Result<Wish, Misread> {
    let words: Vec<String> = text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
    let Some((first, rest)) = words.split_first() else { return Ok(Wish::Help) };
    let job = |command, wish| {
        if rest.is_empty() { Err(Misread::NoJob(command)) } else { Ok(Wish::OfJob(wish, rest.join(" "))) }
    };
    match first.to_lowercase().as_str() {
        "status" => alone(&words, 1, Wish::Status, "status"),
        "list" if rest.first().is_some_and(|word| word.eq_ignore_ascii_case("failing")) => {
            alone(&words, 2, Wish::ListFailing, "list failing")
        }
        "list" | "failing" => alone(&words, 1, Wish::ListFailing, "list failing"),
        "show" => job("show", JobWish::Show),
        "mute" | "snooze" => mute(rest),
        "unmute" | "unsnooze" => job("unmute", JobWish::Unmute),
        "ack" | "acknowledge" => job("ack", JobWish::Acknowledge),
        "help" | "?" => Ok(Wish::Help),
        other => Err(Misread::Unknown(shortened(first), near(other))),
    }
}

/// A command of so many words, which nothing may follow: what did would look as if it had been answered.
fn alone(words: &[String], length: usize, wish: Wish, command: &'static str) -> Result<Wish, Misread> {
    if words.len() == length { Ok(wish) } else { Err(Misread::Unknown(shortened(&words.join(" ")), Some(command))) }
}

/// A word without what phones and Slack put around it.
fn bare(word: &str) -> String {
    // Slack escapes these three.
    let word = word.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    word.trim_matches(|character| matches!(character, '`' | '"' | '\'' | '“' | '”' | '‘' | '’' | '*' | '<' | '>' | ','))
        .to_owned()
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

fn near(word: &str) -> Option<&'static str> {
    let distance = |known: &&'static str| strsim::osa_distance(word, known);
    WORDS.into_iter().min_by_key(distance).filter(|known| distance(known) <= 2)
}

/// `<job> [for] 1h`, `<job> [until] 06:00`, `<job> [until] morning`.
fn mute(words: &[String]) -> Result<Wish, Misread> {
    let Some((last, before)) = words.split_last() else { return Err(Misread::NoJob("mute")) };
    let Some(time) = time(last) else {
        let first = leading_time(words).map(|(time, _)| time);
        return if first.is_some_and(is_too_long) {
            Err(Misread::TooLong)
        } else {
            Ok(Wish::MuteWithoutTime(words.to_vec()))
        };
    };
    let job = match before.split_last() {
        Some((word, job)) if is_preposition(word) => job,
        _ => before,
    };
    if job.is_empty() {
        return Err(Misread::NoJob("mute"));
    }
    if is_too_long(time) {
        return Err(Misread::TooLong);
    }
    Ok(Wish::OfJob(JobWish::Mute(time), job.join(" ")))
}

const fn is_too_long(time: MuteFor) -> bool {
    matches!(time, MuteFor::Minutes(minutes) if minutes > MAX_MUTE_MINUTES)
}

fn is_preposition(word: &str) -> bool {
    matches!(word.to_lowercase().as_str(), "until" | "for" | "till" | "to")
}

/// Words that should be a time, without what may lead it in.
pub(crate) fn without_preposition(words: &[String]) -> &[String] {
    match words.split_first() {
        Some((first, rest)) if is_preposition(first) => rest,
        _ => words,
    }
}

/// A time that words begin with, and what follows it: people say it in that order, too.
pub(crate) fn time_first(words: &[String]) -> Option<(&[String], &[String])> {
    let (_, rest) = leading_time(words)?;
    Some(words.split_at(words.len() - rest.len()))
}

fn leading_time(words: &[String]) -> Option<(MuteFor, &[String])> {
    let (first, rest) = without_preposition(words).split_first()?;
    Some((time(first)?, rest))
}

fn time(word: &str) -> Option<MuteFor> {
    let word = word.to_lowercase();
    if word == "morning" {
        return Some(MuteFor::Morning);
    }
    if let Some((hours, minutes)) = word.split_once([':', '.']) {
        let number = |text: &str, digits: &[usize], most: i8| {
            let fits = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i8>().ok().filter(|number| fits && *number <= most)
        };
        return Some(MuteFor::Until(number(hours, &[1, 2], 23)?, number(minutes, &[2], 59)?));
    }
    let digits = word.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = word.split_at(digits);
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    let minutes = match unit {
        "m" | "min" | "mins" | "minute" | "minutes" => 1,
        "h" | "hour" | "hours" => 60,
        "d" | "day" | "days" => 24 * 60,
        _ => return None,
    };
    Some(MuteFor::Minutes(number.saturating_mul(minutes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn muted(job: &str, time: MuteFor) -> Result<Wish, Misread> {
        Ok(Wish::OfJob(JobWish::Mute(time), job.into()))
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn no_time(text: &str) -> Result<Wish, Misread> {
        Ok(Wish::MuteWithoutTime(words(text)))
    }

    #[test]
    fn a_time_that_comes_first_is_seen() {
        assert_eq!(time_first(&words("2h a b")), Some((&words("2h")[..], &words("a b")[..])));
        assert_eq!(time_first(&words("until 06:00 a")), Some((&words("until 06:00")[..], &words("a")[..])));
        for text in ["a 2h", "until a", "for", "25:00 a"] {
            assert_eq!(time_first(&words(text)), None, "{text}");
        }
    }

    #[test]
    fn every_command_is_read() {
        assert_eq!(parse("status"), Ok(Wish::Status));
        assert_eq!(parse("  List  FAILING "), Ok(Wish::ListFailing));
        assert_eq!((parse("list"), parse("failing")), (Ok(Wish::ListFailing), Ok(Wish::ListFailing)));
        for (text, near) in
            [("list all", "list failing"), ("list failing payments", "list failing"), ("status x", "status")]
        {
            assert_eq!(parse(text), Err(Misread::Unknown(text.into(), Some(near))), "{text}");
        }
        assert_eq!(parse("show nightly-billing"), Ok(Wish::OfJob(JobWish::Show, "nightly-billing".into())));
        assert_eq!(parse("unmute `nightly-billing`"), Ok(Wish::OfJob(JobWish::Unmute, "nightly-billing".into())));
        assert_eq!(parse("ack “Nightly billing”"), Ok(Wish::OfJob(JobWish::Acknowledge, "Nightly billing".into())));
        for text in ["", "   ", "help", "?"] {
            assert_eq!(parse(text), Ok(Wish::Help), "{text:?}");
        }
    }

    #[test]
    fn a_mute_has_a_job_and_a_time() {
        assert_eq!(parse("mute a 1h"), muted("a", MuteFor::Minutes(60)));
        assert_eq!(parse("mute a for 30m"), muted("a", MuteFor::Minutes(30)));
        assert_eq!(parse("mute a 2 d"), no_time("a 2 d"));
        assert_eq!(parse("mute 31d a"), Err(Misread::TooLong), "the other way round it would not do either");
        assert_eq!(parse("mute Nightly billing until 06:00"), muted("Nightly billing", MuteFor::Until(6, 0)));
        assert_eq!(parse("mute a 6.05"), muted("a", MuteFor::Until(6, 5)));
        assert_eq!(parse("mute a until morning"), muted("a", MuteFor::Morning));
        assert_eq!(parse("mute a morning"), muted("a", MuteFor::Morning));
        assert_eq!(parse("mute a 30d"), muted("a", MuteFor::Minutes(MAX_MUTE_MINUTES)));
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(parse("show"), Err(Misread::NoJob("show")));
        assert_eq!(parse("mute"), Err(Misread::NoJob("mute")));
        assert_eq!(parse("mute 1h"), Err(Misread::NoJob("mute")));
        assert_eq!(parse("mute until 06:00"), Err(Misread::NoJob("mute")));
        assert_eq!(parse("mute a"), no_time("a"));
        for time in ["soon", "0h", "1w", "24:00", "6:5", "-1h", "1.5h", "99999999999h", "h"] {
            assert_eq!(parse(&format!("mute a {time}")), no_time(&format!("a {time}")), "{time}");
        }
        assert_eq!(parse("mute a 31d"), Err(Misread::TooLong));
        assert_eq!(parse("mute a 4000000000h"), Err(Misread::TooLong));
        assert_eq!(parse("stauts"), Err(Misread::Unknown("stauts".into(), Some("status"))));
        assert_eq!(parse("frobnicate"), Err(Misread::Unknown("frobnicate".into(), None)));
    }

    #[test]
    fn the_usage_names_every_word() {
        for word in WORDS {
            assert!(USAGE.iter().any(|(usage, _)| usage.split(' ').nth(1) == Some(word)), "{word}");
        }
    }
}
