//! Another organisation's handle does what no handle does: nothing is sent, and nobody there hears of it.

use serde_json::{Value, json};

use super::{acme, told};
use crate::harness::crm::crm;
use crate::harness::{Broker, Client, Reply, Upstream, tools};

/// Both ways to send a request by right of a handle.
fn sent(client: &Client, handle: &str, url: &str) -> [Reply; 2] {
    let body = json!({"handle": handle, "method": "GET", "url": url});
    let streaming = client.header("x-runtools-handle", handle);
    let path = format!("/v1/egress/{}", url.replacen("://", "/", 1));
    [client.post("/v1/execute", &body), streaming.get(&path)]
}

/// A member of Acme who has a secret of their own: what they are told when they are added.
fn member(admin: &Client, broker: &Broker) -> (Value, Client) {
    let body = json!({"name": "Cid", "createKey": true});
    let added = admin.post("/v1/organizations/current/members", &body);
    let added = added.expect(201)["data"].clone();
    let client = broker.anonymous().key(added["key"].as_str().unwrap());
    let secret = json!({"name": "CRM_KEY", "value": "acme-value-of-cid-0123456789"});
    client.post("/v1/secrets", &secret).expect(201);
    (added, client)
}

#[test]
fn hs_3_another_organisations_handle_is_answered_as_no_handle_and_sends_nothing() {
    let upstream = Upstream::echo();
    let mut broker = Broker::start();
    let acme = acme(&broker);
    tools::install(&acme.admin, &crm(upstream.port()));
    let (added, cid) = member(&acme.admin, &broker);
    let made = |client: &Client, more: &Value| {
        let named = json!({"apiKey": "CRM_KEY"});
        let mut wish = json!({"tool": "custom-crm", "credentialOverrides": named, "maxUses": 100});
        if let Some(lane) = more.get("lane") {
            wish["lane"] = lane.clone();
        }
        client.post("/v1/resolve", &wish).expect(201)["data"].clone()
    };
    // What was a handle before a restart is one in form alone.
    let unknown = made(&cid, &json!({}));
    broker.restart();
    let [cid, admin] = [&cid, &acme.admin].map(|client| client.at(broker.origin()));
    let theirs = [json!({}), json!({"lane": "proxy"})].map(|more| made(&cid, &more));
    let url = format!("http://127.0.0.1:{}/customers", upstream.port());
    let text = |handle: &Value| handle["handle"].as_str().unwrap().to_owned();
    // The operator is the founder of both, Bob belongs to the first only.
    for caller in [broker.operator(), broker.member("Bob")] {
        let none = sent(&caller, &text(&unknown), &url);
        for handle in &theirs {
            for (found, none) in sent(&caller, &text(handle), &url).iter().zip(&none) {
                assert_eq!(none.refused(404), "handle_unknown");
                assert_eq!(told(found), told(none));
            }
        }
    }
    assert_eq!(upstream.accepted(), 0, "nobody was dialled");
    let journal = |client: &Client| {
        let reply = client.get("/v1/audit?action=broker.exchange");
        (reply.expect(200)["data"].clone(), reply.body)
    };
    // Each organisation hears of its own: the first that somebody sent what is no handle,
    let (_, ours) = journal(&broker.operator());
    let ours = String::from_utf8(ours).unwrap();
    let hidden = [&added["userId"], &theirs[0]["id"], &theirs[1]["id"]];
    for hidden in hidden.map(|id| id.as_str().unwrap()) {
        assert!(!ours.contains(hidden), "{ours}");
    }
    assert!(!ours.contains("foreign_handle"), "{ours}");
    // the other that one of its handles was sent by a stranger, and which.
    let (heard, _) = journal(&admin);
    let heard = heard.as_array().unwrap();
    assert_eq!(heard.len(), 8, "{heard:#?}");
    for entry in heard {
        assert_eq!(entry["actor"]["type"], "unknown", "{entry}");
        assert_eq!(entry["decision"]["denied"], "handle_unknown", "{entry}");
        assert_eq!(entry["targets"][1]["id"], added["userId"], "{entry}");
    }
    // The handle is as good as before to whom it belongs.
    for reply in sent(&cid, &text(&theirs[0]), &url) {
        assert_eq!(
            reply.status,
            200,
            "{}",
            String::from_utf8_lossy(&reply.body)
        );
    }
}
