//! Scope × role × route, and route × audit, over every route of the OpenAPI document: a route that
//! is not in these tables fails the test.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use harness::{Broker, Client, Reply, api};
use serde_json::{Value, json};

/// Who may, given the scope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody, without a credential.
    Open,
    /// Every member.
    Member,
    /// Admins of the organisation.
    Admin,
    /// The operator, recognised over the Unix socket, with the scope that a key would need besides.
    Operator,
    /// The operator, recognised by the Unix socket alone: it works while the vault is sealed.
    Socket,
}
use Who::{Admin, Member, Open, Operator, Socket};

const NO_ID: &str = "00000000-0000-4000-8000-000000000000";

/// Every scope that a key can have.
const SCOPES: &[&str] = &[
    "secret:read",
    "secret:write",
    "secret:reveal",
    "tool:read",
    "tool:write",
    "tool:execute",
    "api-key:read",
    "api-key:write",
    "org:read",
    "org:write",
    "org:members",
    "audit:read",
    "oauth:read",
    "oauth:write",
    "broker:resolve",
    "admin:resources",
    "sandbox:create",
    "sandbox:read",
    "sandbox:write",
    "agent:run",
    "agent:read",
    "agent:write",
    "files:read",
    "files:write",
    "workflow:read",
    "workflow:write",
    "workflow:run",
    "ssh-key:read",
    "ssh-key:write",
    "runmesh:read",
    "runmesh:write",
    "activity:read",
];

/// One row: the route, what is sent where it is more than the template says, the scope, and who may.
type Row = (&'static str, &'static str, Value, &'static str, Who);

fn rows() -> Vec<Row> {
    let none = || Value::Null;
    let secret = || json!({"name": "KEY", "value": "v"});
    let shared = || json!({"name": "KEY", "value": "v", "orgWide": true});
    let tool = || custom_tool("custom-new");
    vec![
        ("GET /v1/status", "", none(), "", Open),
        ("GET /livez", "", none(), "", Open),
        ("GET /readyz", "", none(), "", Open),
        ("GET /metrics", "", none(), "audit:read", Admin),
        ("GET /v1/me", "", none(), "", Member),
        (
            "POST /v1/organizations",
            "",
            json!({"name": "Acme"}),
            "org:write",
            Operator,
        ),
        ("GET /v1/organizations", "", none(), "org:read", Member),
        ("GET /v1/organizations/{id}", "", none(), "org:read", Member),
        (
            "PATCH /v1/organizations/{id}",
            "",
            json!({}),
            "org:write",
            Admin,
        ),
        (
            "GET /v1/organizations/{id}/members",
            "",
            none(),
            "org:read",
            Member,
        ),
        (
            "POST /v1/organizations/{id}/members",
            "",
            json!({"name": "Carl"}),
            "org:members",
            Admin,
        ),
        (
            "POST /v1/organizations/{id}/members",
            "",
            json!({"name": "Dan", "uid": 65_000}),
            "org:members",
            Operator,
        ),
        (
            "PATCH /v1/organizations/{id}/members/{member}",
            "",
            json!({"role": "member"}),
            "org:members",
            Admin,
        ),
        (
            "DELETE /v1/organizations/{id}/members/{member}",
            "",
            none(),
            "org:members",
            Admin,
        ),
        (
            "POST /v1/api-keys",
            "",
            json!({"name": "x", "scopes": ["api-key:write"]}),
            "api-key:write",
            Member,
        ),
        ("GET /v1/api-keys", "", none(), "api-key:read", Member),
        (
            "GET /v1/api-keys",
            "?all=true",
            none(),
            "api-key:read",
            Admin,
        ),
        ("GET /v1/api-keys/{id}", "", none(), "api-key:read", Member),
        (
            "PATCH /v1/api-keys/{id}",
            "",
            json!({}),
            "api-key:write",
            Member,
        ),
        (
            "DELETE /v1/api-keys/{id}",
            "",
            none(),
            "api-key:write",
            Member,
        ),
        (
            "POST /v1/api-keys/{id}/rotate",
            "",
            none(),
            "api-key:write",
            Member,
        ),
        ("POST /v1/secrets", "", secret(), "secret:write", Member),
        ("POST /v1/secrets", "", shared(), "secret:write", Admin),
        ("GET /v1/secrets", "", none(), "secret:read", Member),
        ("GET /v1/secrets", "?all=true", none(), "secret:read", Admin),
        ("GET /v1/secrets/{name}", "", none(), "secret:read", Member),
        (
            "GET /v1/secrets/{name}",
            "?orgWide=true",
            none(),
            "secret:read",
            Member,
        ),
        (
            "PATCH /v1/secrets/{name}",
            "",
            json!({}),
            "secret:write",
            Member,
        ),
        (
            "PATCH /v1/secrets/{name}",
            "?orgWide=true",
            json!({}),
            "secret:write",
            Admin,
        ),
        (
            "DELETE /v1/secrets/{name}",
            "",
            none(),
            "secret:write",
            Member,
        ),
        (
            "DELETE /v1/secrets/{name}",
            "?orgWide=true",
            none(),
            "secret:write",
            Admin,
        ),
        (
            "POST /v1/secrets/{name}/reveal",
            "?orgWide=false",
            none(),
            "secret:reveal",
            Member,
        ),
        (
            "POST /v1/secrets/{name}/rotate",
            "",
            json!({"value": "w"}),
            "secret:write",
            Member,
        ),
        (
            "POST /v1/secrets/{name}/rotate",
            "?orgWide=true",
            json!({"value": "w"}),
            "secret:write",
            Admin,
        ),
        (
            "POST /v1/secrets/{name}/restore",
            "",
            none(),
            "secret:write",
            Member,
        ),
        (
            "POST /v1/secrets/{name}/restore",
            "?orgWide=true",
            none(),
            "secret:write",
            Admin,
        ),
        (
            "GET /v1/secrets/{name}/versions",
            "",
            none(),
            "secret:read",
            Member,
        ),
        (
            "POST /v1/secrets/{name}/versions/{version}/restore",
            "",
            none(),
            "secret:write",
            Member,
        ),
        (
            "POST /v1/secrets/{name}/versions/{version}/restore",
            "?orgWide=true",
            none(),
            "secret:write",
            Admin,
        ),
        ("GET /v1/tools", "", none(), "tool:read", Member),
        ("GET /v1/tools/{slug}", "", none(), "tool:read", Member),
        (
            "POST /v1/tools/{slug}/install",
            "",
            none(),
            "tool:write",
            Member,
        ),
        (
            "DELETE /v1/tools/{slug}/install",
            "",
            none(),
            "tool:write",
            Member,
        ),
        (
            "PUT /v1/tools/{slug}/credentials",
            "",
            json!({"apiKey": "v"}),
            "tool:write",
            Member,
        ),
        (
            "GET /v1/tools/{slug}/credentials",
            "",
            none(),
            "tool:read",
            Member,
        ),
        (
            "DELETE /v1/tools/{slug}/credentials",
            "",
            none(),
            "tool:write",
            Member,
        ),
        (
            "POST /v1/tools/{slug}/explain",
            "",
            none(),
            "tool:execute",
            Member,
        ),
        (
            "POST /v1/tools/{slug}/execute",
            "",
            json!({"action": "none"}),
            "tool:execute",
            Member,
        ),
        ("POST /v1/tools/custom", "", tool(), "tool:write", Admin),
        (
            "DELETE /v1/tools/custom/{slug}",
            "",
            none(),
            "tool:write",
            Member,
        ),
        (
            "PATCH /v1/tools/custom/{slug}/visibility",
            "",
            json!({"visibility": "org"}),
            "tool:write",
            Admin,
        ),
        ("GET /v1/audit", "", none(), "audit:read", Admin),
        ("GET /v1/audit", "?all=true", none(), "audit:read", Operator),
        ("GET /v1/audit/head", "", none(), "audit:read", Admin),
        ("POST /v1/audit/verify", "", none(), "audit:read", Admin),
        ("GET /v1/audit/export", "", none(), "audit:read", Operator),
        (
            "POST /v1/operator/unseal",
            "",
            json!({"passphrase": "wrong words"}),
            "",
            Socket,
        ),
        (
            "POST /v1/operator/seal",
            "",
            none(),
            "admin:resources",
            Operator,
        ),
        ("GET /v1/operator/slots", "", none(), "", Socket),
        (
            "POST /v1/operator/slots",
            "",
            json!({"kind": "no-such-kind"}),
            "admin:resources",
            Operator,
        ),
        ("POST /v1/operator/slots/{id}/test", "", none(), "", Socket),
        (
            "DELETE /v1/operator/slots/{id}",
            "",
            none(),
            "admin:resources",
            Operator,
        ),
    ]
}

/// It asks for a private range, which only an admin may grant.
fn custom_tool(slug: &str) -> Value {
    json!({
        "slug": slug, "name": "CRM",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{"scheme": "http", "hosts": ["127.0.0.1"], "port": 9, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/x"], "slots": {"apiKey": [{"header": "x-key"}]}}],
        "actionsJson": {"look": {"description": "look", "parameters": {"type": "object", "properties": {}},
            "http": {"method": "GET", "url": "http://127.0.0.1:9/x"}}}
    })
}

/// The route's path with ids that name nothing, except where a role is asked of something real.
fn filled(route: &str, query: &str) -> (String, String) {
    let (method, path) = route.split_once(' ').unwrap();
    let id = if path.starts_with("/v1/organizations") {
        "current"
    } else {
        NO_ID
    };
    let slug = if path.ends_with("/visibility") {
        "custom-shared"
    } else {
        "no-such-tool"
    };
    let path = path
        .replace("{id}", id)
        .replace("{member}", NO_ID)
        .replace("{name}", "NO_SUCH")
        .replace("{version}", "7")
        .replace("{slug}", slug);
    (method.to_owned(), format!("{path}{query}"))
}

fn send(client: &Client, (route, query, body, ..): &Row) -> Reply {
    let (method, path) = filled(route, query);
    match body {
        Value::Null => client.send(&method, &path, None),
        body => client.json(&method, &path, body),
    }
}

/// The code of a refusal, empty for a success.
fn code(reply: &Reply) -> String {
    match reply.status {
        200..300 => String::new(),
        status => reply.refused(status),
    }
}

/// A broker with a tool that every member sees.
fn prepared() -> Broker {
    let broker = Broker::start();
    let operator = broker.operator();
    operator
        .post("/v1/tools/custom", &custom_tool("custom-shared"))
        .expect(201);
    let shared = json!({"visibility": "org"});
    operator
        .json(
            "PATCH",
            "/v1/tools/custom/custom-shared/visibility",
            &shared,
        )
        .expect(200);
    broker
}

#[test]
fn the_table_has_every_route_of_the_document() {
    let listed: BTreeSet<_> = rows().iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(
        listed,
        api::routes(),
        "give each route its row in tests/permissions.rs"
    );
}

#[test]
fn each_route_takes_its_own_scope_and_no_other() {
    let broker = prepared();
    let mut keys: BTreeMap<&str, (Client, Client)> = BTreeMap::new();
    let nobody = broker.anonymous();
    for row in rows() {
        let (route, query, _, scope, who) = &row;
        let refused = send(&nobody, &row);
        match who {
            Open => assert!(matches!(refused.status, 200 | 503), "{route}"),
            Socket => assert_eq!(refused.refused(403), "operator_only", "{route}"),
            Member | Admin | Operator => {
                assert_eq!(refused.refused(401), "unauthorized", "{route}")
            }
        }
        if scope.is_empty() {
            continue;
        }
        let (with, without) = keys.entry(scope).or_insert_with(|| {
            let others: Vec<_> = SCOPES
                .iter()
                .copied()
                .filter(|other| other != scope)
                .collect();
            (broker.admin(&[scope]), broker.admin(&others))
        });
        let refused = send(without, &row);
        assert_eq!(
            refused.refused(403),
            "missing_scope",
            "{route}{query} without {scope}"
        );
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(text.contains(scope), "{route} says which scope: {text}");
        let passed = send(with, &row);
        let expected = if *who == Operator {
            "operator_only"
        } else {
            ""
        };
        let code = code(&passed);
        let authorised = ![
            "missing_scope",
            "unauthorized",
            "admin_only",
            "policy_denied",
            "operator_only",
        ]
        .contains(&code.as_str());
        assert!(
            authorised || code == expected,
            "{route}{query} with {scope} alone: {code}"
        );
        assert_eq!(
            code == "operator_only",
            *who == Operator,
            "{route}{query}: {code}"
        );
    }
}

#[test]
fn each_route_is_for_the_role_that_the_table_says() {
    let broker = prepared();
    let (member, admin, operator) = (broker.member("Ann"), broker.admin(&[]), broker.operator());
    for row in rows() {
        let (route, query, _, _, who) = &row;
        let by_member = code(&send(&member, &row));
        let by_admin = code(&send(&admin, &row));
        let allowed = |code: &str| {
            ![
                "admin_only",
                "operator_only",
                "policy_denied",
                "unauthorized",
            ]
            .contains(&code)
        };
        match who {
            Open | Member => assert!(
                allowed(&by_member),
                "{route}{query} by a member: {by_member}"
            ),
            Admin => assert_eq!(by_member, "admin_only", "{route}{query} by a member"),
            // Of two reasons, which is told first is no promise.
            Operator => assert!(
                ["operator_only", "admin_only"].contains(&by_member.as_str()),
                "{route}{query}: {by_member}"
            ),
            Socket => assert_eq!(by_member, "operator_only", "{route}{query} by a member"),
        }
        match who {
            Open | Member | Admin => {
                assert!(allowed(&by_admin), "{route}{query} by an admin: {by_admin}")
            }
            Operator | Socket => assert_eq!(
                by_admin, "operator_only",
                "{route}{query} by an admin's key"
            ),
        }
        // Sealing would end the rest of the table; the journey below does it.
        if *route != "POST /v1/operator/seal" {
            let by_operator = code(&send(&operator, &row));
            assert!(
                allowed(&by_operator),
                "{route}{query} by the operator: {by_operator}"
            );
        }
    }
}

#[test]
fn a_key_without_the_scope_does_not_learn_what_exists() {
    let broker = prepared();
    let key = broker.admin(&["files:read"]);
    for path in [
        "/v1/tools/github",
        "/v1/tools/no-such",
        "/v1/tools/..x",
        "/v1/secrets/x-y",
        "/v1/api-keys/x",
        "/v1/organizations/x",
    ] {
        assert_eq!(key.get(path).refused(403), "missing_scope", "{path}");
    }
}

/// Every change, as it is made once: route, what is sent, the status, the record's action.
#[test]
fn every_change_leaves_its_record() {
    let broker = Broker::start();
    let operator = broker.operator();
    let mut done = BTreeSet::new();
    let mut step = |route: &str, path: &str, body: Value, action: &str| -> Value {
        let method = route.split_once(' ').unwrap().0;
        let reply = match &body {
            Value::Null => operator.send(method, path, None),
            body => operator.json(method, path, body),
        };
        assert!(
            reply.status < 300,
            "{route}: {} {:?}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
        done.insert(route.to_owned());
        let id = reply.headers["x-request-id"]
            .to_str()
            .unwrap()
            .strip_prefix("req_")
            .unwrap()
            .to_owned();
        if action != "vault.seal" {
            find(&operator, action, &id, route);
        }
        reply.value()["data"].clone()
    };
    let key = step(
        "POST /v1/api-keys",
        "/v1/api-keys",
        json!({"name": "x"}),
        "api_key.create",
    );
    let path = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    step(
        "PATCH /v1/api-keys/{id}",
        &path,
        json!({"name": "y"}),
        "api_key.update",
    );
    let new = step(
        "POST /v1/api-keys/{id}/rotate",
        &format!("{path}/rotate"),
        Value::Null,
        "api_key.rotate",
    );
    let path = format!("/v1/api-keys/{}", new["id"].as_str().unwrap());
    step(
        "DELETE /v1/api-keys/{id}",
        &path,
        Value::Null,
        "api_key.revoke",
    );

    step(
        "POST /v1/organizations",
        "/v1/organizations",
        json!({"name": "Acme"}),
        "org.create",
    );
    let current = "/v1/organizations/current";
    step(
        "PATCH /v1/organizations/{id}",
        current,
        json!({"name": "Renamed"}),
        "org.update",
    );
    let members = format!("{current}/members");
    let ann = step(
        "POST /v1/organizations/{id}/members",
        &members,
        json!({"name": "Ann"}),
        "member.add",
    );
    let path = format!("{members}/{}", ann["id"].as_str().unwrap());
    step(
        "PATCH /v1/organizations/{id}/members/{member}",
        &path,
        json!({"role": "admin"}),
        "member.role",
    );
    step(
        "DELETE /v1/organizations/{id}/members/{member}",
        &path,
        Value::Null,
        "member.remove",
    );

    let one = "/v1/secrets/KEY";
    step(
        "POST /v1/secrets",
        "/v1/secrets",
        json!({"name": "KEY", "value": "v"}),
        "secret.set",
    );
    step(
        "PATCH /v1/secrets/{name}",
        one,
        json!({"description": "d"}),
        "secret.update",
    );
    step(
        "POST /v1/secrets/{name}/reveal",
        &format!("{one}/reveal"),
        Value::Null,
        "secret.reveal",
    );
    step(
        "POST /v1/secrets/{name}/rotate",
        &format!("{one}/rotate"),
        json!({"value": "w"}),
        "secret.rotate",
    );
    let back = format!("{one}/versions/1/restore");
    step(
        "POST /v1/secrets/{name}/versions/{version}/restore",
        &back,
        Value::Null,
        "secret.rollback",
    );
    step(
        "DELETE /v1/secrets/{name}",
        one,
        Value::Null,
        "secret.delete",
    );
    step(
        "POST /v1/secrets/{name}/restore",
        &format!("{one}/restore"),
        Value::Null,
        "secret.restore",
    );
    step(
        "DELETE /v1/secrets/{name}",
        &format!("{one}?destroy=true"),
        Value::Null,
        "secret.destroy",
    );

    let tool = "/v1/tools/custom-crm";
    step(
        "POST /v1/tools/custom",
        "/v1/tools/custom",
        custom_tool("custom-crm"),
        "tool.create",
    );
    step(
        "POST /v1/tools/custom",
        "/v1/tools/custom",
        custom_tool("custom-crm"),
        "tool.update",
    );
    step(
        "POST /v1/tools/{slug}/install",
        &format!("{tool}/install"),
        Value::Null,
        "tool.install",
    );
    let credentials = format!("{tool}/credentials");
    step(
        "PUT /v1/tools/{slug}/credentials",
        &credentials,
        json!({"apiKey": "value-1"}),
        "tool.credentials.set",
    );
    let call = json!({"action": "look"});
    step(
        "POST /v1/tools/{slug}/execute",
        &format!("{tool}/execute"),
        call,
        "tool.execute",
    );
    step(
        "DELETE /v1/tools/{slug}/credentials",
        &credentials,
        Value::Null,
        "tool.credentials.clear",
    );
    step(
        "DELETE /v1/tools/{slug}/install",
        &format!("{tool}/install"),
        Value::Null,
        "tool.uninstall",
    );
    let visible = "/v1/tools/custom/custom-crm/visibility";
    step(
        "PATCH /v1/tools/custom/{slug}/visibility",
        visible,
        json!({"visibility": "org"}),
        "tool.visibility",
    );
    step(
        "DELETE /v1/tools/custom/{slug}",
        "/v1/tools/custom/custom-crm",
        Value::Null,
        "tool.delete",
    );

    let words = json!({"kind": "passphrase", "label": "spare", "passphrase": "correct horse battery staple"});
    let slot = step(
        "POST /v1/operator/slots",
        "/v1/operator/slots",
        words,
        "key.slot_add",
    );
    step(
        "POST /v1/operator/seal",
        "/v1/operator/seal",
        Value::Null,
        "vault.seal",
    );
    assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");
    let words = json!({"passphrase": "correct horse battery staple"});
    step(
        "POST /v1/operator/unseal",
        "/v1/operator/unseal",
        words,
        "vault.unseal",
    );
    let path = format!("/v1/operator/slots/{}", slot["id"].as_str().unwrap());
    step(
        "DELETE /v1/operator/slots/{id}",
        &path,
        Value::Null,
        "key.slot_remove",
    );
    for action in ["vault.seal", "vault.unseal"] {
        let log = operator
            .get(&format!("/v1/audit?all=true&action={action}"))
            .expect(200);
        assert!(!log["data"].as_array().unwrap().is_empty(), "{action}");
    }
    // These change nothing.
    for reading in [
        "POST /v1/audit/verify",
        "POST /v1/tools/{slug}/explain",
        "POST /v1/operator/slots/{id}/test",
    ] {
        done.insert(reading.to_owned());
    }
    let changing: BTreeSet<_> = api::routes()
        .into_iter()
        .filter(|route| !route.starts_with("GET "))
        .collect();
    assert_eq!(done, changing, "make each change once in this test");
}

/// The request's record, with how it ended: that is written a moment after the answer.
fn find(operator: &Client, action: &str, request: &str, route: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while !action.is_empty() {
        let log = operator
            .get(&format!("/v1/audit?all=true&action={action}"))
            .expect(200);
        let entries = log["data"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["request"] == request);
        let entry = entry.unwrap_or_else(|| panic!("{route} left no {action}: {log}"));
        assert!(entry["actor"].is_object(), "{route}: {entry}");
        if entry["outcome"].is_object() || action == "vault.unseal" {
            return;
        }
        assert!(Instant::now() < end, "{route}: {entry}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
