//! Scope × role × route, and route × audit, over every route of the OpenAPI document: a route that
//! is not in these tables fails the test.

mod harness;

mod permissions {
    mod records;
    pub(crate) mod table;
}

use std::collections::{BTreeMap, BTreeSet};

use harness::{Broker, Client, Reply, api};

use serde_json::{Value, json};

use Who::{Admin, Member, Open, Operator, Socket};
use permissions::table::{ROWS, Row, SCOPES, Who};

const NO_ID: &str = "00000000-0000-4000-8000-000000000000";

/// It asks for a private range, which only an admin may grant.
fn custom_tool(slug: &str, port: u16) -> Value {
    json!({
        "slug": slug, "name": "CRM",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "key"}}},
        "bindings": [{"scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/x"], "slots": {"apiKey": [{"header": "x-key"}]}}],
        "actionsJson": {"look": {"description": "look", "parameters": {"type": "object", "properties": {}},
            "http": {"method": "GET", "url": format!("http://127.0.0.1:{port}/x")}}}
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
        .replace("{user}", NO_ID)
        .replace("{name}", "NO_SUCH")
        .replace("{version}", "7")
        .replace("{provider}", "github")
        .replace("{scheme}/{authority}/{path}", "https/api.example.com/x")
        .replace("{slug}", slug);
    (method.to_owned(), format!("{path}{query}"))
}

/// A body as the tables write it.
fn body(text: &str, port: u16) -> Option<Value> {
    match text {
        "" => None,
        "TOOL" => Some(custom_tool("custom-crm", port)),
        text => Some(serde_json::from_str(text).unwrap()),
    }
}

fn send(client: &Client, (route, query, text, ..): &Row) -> Reply {
    let (method, path) = filled(route, query);
    let reply = match body(text, 9) {
        None => client.send(&method, &path, None),
        Some(body) => client.json(&method, &path, &body),
    };
    if method != "HEAD" {
        return reply;
    }
    // Its answer has no body: GET says why, and with the same status.
    let why = client.send("GET", &path, None);
    assert_eq!((reply.status, reply.body.len()), (why.status, 0), "{route}");
    why
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
        .post("/v1/tools/custom", &custom_tool("custom-shared", 9))
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
    let listed: BTreeSet<_> = ROWS.iter().map(|row| row.0.to_owned()).collect();
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
    for row in ROWS {
        let (route, query, _, scope, who) = row;
        let refused = send(&nobody, row);
        match who {
            Open => assert!(matches!(refused.status, 200 | 503), "{route}"),
            Socket => assert_eq!(refused.refused(403), "operator_only", "{route}"),
            Member | Admin | Operator => {
                assert_eq!(refused.refused(401), "unauthorized", "{route}");
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
        let refused = send(without, row);
        assert_eq!(
            refused.refused(403),
            "missing_scope",
            "{route}{query} without {scope}"
        );
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(text.contains(scope), "{route} says which scope: {text}");
        let passed = send(with, row);
        let expected = if *who == Operator {
            "operator_only"
        } else {
            ""
        };
        let mut code = code(&passed);
        // The tool asks for a private range, which takes more than the route's own scope.
        if row.2 == "TOOL" && String::from_utf8_lossy(&passed.body).contains("admin:resources") {
            code.clear();
        }
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
    for row in ROWS {
        let (route, query, _, _, who) = row;
        let by_member = code(&send(&member, row));
        let by_admin = code(&send(&admin, row));
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
                assert!(allowed(&by_admin), "{route}{query} by an admin: {by_admin}");
            }
            Operator | Socket => assert_eq!(
                by_admin, "operator_only",
                "{route}{query} by an admin's key"
            ),
        }
        // Either would end the rest of the table; the journey below does them.
        if !matches!(
            *route,
            "POST /v1/operator/seal" | "POST /v1/operator/lockdown"
        ) {
            let by_operator = code(&send(&operator, row));
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
