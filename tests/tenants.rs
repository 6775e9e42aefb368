//! Two organisations that never meet: a valid id of the other one is answered exactly as an unknown
//! one, on every route that takes an id or a name.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

#[path = "tenants/connected.rs"]
mod connected;
#[path = "tenants/handles.rs"]
mod handles;
#[path = "tenants/table.rs"]
mod table;

use std::collections::BTreeSet;

use harness::{Broker, Client, Reply, api};
use serde_json::{Value, json};
use table::{CONNECTIONS, INSTALLATION, bodies};

fn tool(slug: &str) -> Value {
    json!({
        "slug": slug, "name": "CRM",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "hosts": ["api.example.com"], "slots": {"apiKey": [{"header": "x-key"}]},
        "actionsJson": {"look": {"description": "look", "parameters": {"type": "object", "properties": {}},
            "http": {"method": "GET", "url": "https://api.example.com/x"}}}
    })
}

/// What an answer tells, without what names the request itself.
fn told(reply: &Reply) -> (u16, Vec<(String, String)>, Value) {
    let mut body = reply.value();
    for pointer in ["/error/requestId", "/meta/requestId"] {
        if let Some(id) = body.pointer_mut(pointer) {
            *id = Value::Null;
        }
    }
    let told = |name: &str| {
        ![
            "date",
            "x-request-id",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ]
        .contains(&name)
    };
    let headers = reply.headers.iter().filter(|(name, _)| told(name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (reply.status, headers.collect(), body)
}

/// The other organisation's things, and things of the same form that do not exist.
struct Pair {
    theirs: &'static str,
    theirs_filled: String,
    unknown: String,
}

const NO_ID: &str = "00000000-0000-4000-8000-000000000000";
const NO_FLOW: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Fills the template with each combination of theirs and unknown.
fn paths(route: &str, pairs: &[Pair]) -> (String, String, String) {
    let (method, template) = route.split_once(' ').unwrap();
    let (mut theirs, mut unknown) = (template.to_owned(), template.to_owned());
    for pair in pairs {
        theirs = theirs.replace(pair.theirs, &pair.theirs_filled);
        unknown = unknown.replace(pair.theirs, &pair.unknown);
    }
    let (theirs, unknown) = (
        theirs.replace("{version}", "1"),
        unknown.replace("{version}", "1"),
    );
    assert!(
        !theirs.contains('{') && theirs != unknown,
        "{route}: {theirs}"
    );
    (method.to_owned(), theirs, unknown)
}

#[test]
fn the_table_has_every_route_that_takes_an_id_or_a_name() {
    let mut listed: BTreeSet<_> = bodies()
        .iter()
        .map(|(route, _)| (*route).to_owned())
        .collect();
    listed.extend(INSTALLATION.map(str::to_owned));
    listed.extend(CONNECTIONS.map(str::to_owned));
    let routes: BTreeSet<_> = api::routes()
        .into_iter()
        // Its path names an upstream; whose its handle is, `tests/tenants/handles.rs` asks.
        .filter(|route| route.contains('{') && !route.contains("/v1/egress/"))
        .collect();
    assert_eq!(
        listed, routes,
        "give each route its row in tests/tenants.rs"
    );
}

struct Acme {
    admin: Client,
    org: String,
    member: String,
    user: String,
    key: String,
    secret: String,
    flow: String,
    resolution: String,
    service: String,
}

fn acme(broker: &Broker) -> Acme {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let body = json!({"name": "Acme", "createKey": true});
    let made = broker
        .operator()
        .post("/v1/organizations", &body)
        .expect(201)["data"]
        .clone();
    let admin = broker.anonymous().key(made["key"].as_str().unwrap());
    let members = "/v1/organizations/current/members";
    let ann = admin
        .post(members, &json!({"name": "Ann", "createKey": true}))
        .expect(201)["data"]
        .clone();
    let key = admin
        .post("/v1/api-keys", &json!({"name": "acme"}))
        .expect(201)["data"]
        .clone();
    let shared = json!({"name": "ACME_SHARED", "value": "acme-value-1", "orgWide": true});
    let secret = admin.post("/v1/secrets", &shared).expect(201)["data"].clone();
    // A private one of the same name: the founder is one person in both organisations.
    let own = json!({"name": "ACME_SHARED", "value": "acme-value-2"});
    admin.post("/v1/secrets", &own).expect(201);
    for slug in ["acme-private", "acme-shared"] {
        admin.post("/v1/tools/custom", &tool(slug)).expect(201);
        admin
            .send("POST", &format!("/v1/tools/{slug}/install"), None)
            .expect(200);
    }
    admin
        .json(
            "PATCH",
            "/v1/tools/custom/acme-shared/visibility",
            &json!({"visibility": "org"}),
        )
        .expect(200);
    let client =
        json!({"provider": "github", "clientId": "acme-id", "clientSecret": "acme-secret"});
    admin.post("/v1/oauth/configs", &client).expect(200);
    let flow = admin.get("/v1/oauth/start/github").expect(200)["data"].clone();
    let wanted = json!({"tool": "acme-shared", "credentialOverrides": {"apiKey": "ACME_SHARED"}});
    let resolution = admin.post("/v1/resolve", &wanted).expect(201)["data"].clone();
    let hub = json!({"name": "acme-hub", "organization": made["id"]});
    let hub = broker.operator().post("/v1/operator/services", &hub);
    let service = text(&hub.expect(201)["data"]["id"]);
    let delegations = format!("/v1/services/{service}/delegations");
    let whom = json!({"userId": ann["userId"]});
    admin.post(&delegations, &whom).expect(201);
    Acme {
        service,
        flow: text(&flow["flow"]),
        resolution: text(&resolution["id"]),
        admin,
        org: text(&made["id"]),
        member: text(&ann["id"]),
        user: text(&ann["userId"]),
        key: text(&key["id"]),
        secret: text(&secret["id"]),
    }
}

#[test]
fn what_is_another_organisations_is_answered_as_what_does_not_exist() {
    let broker = Broker::start();
    let acme = acme(&broker);
    let before = snapshot(&acme);
    // The operator is the founder of both, the admin's key belongs to the first, Bob to the first only.
    let callers = [broker.operator(), broker.admin(&[]), broker.member("Bob")];
    for (route, body) in bodies() {
        let (id, none) = match route {
            _ if route.contains("/v1/api-keys") => (&acme.key, NO_ID),
            _ if route.contains("/v1/oauth/flows") => (&acme.flow, NO_FLOW),
            _ if route.contains("/v1/services") => (&acme.service, NO_ID),
            _ if route.contains("/v1/resolutions") => (&acme.resolution, NO_ID),
            _ => (&acme.org, NO_ID),
        };
        for slug in ["acme-private", "acme-shared"] {
            let pair = |theirs, filled: &str, unknown: &str| Pair {
                theirs,
                theirs_filled: filled.to_owned(),
                unknown: unknown.to_owned(),
            };
            let unknown_slug = if slug == "acme-private" {
                "none-private"
            } else {
                "none-shared"
            };
            let mut pairs = vec![
                pair("{id}", id, none),
                pair("{member}", &acme.member, NO_ID),
                pair("{user}", &acme.user, NO_ID),
                pair("{name}", "ACME_SHARED", "NONE_SHARED"),
                pair("{slug}", slug, unknown_slug),
            ];
            for turn in 0..2 {
                let (method, theirs, unknown) = paths(route, &pairs);
                for query in ["", "?orgWide=true", "?orgWide=true&destroy=true"] {
                    if !query.is_empty() && !route.contains("/v1/secrets") {
                        continue;
                    }
                    for caller in &callers {
                        let send = |path: &str| match &body {
                            Value::Null => caller.send(&method, &format!("{path}{query}"), None),
                            body => caller.json(&method, &format!("{path}{query}"), body),
                        };
                        let (theirs, unknown) = (send(&theirs), send(&unknown));
                        assert!(theirs.status >= 400, "{route}{query}: {}", theirs.status);
                        assert_eq!(told(&theirs), told(&unknown), "{route}{query}");
                    }
                }
                // Once more with one's own organisation around the other's member.
                if turn == 0 && route.contains("{member}") {
                    pairs[0] = pair("{id}", "current", "current");
                } else {
                    break;
                }
            }
        }
    }
    assert_eq!(snapshot(&acme), before, "nothing of theirs was touched");
}

/// Everything that an organisation's admin sees, without what use itself changes.
fn snapshot(acme: &Acme) -> Value {
    let admin = &acme.admin;
    let mut seen = Vec::new();
    let flow = format!("/v1/oauth/flows/{}", acme.flow);
    let delegations = format!("/v1/services/{}/delegations", acme.service);
    for path in [
        "/v1/organizations/current",
        "/v1/organizations/current/members",
        "/v1/secrets?all=true",
        "/v1/tools?custom=true",
        "/v1/tools/acme-private",
        "/v1/secrets/ACME_SHARED/versions",
        "/v1/services",
        &delegations,
        &flow,
    ] {
        seen.push(admin.get(path).expect(200)["data"].clone());
    }
    let keys = admin.get("/v1/api-keys?all=true").expect(200);
    seen.extend(
        keys["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| json!([key["id"], key["name"], key["status"]])),
    );
    Value::Array(seen)
}

#[test]
fn names_in_bodies_and_filters_reach_no_other_organisation() {
    let broker = Broker::start();
    let acme = acme(&broker);
    let admin = broker.admin(&[]);
    admin
        .post("/v1/tools/custom", &tool("own-tool"))
        .expect(201);
    admin
        .send("POST", "/v1/tools/own-tool/install", None)
        .expect(200);
    let call = |secret: &str| json!({"action": "look", "credentialOverrides": {"apiKey": secret}});
    let run = |secret: &str| admin.post("/v1/tools/own-tool/execute", &call(secret));
    let (theirs, unknown) = (run("ACME_SHARED"), run("NONE_SHARED"));
    assert!(theirs.status >= 400);
    assert_eq!(theirs.status, unknown.status);
    let code = |reply: &Reply| reply.value()["error"]["code"].clone();
    assert_eq!(code(&theirs), code(&unknown));
    for (theirs, unknown) in [
        (
            format!("/v1/audit?actor={}", acme.user),
            format!("/v1/audit?actor={NO_ID}"),
        ),
        (
            format!("/v1/audit?secret={}", acme.secret),
            format!("/v1/audit?secret={NO_ID}"),
        ),
        (
            "/v1/audit?secret=ACME_SHARED&action=secret.set".into(),
            "/v1/audit?secret=NONE&action=secret.set".into(),
        ),
        (
            "/v1/audit?tool=acme-shared&action=tool.create".into(),
            "/v1/audit?tool=none&action=tool.create".into(),
        ),
    ] {
        let found = admin.get(&theirs);
        assert_eq!(found.expect(200)["data"], json!([]), "{theirs}");
        assert_eq!(told(&found), told(&admin.get(&unknown)));
    }
    // Names are free for each organisation, and lists hold one's own only.
    let made = admin.post(
        "/v1/secrets",
        &json!({"name": "ACME_SHARED", "value": "mine", "orgWide": true}),
    );
    assert_eq!(made.expect(201)["data"]["version"], 1);
    admin
        .post("/v1/tools/custom", &tool("acme-shared"))
        .expect(201);
    for path in [
        "/v1/secrets?all=true",
        "/v1/api-keys?all=true",
        "/v1/organizations/current/members",
        "/v1/tools?custom=true",
        "/v1/services",
        "/v1/audit",
    ] {
        let reply = admin.get(path);
        let text = String::from_utf8(reply.body.clone()).unwrap();
        for hidden in [
            &acme.secret,
            &acme.user,
            &acme.key,
            &acme.member,
            &acme.service,
        ] {
            assert!(!text.contains(hidden.as_str()), "{path}");
        }
    }
    let revealed = acme
        .admin
        .send("POST", "/v1/secrets/ACME_SHARED/reveal?orgWide=true", None);
    assert_eq!(revealed.expect(200)["data"]["value"], "acme-value-1");
    // A cursor of theirs names no place of ours.
    acme.admin
        .post("/v1/secrets", &json!({"name": "SECOND", "value": "v"}))
        .expect(201);
    let page = acme.admin.get("/v1/secrets?limit=1").expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    assert_eq!(
        admin
            .get(&format!("/v1/secrets?cursor={cursor}"))
            .refused(400),
        "bad_request"
    );
}
