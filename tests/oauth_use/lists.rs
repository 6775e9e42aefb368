//! A provider with a second list of scopes and a second set of tokens, as Slack's of the person beside its
//! bot's: asked for as `user:SCOPE`, granted apart, used apart.

use serde_json::json;

use crate::harness::Upstream;
use crate::harness::agreeable::{agree, fault_client, fault_file};
use crate::harness::connect::{self, connects, goes, set_client};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::tools::{install, run, runs, tool};

const BOT: &str = "xoxb-token-of-the-bot";
const USER: &str = "xoxp-token-of-the-person";

/// The shape of Slack's answers; the person's tokens are there only when their scopes were asked for.
const SLACKLIKE: [(&str, &str); 3] = [
    (
        "/authorize\"",
        "/authorize\"\nscope_separator = \",\"\nextra_scope_params = { user = \"user_scope\" }",
    ),
    (
        "[refresh]",
        "[token.response]\nroot = [\"\", \"/authed_user\"]\ntoken_types = [\"bearer\", \"bot\", \"user\"]\n\
         success = { pointer = \"/ok\", equals = true }\n\
         secondary = [{ name = \"user\", root = \"/authed_user\", optional = true }]\n\n[refresh]",
    ),
    (
        "available = [",
        "available = [{ scope = \"user:chat:write\", label = \"Post as you\" }, ",
    ),
];

fn slacklike() -> FaultProvider {
    let fault = FaultProvider::start();
    agree(&fault);
    let user = std::sync::Mutex::new(String::new());
    let asked = std::sync::Arc::new(user);
    let noted = std::sync::Arc::clone(&asked);
    fault.script("/authorize", move |seen| {
        *noted.lock().unwrap() = seen.query("user_scope").unwrap_or_default();
        let mut to = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
        let state = seen.query("state").unwrap();
        to.query_pairs_mut()
            .extend_pairs([("code", "a-code"), ("state", &state)]);
        Answer::redirect(302, to.as_str())
    });
    fault.script("/token", move |_| {
        let mut person = json!({ "id": "U1" });
        let scopes = asked.lock().unwrap().clone();
        if !scopes.is_empty() {
            person["access_token"] = USER.into();
            person["refresh_token"] = "xoxe-of-the-person".into();
            person["token_type"] = "user".into();
            person["expires_in"] = 43_200.into();
            person["scope"] = scopes.into();
        }
        let body = json!({
            "ok": true, "access_token": BOT, "refresh_token": "xoxe-of-the-bot",
            "token_type": "bot", "expires_in": 43_200, "scope": "read", "authed_user": person,
        });
        Answer::json(200, &body)
    });
    fault
}

#[test]
fn scopes_of_the_person_are_asked_for_and_their_token_is_used_where_a_tool_wants_it() {
    let (fault, upstream) = (slacklike(), Upstream::echo());
    let broker = connect::broker(&[fault_file(&fault, &SLACKLIKE)], "");
    set_client(&broker.operator(), "fault", &fault_client()).expect(200);
    let as_bot = tool("custom-bot", upstream.port(), "fault", &["read"]);
    let mut as_person = tool(
        "custom-person",
        upstream.port(),
        "fault",
        &["user:chat:write"],
    );
    as_person["credentialsJson"]["oauth"]["credentialMapping"]["token"] =
        "user_access_token".into();
    install(&broker.operator(), &as_bot);
    install(&broker.operator(), &as_person);
    let ann = broker.member("Ann");

    // Without them: the bot's tokens alone, and the tool that posts as Ann says what is missing.
    connects(&ann, "fault", "ann");
    let asked = fault.asked("/authorize").pop().unwrap();
    assert_eq!(asked.query("user_scope"), None);
    assert_eq!(runs(&ann, "custom-bot")["success"], true);
    let refused = run(&ann, "custom-person", None);
    assert_eq!(refused.refused(409), "no_such_token");

    let ended = goes(&ann, "fault", "ann", "&scopes=user:chat:write");
    assert_eq!(ended["status"], "connected", "{ended}");
    let asked = fault.asked("/authorize").pop().unwrap();
    assert_eq!(asked.query("scope").as_deref(), Some("read"));
    assert_eq!(asked.query("user_scope").as_deref(), Some("chat:write"));
    let shown = connect::connection(&ann, ended["connectionId"].as_str().unwrap());
    assert_eq!(
        shown["scopes"],
        json!(["read", "user:chat:write"]),
        "{shown}"
    );
    for (slug, token) in [("custom-bot", BOT), ("custom-person", USER)] {
        let done = runs(&ann, slug);
        assert_eq!(done["success"], true, "{done}");
        let sent = upstream.last().header("authorization");
        assert_eq!(sent, format!("Bearer {token}"), "{slug}");
        assert!(!done.to_string().contains(token), "the echo is masked");
    }
}

#[test]
fn a8_scopes_of_a_further_list_are_held_to_what_the_file_lists_too() {
    let fault = slacklike();
    let broker = connect::broker(&[fault_file(&fault, &SLACKLIKE)], "");
    let operator = broker.operator();
    let client = fault_client();
    let body = json!({"provider": "fault", "clientId": client.id, "clientSecret": client.secret});
    operator
        .post("/v1/operator/oauth-clients", &body)
        .expect(200);
    let ann = broker.member("Ann");
    let start = |scopes: &str| ann.get(&format!("/v1/oauth/start/fault?scopes={scopes}"));
    start("user:chat:write").expect(200);
    assert_eq!(start("user:admin").refused(400), "bad_scope");
    assert_eq!(start("chat:write").refused(400), "bad_scope");
    // A device flow has no place for them.
    let device = json!({"scopes": ["user:chat:write"]});
    let refused = ann.post("/v1/oauth/device/start/fault", &device);
    assert_eq!(refused.refused(400), "bad_scope");
    assert!(fault.asked("/device").is_empty());
}
