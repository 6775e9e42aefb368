//! Every change leaves its record in the journal.

use std::collections::{BTreeMap, BTreeSet};

use crate::body;
use crate::harness::{Broker, Client, Upstream, api, eventually};

/// One change, made once: route, path, JSON body, the record's action, and what to call what it made.
/// `<key>` stands for the id of what a step called `key` made, `<me>` for who makes the changes.
type Step = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const STEPS: &[Step] = &[
    ("POST /v1/api-keys", "/v1/api-keys", r#"{"name":"x"}"#, "api_key.create", "key"),
    ("PATCH /v1/api-keys/{id}", "/v1/api-keys/<key>", r#"{"name":"y"}"#, "api_key.update", ""),
    ("POST /v1/api-keys/{id}/rotate", "/v1/api-keys/<key>/rotate", "", "api_key.rotate", "new"),
    ("DELETE /v1/api-keys/{id}", "/v1/api-keys/<new>", "", "api_key.revoke", ""),
    ("POST /v1/organizations", "/v1/organizations", r#"{"name":"Acme"}"#, "org.create", ""),
    ("PATCH /v1/organizations/{id}", "/v1/organizations/current", r#"{"name":"Renamed"}"#, "org.update", ""),
    ("POST /v1/organizations/{id}/members", "/v1/organizations/current/members", r#"{"name":"Ann"}"#, "member.add", "ann"),
    ("PATCH /v1/organizations/{id}/members/{member}", "/v1/organizations/current/members/<ann>", r#"{"role":"admin"}"#, "member.role", ""),
    ("DELETE /v1/organizations/{id}/members/{member}", "/v1/organizations/current/members/<ann>", "", "member.remove", ""),
    ("POST /v1/operator/services", "/v1/operator/services", r#"{"name":"hub"}"#, "service.add", "service"),
    ("POST /v1/operator/services/{id}/rotate", "/v1/operator/services/<service>/rotate", "", "service.rotate", ""),
    ("POST /v1/services/{id}/delegations", "/v1/services/<service>/delegations", r#"{"userId":"<me>"}"#, "service.delegate", ""),
    ("DELETE /v1/services/{id}/delegations/{user}", "/v1/services/<service>/delegations/<me>", "", "service.undelegate", ""),
    ("DELETE /v1/services/{id}", "/v1/services/<service>", "", "service.remove", ""),
    ("POST /v1/operator/services", "/v1/operator/services", r#"{"name":"hub"}"#, "service.add", "second"),
    ("DELETE /v1/operator/services/{id}", "/v1/operator/services/<second>", "", "service.remove", ""),
    ("POST /v1/secrets", "/v1/secrets", r#"{"name":"KEY","value":"v"}"#, "secret.set", ""),
    ("PATCH /v1/secrets/{name}", "/v1/secrets/KEY", r#"{"description":"d"}"#, "secret.update", ""),
    ("POST /v1/secrets/{name}/reveal", "/v1/secrets/KEY/reveal", "", "secret.reveal", ""),
    ("POST /v1/secrets/{name}/rotate", "/v1/secrets/KEY/rotate", r#"{"value":"w"}"#, "secret.rotate", ""),
    ("POST /v1/secrets/{name}/versions/{version}/restore", "/v1/secrets/KEY/versions/1/restore", "", "secret.rollback", ""),
    ("DELETE /v1/secrets/{name}", "/v1/secrets/KEY", "", "secret.delete", ""),
    ("POST /v1/secrets/{name}/restore", "/v1/secrets/KEY/restore", "", "secret.restore", ""),
    ("DELETE /v1/secrets/{name}", "/v1/secrets/KEY?destroy=true", "", "secret.destroy", ""),
    ("POST /v1/tools/custom", "/v1/tools/custom", "TOOL", "tool.create", ""),
    ("POST /v1/tools/custom", "/v1/tools/custom", "TOOL", "tool.update", ""),
    ("POST /v1/tools/{slug}/install", "/v1/tools/custom-crm/install", "", "tool.install", ""),
    ("PUT /v1/tools/{slug}/credentials", "/v1/tools/custom-crm/credentials", r#"{"apiKey":"value-1"}"#, "tool.credentials.set", ""),
    ("POST /v1/tools/{slug}/execute", "/v1/tools/custom-crm/execute", r#"{"action":"look"}"#, "tool.execute", ""),
    ("POST /v1/resolve", "/v1/resolve", r#"{"tool":"custom-crm"}"#, "broker.resolve", "handle"),
    ("POST /v1/execute", "/v1/execute", r#"{"handle":"<handle>","method":"GET","url":"http://127.0.0.1:<port>/x"}"#, "broker.exchange", ""),
    ("POST /v1/resolve", "/v1/resolve", r#"{"tool":"custom-crm"}"#, "broker.resolve", "resolution"),
    ("DELETE /v1/resolutions/{id}", "/v1/resolutions/<resolution>", "", "broker.release", ""),
    ("DELETE /v1/tools/{slug}/credentials", "/v1/tools/custom-crm/credentials", "", "tool.credentials.clear", ""),
    ("DELETE /v1/tools/{slug}/install", "/v1/tools/custom-crm/install", "", "tool.uninstall", ""),
    ("PATCH /v1/tools/custom/{slug}/visibility", "/v1/tools/custom/custom-crm/visibility", r#"{"visibility":"org"}"#, "tool.visibility", ""),
    ("DELETE /v1/tools/custom/{slug}", "/v1/tools/custom/custom-crm", "", "tool.delete", ""),
    ("POST /v1/oauth/configs", "/v1/oauth/configs", r#"{"provider":"github","clientId":"id","clientSecret":"s"}"#, "oauth.client_set", ""),
    ("GET /v1/oauth/start/{provider}", "/v1/oauth/start/github", "", "oauth.start", "flow"),
    ("DELETE /v1/oauth/flows/{id}", "/v1/oauth/flows/<flow>", "", "oauth.deny", ""),
    ("DELETE /v1/oauth/configs/{provider}", "/v1/oauth/configs/github", "", "oauth.client_remove", ""),
    ("POST /v1/operator/oauth-clients", "/v1/operator/oauth-clients", r#"{"provider":"github","clientId":"id","clientSecret":"s"}"#, "oauth.client_set", ""),
    ("DELETE /v1/operator/oauth-clients/{provider}", "/v1/operator/oauth-clients/github", "", "oauth.client_remove", ""),
    ("POST /v1/operator/root-rotation", "/v1/operator/root-rotation", "", "key.rotate", ""),
    ("POST /v1/operator/audit-rotation", "/v1/operator/audit-rotation", "", "key.rotate", ""),
    ("POST /v1/operator/state-rotation", "/v1/operator/state-rotation", "", "key.rotate", ""),
    ("POST /v1/operator/index-rotation", "/v1/operator/index-rotation", "", "key.rotate", ""),
    ("DELETE /v1/operator/store/compact", "/v1/operator/store/compact", "", "store.compact_stop", ""),
    ("POST /v1/operator/slots", "/v1/operator/slots", r#"{"kind":"passphrase","label":"spare","passphrase":"correct horse battery staple"}"#, "key.slot_add", "slot"),
    ("POST /v1/key-rotation", "/v1/key-rotation", r#"{"level":"owner"}"#, "key.rotate", ""),
    ("POST /v1/operator/store/compact", "/v1/operator/store/compact", "", "store.compact", ""),
    ("DELETE /v1/operator/store/compact", "/v1/operator/store/compact", "", "store.compact_stop", ""),
    ("POST /v1/operator/backup", "/v1/operator/backup", r#"{"recipients":["age1x6fuunh9dyv0259wynvc7kcz85k5ryz0aqp49qjemfuvdklzfy9se9p9dm"]}"#, "backup.create", ""),
    ("POST /v1/operator/lockdown", "/v1/operator/lockdown", "", "vault.lockdown", ""),
    ("POST /v1/operator/unseal", "/v1/operator/unseal", r#"{"passphrase":"correct horse battery staple"}"#, "vault.unseal", ""),
    ("POST /v1/operator/seal", "/v1/operator/seal", "", "vault.seal", ""),
    ("POST /v1/operator/unseal", "/v1/operator/unseal", r#"{"passphrase":"correct horse battery staple"}"#, "vault.unseal", ""),
    ("DELETE /v1/operator/slots/{id}", "/v1/operator/slots/<slot>", "", "key.slot_remove", ""),
];

/// These are sent with POST and change nothing.
const READING: [&str; 4] = [
    "POST /v1/audit/verify",
    "POST /v1/tools/{slug}/explain",
    "POST /v1/operator/slots/{id}/test",
    "POST /v1/operator/slots/{id}/lend",
];

/// What takes a provider, and a person: `tests/oauth_connect.rs` and `tests/oauth_device.rs` make these.
const WITH_A_PROVIDER: [&str; 6] = [
    "POST /v1/oauth/flows/{id}/finish",
    "DELETE /v1/oauth/connections/{id}",
    "POST /v1/oauth/connections/{id}/default",
    "POST /v1/oauth/device/start/{provider}",
    "POST /v1/oauth/device/status/{provider}",
    "POST /v1/oauth/device/cancel/{provider}",
];

/// What takes a rotation that is not over: `tests/rotation.rs` makes these.
const IN_BETWEEN: [&str; 2] = [
    "POST /v1/key-rotation/pause",
    "POST /v1/key-rotation/resume",
];

/// What takes others down with it: `tests/deletion.rs` and `tests/shred.rs` look at the records.
const THOROUGH: [&str; 3] = [
    "DELETE /v1/operator/organizations/{id}",
    "DELETE /v1/operator/users/{id}",
    "POST /v1/operator/shred",
];

/// What is sent on to an upstream by a path of its own: `tests/lane_egress.rs` looks at the record.
const RELAYED: [&str; 6] = [
    "HEAD /v1/egress/{scheme}/{authority}/{path}",
    "OPTIONS /v1/egress/{scheme}/{authority}/{path}",
    "POST /v1/egress/{scheme}/{authority}/{path}",
    "PUT /v1/egress/{scheme}/{authority}/{path}",
    "PATCH /v1/egress/{scheme}/{authority}/{path}",
    "DELETE /v1/egress/{scheme}/{authority}/{path}",
];

#[test]
fn every_change_leaves_its_record() {
    let (broker, upstream) = (Broker::start(), Upstream::echo());
    let operator = broker.operator();
    let me = operator.get("/v1/me").expect(200)["data"]["id"].clone();
    let mut made = BTreeMap::from([("me", me.as_str().unwrap().to_owned())]);
    let mut records = Vec::new();
    for (route, path, text, action, name) in STEPS {
        let (method, _) = route.split_once(' ').unwrap();
        let mut path = (*path).to_owned();
        let mut text = text.replace("<port>", &upstream.port().to_string());
        for (name, id) in &made {
            path = path.replace(&format!("<{name}>"), id);
            text = text.replace(&format!("<{name}>"), id);
        }
        let reply = match body(&text, upstream.port()) {
            None => operator.send(method, &path, None),
            Some(body) => operator.json(method, &path, &body),
        };
        let answer = String::from_utf8_lossy(&reply.body);
        assert!(reply.status < 300, "{route}: {} {answer}", reply.status);
        let request = reply.headers["x-request-id"].to_str().unwrap();
        records.push((route, action, request.replace("req_", "")));
        if !name.is_empty() {
            let data = &reply.value()["data"];
            let handle = data["handle"].as_str().filter(|_| *name == "handle");
            let id = handle.or_else(|| data["id"].as_str());
            let id = id.or_else(|| data["flow"].as_str());
            made.insert(*name, id.unwrap().to_owned());
        }
    }
    for (route, action, request) in records {
        find(&operator, action, &request, route);
    }
}

#[test]
fn each_change_of_the_document_is_made_once() {
    let mut made: BTreeSet<_> = STEPS.iter().map(|step| step.0.to_owned()).collect();
    made.extend(READING.map(str::to_owned));
    made.extend(WITH_A_PROVIDER.map(str::to_owned));
    made.extend(IN_BETWEEN.map(str::to_owned));
    made.extend(THOROUGH.map(str::to_owned));
    made.extend(RELAYED.map(str::to_owned));
    // Beginning to connect is asked for with GET, as it is documented.
    made.retain(|route| !route.starts_with("GET "));
    let routes = api::routes().into_iter();
    let changing: BTreeSet<_> = routes.filter(|route| !route.starts_with("GET ")).collect();
    assert_eq!(
        made, changing,
        "make each change once, in tests/permissions/records.rs"
    );
}

/// The request's record, with how it ended: that is written a moment after the answer.
fn find(operator: &Client, action: &str, request: &str, route: &str) {
    eventually(|| {
        let log = operator
            .get(&format!("/v1/audit?all=true&action={action}"))
            .expect(200);
        let entries = log["data"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["request"] == request);
        let entry = entry.unwrap_or_else(|| panic!("{route} left no {action}: {log}"));
        assert!(entry["actor"].is_object(), "{route}: {entry}");
        // Sealing and unsealing are facts: the journal has no moment after the one, none before the other.
        (entry["outcome"].is_object() || action.starts_with("vault.")).then_some(())
    });
}
