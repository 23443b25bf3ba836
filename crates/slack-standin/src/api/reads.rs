//! Methods that read. <https://docs.slack.dev/reference/methods/conversations.history> and its neighbours.

use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Refused, deny, ok, rate_limited, refuse};
use super::arguments::{Arguments, flag, number, text};
use super::shown;
use crate::interact::channel_name;
use crate::state::{Place, Slack};

/// The channel that is read, when the app may: public and private ones have a scope each.
fn channel<'a>(
    slack: &Slack,
    arguments: &'a Arguments,
    method: &str,
    scopes: [&'static str; 2],
) -> Result<(&'a str, Place), Refused> {
    let channel = text(arguments, "channel").unwrap_or_default();
    if channel.is_empty() {
        return Err(refuse("invalid_arguments", "no channel; does the method take JSON?"));
    }
    let may = slack.places(|places| {
        let place = places.enter(channel, false)?;
        places.require(scopes[usize::from(place.private)]).map(|()| place)
    });
    let place = may.map_err(|denied| deny(slack, &denied))?;
    match slack.rate_limited(method, channel) {
        Some(seconds) => Err(rate_limited(seconds)),
        None => Ok((channel, place)),
    }
}

pub(super) fn list(slack: &Slack, method: &str, arguments: &Arguments) -> Result<Response, Refused> {
    let (channel, _) = channel(slack, arguments, method, ["channels:history", "groups:history"])?;
    let thread = if method == "conversations.replies" { Some(text(arguments, "ts").unwrap_or_default()) } else { None };
    if thread.is_some_and(|ts| !slack.has_thread(channel, ts)) {
        return Err(refuse("thread_not_found", "no such ts"));
    }
    let with_metadata = flag(arguments, "include_all_metadata");
    let limit = number(arguments, "limit").unwrap_or(100).clamp(1, 999);
    let oldest = text(arguments, "oldest").unwrap_or("0");
    let mut found = slack.list(channel, thread, oldest, text(arguments, "latest"));
    if thread.is_some() {
        found.reverse();
    }
    let skip = number(arguments, "cursor").unwrap_or(0);
    let more = found.len() > skip + limit;
    let page: Vec<Value> = found.iter().skip(skip).take(limit).map(|message| shown(message, with_metadata)).collect();
    let cursor = if more { (skip + limit).to_string() } else { String::new() };
    Ok(ok(json!({"ok":true,"messages":page,"has_more":more,"response_metadata":{"next_cursor":cursor}})))
}

pub(super) fn channel_info(slack: &Slack, arguments: &Arguments) -> Result<Response, Refused> {
    let (channel, place) = channel(slack, arguments, "conversations.info", ["channels:read", "groups:read"])?;
    Ok(ok(json!({"ok":true,"channel":{
        "id":channel,"name":channel_name(channel),"is_channel":!place.private,
        "is_private":place.private,"is_archived":place.archived,"is_member":place.member,
    }})))
}

pub(super) fn user_info(slack: &Slack, arguments: &Arguments) -> Result<Response, Refused> {
    slack.places(|places| places.require("users:read")).map_err(|denied| deny(slack, &denied))?;
    if let Some(seconds) = slack.rate_limited("users.info", "") {
        return Err(rate_limited(seconds));
    }
    let user = text(arguments, "user").filter(|user| user.starts_with(['U', 'W']));
    let user = user.ok_or_else(|| refuse("user_not_found", "no user; does the method take JSON?"))?;
    let name = user.to_lowercase();
    Ok(ok(json!({"ok":true,"user":{
        "id":user,"name":name,"real_name":name,"tz":"Asia/Jakarta","tz_offset":25_200,"deleted":false,"is_bot":false,
    }})))
}
