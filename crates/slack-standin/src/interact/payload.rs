//! What Slack sends: <https://docs.slack.dev/reference/interaction-payloads/block_actions-payload> and
//! <https://docs.slack.dev/interactivity/implementing-slash-commands>.

use serde_json::{Value, json};

use crate::api::shown;
use crate::state::Message;

pub(crate) const APP: &str = "A0STANDIN";
pub(crate) const TEAM: &str = "T0STANDIN";
const DOMAIN: &str = "stand-in";
/// The deprecated one, which still comes along and proves nothing.
const VERIFICATION_TOKEN: &str = "deprecated";

/// A button as it stands in a message.
pub(super) struct Button<'a> {
    element: &'a Value,
    block_id: String,
    /// The number of the attachment that it is in, from one.
    attachment: Option<usize>,
}

/// The button of this name, in blocks or in attachments.
pub(super) fn find<'a>(message: &'a Message, action_id: &str) -> Option<Button<'a>> {
    let own = message.blocks.iter().map(|block| (None, block));
    let nested = message.attachments.iter().enumerate().flat_map(|(n, attachment)| {
        attachment["blocks"].as_array().into_iter().flatten().map(move |block| (Some(n + 1), block))
    });
    own.chain(nested).enumerate().find_map(|(n, (attachment, block))| {
        let elements = block["elements"].as_array().into_iter().flatten();
        let element =
            elements.chain([&block["accessory"]]).find(|element| element["action_id"].as_str() == Some(action_id))?;
        // Slack makes up names for blocks that have none.
        let block_id = block["block_id"].as_str().map_or_else(|| format!("b{n}"), str::to_owned);
        Some(Button { element, block_id, attachment })
    })
}

/// A person, and what Slack makes up for this interaction.
pub(super) struct Occasion {
    pub(super) number: u64,
    pub(super) user: String,
    pub(super) channel: String,
    pub(super) response_url: String,
    pub(super) trigger_id: String,
    pub(super) now_ms: u64,
}

pub(crate) fn channel_name(channel: &str) -> String {
    channel.trim_start_matches('#').to_lowercase()
}

pub(super) fn click(occasion: &Occasion, message: &Message, button: &Button<'_>) -> Value {
    let is_ephemeral = message.only_for.is_some();
    let mut container = json!({
        "type":"message","message_ts":message.ts,"channel_id":occasion.channel,"is_ephemeral":is_ephemeral,
    });
    if let Some(parent) = &message.thread_ts {
        container["thread_ts"] = json!(parent);
    }
    if let Some(number) = button.attachment {
        container["type"] = json!("message_attachment");
        container["attachment_id"] = json!(number);
        container["is_app_unfurl"] = json!(false);
    }
    let mut action = json!({
        "type":"button","action_id":button.element["action_id"],"block_id":button.block_id,"text":button.element["text"],
        "action_ts":format!("{}.{:06}", occasion.now_ms / 1_000, occasion.now_ms % 1_000 * 1_000),
    });
    for key in ["value", "style", "url"] {
        if !button.element[key].is_null() {
            action[key] = button.element[key].clone();
        }
    }
    let name = occasion.user.to_lowercase();
    let mut payload = json!({
        "type":"block_actions",
        "user":{"id":occasion.user,"username":name,"name":name,"team_id":TEAM},
        "api_app_id":APP,"token":VERIFICATION_TOKEN,"container":container,"trigger_id":occasion.trigger_id,
        "team":{"id":TEAM,"domain":DOMAIN},"enterprise":null,"is_enterprise_install":false,
        "channel":{"id":occasion.channel,"name":channel_name(&occasion.channel)},
        "state":{"values":{}},"response_url":occasion.response_url,"actions":[action],
    });
    // What only one person sees is kept nowhere, so that it doesn't come along.
    if !is_ephemeral {
        payload["message"] = shown(message, true);
    }
    payload
}

/// A slash command's fields: a form over HTTP, an object over a socket.
pub(super) fn command(occasion: &Occasion, command: &str, text: &str) -> Vec<(&'static str, String)> {
    vec![
        ("token", VERIFICATION_TOKEN.to_owned()),
        ("team_id", TEAM.to_owned()),
        ("team_domain", DOMAIN.to_owned()),
        ("channel_id", occasion.channel.clone()),
        ("channel_name", channel_name(&occasion.channel)),
        ("user_id", occasion.user.clone()),
        ("user_name", occasion.user.to_lowercase()),
        ("command", command.to_owned()),
        ("text", text.to_owned()),
        ("api_app_id", APP.to_owned()),
        ("is_enterprise_install", "false".to_owned()),
        ("response_url", occasion.response_url.clone()),
        ("trigger_id", occasion.trigger_id.clone()),
    ]
}
