//! Whose account it is, and what people see of it.

use serde_json::{Value, json};

use super::tests_rig::{Rig, json as answer, reply};
use super::{IdentityError, Resource, read_account, read_identity, read_resources};

fn account(id: &str, document: &Value) -> Result<super::Account, IdentityError> {
    read_account(&Rig::shipped(id).provider, document)
}

#[test]
fn b13_without_its_whole_id_there_is_no_account() {
    for (id, document) in [
        ("google", json!({"email": "ada@acme.example"})),
        ("google", json!({"sub": ""})),
        ("google", json!({"sub": null})),
        ("google", json!({"sub": ["1"]})),
        ("google", json!([])),
        ("slack", json!({"team": {"id": "T1"}})),
        (
            "linear",
            json!({"errors": [{"message": "not authenticated"}], "data": null}),
        ),
        (
            "tiktok",
            json!({"data": {}, "error": {"code": "access_token_invalid"}}),
        ),
    ] {
        let error = account(id, &document).unwrap_err();
        assert_eq!(error, IdentityError::NoAccount, "{id}: {document}");
    }
    let person = json!({"team": {"id": "T1"}, "authed_user": {"id": "U1"}});
    assert_eq!(account("slack", &person).unwrap().id, "T1:U1");
}

#[test]
fn b14_an_answer_that_is_none_of_success_says_nothing() {
    let provider = Rig::shipped("github").provider;
    let whole = json!({"id": 7, "login": "ada"});
    for status in [302, 401, 403, 404, 500] {
        let error = read_identity(&provider, &answer(status, &whole)).unwrap_err();
        assert_eq!(error, IdentityError::Status(status));
    }
    for body in ["", "<html>", "[", "null"] {
        let error = read_identity(&provider, &reply(200, "application/json", body)).unwrap_err();
        assert_eq!(error, IdentityError::Form, "{body}");
    }
    assert!(read_identity(&provider, &answer(200, &whole)).is_ok());
}

#[test]
fn what_people_see_does_not_change_how_the_page_around_it_is_read() {
    for (name, expected) in [
        (json!("Ada"), Some("Ada")),
        (json!("  Ada  "), Some("Ada")),
        (json!("Ada\r\nLovelace\0"), Some("AdaLovelace")),
        (json!("\u{202e}adA\u{2066}\u{200b}\u{feff}"), Some("adA")),
        (json!("Zo\u{eb} \u{6c34}"), Some("Zo\u{eb} \u{6c34}")),
        (json!("<b>Ada</b>"), Some("<b>Ada</b>")),
        (json!(42), Some("42")),
        (json!("\u{200b}\n"), None),
        (json!(""), None),
        (json!(true), None),
        (json!({"name": "Ada"}), None),
    ] {
        let found = account("github", &json!({"id": 1, "login": name}))
            .unwrap()
            .name;
        assert_eq!(found.as_deref(), expected, "{name}");
    }
    let long = account("github", &json!({"id": 1, "login": "\u{6c34}".repeat(500)}));
    assert_eq!(long.unwrap().name.unwrap().chars().count(), 200);
}

#[test]
fn the_first_of_the_files_places_that_says_something_counts() {
    let name = |document: Value| account("discord", &document).unwrap().name;
    let both = json!({"id": "1", "global_name": "Ada", "username": "ada"});
    assert_eq!(name(both).as_deref(), Some("Ada"));
    let one = json!({"id": "1", "global_name": null, "username": "ada"});
    assert_eq!(name(one).as_deref(), Some("ada"));
    assert_eq!(name(json!({"id": "1"})), None);
}

#[test]
fn addresses_and_pictures_are_what_they_claim_to_be() {
    for (email, kept) in [
        ("ada@acme.example", true),
        ("a@b", true),
        ("ada", false),
        ("@acme.example", false),
        ("ada@", false),
        ("ada @acme.example", false),
        ("ada\n@acme.example", false),
        ("ada\u{202e}@acme.example", false),
    ] {
        let found = account("github", &json!({"id": 1, "email": email}))
            .unwrap()
            .email;
        assert_eq!(found.is_some(), kept, "{email:?}");
    }
    for (avatar, kept) in [
        ("https://a.example/p.png?s=1", true),
        ("http://a.example/p.png", false),
        ("javascript:alert(1)", false),
        ("data:image/png;base64,AA", false),
        ("https://a.example/\" onerror=\"x", false),
        ("https://a.example/<x>", false),
    ] {
        let document = json!({"id": 1, "avatar_url": avatar});
        let found = account("github", &document).unwrap().avatar;
        assert_eq!(found.is_some(), kept, "{avatar}");
    }
}

#[test]
fn resources_are_picked_as_the_file_says() {
    let read = |id: &str, document: &Value| read_resources(&Rig::shipped(id).provider, document);
    let site = |id: &str, name: Option<&str>, url: Option<&str>| Resource {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        url: url.map(str::to_owned),
    };
    let sites = json!([
        {"id": "a", "url": "https://a.atlassian.net", "name": "A", "scopes": []},
        {"name": "nameless"},
        {"id": "b", "url": "javascript:alert(1)"}
    ]);
    assert_eq!(
        read("atlassian", &sites),
        [
            site("a", Some("A"), Some("https://a.atlassian.net")),
            site("b", None, None)
        ]
    );
    let docusign = |second: Value| {
        json!({"accounts": [
            {"account_id": "1", "is_default": false, "account_name": "One"},
            {"account_id": "2", "is_default": second, "account_name": "Two"}
        ]})
    };
    for (flag, expected) in [
        (json!(true), site("2", Some("Two"), None)),
        (json!("true"), site("2", Some("Two"), None)),
        (json!(false), site("1", Some("One"), None)),
        (json!(null), site("1", Some("One"), None)),
    ] {
        assert_eq!(read("docusign", &docusign(flag)), [expected]);
    }
    for document in [json!({}), json!({"accounts": {}}), json!([])] {
        assert!(read("docusign", &document).is_empty());
    }
    assert!(read("google", &sites).is_empty());
}
