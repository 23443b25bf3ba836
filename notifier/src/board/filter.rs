//! Which schedulers a board shows.

use crate::config::BoardFilter;

/// What a filter looks at.
pub(crate) struct Subject<'a> {
    pub(crate) id: &'a str,
    pub(crate) team: &'a str,
    pub(crate) environment: &'a str,
    pub(crate) tags: &'a [Box<str>],
}

/// Whether the filter lets a scheduler through.
pub(crate) fn matches(filter: &BoardFilter, subject: &Subject<'_>) -> bool {
    filter.team.as_deref().is_none_or(|team| team == subject.team)
        && filter.environment.as_deref().is_none_or(|environment| environment == subject.environment)
        && filter.tags.iter().all(|tag| subject.tags.iter().any(|has| **has == **tag))
        && (filter.ids.is_empty() || filter.ids.iter().any(|pattern| glob(pattern.as_bytes(), subject.id.as_bytes())))
}

/// `*` is any text, `?` any one character. Linear in memory, at most pattern × text in time.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                // Let the last star take one more character.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("nightly-*", "nightly-billing", true),
            ("nightly-*", "hourly-billing", false),
            ("*-billing", "nightly-billing", true),
            ("n*x-b*g", "nightly-billing-b-g-b-ing", false),
            ("n*-b*g", "nightly-billing-b-g-b-ing", true),
            ("job-?", "job-7", true),
            ("job-?", "job-77", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn every_condition_must_be_met() {
        let tags: [Box<str>; 2] = ["money".into(), "eu".into()];
        let subject = Subject { id: "billing", team: "payments", environment: "production", tags: &tags };
        let mut filter = BoardFilter::default();
        assert!(matches(&filter, &subject));
        filter.team = Some("payments".into());
        filter.tags = vec!["money".into()];
        filter.ids = vec!["x".into(), "bill*".into()];
        assert!(matches(&filter, &subject));
        filter.tags.push("us".into());
        assert!(!matches(&filter, &subject));
    }
}
