//! What Ronda's app in Slack needs: the list that the manifest, the documentation and the checks go by.

/// The scopes of the bot token, each with what it is for.
pub const SCOPES: [(&str, &str); 4] = [
    ("chat:write", "post, edit and delete its own messages"),
    (
        "channels:history",
        "find its own message again when Slack's answer to a post was lost, so that nobody sees it twice",
    ),
    ("groups:history", "the same in private channels"),
    ("commands", "take `/ronda` and clicks on its buttons"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../../../deploy/slack-manifest.yaml");
    const PAGE: &str = include_str!("../../../docs/slack.md");

    /// The items of the list below a line of the manifest.
    fn items<'a>(manifest: &'a str, above: &str) -> Vec<&'a str> {
        let lines = manifest.lines().map(str::trim).skip_while(|line| *line != above).skip(1);
        lines.map_while(|line| line.strip_prefix("- ")).collect()
    }

    #[test]
    fn the_manifest_asks_for_what_is_needed_and_no_more() {
        let needed: Vec<&str> = SCOPES.iter().map(|(scope, _)| *scope).collect();
        assert_eq!(items(MANIFEST, "bot:"), needed);
        assert_eq!(items(MANIFEST, "slash_commands:"), ["command: /ronda"]);
    }

    #[test]
    fn the_manifest_names_the_gateways_addresses() {
        for path in [
            "url: https://ronda.example.com/slack/commands",
            "request_url: https://ronda.example.com/slack/interactions",
        ] {
            assert!(MANIFEST.lines().any(|line| line.trim() == format!("# {path}")), "{path}");
        }
    }

    #[test]
    fn the_page_says_what_each_scope_is_for() {
        for (scope, why) in SCOPES {
            assert!(PAGE.contains(&format!("| `{scope}` | {why} |")), "{scope}");
        }
    }
}
