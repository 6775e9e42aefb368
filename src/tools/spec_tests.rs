use serde_json::{Value, json};

use super::{CredentialMode, ToolSpec, default_secret};
use crate::name::{ActionName, FieldName, Fields, SecretName, ToolSlug};
use crate::tools::Catalog;

fn custom(body: Value) -> Result<ToolSpec, String> {
    ToolSpec::from_custom_json(body).map_err(|error| {
        assert!(!error.hint().is_empty());
        error.to_string()
    })
}

fn crm() -> Value {
    json!({
        "slug": "custom-crm",
        "name": "Custom CRM",
        "code": "export default defineTool({})",
        "credentialsJson": {
            "required": ["apiKey"],
            "schema": { "apiKey": { "type": "string", "description": "CRM key" } },
        },
        "actionsJson": {
            "lookup_customer": {
                "description": "A customer by e-mail",
                "parameters": {
                    "type": "object",
                    "properties": { "email": { "type": "string" }, "page": { "type": "integer" } },
                    "required": ["email"],
                },
                "http": { "method": "GET", "url": "https://crm.example.com/customers", "query": { "email": "{email}", "page": "{page}" } },
            },
        },
        "hosts": ["crm.example.com"],
        "slots": { "apiKey": { "header": "x-api-key" } },
    })
}

fn changed(pointer: &str, key: &str, value: Value) -> Value {
    let mut body = crm();
    body.pointer_mut(pointer).unwrap()[key] = value;
    body
}

#[test]
fn a_runtools_body_becomes_a_tool() {
    let spec = custom(crm()).unwrap();
    let field = FieldName::parse("apiKey").unwrap();
    let secret = spec.credentials.fields[&field].secret.as_ref().unwrap();
    assert_eq!(secret.as_str(), "CUSTOM_CRM_API_KEY");
    assert_eq!(spec.credential_mode(), CredentialMode::Secret);
    let action = spec
        .action(&ActionName::parse("lookup_customer").unwrap())
        .unwrap();
    let request = action.render(&json!({ "email": "a+b@c.de" })).unwrap();
    assert_eq!(
        request.url(),
        "https://crm.example.com/customers?email=a%2Bb%40c.de"
    );
    let shown = spec.to_public_json();
    assert_eq!(shown["credentials"]["required"], json!(["apiKey"]));
    assert_eq!(shown["hosts"], json!(["crm.example.com"]));
    assert_eq!(
        shown["actions"]["lookup_customer"]["executable"],
        json!(true)
    );
    assert!(shown.get("code").is_none());
}

#[test]
fn a_tool_of_code_alone_loads_and_has_nowhere_to_send_its_credentials() {
    let spec = custom(json!({
        "slug": "x", "name": "X", "code": "…", "description": null,
        "credentialsJson": { "required": ["k"], "schema": { "k": { "type": "string" } } },
        "actionsJson": { "go": { "description": "", "parameters": { "type": "object" } } },
    }))
    .unwrap();
    assert!(spec.bindings.is_empty());
    let go = spec.action(&ActionName::parse("go").unwrap()).unwrap();
    assert!(go.render(&json!({})).is_err());
}

#[test]
fn dc_12_unknown_keys_are_refused_and_named_wherever_they_stand() {
    let action = "/actionsJson/lookup_customer";
    let http = "/actionsJson/lookup_customer/http";
    for (pointer, key) in [
        ("", "baseUrl"),
        ("", "credentials"),
        ("/credentialsJson", "base_url"),
        ("/credentialsJson/schema/apiKey", "value"),
        (action, "execute"),
        (http, "baseUrl"),
        (http, "host"),
        (http, "auth"),
        ("/slots/apiKey", "value"),
    ] {
        let error = custom(changed(pointer, key, json!("x"))).unwrap_err();
        assert_eq!(error, format!("{pointer}/{key}: unknown key"));
    }
    let error = custom(changed("", "a canary\nwith spaces", json!("x"))).unwrap_err();
    assert_eq!(
        error, "/?: unknown key",
        "a key that is no word is not echoed"
    );
}

#[test]
fn what_does_not_fit_together_does_not_load() {
    for (pointer, key, value) in [
        ("", "slug", json!("Custom CRM")),
        ("", "name", json!(7)),
        ("", "name", Value::Null),
        ("", "hosts", json!([])),
        ("", "hosts", Value::Null),
        ("", "slots", Value::Null),
        ("", "slots", json!({ "other": { "header": "x-api-key" } })),
        (
            "",
            "slots",
            json!({ "apiKey": { "basic": "user", "withField": "other" } }),
        ),
        ("/credentialsJson", "required", json!(["apiKey", "other"])),
        ("/credentialsJson/schema/apiKey", "type", json!("number")),
        (
            "/credentialsJson/schema/apiKey",
            "secret",
            json!("not a name"),
        ),
        (
            "/credentialsJson/schema/apiKey",
            "placeholderPrefix",
            json!("a b"),
        ),
        ("/credentialsJson/schema/apiKey", "env", json!("X_KEY")),
        (
            "/credentialsJson/schema/apiKey",
            "env",
            json!(["X_KEY", "LD_PRELOAD"]),
        ),
        (
            "/credentialsJson",
            "oauth",
            json!({ "provider": "x", "credentialMapping": {} }),
        ),
        (
            "/credentialsJson",
            "oauth",
            json!({ "provider": "x", "credentialMapping": { "no": "access_token" } }),
        ),
        (
            "/credentialsJson",
            "oauth",
            json!({ "provider": "x", "credentialMapping": { "apiKey": "refresh_token" } }),
        ),
    ] {
        let result = custom(changed(pointer, key, value.clone()));
        assert!(result.is_err(), "{pointer}/{key} = {value}");
    }
}

#[test]
fn a_template_that_could_ask_for_something_else_does_not_load() {
    let http = "/actionsJson/lookup_customer/http";
    for (key, value) in [
        ("url", json!("https://evil.test/customers")),
        ("url", json!("https://crm.example.com.evil.test/customers")),
        ("url", json!("http://crm.example.com/customers")),
        ("url", json!("https://crm.example.com:8443/customers")),
        ("url", json!("https://{email}/customers")),
        ("url", json!("https://crm.example.com:{page}/customers")),
        ("url", json!("https://a@crm.example.com/customers")),
        ("url", json!("{email}://crm.example.com/customers")),
        ("url", json!("https://crm.example.com/a?email={email}")),
        ("url", json!("https://crm.example.com/a/../b")),
        ("url", json!("https://crm.example.com/{page}")),
        ("url", json!("https://crm.example.com/{unknown}")),
        ("url", json!("https://crm.example.com/{apiKey}")),
        ("url", json!("https://crm.example.com/{@place}")),
        ("method", json!("TRACE")),
        ("query", json!({ "q": "{unknown}" })),
        ("query", json!({ "q": "p{page}" })),
        ("query", json!({ "q": "{apiKey}" })),
        ("headers", json!({ "x-api-key": "mine" })),
        ("headers", json!({ "authorization": "mine" })),
        ("headers", json!({ "Host": "evil.test" })),
        ("headers", json!({ "x-a": "a\r\nb" })),
        ("json", json!({ "a": 1 })),
        ("result", json!("data")),
        ("open", json!(true)),
    ] {
        let result = custom(changed(http, key, value.clone()));
        assert!(result.is_err(), "{key} = {value}");
    }
}

#[test]
fn sizes_are_limited() {
    assert!(custom(changed("", "code", json!("x".repeat(256 * 1024)))).is_err());
    let many = |n: usize| -> Value {
        let one = |i| (format!("a{i}"), json!({ "description": "d" }));
        Value::Object((0..n).map(one).collect())
    };
    assert!(custom(changed("", "actionsJson", many(200))).is_ok());
    assert!(custom(changed("", "actionsJson", many(201))).is_err());
    let fields = |n: usize| -> Value {
        let one = |i| (format!("f{i}"), json!({ "type": "string" }));
        Value::Object((0..n).map(one).collect())
    };
    let body = |n| json!({ "slug": "x", "name": "X", "credentialsJson": { "schema": fields(n) } });
    assert!(custom(body(32)).is_ok());
    assert!(custom(body(33)).is_err());
    assert!(ToolSpec::from_toml(&format!("# {}\n", "x".repeat(256 * 1024))).is_err());
}

#[test]
fn a_toml_mistake_is_found_by_line_or_by_key() {
    let fails = |text: &str| ToolSpec::from_toml(text).unwrap_err().to_string();
    assert_eq!(
        fails("slug = \"a\"\nname = ="),
        "the document cannot be read (line 2)"
    );
    assert_eq!(fails("name = \"A\""), "/slug: missing");
    assert_eq!(fails("slug = \"a\""), "/name: missing");
    assert_eq!(
        fails("slug = \"a\"\nname = \"A\"\nhost = \"x\""),
        "/host: unknown key"
    );
    assert_eq!(
        fails(
            "slug = \"a\"\nname = \"A\"\n[[bindings]]\nhosts = [\"api.good.com\"]\nmethods = [\"GET\"]\npaths = [\"^/a\"]"
        ),
        "/bindings/0/paths/0: a path pattern starts with / and covers the whole path"
    );
}

#[test]
fn a_spec_reads_back_as_itself() {
    let catalog = Catalog::embedded().unwrap();
    let mut specs: Vec<ToolSpec> = catalog.all().map(|spec| (**spec).clone()).collect();
    specs.push(custom(crm()).unwrap());
    for spec in specs {
        let text = serde_json::to_string(&spec).unwrap();
        let back: ToolSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(back, spec);
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}

#[test]
fn a_field_has_a_secret_by_its_own_name() {
    for (slug, field, secret) in [
        ("custom-crm", "apiKey", Some("CUSTOM_CRM_API_KEY")),
        ("github", "token", Some("GITHUB_TOKEN")),
        ("a", "awsS3Key", Some("A_AWS_S3_KEY")),
        ("a", "HTTPToken", Some("A_HTTP_TOKEN")),
        ("a", "api_key", Some("A_API_KEY")),
        ("7zip", "key", None),
    ] {
        let (slug, field) = (
            ToolSlug::parse(slug).unwrap(),
            FieldName::parse(field).unwrap(),
        );
        let found = default_secret(&slug, &field);
        assert_eq!(found.as_ref().map(SecretName::as_str), secret);
    }
}

#[test]
fn a_field_has_variables_as_its_file_says_or_one_of_the_name_of_its_secret() {
    let env = |key: &str, more: Value| {
        let mut body = json!({
            "slug": "custom-crm", "name": "CRM", "hosts": ["a.example"],
            "slots": { "apiKey": { "header": "x-api-key" } },
            "credentialsJson": { "schema": { "apiKey": { "type": "string" } } },
        });
        body["credentialsJson"]["schema"]["apiKey"][key] = more;
        let spec = ToolSpec::from_custom_json(body).unwrap();
        let again = ToolSpec::from_json(spec.to_json()).unwrap();
        assert_eq!(again, spec);
        let field = spec.credentials.fields.into_values().next().unwrap();
        let names = field.env.iter().map(ToString::to_string);
        names.collect::<Vec<_>>()
    };
    assert_eq!(env("env", Value::Null), ["CUSTOM_CRM_API_KEY"]);
    assert_eq!(env("secret", json!("crm_key")), ["CRM_KEY"]);
    assert!(
        env("secret", json!("path")).is_empty(),
        "it steers programs"
    );
    assert_eq!(
        env("env", json!(["CRM_KEY", "CRM_TOKEN"])),
        ["CRM_KEY", "CRM_TOKEN"]
    );
    assert!(env("env", json!([])).is_empty());
}

#[test]
fn a_toml_file_has_no_more_strings_and_levels_than_a_body_of_json() {
    let refused = |text: String| ToolSpec::from_toml(&text).unwrap_err().to_string();
    let begins = "slug = \"x\"\nname = \"X\"\n";
    let many = format!("{begins}list = [{}]", "\"\",".repeat(4_000));
    assert!(refused(many).contains("at most 4000 strings"));
    let many: String = (0..4_000).map(|n| format!("k{n} = 1\n")).collect();
    assert!(refused(format!("{begins}{many}")).contains("at most 4000 strings"));
    let deep = format!("{begins}deep = {}{}", "[".repeat(40), "]".repeat(40));
    assert!(refused(deep).contains("at most 4000 strings"));
    let few = format!("{begins}list = [{}]", "\"\",".repeat(3_000));
    assert!(refused(few).contains("unknown key"));
}

#[test]
fn the_schema_of_many_actions_counts_once_however_the_spec_is_written() {
    let rules: Vec<_> = (0..20)
        .map(|n| json!({ "pattern": format!("^a{n}$") }))
        .collect();
    let schema = json!({ "type": "object", "properties": { "a": { "allOf": rules } } });
    let actions: serde_json::Map<_, _> = (0..50)
        .map(|n| (format!("act_{n}"), json!({ "description": "Acts." })))
        .collect();
    let body = json!({
        "slug": "x", "name": "X", "parametersJson": schema, "actionsJson": actions,
    });
    let spec = ToolSpec::from_custom_json(body).unwrap();
    assert_eq!(ToolSpec::from_json(spec.to_json()).unwrap(), spec);
    assert!(spec.size() > 20 * 4_096);
}

#[test]
fn the_manuals_example_loads_and_renders() {
    let manual = include_str!("../manual/tools.md");
    let example = manual
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let spec = ToolSpec::from_toml(example).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(spec.slug.as_str(), "custom-crm");
    let action = spec
        .action(&ActionName::parse("lookup_customer").unwrap())
        .unwrap();
    let request = action.render(&json!({ "email": "a@b.c" })).unwrap();
    assert_eq!(
        request.url(),
        "http://127.0.0.1:8080/customers?email=a%40b.c"
    );
    let field = FieldName::parse("apiKey").unwrap();
    let at_hand = Fields::from_iter([(field, Vec::new())]);
    assert!(spec.binding_for(&request.destination(), &at_hand).is_some());
}
