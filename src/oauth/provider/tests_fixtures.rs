//! Every shipped file beside its recorded answers: what the file reads out of them is what they hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::spec::{IdentitySource, RefreshMode};
use super::{Bound, Catalog, Provider};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/providers")
}

fn fixture(provider: &Provider) -> Value {
    let path = folder().join(format!("{}.json", provider.id()));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// What the connection of a fixture was begun with, and what its callback brought.
fn bound(provider: &Provider, fixture: &Value) -> Bound {
    let allowed = [crate::name::HostPattern::parse("login.example.com").unwrap()];
    let bound = provider.bind(&texts(&fixture["params"]), &allowed);
    let bound = bound.unwrap_or_else(|fault| panic!("{}: {fault}", provider.id()));
    let pairs = texts(&fixture["callback"]);
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let bound = bound.capture_callback(provider, pairs);
    bound.unwrap_or_else(|fault| panic!("{}: {fault}", provider.id()))
}

fn each(check: impl Fn(&Arc<Provider>, &Value, Bound)) {
    let catalog = Catalog::shipped().unwrap();
    for provider in catalog.iter() {
        let fixture = fixture(provider);
        let bound = bound(provider, &fixture);
        check(provider, &fixture, bound);
    }
}

#[test]
fn every_file_has_its_recorded_answers_and_no_answer_is_without_its_file() {
    each(|provider, fixture, _| {
        let parts: &[_] = if provider.brings_payload() {
            &["payload", "identity"]
        } else {
            &["token", "errors", "identity"]
        };
        for part in parts {
            assert!(!fixture[part].is_null(), "{}: {part}", provider.id());
        }
        let sure = &provider.spec().verified;
        assert!(sure.is_some(), "{}: how sure is it?", provider.id());
        // Of those that are refreshed, a refresh and a failed one as well.
        let refreshed = provider.spec().refresh.mode != RefreshMode::None;
        assert_eq!(
            !fixture["refresh"].is_null(),
            refreshed,
            "{}",
            provider.id()
        );
        let mut errors = fixture["errors"].as_array().into_iter().flatten();
        let failed = errors.any(|error| error["during"] == "refresh");
        assert!(failed || !refreshed, "{}: no failed refresh", provider.id());
    });
    let answers = std::fs::read_dir(folder()).unwrap().count();
    assert_eq!(answers, Catalog::shipped().unwrap().iter().count());
}

#[test]
fn what_is_captured_from_a_token_answer_is_what_it_holds() {
    each(|provider, fixture, bound| {
        let answer = &fixture["token"];
        let before = bound.meta().clone();
        let bound = bound.capture_token(provider, &answer["body"]);
        let bound = bound.unwrap_or_else(|fault| panic!("{}: {fault}", provider.id()));
        let mut captured = bound.meta().clone();
        captured.retain(|name, _| !before.contains_key(name));
        let expected = texts(&answer["expect"]["meta"]);
        assert_eq!(captured, expected, "{}", provider.id());
    });
}

#[test]
fn the_account_is_read_where_the_file_says_it_stands() {
    each(|provider, fixture, _| {
        let source = provider.spec().identity.as_ref().map(|file| file.source);
        let document = match source {
            Some(IdentitySource::Request) => &fixture["identity"]["body"],
            Some(IdentitySource::IdToken) => &fixture["identity"]["id_token"],
            Some(IdentitySource::TokenResponse) => &fixture["token"]["body"],
            Some(IdentitySource::Callback) => &fixture["callback"],
            None => panic!("{}: nobody is connected", provider.id()),
        };
        let account = provider.account().read(document);
        let expected = fixture["identity"]["expect"]["id"].as_str();
        assert_eq!(account.as_deref(), expected, "{}", provider.id());
    });
}
