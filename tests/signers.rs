//! Signers: what is sent is made with the key, believed at the other side, and seen by nobody else.

#[path = "signers/aws.rs"]
mod aws;
mod harness;
mod stage;
#[path = "signers/tokens.rs"]
mod tokens;

use std::path::Path;

use aws::Keys;
use harness::{Client, Reply, Upstream};
use runtools_broker::tools::ToolSpec;
use serde_json::{Value, json};
use stage::{Stage, execution, text};

/// The shipped tool of this name for upstreams on this machine: the hosts are exchanged, nothing else.
fn shipped(slug: &str, hosts: &[&str], port: u16) -> Value {
    let file = Path::new("config/tools").join(format!("{slug}.toml"));
    let mut toml = std::fs::read_to_string(file).unwrap();
    for host in hosts {
        let here = format!("http://127.0.0.1:{port}");
        toml = toml.replace(&format!("https://{host}"), &here);
        let binding = format!(
            "scheme = \"http\"\nhosts = [\"127.0.0.1\"]\nport = {port}\nprivate = [\"127.0.0.1/32\"]"
        );
        toml = toml.replace(&format!("hosts = [\"{host}\"]"), &binding);
    }
    let spec = ToolSpec::from_toml(&toml).unwrap_or_else(|error| panic!("{error}"));
    let required: Vec<_> = spec.required_fields().collect();
    let required = json!(required);
    let spec = spec.to_json();
    let mut schema = spec["credentials"].clone();
    for field in schema.as_object_mut().unwrap().values_mut() {
        field.as_object_mut().unwrap().remove("required");
    }
    json!({
        "slug": format!("custom-{slug}"), "name": spec["name"], "bindings": spec["bindings"],
        "credentialsJson": {"required": required, "schema": schema}, "actionsJson": spec["actions"],
    })
}

fn run(stage: &Stage, client: &Client, slug: &str, action: &str, params: &Value) -> Reply {
    let call = json!({"action": action, "params": params});
    stage.send(client, "POST", &format!("/v1/tools/{slug}/execute"), &call)
}

/// The last signature that arrived is in no answer from now on, and not in the one that came.
fn signature_is_hidden(stage: &mut Stage, upstream: &Upstream, reply: &Reply) {
    let says = upstream.last().header("authorization");
    let signature = says.rsplit("Signature=").next().unwrap();
    assert_eq!(signature.len(), 64);
    stage.canaries.also(signature);
    stage.canaries.absent_from("the answer", &reply.body);
}

#[test]
fn the_shipped_aws_tool_signs_what_aws_believes() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    let keys = Keys {
        id: stage.secret(&operator, "AWS_ACCESS_KEY_ID", &json!({})),
        secret: stage.secret(&operator, "AWS_SECRET_ACCESS_KEY", &json!({})),
        token: stage.secret(&operator, "AWS_SESSION_TOKEN", &json!({})),
    };
    let upstream = aws::start(&keys);
    let hosts = ["sts.amazonaws.com", "s3.us-east-1.amazonaws.com"];
    stage.install(&operator, &shipped("aws", &hosts, upstream.port()));
    let bucket = |more: Value| {
        let mut params = json!({"bucket": "my-bucket.1"});
        stage::merge(&mut params, &more);
        params
    };
    for (action, params, target) in [
        ("get_caller_identity", json!({}), "/"),
        ("list_buckets", json!({}), "/"),
        (
            "list_objects",
            bucket(json!({"prefix": "a b/ü+&=~", "delimiter": "/", "max_keys": 7})),
            "/my-bucket.1?delimiter=%2F&list-type=2&max-keys=7&prefix=a%20b%2F%C3%BC%2B%26%3D~",
        ),
        (
            "get_bucket_location",
            bucket(json!({})),
            "/my-bucket.1?location=",
        ),
        (
            "get_object",
            bucket(json!({"key": "a b(ü)+=@!*'.json"})),
            "/my-bucket.1/a%20b%28%C3%BC%29%2B%3D%40%21%2A%27.json",
        ),
    ] {
        let reply = run(&stage, &operator, "custom-aws", action, &params);
        let done = execution(&reply);
        assert_eq!(done["success"], true, "{action}: {}", text(&reply));
        assert_eq!(upstream.last().target, target);
        let arrived = upstream.last().header("authorization");
        assert!(arrived.contains(&format!("Credential={}/", keys.id)));
        signature_is_hidden(&mut stage, &upstream, &reply);
    }
    let ended = stage.ended("tool.execute");
    assert_eq!(ended["sources"]["secretAccessKey"], "user_secret");
    assert!(ended["outcome"]["scrub_hits"].as_u64().unwrap() > 0);
    let sent = upstream.seen();
    assert!(
        sent.iter()
            .all(|seen| !seen.echo().to_string().contains(&keys.secret))
    );
    stage.finish();
}

#[test]
fn ex_13_a_caller_chooses_no_region_service_or_key() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    let keys = Keys {
        id: stage.secret(&operator, "AWS_ACCESS_KEY_ID", &json!({})),
        secret: stage.secret(&operator, "AWS_SECRET_ACCESS_KEY", &json!({})),
        token: String::new(),
    };
    let upstream = aws::start(&keys);
    let hosts = ["sts.amazonaws.com", "s3.us-east-1.amazonaws.com"];
    stage.install(&operator, &shipped("aws", &hosts, upstream.port()));
    let bucket = json!({"bucket": "my-bucket"});
    for params in [
        json!({"bucket": "my-bucket", "region": "eu-west-1"}),
        json!({"bucket": "my-bucket", "service": "iam"}),
        json!({"bucket": "my-bucket", "x-amz-date": "20200101T000000Z"}),
        json!({"bucket": "my-bucket", "sigv4": {"region": "eu-west-1"}}),
        json!({"bucket": "../x"}),
        json!({"bucket": "a/b"}),
    ] {
        let reply = run(&stage, &operator, "custom-aws", "list_objects", &params);
        assert_eq!(
            reply.refused(400),
            "bad_params",
            "{params}: {}",
            text(&reply)
        );
    }
    assert!(upstream.seen().is_empty());
    // What stands in a parameter is data, also where it looks like a part of a signature.
    let sly = json!({"bucket": "my-bucket", "prefix": "&X-Amz-Signature=0&X-Amz-Date=x"});
    let reply = run(&stage, &operator, "custom-aws", "list_objects", &sly);
    assert_eq!(execution(&reply)["success"], true, "{}", text(&reply));
    // A request without a session token has no header for one, and its signature is believed.
    let reply = run(&stage, &operator, "custom-aws", "list_objects", &bucket);
    assert_eq!(execution(&reply)["success"], true, "{}", text(&reply));
    assert!(
        upstream
            .last()
            .headers
            .get("x-amz-security-token")
            .is_none()
    );
    // The other side does look: another key's signature is refused.
    stage.secret(&operator, "OTHER_KEY", &json!({}));
    let call = json!({
        "action": "list_objects", "params": bucket,
        "credentialOverrides": {"secretAccessKey": "OTHER_KEY"},
    });
    let reply = stage.send(&operator, "POST", "/v1/tools/custom-aws/execute", &call);
    let done = execution(&reply);
    assert_eq!(done["error"]["code"], "upstream_denied");
    assert!(text(&reply).contains("SignatureDoesNotMatch"));
    signature_is_hidden(&mut stage, &upstream, &reply);
    stage.finish();
}

#[test]
fn a_message_of_fixed_form_is_signed_and_the_signature_stays_hidden() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    let key = stage.secret(&operator, "CUSTOM_MAC_KEY", &json!({}));
    let upstream = Upstream::echo();
    let port = upstream.port();
    let signer = json!({"hmac": {
        "header": "x-signature", "timestampHeader": "x-time", "format": "v1={signature}",
        "message": "{timestamp}.{method}.{host}.{target}.{body}",
    }});
    stage.install(
        &operator,
        &json!({
            "slug": "custom-mac", "name": "Signed",
            "credentialsJson": {"required": ["key"], "schema": {"key": {"type": "string"}}},
            "bindings": [{
                "scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
                "methods": ["POST"], "paths": ["/orders"], "slots": {"key": signer},
            }],
            "actionsJson": {"run": {
                "parameters": {"type": "object", "properties": {"note": {"type": "string"}}},
                "http": {
                    "method": "POST", "url": format!("http://127.0.0.1:{port}/orders"),
                    "query": {"a": "1"}, "json": {"note": "{note}"},
                },
            }},
        }),
    );
    let params = json!({"note": "1.POST.evil"});
    let reply = run(&stage, &operator, "custom-mac", "run", &params);
    assert_eq!(execution(&reply)["success"], true, "{}", text(&reply));
    let seen = upstream.last();
    let body = String::from_utf8(seen.body.to_vec()).unwrap();
    let message = format!(
        "{}.POST.127.0.0.1:{port}./orders?a=1.{body}",
        seen.header("x-time")
    );
    let expected = tokens::hmac_hex(key.as_bytes(), message.as_bytes());
    assert_eq!(seen.header("x-signature"), format!("v1={expected}"));
    assert!(text(&reply).contains("v1=****"), "{}", text(&reply));
    stage.canaries.also(&expected);
    stage.finish();
}
