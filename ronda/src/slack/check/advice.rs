//! What to do about each of Slack's error codes.

/// What an operator does about a code that a method of Slack's answered. `channel`: the one it was about, where it was about one.
pub(super) fn advice(method: &str, code: &str, channel: Option<&str>) -> String {
    let channel = channel.unwrap_or("the channel");
    match (method, code) {
        ("apps.connections.open", "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive") => {
            "make a new app-level token with the scope connections:write (Basic Information on the app's page), and set SLACK_APP_TOKEN".into()
        }
        ("apps.connections.open", "not_allowed_token_type") => {
            "set SLACK_APP_TOKEN to the app-level token, xapp-…; the bot's belongs into SLACK_BOT_TOKEN".into()
        }
        ("apps.connections.open", "missing_scope" | "no_permission") => {
            "give the app-level token the scope connections:write (Basic Information on the app's page)".into()
        }
        ("apps.connections.open", "forbidden" | "access_denied" | "socket_mode_not_enabled") => {
            "turn Socket Mode on in the app's settings".into()
        }
        (_, "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive") => {
            "set SLACK_BOT_TOKEN to the Bot User OAuth Token, xoxb-… (OAuth & Permissions on the app's page)".into()
        }
        (_, "not_allowed_token_type") => "set SLACK_BOT_TOKEN to the bot's token: it begins with xoxb-".into(),
        (_, "missing_scope" | "no_permission") => {
            "give the app the scopes of deploy/slack-manifest.yaml (OAuth & Permissions, Scopes), then install it anew".into()
        }
        (_, "channel_not_found") => {
            format!("give the id of {channel} (C0123456789, at the end of its details), not its name; if it is private, /invite @ronda there")
        }
        (_, "not_in_channel") => format!("type /invite @ronda in {channel}"),
        (_, "is_archived") => format!("{channel} is archived: unarchive it or choose another"),
        (_, "restricted_action" | "restricted_action_read_only_channel" | "restricted_action_non_threadable_channel") => {
            format!("the workspace lets only some post in {channel}: an admin has to allow the app, or choose another")
        }
        (_, "team_access_not_granted" | "ekm_access_denied" | "access_denied" | "org_login_required" | "team_added_to_org") => {
            "an admin of the workspace has to let the app in".into()
        }
        ("chat.delete", "ratelimited") => format!("delete the test message in {channel} by hand: Slack is asked too often"),
        (_, "ratelimited" | "message_limit_exceeded") => "Slack is asked too often: try again in a minute".into(),
        (_, "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout") => {
            "Slack has trouble of its own (https://slack-status.com): try again later".into()
        }
        _ => "docs/slack.md says how the app is made; Slack explains the code at https://docs.slack.dev".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_gets_its_own_advice() {
        assert!(advice("auth.test", "invalid_auth", None).contains("SLACK_BOT_TOKEN"));
        assert!(advice("apps.connections.open", "invalid_auth", None).contains("SLACK_APP_TOKEN"));
        assert!(advice("chat.postMessage", "not_in_channel", Some("C1")).contains("/invite @ronda in C1"));
        assert!(advice("chat.postMessage", "something_new", Some("C1")).contains("docs/slack.md"));
    }
}
