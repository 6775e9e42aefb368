//! Signed tokens: as bearer tokens of their own, and in exchange for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use data_encoding::{BASE64, HEXLOWER};
use runtools_broker::crypto::{Jwks, Jws, hmac_of};
use runtools_broker::secret::Secret;
use serde_json::{Value, json};

use crate::harness::upstream::json as answer;
use crate::harness::{Seen, Upstream};
use crate::stage::{Stage, execution, text};
use crate::{run, shipped};

/// The key of RFC 7515, A.2.
const PEM: &str = include_str!("../fixtures/jws/rfc7515-a2.pkcs1.pem");
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

pub(crate) fn hmac_hex(key: &[u8], message: &[u8]) -> String {
    HEXLOWER.encode(&hmac_of(&Secret::copy_of(key), message))
}

/// The claims of a token that the key's owner signed.
#[track_caller]
fn claims(token: &str) -> Value {
    let keys = json!({"keys": [{"kty": "RSA", "n": N, "e": "AQAB"}]});
    let keys = Jwks::parse(&serde_json::to_vec(&keys).unwrap()).unwrap();
    let token = Jws::parse(token.as_bytes()).unwrap();
    serde_json::from_slice(token.verify(&keys).unwrap()).unwrap()
}

fn bearer(seen: &Seen) -> String {
    seen.header("authorization")
        .strip_prefix("Bearer ")
        .unwrap()
        .to_owned()
}

/// A stage with the key as GitHub hands it out, in one line.
fn stage() -> Stage {
    let stage = Stage::new();
    let operator = stage.operator();
    let key = BASE64.encode(PEM.as_bytes());
    stage.secret_of(&operator, "GITHUB_APP_PRIVATE_KEY", &key, &json!({}));
    stage
}

/// GitHub: tokens for installation 12345678, and an echo for the rest with this status.
fn github(token: &str, status: &Arc<AtomicU16>) -> Upstream {
    let (token, status) = (token.to_owned(), Arc::clone(status));
    Upstream::plain(move |seen| match seen.target.as_str() {
        "/app/installations/12345678/access_tokens" => answer(
            201,
            &json!({"token": token, "expires_at": "2999-01-01T00:00:00Z"}),
        ),
        path if path.ends_with("/access_tokens") => answer(404, &json!({"message": "Not Found"})),
        _ => answer(
            status.load(Ordering::SeqCst),
            &json!({"repositories": [seen.echo()]}),
        ),
    })
}

fn github_app(upstream: &Upstream) -> Value {
    let port = upstream.port();
    let mut spec = shipped("github-app", &["api.github.com"], port);
    for binding in spec["bindings"].as_array_mut().unwrap() {
        binding["slots"]["privateKey"][0]["githubApp"]["api"] =
            json!(format!("http://127.0.0.1:{port}"));
    }
    spec
}

#[test]
fn a_github_app_acts_as_itself_with_a_signed_token() {
    let mut stage = stage();
    let operator = stage.operator();
    let id = stage.secret(&operator, "GITHUB_APP_CLIENT_ID", &json!({}));
    let upstream = github("none", &Arc::new(AtomicU16::new(200)));
    stage.install(&operator, &github_app(&upstream));
    let reply = run(
        &stage,
        &operator,
        "custom-github-app",
        "get_app",
        &json!({}),
    );
    assert_eq!(execution(&reply)["success"], true, "{}", text(&reply));
    let token = bearer(&upstream.last());
    let claims = claims(&token);
    assert_eq!(claims["iss"], id);
    let (from, to) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert!(to - from <= 600, "GitHub takes ten minutes at most");
    assert_eq!(claims.as_object().unwrap().len(), 3, "{claims}");
    // Echoed, it would be good for minutes; so would its last part beside the other two.
    stage.canaries.also(&token);
    stage.canaries.also(token.rsplit('.').next().unwrap());
    stage.canaries.absent_from("the answer", &reply.body);
    stage.finish();
}

#[test]
fn an_installations_token_is_fetched_kept_for_the_next_call_and_seen_by_nobody() {
    let mut stage = stage();
    let operator = stage.operator();
    stage.secret(&operator, "GITHUB_APP_CLIENT_ID", &json!({}));
    stage.secret_of(
        &operator,
        "GITHUB_APP_INSTALLATION_ID",
        "12345678",
        &json!({}),
    );
    let token = stage.canaries.value();
    let status = Arc::new(AtomicU16::new(200));
    let upstream = github(&token, &status);
    stage.install(&operator, &github_app(&upstream));
    let list = |stage: &Stage| {
        run(
            stage,
            &operator,
            "custom-github-app",
            "list_repos",
            &json!({}),
        )
    };
    for _ in 0..2 {
        let reply = list(&stage);
        assert_eq!(execution(&reply)["success"], true, "{}", text(&reply));
        assert_eq!(bearer(&upstream.last()), token);
        assert!(text(&reply).contains("Bearer ****"));
    }
    let fetched = || {
        let seen = upstream.seen();
        let fetched = seen
            .iter()
            .filter(|seen| seen.target.ends_with("/access_tokens"));
        fetched.cloned().collect::<Vec<_>>()
    };
    let first = fetched();
    assert_eq!(first.len(), 1, "the second call used the kept one");
    assert_eq!((first[0].method.as_str(), first[0].body.len()), ("POST", 0));
    let proof = bearer(&first[0]);
    claims(&proof);
    stage.canaries.also(&proof);
    // The API refuses it: the next call fetches another.
    status.store(401, Ordering::SeqCst);
    assert_eq!(execution(&list(&stage))["error"]["code"], "upstream_denied");
    status.store(200, Ordering::SeqCst);
    assert_eq!(execution(&list(&stage))["success"], true);
    assert_eq!(fetched().len(), 2);
    // A new version of the key is another credential.
    let key = BASE64.encode(PEM.replace('\n', "\r\n").as_bytes());
    stage.secret_of(&operator, "GITHUB_APP_PRIVATE_KEY", &key, &json!({}));
    assert_eq!(execution(&list(&stage))["success"], true);
    assert_eq!(fetched().len(), 3);
    stage.finish();
}

#[test]
fn without_a_token_nothing_is_sent_to_the_api() {
    let mut stage = stage();
    let operator = stage.operator();
    stage.secret(&operator, "GITHUB_APP_CLIENT_ID", &json!({}));
    let upstream = github("unused", &Arc::new(AtomicU16::new(200)));
    stage.install(&operator, &github_app(&upstream));
    let list = || {
        run(
            &stage,
            &operator,
            "custom-github-app",
            "list_repos",
            &json!({}),
        )
    };
    let reply = list();
    assert!(upstream.seen().is_empty() && upstream.accepted() == 0);
    assert_eq!(
        reply.refused(409),
        "missing_credentials",
        "{}",
        text(&reply)
    );
    stage.secret_of(
        &operator,
        "GITHUB_APP_INSTALLATION_ID",
        "87654321",
        &json!({}),
    );
    let reply = list();
    assert_eq!(
        execution(&reply)["error"]["code"],
        "token_refused",
        "{}",
        text(&reply)
    );
    assert!(text(&reply).contains("404"), "{}", text(&reply));
    let ended = stage.ended("tool.execute");
    assert_eq!(ended["outcome"]["code"], "token_refused", "{ended}");
    stage.secret_of(
        &operator,
        "GITHUB_APP_INSTALLATION_ID",
        "1/../../user",
        &json!({}),
    );
    assert_eq!(list().refused(422), "placement_refused");
    let seen = upstream.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.target.ends_with("/access_tokens"))
    );
    assert_eq!(seen.len(), 1);
    stage.finish();
}

/// A tool whose token comes from another port than its API.
fn bearer_tool(api: u16, auth: &str) -> Value {
    let signer = json!({"jwtBearer": {
        "alg": "RS256", "issuer": "me@example.com", "claims": {"scope": "read"}, "tokenUrl": auth,
    }});
    json!({
        "slug": "custom-bearer", "name": "Bearer",
        "credentialsJson": {"required": ["key"], "schema": {"key": {"type": "string", "secret": "KEY"}}},
        "bindings": [{
            "scheme": "http", "hosts": ["127.0.0.1"], "port": api, "private": ["127.0.0.0/8"],
            "methods": ["GET"], "paths": ["/data"], "slots": {"key": signer},
        }],
        "actionsJson": {"run": {"http": {"method": "GET", "url": format!("http://127.0.0.1:{api}/data")}}},
    })
}

#[test]
fn an_assertion_is_exchanged_at_the_declared_endpoint_only() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    let token = stage.canaries.value();
    let granted = json!({"access_token": token, "token_type": "bearer", "expires_in": 3600});
    let auth = Upstream::plain(move |_| answer(200, &granted));
    let api = Upstream::echo();
    let url = format!("http://127.0.0.2:{}/token", auth.port());
    let endpoint = format!("http://127.0.0.1:{}/token", auth.port());
    let key = BASE64.encode(PEM.as_bytes());
    stage.secret_of(&operator, "KEY", &key, &json!({"hosts": ["127.0.0.1"]}));
    // The secret's own hosts are the API's, and not the endpoint's.
    stage.install(&operator, &bearer_tool(api.port(), &url));
    let reply = stage.run(&operator, "custom-bearer", &json!({}));
    assert_eq!(reply.refused(403), "binding_refused", "{}", text(&reply));
    assert_eq!((api.accepted(), auth.accepted()), (0, 0));
    let rewritten = bearer_tool(api.port(), &endpoint);
    stage
        .send(&operator, "POST", "/v1/tools/custom", &rewritten)
        .expect(200);
    let reply = stage.run(&operator, "custom-bearer", &json!({}));
    assert_eq!(execution(&reply)["success"], true, "{}", text(&reply));
    assert_eq!(bearer(&api.last()), token);
    // The journal names both hosts.
    let entry = stage.ended("tool.execute");
    let endpoint_of = |entry: &Value| {
        let mut targets = entry["targets"].as_array().unwrap().iter();
        let found = targets.find(|target| target["kind"] == "endpoint");
        found.map(|target| target["name"].clone())
    };
    assert_eq!(endpoint_of(&entry), Some(json!("127.0.0.1")), "{entry}");
    let again = stage.run(&operator, "custom-bearer", &json!({}));
    assert_eq!(execution(&again)["success"], true, "{}", text(&again));
    let entry = stage.ended("tool.execute");
    assert_eq!(endpoint_of(&entry), None, "the token was kept: {entry}");
    let asked = auth.last();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/token")
    );
    assert_eq!(
        asked.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let form: Vec<_> = url::form_urlencoded::parse(&asked.body)
        .into_owned()
        .collect();
    let grant = (
        "grant_type".to_owned(),
        "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
    );
    assert_eq!(
        (&form[0], form[1].0.as_str(), form.len()),
        (&grant, "assertion", 2)
    );
    let claims = claims(&form[1].1);
    assert_eq!(
        (&claims["aud"], &claims["scope"]),
        (&json!(endpoint), &json!("read"))
    );
    assert_eq!(claims["iss"], "me@example.com");
    stage.canaries.also(&form[1].1);
    stage.finish();
}
