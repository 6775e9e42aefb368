//! What there is inside an account: sites, tenants, further accounts, of which a request to the API names one.

use serde_json::{Value, json};

use crate::harness::agreeable::with_one_account;
use crate::harness::connect::{connections, goes};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::{Broker, Client};

/// A provider whose file says where they are listed; `@` stands for its origin.
fn open(listed: &str) -> (FaultProvider, Broker, Client) {
    let with = |file: String| {
        let me = file.split('"').find_map(|piece| piece.strip_suffix("/me"));
        let listed = listed.replace('@', me.unwrap());
        file.replace(
            "[api]\n",
            &format!("[identity.resources]\n{listed}\n[api]\n"),
        )
    };
    let (provider, broker) = with_one_account(with, "");
    provider.script("/authorize", |seen| {
        let read = |name| seen.query(name).unwrap();
        let (back, state) = (read("redirect_uri"), read("state"));
        Answer::redirect(302, &format!("{back}?code=code-1&state={state}"))
    });
    let mia = broker.member("Mia");
    (provider, broker, mia)
}

fn connects(mia: &Client) -> Value {
    let ended = goes(mia, "fault", "mia", "");
    assert_eq!(ended["status"], "connected", "{ended}");
    connections(mia)[0].clone()
}

#[test]
fn the_sites_of_an_account_are_asked_for_and_shown_with_it() {
    let (provider, _broker, mia) = open(
        "url = \"@/sites\"\nitems = \"\"\nid = \"/id\"\nname = \"/name\"\nurl_pointer = \"/url\"\npick = \"all\"",
    );
    let sites = json!([
        {"id": "one", "name": "Acme", "url": "https://acme.example"},
        {"id": 2, "name": "Other\u{202e}", "url": "http://clear.example"},
        {"name": "without an id"},
    ]);
    provider.always("/sites", Answer::json(200, &sites));
    let made = connects(&mia);
    let expected = json!([
        {"id": "one", "name": "Acme", "url": "https://acme.example"},
        {"id": "2", "name": "Other"},
    ]);
    assert_eq!(made["resources"], expected);
    let asked = provider.asked("/sites");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["authorization"], "Bearer access-1");
    // Connected again, the account has those that it has now; a list that is not to be had costs it nothing.
    provider.always("/sites", Answer::json(200, &json!([{"id": "three"}])));
    assert_eq!(connects(&mia)["resources"], json!([{"id": "three"}]));
    provider.always("/sites", Answer::error(500, "server_error"));
    let made = connects(&mia);
    assert_eq!(
        (&made["resources"], &made["status"]),
        (&Value::Null, &json!("active"))
    );
    assert_eq!(provider.asked("/sites").len(), 4, "it is asked twice");
}

#[test]
fn the_one_that_is_the_default_is_taken_from_the_identity_s_own_answer() {
    let (provider, _broker, mia) = open(
        "items = \"/accounts\"\nid = \"/account_id\"\npick = \"default_flag\"\nflag = \"/is_default\"",
    );
    let me = json!({
        "id": "7", "name": "Mia M",
        "accounts": [{"account_id": "a"}, {"account_id": "b", "is_default": true}],
    });
    provider.always("/me", Answer::json(200, &me));
    assert_eq!(connects(&mia)["resources"], json!([{"id": "b"}]));
    assert_eq!(provider.asked("/me").len(), 1);
}
