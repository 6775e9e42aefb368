//! A provider's file that builds on another: a provider of its own here, and the same one upstream.

use serde_json::{Value, json};

use crate::harness::agreeable::{agreeable, fault_client, fault_file};
use crate::harness::connect::{self, connects, edited, set_client, text};
use crate::harness::fault_provider::Answer;

#[test]
fn v4_an_account_connected_by_two_files_of_one_parent_is_ended_with_the_last_of_them() {
    let provider = agreeable();
    provider.always("/revoke", Answer::empty(200));
    // What it revokes is the whole grant.
    let whole = [("token = \"both\"", "token = \"refresh\"\nscope = \"grant\"")];
    let (id, parent) = fault_file(&provider, &whole);
    let child = edited(
        "schema = 1\nid = \"child\"\ndisplay_name = \"Child\"\nextends = \"ID\"\n[scopes]\ndefault = [\"read\", \"write\"]\n".to_owned(),
        &[("ID", id)],
    );
    let broker = connect::broker(&[("child", child), (id, parent)], "");
    let (admin, mia) = (broker.operator(), broker.member("Mia"));
    let client = fault_client();
    let mut made = Vec::new();
    for provider in [id, "child"] {
        set_client(&admin, provider, &client).expect(200);
        made.push(connects(&mia, provider, "ann"));
    }
    let asked = provider.asked("/authorize");
    let scopes: Vec<_> = asked.iter().map(|asked| asked.query("scope")).collect();
    assert_eq!(
        scopes,
        [Some("read".to_owned()), Some("read write".to_owned())]
    );
    assert_eq!(made[0]["accountId"], made[1]["accountId"]);
    let gone = |one: &Value| {
        let path = format!("/v1/oauth/connections/{}", text(&one["id"]));
        mia.delete(&path).expect(200)["data"]["upstream"].clone()
    };
    assert_eq!(gone(&made[1]), json!("shared"));
    assert!(provider.asked("/revoke").is_empty());
    assert_eq!(gone(&made[0]), json!("revoked"));
    assert_eq!(provider.asked("/revoke").len(), 1);
}
