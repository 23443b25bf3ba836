use std::path::PathBuf;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ronda.toml");
    std::fs::write(&path, text).unwrap();
    (dir, Sources { file: Some(path), ..Sources::default() })
}

fn mistakes(sources: &Sources) -> Vec<String> {
    draft(sources).for_sending().finish().unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_given_means_the_defaults_and_one_night_board() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.settings.server.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(loaded.settings.boards, [Board::default()]);
    assert!(loaded.origins.is_empty());
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let (_dir, mut sources) =
        file("[server]\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\nlinger_ms = 3\n");
    sources.environment = vec![
        (String::from("RONDA_SERVER_LISTEN"), String::from("127.0.0.1:10")),
        (String::from("RONDA_SERVER_ADMIN_LISTEN"), String::from("127.0.0.1:20")),
    ];
    sources.flags = vec![("server", "listen", "--listen", String::from("127.0.0.1:100"))];
    let loaded = load(&sources).unwrap();
    let server = &loaded.settings.server;
    assert_eq!((server.listen.port(), server.admin_listen.port(), server.linger_ms), (100, 20, 3));
    assert_eq!(loaded.origins["server.listen"], Origin::Flag("--listen"));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_a_suggestion() {
    let (_dir, mut sources) = file(
        "[server]\nlisen = \"127.0.0.1:1\"\nlinger_ms = \"soon\"\n[storge]\ndata = \"x\"\n\
         [[boards]]\ntimezone = \"Asia/Jakata\"\nend = \"24:00\"\n",
    );
    sources.environment = vec![
        (String::from("RONDA_STORAGE_PARTITIONS"), String::from("12")),
        (String::from("RONDA_STORAGE_PARTITION"), String::from("8")),
    ];
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "server.lisen is not a setting; did you mean server.listen?",
        "server.linger_ms is a string \"soon\", but must be a whole number",
        "storge is not a section; did you mean [storage]?",
        "boards[0].timezone is \"Asia/Jakata\", which is not an IANA time zone; did you mean \"Asia/Jakarta\"?",
        "boards[0].end is \"24:00\", but must be a time of day",
        "environment variable RONDA_STORAGE_PARTITIONS: storage.partitions is 12, but must be a power of two",
        "environment variable RONDA_STORAGE_PARTITION: is not a setting; did you mean RONDA_STORAGE_PARTITIONS?",
    ] {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
}

#[test]
fn numbers_outside_their_bounds_are_refused_with_the_bounds() {
    let (_dir, sources) = file("[retention]\nhistory_days = 4000\n");
    assert!(mistakes(&sources)[0].ends_with("retention.history_days is 4000, but must be from 0 to 3650"));
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line_and_a_missing_one_by_name() {
    let (_dir, sources) = file("[server\n");
    assert!(mistakes(&sources)[0].contains("is not TOML") && mistakes(&sources)[0].contains("line 1"));
    // What stands in such a line may be a secret.
    for text in ["[slack]\nbot_token = \"xoxb-hidden\n", "[slack]\nbot_token = xoxb-hidden\n"] {
        let (_dir, sources) = file(text);
        let told = mistakes(&sources).join("\n");
        assert!(told.contains("line 2, column") && !told.contains("hidden"), "{told}");
    }
    let sources = Sources { file: Some(PathBuf::from("no-such.toml")), ..Sources::default() };
    assert!(mistakes(&sources)[0].starts_with("no-such.toml: can't be read"));
}

#[test]
fn of_a_file_that_can_not_be_read_nothing_is_called_missing() {
    let (_dir, mut sources) = file("[slack\n");
    for (name, value) in [("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_CHANNEL", "C1"), ("SLACK_CHANNEL", "webhook:ops")] {
        sources.environment = vec![(name.to_owned(), value.to_owned())];
        let told = mistakes(&sources);
        assert!(told.len() == 1 && told[0].contains("is not TOML"), "{told:?}");
    }
}

#[test]
fn what_kubernetes_puts_into_pods_is_no_mistake() {
    let names = ["RONDA_PROCESSOR_SERVICE_HOST", "RONDA_PROCESSOR_PORT_3000_TCP_ADDR", "RONDA_GATEWAY_PORT"];
    let environment = names.iter().map(|name| ((*name).to_owned(), String::from("tcp://10.0.0.1:3000")));
    load(&Sources { environment: environment.collect(), ..Sources::default() }).unwrap();
}

#[test]
fn a_setting_that_only_looks_like_what_kubernetes_makes_is_a_mistake() {
    let environment = vec![(String::from("RONDA_SERVER_PORT"), String::from("8080"))];
    let told = mistakes(&Sources { environment, ..Sources::default() }).join("\n");
    assert!(told.contains("environment variable RONDA_SERVER_PORT: is not a setting"), "{told}");
    let names = ["RONDA_SERVER_PORT", "RONDA_SERVER_SERVICE_HOST", "RONDA_SERVER_SERVICE_PORT"];
    let environment = names.iter().map(|name| ((*name).to_owned(), String::from("10.0.0.1"))).collect();
    load(&Sources { environment, ..Sources::default() }).unwrap();
}

#[test]
fn a_slack_channel_without_a_token_is_a_mistake_wherever_it_is_given() {
    let environment = vec![(String::from("SLACK_CHANNEL"), String::from("C1"))];
    let told = mistakes(&Sources { environment, ..Sources::default() });
    let wanted = "environment variable SLACK_CHANNEL: slack.bot_token is missing while slack.channel is set, so nothing \
                  would go to Slack; give it (SLACK_BOT_TOKEN)";
    assert_eq!(told, [wanted]);
    for (text, key) in [
        ("[notifier]\nadmin_channel = \"C1\"\n", "notifier.admin_channel"),
        ("[[boards]]\nname = \"a\"\n[[boards]]\nname = \"b\"\nchannel = \"C1\"\n", "boards[1].channel"),
    ] {
        let (_dir, sources) = file(text);
        let told = mistakes(&sources).join("\n");
        assert!(told.contains(&format!("slack.bot_token is missing while {key} is set")), "{told}");
    }
}

#[test]
fn who_only_looks_is_asked_neither_for_a_token_nor_for_files_with_secrets() {
    let (_dir, sources) = file(
        "[slack]\nchannel = \"C1\"\n[[routes]]\nchannel = \"G0AB\"\n[mail]\nhost = \"mail.example.com\"\npassword_file = \"no-such-file\"\n",
    );
    assert_eq!(load(&sources).unwrap().settings.slack.channel, "C1");
    let told = mistakes(&sources);
    assert!(
        told.len() == 2 && told[0].contains("mail.password_file") && told[1].contains("slack.bot_token"),
        "{told:?}"
    );
}

#[test]
fn what_can_be_no_channels_id_is_told_with_where_the_id_is_found() {
    let (_dir, mut sources) = file(
        "[slack]\nchannel = \"#night\"\n[notifier]\nadmin_channel = \"C0ops\"\n[[boards]]\nchannel = \"C\"\n\
         [[routes]]\nchannel = \"webhok:ops\"\n[[routes]]\nchannel = \"U0123ABCD\"\n[[routes]]\nchannel = \" C0123\"\n",
    );
    sources.environment = vec![(String::from("SLACK_BOT_TOKEN"), String::from("xoxb-1"))];
    let told = mistakes(&sources);
    assert_eq!(told.len(), 6, "{told:?}");
    for (wanted, told) in [
        "ronda.toml: slack.channel is \"#night\", but must be the channel's id, such as C0123456789 (in Slack: click the channel's name",
        "ronda.toml: notifier.admin_channel is \"C0ops\", but must be",
        "ronda.toml: boards[0].channel is \"C\", but must be",
        "ronda.toml: routes[0].channel is \"webhok:ops\", but must be",
        "ronda.toml: routes[1].channel is \"U0123ABCD\", but must be",
        "ronda.toml: routes[2].channel is \" C0123\", but must be",
    ]
    .iter()
    .zip(&told)
    {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
    for good in ["C0123456789", "G0123ABCD", "D1", ""] {
        let environment = [("SLACK_CHANNEL", good), ("SLACK_BOT_TOKEN", if good.is_empty() { "" } else { "xoxb-1" })];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        draft(&Sources { environment, ..Sources::default() }).for_sending().finish().unwrap();
    }
}

/// Gateways and processors share the file with the notifier, which alone is given what belongs to Slack.
#[test]
fn who_sends_nothing_needs_no_channel_beside_those_of_routes() {
    let (_dir, sources) = file("[[routes]]\nteams = [\"payments\"]\nchannel = \"C0PAY\"\n");
    draft(&sources).finish().unwrap();
    let told = mistakes(&sources).join("\n");
    assert!(told.contains("slack.channel is missing while routes[0].channel is set"), "{told}");
}

#[test]
fn a_secret_in_the_place_of_a_channel_is_told_and_never_shown() {
    for secret in ["xoxb-very-secret", "xapp-very-secret", "https://hooks.slack.com/services/T1/B1/very-secret"] {
        let environment = [("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_CHANNEL", secret)];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let told = mistakes(&Sources { environment, ..Sources::default() }).join("\n");
        assert!(told.contains("must be the channel's id") && !told.contains("secret"), "{told}");
    }
}

#[test]
fn a_token_in_the_place_of_the_bots_is_told_and_never_shown() {
    for (token, wanted) in [
        (
            "xapp-very-secret",
            "is an app-level token, which belongs into slack.app_token (SLACK_APP_TOKEN); the bot's begins with xoxb-",
        ),
        ("xoxp-very-secret", "is not a bot token: those begin with xoxb-"),
    ] {
        let environment = [("SLACK_BOT_TOKEN", token), ("SLACK_CHANNEL", "C1")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let told = mistakes(&Sources { environment, ..Sources::default() });
        assert!(told.len() == 1 && told[0].contains(wanted) && !told[0].contains("very-secret"), "{told:?}");
        assert!(told[0].starts_with("environment variable SLACK_BOT_TOKEN: slack.bot_token "), "{told:?}");
    }
}

#[test]
fn a_signing_secret_is_taken_by_its_length_and_the_sentence_says_so() {
    let with = |secret: &str| Sources {
        environment: vec![(String::from("SLACK_SIGNING_SECRET"), secret.to_owned())],
        ..Sources::default()
    };
    let told = mistakes(&with("very-secret"));
    assert!(
        told.len() == 1 && told[0].contains("slack.signing_secret is too short") && !told[0].contains("very-secret"),
        "{told:?}"
    );
    load(&with("stand-in-signing-secret")).unwrap();
}

#[test]
fn the_mistakes_of_who_knows_more_are_told_with_the_others_and_where_they_were_made() {
    let (_dir, sources) = file(
        "[slack]\nchannel = \"#night\"\n[mail]\nhost = \"mail.example.com\"\npassword_file = \"no-such-file\"\n\
         [mail.lists.ops]\nto = [\"x\"]\n[webhooks.ops]\nurl = \"http://example.com\"\n",
    );
    let check: Check = |settings| {
        assert_eq!(settings.mail.host, "mail.example.com");
        let flaw = |key: &str| Flaw { key: key.to_owned(), what: String::from("is wrong") };
        ["webhooks.ops.url", "mail.from", "mail.lists.ops.to", "mail.password_file", "webhooks.ops.secrets"]
            .map(flaw)
            .to_vec()
    };
    let told = draft(&sources).for_sending().checked_by(check).finish().unwrap_err().0;
    let file = sources.file.clone().unwrap();
    assert!(told.iter().all(|mistake| mistake.origin == Origin::File(file.clone())), "{told:?}");
    let keys: Vec<&str> = told.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "slack.channel",
            "mail.password_file",
            "slack.bot_token",
            "webhooks.ops.url",
            "mail.from",
            "mail.lists.ops.to",
            "webhooks.ops.secrets"
        ],
        "one that is told already is told once"
    );
}

#[test]
fn webhooks_and_mail_are_channels_without_a_slack_token_and_their_secrets_are_never_shown() {
    let text = "[slack]\nchannel = \"webhook:ops\"\n[notifier]\nadmin_channel = \"mail:ops\"\n\
                [webhooks.ops]\nurl = \"https://example.com/very-secret\"\nsecrets = [\"whsec_very-secret\"]\n\
                [mail]\nhost = \"mail.example.com\"\nfrom = \"ronda@example.com\"\n\
                [mail.lists.ops]\nto = [\"ops@example.com\"]\n";
    let (_dir, sources) = file(text);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.settings.webhooks["ops"].secrets.len(), 1);
    assert_eq!(loaded.settings.mail_lists["ops"], ["ops@example.com"]);
    for text in [shown(&loaded, false), shown(&loaded, true), format!("{loaded:?}")] {
        assert!(text.contains("***") && text.contains("ops@example.com") && !text.contains("very-secret"), "{text}");
    }
}

#[test]
fn every_mistake_about_webhooks_and_mail_is_told_at_once() {
    let text = "[slack]\nchannel = \"webhook:oops\"\n[notifier]\nadmin_channel = \"mail:nobody\"\n\
                [webhooks.ops]\nurll = \"https://very-secret\"\nallow_http = 1\n\
                [mail]\nsecurity = \"ssl\"\npassword_file = \"no-such-file\"\n[mail.lists.ops]\nfor = []\n";
    let (_dir, sources) = file(text);
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "slack.channel is \"webhook:oops\", but there is no [webhooks.oops]",
        "notifier.admin_channel is \"mail:nobody\", but there is no [mail.lists.nobody]",
        "webhooks.ops.urll is not a setting of a webhook; did you mean \"url\"?",
        "webhooks.ops.allow_http must be true or false",
        "mail.security is \"ssl\", but must be",
        "mail.password_file is no-such-file, which can't be read",
        "mail.lists.ops.for is not a setting of a mail list",
        "mail.host is missing while there are mail lists",
    ] {
        assert!(told.contains(wanted), "{wanted:?} is missing in\n{told}");
    }
    assert!(!told.contains("very-secret"), "{told}");
}

#[test]
fn secrets_of_slack_that_were_mixed_up_are_told_and_never_shown() {
    let text = "[slack]\nsigning_secret = \"xoxb-very-secret\"\napp_token = \"xoxb-also-secret\"\n\
                tenant = \"a b\"\nteam_id = \"acme\"\n";
    let (_dir, sources) = file(text);
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "slack.signing_secret is a token, but must be the signing secret",
        "slack.app_token is not an app-level token: those begin with xapp-",
        "slack.tenant is \"a b\": must consist of letters",
        "slack.team_id is \"acme\", but must be a workspace's id such as T0123456789",
    ] {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
    assert!(!told.contains("very-secret") && !told.contains("also-secret"), "{told}");
    let good = "[slack]\nsigning_secret = \"8f742231b10e8888abcd99yyyzzz85a5\"\napp_token = \"xapp-1-A-2-b\"\nteam_id = \"T0123456789\"\n";
    let (_dir, sources) = file(good);
    assert_eq!(load(&sources).unwrap().settings.slack.tenant, "default");
}

#[test]
fn a_slack_token_without_a_channel_is_a_mistake_and_never_shown() {
    let environment = vec![(String::from("SLACK_BOT_TOKEN"), String::from("xoxb-very-secret"))];
    let told = mistakes(&Sources { environment: environment.clone(), ..Sources::default() }).join("\n");
    assert!(told.contains("slack.channel is missing") && !told.contains("very-secret"), "{told}");
    let channel = (String::from("SLACK_CHANNEL"), String::from("C1"));
    let loaded =
        load(&Sources { environment: environment.into_iter().chain([channel]).collect(), ..Sources::default() })
            .unwrap();
    for text in [shown(&loaded, false), shown(&loaded, true), format!("{loaded:?}")] {
        assert!(text.contains("***") && !text.contains("very-secret"), "{text}");
    }
}

#[test]
fn a_token_from_a_file_may_end_with_a_line_break_and_nothing_else_that_fits_into_no_header() {
    let with = |token: &str| Sources {
        environment: vec![
            (String::from("SLACK_BOT_TOKEN"), token.to_owned()),
            (String::from("SLACK_CHANNEL"), String::from("C1")),
        ],
        ..Sources::default()
    };
    assert_eq!(load(&with("xoxb-secret\n")).unwrap().settings.slack.bot_token.expose(), "xoxb-secret");
    for token in ["xoxb-se\ncret", "xoxb-sécret"] {
        let told = mistakes(&with(token)).join("\n");
        assert!(told.contains("bot_token") && told.contains("visible ASCII") && !told.contains("xoxb"), "{told}");
    }
}

#[test]
fn the_address_of_the_queues_is_shown_without_its_password() {
    let environment = vec![(String::from("RONDA_QUEUE_URL"), String::from("amqp://ronda:s3cret@broker:5672/vhost"))];
    let sources = Sources { environment, ..Sources::default() };
    match load(&sources) {
        Ok(loaded) => {
            assert!(loaded.settings.queue.url.expose().contains("s3cret"));
            for text in [shown(&loaded, false), shown(&loaded, true), format!("{loaded:?}")] {
                assert!(!text.contains("s3cret"), "{text}");
            }
            assert!(shown(&loaded, false).contains("url = \"amqp://broker:5672/vhost\""));
        }
        Err(mistakes) => {
            let told = mistakes.to_string();
            assert!(told.contains("--features brokers") && !told.contains("s3cret"), "{told}");
        }
    }
}

#[test]
fn every_mistake_of_the_queues_is_told_at_once() {
    let (_dir, mut sources) = file(
        "[queue]\nprefix = \"a.b\"\ncredentials_file = \"no-such.creds\"\nclient_key_file = \"no-such.pem\"\n\
         direct_access = \"anybody\"\ndirect_tenant = \"a b\"\n",
    );
    sources.flags = vec![("queue", "url", "--queue", String::from("kafka://user:s3cret@broker"))];
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "--queue: queue.url must begin with nats://",
        "queue.prefix is \"a.b\", but must be",
        "queue.credentials_file is no-such.creds, which can't be read",
        "queue.client_key_file goes with queue.client_certificate_file",
        "queue.direct_access is \"anybody\", but must be",
        "queue.direct_tenant is \"a b\"",
    ] {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
    assert!(!told.contains("s3cret"), "{told}");
    let elsewhere = vec![("queue", "url", "--queue", String::from("embedded:/var/lib/ronda"))];
    let told = mistakes(&Sources { flags: elsewhere, ..Sources::default() }).join("\n");
    assert!(told.contains("that is storage.data (--data)"), "{told}");
}

#[test]
fn a_setting_is_understood_by_its_former_name_unless_it_has_both() {
    let (_dir, sources) = file("[storage]\nqueue_max_bytes = 100_000_000\n");
    assert_eq!(load(&sources).unwrap().settings.queue.max_bytes, 100_000_000);
    let environment = vec![(String::from("RONDA_STORAGE_QUEUE_MAX_BYTES"), String::from("200_000_000"))];
    let loaded = load(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(loaded.settings.queue.max_bytes, 200_000_000);
    let (_dir, sources) = file("[queue]\nmax_bytes = 100_000_000\n[storage]\nqueue_max_bytes = 100_000_001\n");
    let told = mistakes(&sources).join("\n");
    assert!(told.contains("storage.queue_max_bytes is the former name of queue.max_bytes"), "{told}");
}

#[test]
fn the_file_that_config_init_writes_is_the_defaults_also_when_every_line_is_taken() {
    let example = example_file();
    let (_dir, sources) = file(&example);
    let taken = shown(&load(&sources).unwrap(), true);
    let uncommented: String = example
        .lines()
        .filter_map(|line| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            (bare.starts_with('[') || bare.contains(" = ") && !bare.contains('\'')).then(|| format!("{bare}\n"))
        })
        .filter(|line| !line.starts_with('#'))
        .collect();
    let (_dir, sources) = file(&uncommented);
    let loaded = load(&sources).unwrap_or_else(|error| panic!("{error}\n{uncommented}"));
    assert_eq!(loaded.origins.len(), SETTINGS.len() + 3, "{uncommented}");
    let values = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let list = json["settings"].as_array().unwrap().clone();
        list.into_iter().map(|row| row["value"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(values(&shown(&loaded, true)), values(&taken));
    assert_eq!(loaded.settings.boards, [Board::default()]);
    assert_eq!(loaded.settings.routes, [Route::default()]);
}

#[test]
fn the_documentation_says_what_the_code_does() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    assert!(
        page.contains(&documentation()),
        "docs/configuration.md differs from the table of settings; replace everything from '## [server]' on by:\n\n{}",
        documentation()
    );
}

#[test]
fn a_language_or_a_details_address_that_is_none_is_a_mistake() {
    let (_dir, sources) = file(
        "[notifier]\nlanguage = \"de\"\ndetails_url = \"ronda.example/{scheduler}\"\n[[boards]]\nlanguage = \"in\"\n[[boards]]\n\
         name = \"second\"\nlanguage = \"id\"\n",
    );
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "notifier.language is \"de\", but must be \"en\" (English) or \"id\" (Indonesian)",
        "notifier.details_url is \"ronda.example/{scheduler}\", but must be an http or https address with {scheduler} in it",
        "boards[0].language is \"in\", but must be \"en\" (English) or \"id\" (Indonesian)",
    ] {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
    assert!(!told.contains("boards[1]"), "{told}");
}

#[test]
fn every_mistake_in_a_route_is_told_at_once() {
    let (_dir, sources) = file(
        "[[routes]]\nteam = [\"payments\"]\nkinds = [\"late\"]\nseverities = [\"critcal\"]\nchannel = \"webhook:ops\"\ncontinue = 1\n\
         [[routes]]\nids = \"nightly-*\"\nchannel = \"C1\"\nmention = [\"here\", \"@channel\"]\ngrouping_wait_ms = 600_001\nrepeat_interval_minutes = 0\n\
         [[routes]]\nchannel = \"mail:ops\"\nmention = [\"S0123ABCD\"]\n",
    );
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "routes[0].team is not a setting of a route; did you mean \"teams\"?",
        "routes[0].kinds has \"late\", but there are failed, stale, missed, started_late",
        "routes[0].severities has \"critcal\", which is none; did you mean \"critical\"?",
        "routes[0].channel is \"webhook:ops\", but there is no [webhooks.ops]",
        "routes[0].continue is an integer 1, but must be true or false",
        "routes[1].ids is a string \"nightly-*\", but must be a list of texts",
        "slack.bot_token is missing while routes[1].channel is set",
        "routes[1].mention has \"@channel\", but must have ids of users",
        "routes[1].grouping_wait_ms is 600001, but must be from 0 to 600000",
        "routes[1].repeat_interval_minutes is 0, but must be from 1 to 10080",
        "routes[2].mention calls somebody in \"mail:ops\", but only Slack can",
    ] {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
}

#[test]
fn every_mistake_in_quiet_hours_and_maintenance_is_told_at_once() {
    let (_dir, sources) = file(
        "[[routes]]\nquiet_below = \"urgent\"\nquiet_timezone = \"Asia/Jakata\"\n[[routes]]\nquiet_start = \"23:00\"\n\
         [[routes]]\nquiet_start = \"22:00\"\nquiet_end = \"22:00\"\n[[routes]]\nquiet_start = \"25:00\"\nquiet_end = \"06:00\"\n\
         [[maintenance]]\nstart = \"22:00\"\nend = \"2026-12-24T22:00:00+07:00\"\n\
         [[maintenance]]\nstart = \"2026-12-24T22:00:00+07:00\"\nend = \"2026-12-24T22:00:00+08:00\"\n\
         [[maintenance]]\nstart = \"22:00\"\nend = \"06:00\"\nteam = \"x\"\n",
    );
    let told = mistakes(&sources).join("\n");
    for wanted in [
        "routes[1].quiet_end is \"\" while quiet_start is \"23:00\"",
        "routes[0].quiet_below has \"urgent\", but there are info, warning, critical",
        "routes[0].quiet_timezone is \"Asia/Jakata\", which is not an IANA time zone; did you mean \"Asia/Jakarta\"?",
        "routes[2].quiet_end is \"22:00\" while quiet_start is \"22:00\"",
        "routes[3].quiet_start is \"25:00\", but must be a time of day",
        "maintenance[0].end is \"2026-12-24T22:00:00+07:00\" and the start \"22:00\"",
        "maintenance[1].end is \"2026-12-24T22:00:00+08:00\", which is not after the start",
        "maintenance[2].team is not a setting of a maintenance; did you mean \"teams\"?",
    ] {
        assert!(told.contains(wanted), "missing: {wanted}\nin:\n{told}");
    }
    assert!(!told.contains("maintenance[2].end") && !told.contains("routes[3].quiet_end"), "{told}");
}
