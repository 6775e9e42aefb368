//! Where a token may go, and what may be asked for.

use std::collections::BTreeMap;

use serde_json::json;

use super::tests_samples::{CODEX, GOOGLE, HOSTED, SLACK, load};
use super::{Beyond, Bound, Provider, ScopeFault, TemplateError};
use crate::name::HostPattern;

fn shown(hosts: &[HostPattern]) -> Vec<String> {
    hosts.iter().map(ToString::to_string).collect()
}

#[test]
fn tokens_go_to_the_hosts_of_the_file() {
    let google = load(GOOGLE).unwrap();
    let none = Bound::default();
    assert_eq!(
        shown(&google.token_hosts(&none).unwrap()),
        ["oauth2.googleapis.com", "openidconnect.googleapis.com"]
    );
    assert_eq!(
        shown(&google.api_hosts(&none).unwrap()),
        ["*.googleapis.com"]
    );
    let codex = load(CODEX).unwrap();
    assert_eq!(
        shown(&codex.token_hosts(&none).unwrap()),
        ["auth.openai.com"]
    );
}

#[test]
fn hosts_of_a_connection_follow_what_was_told_and_captured() {
    let hosted = load(HOSTED).unwrap();
    let told = [("sub", "acme"), ("dc", "com.au")];
    let told: BTreeMap<_, _> = told.map(|(name, value)| (name.into(), value.into())).into();
    let begun = hosted.bind(&told, &[]).unwrap();
    assert_eq!(
        shown(&hosted.token_hosts(&begun).unwrap()),
        ["accounts.zoho.com.au"]
    );
    let name = "meta.instance".into();
    assert_eq!(
        hosted.api_hosts(&begun),
        Err(TemplateError::Missing { name })
    );
    let pairs = [("accounts-server", "https://accounts.zoho.com")];
    let answer = json!({"instance_url": "https://eu1.salesforce.com"});
    let after = begun.capture_callback(&hosted, pairs).unwrap();
    let after = after.capture_token(&hosted, &answer).unwrap();
    assert_eq!(
        shown(&hosted.token_hosts(&after).unwrap()),
        [
            "accounts.zoho.com",
            "accounts.zoho.com.au",
            "eu1.salesforce.com"
        ]
    );
    assert_eq!(
        shown(&hosted.api_hosts(&after).unwrap()),
        ["eu1.salesforce.com", "acme.zoho.com", "*.zohoapis.com"]
    );
}

fn scopes(provider: &Provider, asked: &[&str], beyond: Beyond) -> Result<Vec<String>, ScopeFault> {
    let asked: Vec<_> = asked.iter().map(|scope| (*scope).to_owned()).collect();
    provider.allowed_scopes(&asked, beyond)
}

#[test]
fn a8_scopes_outside_the_list_need_leave() {
    let google = load(GOOGLE).unwrap();
    let calendar = "https://www.googleapis.com/auth/calendar";
    let drive = "https://www.googleapis.com/auth/drive";
    assert_eq!(
        scopes(&google, &[], Beyond::Refused).unwrap(),
        ["openid", "email", "profile"]
    );
    assert_eq!(
        scopes(&google, &[calendar, "email"], Beyond::Refused).unwrap(),
        ["openid", "email", "profile", calendar]
    );
    assert_eq!(
        scopes(&google, &[calendar, drive], Beyond::Refused),
        Err(ScopeFault::Unlisted { position: 2 })
    );
    assert_eq!(
        scopes(&google, &[drive], Beyond::Allowed).unwrap(),
        ["openid", "email", "profile", drive]
    );
    let slack = load(SLACK).unwrap();
    assert_eq!(
        scopes(&slack, &["chat:write"], Beyond::Refused).unwrap(),
        ["channels:read", "chat:write"]
    );
    let both = slack.by_list(
        ["chat:write", "user:chat:write", "users:read", "user:"]
            .map(str::to_owned)
            .to_vec(),
    );
    assert_eq!(both.0, ["chat:write", "users:read", "user:"]);
    assert_eq!(both.1["user"], ["chat:write"]);
    let email = vec!["user:email".to_owned()];
    let (main, further) = google.by_list(email.clone());
    assert_eq!((main, further.is_empty()), (email, true));
    for bad in ["", "a b", "a,b", "a\n", "a\"", "ü", "a\\"] {
        let fault = scopes(&slack, &[bad], Beyond::Allowed);
        assert_eq!(fault, Err(ScopeFault::Form { position: 1 }), "{bad:?}");
    }
}
