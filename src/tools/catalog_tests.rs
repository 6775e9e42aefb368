use ::http::Method;
use serde_json::{Map, Value, json};

use super::{Catalog, FILES};
use crate::name::{ActionName, FieldName, Fields, Host, HostPattern, ToolSlug};
use crate::tools::binding::{Destination, Scheme};
use crate::tools::slot::Slot;
use crate::tools::spec::{Action, ToolSpec};

fn catalog() -> Catalog {
    Catalog::embedded().unwrap_or_else(|error| panic!("{error}"))
}

/// A value that fits one property of the shipped schemas.
fn sample_of(schema: &Value) -> Value {
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => json!(7),
        Some("number") => json!(0.5),
        Some("boolean") => json!(true),
        Some("array") => json!([schema.get("items").map_or(json!("a"), sample_of)]),
        Some("object") => json!({ "a": "b" }),
        _ => json!("a b/ü".replace('/', "-")),
    }
}

/// Parameters for an action: all of them, or only the required ones.
fn sample(action: &Action, all: bool) -> Value {
    let required = action.parameters.required();
    let properties = action.parameters.properties().cloned().unwrap_or_default();
    let wanted = |name: &str| all || required.contains(name);
    let chosen = properties.iter().filter(|(name, _)| wanted(name));
    let mut params: Map<String, Value> = chosen
        .map(|(name, schema)| (name.clone(), sample_of(schema)))
        .collect();
    if action.http.as_ref().unwrap().is_open() {
        params.insert("host".into(), json!("api.example.com"));
        params.insert("path".into(), json!("/v1/things"));
    }
    params.into()
}

/// Every field of a tool at hand, bound to the one host the open tool is tried with.
fn at_hand(spec: &ToolSpec, hosts: &[&str]) -> Fields<Vec<HostPattern>> {
    let hosts: Vec<_> = hosts
        .iter()
        .map(|h| HostPattern::parse(h).unwrap())
        .collect();
    let fields = spec.credentials.fields.keys();
    fields.map(|field| (field.clone(), hosts.clone())).collect()
}

#[test]
fn every_shipped_file_loads_under_its_own_name() {
    let catalog = catalog();
    let files = std::fs::read_dir("config/tools").unwrap().count();
    assert_eq!((catalog.all().count(), FILES.len()), (files, files));
    for (slug, text) in FILES {
        let spec = catalog.get(&ToolSlug::parse(slug).unwrap()).unwrap();
        assert!(
            !spec.description.is_empty() && !spec.actions.is_empty(),
            "{slug}"
        );
        assert!(
            text.starts_with("# ") && text.contains("2026-11-"),
            "{slug}: a head with a date"
        );
        assert!(
            spec.actions
                .values()
                .all(|a| a.http.is_some() && !a.description.is_empty())
        );
        assert!(
            spec.code.is_none() && spec.bindings.iter().all(|b| b.private.is_empty()),
            "{slug}"
        );
    }
}

#[test]
fn every_shipped_action_renders_and_a_binding_admits_it() {
    for spec in catalog().all() {
        let open = spec.slug.as_str() == "generic-http";
        let hosts: &[&str] = if open { &["api.example.com"] } else { &[] };
        let fields = at_hand(spec, hosts);
        for (name, action) in &spec.actions {
            for all in [false, true] {
                let params = sample(action, all);
                let request = action
                    .render(&params)
                    .unwrap_or_else(|error| panic!("{}.{name}: {error}", spec.slug));
                let binding = spec.binding_for(&request.destination(), &fields);
                let binding = binding.unwrap_or_else(|| panic!("{}.{name}", spec.slug));
                let url = url::Url::parse(&request.url()).unwrap();
                assert_eq!(
                    url.as_str(),
                    request.url(),
                    "{}.{name}: one spelling",
                    spec.slug
                );
                for (index, place) in &request.places {
                    let at = |path: &crate::tools::PathPattern| path.place(place) == Some(*index);
                    assert!(binding.paths.iter().any(at), "{}.{name}", spec.slug);
                }
            }
        }
    }
}

#[test]
fn every_shipped_credential_has_a_slot_and_stands_in_no_template() {
    for spec in catalog().all() {
        for field in spec.credentials.fields.keys() {
            assert!(
                spec.bindings.iter().any(|binding| binding.uses(field)),
                "{}",
                spec.slug
            );
            for action in spec.actions.values() {
                let template = action.http.as_ref().unwrap().to_json().to_string();
                assert!(
                    !template.contains(&format!("{{{field}}}")),
                    "{}.{field}",
                    spec.slug
                );
            }
        }
    }
}

#[test]
fn shipped_tools_match_the_usual_secret_names() {
    let catalog = catalog();
    for (slug, field, secret) in [
        ("anthropic", "apiKey", "ANTHROPIC_API_KEY"),
        ("aws", "secretAccessKey", "AWS_SECRET_ACCESS_KEY"),
        ("github-app", "privateKey", "GITHUB_APP_PRIVATE_KEY"),
        ("github", "token", "GITHUB_TOKEN"),
        ("gitlab", "token", "GITLAB_TOKEN"),
        ("gmail", "accessToken", "GMAIL_ACCESS_TOKEN"),
        (
            "google-calendar",
            "accessToken",
            "GOOGLE_CALENDAR_ACCESS_TOKEN",
        ),
        ("google-drive", "accessToken", "GOOGLE_DRIVE_ACCESS_TOKEN"),
        ("linear", "apiKey", "LINEAR_API_KEY"),
        ("notion", "token", "NOTION_TOKEN"),
        ("openai", "apiKey", "OPENAI_API_KEY"),
        ("sendgrid", "apiKey", "SENDGRID_API_KEY"),
        ("slack", "botToken", "SLACK_BOT_TOKEN"),
        ("stripe", "secretKey", "STRIPE_SECRET_KEY"),
        ("twilio", "authToken", "TWILIO_AUTH_TOKEN"),
    ] {
        let spec = catalog.get(&ToolSlug::parse(slug).unwrap()).unwrap();
        let field = &spec.credentials.fields[&FieldName::parse(field).unwrap()];
        assert_eq!(field.secret.as_ref().unwrap().as_str(), secret);
    }
}

#[test]
fn anthropic_takes_its_key_in_its_own_header_and_states_the_version() {
    let catalog = catalog();
    let spec = catalog.get(&ToolSlug::parse("anthropic").unwrap()).unwrap();
    let field = FieldName::parse("apiKey").unwrap();
    let Some(Slot::Header { name, format }) = spec.bindings[0].preferred(&field) else {
        panic!("a header slot");
    };
    assert_eq!((name.as_str(), format.around()), ("x-api-key", ("", "")));
    let action = spec
        .action(&ActionName::parse("create_message").unwrap())
        .unwrap();
    let request = action
        .render(&json!({ "model": "m", "messages": [], "max_tokens": 1 }))
        .unwrap();
    assert_eq!(request.headers[0].0.as_str(), "anthropic-version");
}

#[test]
fn linear_uses_the_binding_of_the_field_at_hand() {
    let catalog = catalog();
    let spec = catalog.get(&ToolSlug::parse("linear").unwrap()).unwrap();
    let action = spec.action(&ActionName::parse("get_me").unwrap()).unwrap();
    let request = action.render(&json!({})).unwrap();
    for field in ["apiKey", "accessToken"] {
        let field = FieldName::parse(field).unwrap();
        let at_hand = Fields::from_iter([(field.clone(), Vec::new())]);
        let binding = spec.binding_for(&request.destination(), &at_hand).unwrap();
        assert!(binding.preferred(&field).is_some());
    }
    assert!(
        spec.binding_for(&request.destination(), &Fields::new())
            .is_none()
    );
}

#[test]
fn generic_http_goes_only_where_its_secret_is_bound() {
    let catalog = catalog();
    let spec = catalog
        .get(&ToolSlug::parse("generic-http").unwrap())
        .unwrap();
    let action = spec.action(&ActionName::parse("request").unwrap()).unwrap();
    let render = |params: Value| action.render(&params);
    let call = |host: &str| json!({ "method": "GET", "host": host, "path": "/v1/a", "query": { "q": ["1", "&"] } });
    let request = render(call("api.example.com")).unwrap();
    assert_eq!(request.url(), "https://api.example.com/v1/a?q=1&q=%26");
    let to = request.destination();
    assert!(
        spec.binding_for(&to, &at_hand(spec, &["*.example.com"]))
            .is_some()
    );
    assert!(
        spec.binding_for(&to, &at_hand(spec, &["other.example.com"]))
            .is_none()
    );
    assert!(
        spec.binding_for(&to, &at_hand(spec, &[])).is_none(),
        "a secret without a host"
    );
    for host in [
        "api.example.com:8443",
        "a@b.com",
        "https://a.com",
        "a.com/x",
        "a.com.",
        "127.1",
        "",
        "{host}",
    ] {
        assert!(render(call(host)).is_err(), "{host}");
    }
    for (key, value) in [
        ("method", json!("TRACE")),
        ("path", json!("v1")),
        ("path", json!("/a/../b")),
        ("path", json!("/a?x=1")),
        ("path", json!("/a/%2e%2e/b")),
        ("path", json!("//evil.test/")),
        ("headers", json!({ "Authorization": "Bearer x" })),
        ("headers", json!({ "cookie": "a=b" })),
        ("headers", json!({ "Host": "evil.test" })),
        ("headers", json!({ "x-http-method-override": "DELETE" })),
        ("headers", json!({ "x-a": "b\r\nHost: evil.test" })),
        ("headers", json!({ "x-a": "1", "X-A": "2" })),
        ("query", json!({ "a": { "b": 1 } })),
        ("base_url", json!("https://evil.test")),
    ] {
        let mut params = call("api.example.com");
        params[key] = value.clone();
        assert!(render(params).is_err(), "{key} {value}");
    }
}

/// Endpoints that make credentials, or open a way around the tool's paths: the tool whose binding is
/// nearest, the host, whether any binding of the tool names it, and the paths.
const MAKERS: [(&str, &str, bool, &[&str]); 15] = [
    ("aws", "sts.amazonaws.com", true, &["/"]),
    (
        "github",
        "api.github.com",
        true,
        &[
            "/repos/o/r/actions/runners/registration-token",
            "/orgs/o/actions/runners/registration-token",
            "/app/installations/1/access_tokens",
            "/repos/o/r/keys",
            "/user/keys",
        ],
    ),
    (
        "github",
        "github.com",
        false,
        &["/login/oauth/access_token"],
    ),
    (
        "github-app",
        "api.github.com",
        true,
        &["/app/installations/1/access_tokens"],
    ),
    (
        "gitlab",
        "gitlab.com",
        true,
        &[
            "/oauth/token",
            "/api/v4/personal_access_tokens/self/rotate",
            "/api/v4/user/personal_access_tokens",
            "/api/v4/projects/1/access_tokens",
            "/api/v4/groups/1/access_tokens",
            "/api/v4/projects/1/deploy_tokens",
            "/api/v4/projects/1/triggers",
            "/api/v4/user/runners",
        ],
    ),
    (
        "gmail",
        "gmail.googleapis.com",
        true,
        &[
            "/batch/gmail/v1",
            "/upload/gmail/v1/users/me/messages/send",
            "/gmail/v1/users/me/settings/forwardingAddresses",
            "/gmail/v1/users/me/settings/sendAs/a/smimeInfo",
            "/gmail/v1/users/me/watch",
        ],
    ),
    (
        "google-calendar",
        "www.googleapis.com",
        true,
        &[
            "/batch/calendar/v3",
            "/calendar/v3/calendars/primary/acl",
            "/calendar/v3/calendars/primary/events/watch",
            "/oauth2/v4/token",
        ],
    ),
    (
        "google-drive",
        "www.googleapis.com",
        true,
        &[
            "/batch/drive/v3",
            "/upload/drive/v3/files",
            "/drive/v3/files/f/download",
            "/drive/v3/files/f/watch",
            "/drive/v3/changes/watch",
            "/oauth2/v4/token",
        ],
    ),
    ("google-drive", "oauth2.googleapis.com", false, &["/token"]),
    (
        "openai",
        "api.openai.com",
        true,
        &["/v1/realtime/client_secrets"],
    ),
    (
        "anthropic",
        "api.anthropic.com",
        true,
        &["/v1/organizations/api_keys"],
    ),
    ("stripe", "api.stripe.com", true, &["/v1/ephemeral_keys"]),
    ("sendgrid", "api.sendgrid.com", true, &["/v3/api_keys"]),
    (
        "twilio",
        "api.twilio.com",
        true,
        &["/2010-04-01/Accounts/AC1/Keys.json"],
    ),
    (
        "slack",
        "slack.com",
        true,
        &[
            "/api/oauth.v2.exchange",
            "/api/tooling.tokens.rotate",
            "/api/rtm.connect",
        ],
    ),
];

/// No free request by right of a handle reaches an endpoint that makes another credential: the answer
/// is searched for what was lent, and nobody knows what was made.
#[test]
fn ex_14_no_shipped_binding_admits_a_free_request_that_makes_a_credential() {
    let catalog = catalog();
    for (slug, host, bound, paths) in MAKERS {
        let spec = catalog.get(&ToolSlug::parse(slug).unwrap()).unwrap();
        let host = Host::parse(host).unwrap();
        // A host that is misspelt here would be refused for that alone.
        assert_eq!(spec.declares(&host), bound, "{slug}: {host}");
        for path in paths {
            let to = Destination {
                method: &Method::POST,
                scheme: Scheme::Https,
                host: &host,
                port: 443,
                path,
            };
            let binding = spec.binding_for(&to, &at_hand(spec, &[]));
            assert!(binding.is_none_or(|b| b.only_actions), "{slug}: {path}");
        }
    }
}
