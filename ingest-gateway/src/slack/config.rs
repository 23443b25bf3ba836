//! How people in Slack reach this gateway.

use ronda_domain::id::TenantId;
use ronda_runtime::Secret;

/// Slack's side of a gateway's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackConfig {
    /// With what Slack signs its requests; empty: none are taken over HTTPS.
    pub signing_secret: Secret,
    /// App token, `xapp-…`, of Socket Mode; empty: no connection is opened.
    pub app_token: Secret,
    /// Base address of the Web API; for tests and proxies.
    pub api_url: String,
    /// Whose jobs are shown and worked on.
    pub tenant: TenantId,
    /// The only workspace whose people may ask; empty: every one where the app is installed.
    pub team_id: String,
    /// Whether people of other workspaces may ask, too, in channels that are shared with them.
    pub allow_guest_teams: bool,
    /// IANA time zone of `until 06:00` and `morning`.
    pub timezone: String,
}

impl SlackConfig {
    /// Nothing but a tenant: neither way is open yet.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        Self {
            signing_secret: Secret::default(),
            app_token: Secret::default(),
            api_url: "https://slack.com/api".to_owned(),
            tenant,
            team_id: String::new(),
            allow_guest_teams: false,
            timezone: "UTC".to_owned(),
        }
    }
}
