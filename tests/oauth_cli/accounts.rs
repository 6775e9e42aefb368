//! Accounts, providers and clients: listed, chosen, set and forgotten.

use std::process::Command;

use serde_json::{Value, json};

use super::CONNECTIONS;
use super::fake::{Fake, ID, OTHER, connection, data, ended, github, list};

#[test]
fn accounts_are_listed_chosen_and_forgotten() {
    let two = json!([
        connection(ID, "octocat", &[]),
        connection(OTHER, "hubot", &["gist"])
    ]);
    let fake = Fake::github(&[
        (CONNECTIONS, vec![list(&two)]),
        (
            &format!("POST /v1/oauth/connections/{OTHER}/default"),
            vec![data(&connection(OTHER, "hubot", &[]))],
        ),
        (
            &format!("DELETE /v1/oauth/connections/{ID}"),
            vec![data(&json!({"success": true, "upstream": "pending"}))],
        ),
    ]);
    let (out, err) = fake.says(0, &["oauth", "list", "--provider", "github", "--all"]);
    assert!(
        out.starts_with("PROVIDER  ACCOUNT  STATUS   DEFAULT  EXPIRES (UTC)"),
        "{out}"
    );
    assert!(
        out.contains("github    octocat  active   yes      2026-11-23 17:30"),
        "{out}"
    );
    assert!(
        err.contains(&format!("oauth connect github --reconnect {OTHER}")),
        "{err}"
    );
    let asked = fake.wait_for(CONNECTIONS).query;
    assert_eq!((&*asked["provider"], &*asked["all"]), ("github", "true"));

    let (_, err) = fake.says(2, &["oauth", "set-default", "github"]);
    assert!(err.contains("octocat") && err.contains("hubot"), "{err}");
    let (_, err) = fake.says(0, &["oauth", "set-default", "github", "hubot"]);
    assert!(err.contains("hubot is the default of github"), "{err}");

    let forget = ["oauth", "disconnect", "github", "octocat"];
    fake.says(2, &forget);
    let deleted = format!("DELETE /v1/oauth/connections/{ID}");
    assert!(fake.all(&deleted).is_empty(), "nobody said yes");
    let (_, err) = fake.says(0, &[&forget[..], &["--yes"]].concat());
    let told = "disconnected github (octocat); the provider could not be reached, and is tried again for a day";
    assert!(err.contains(told), "{err}");
    assert_eq!(fake.all(&deleted).len(), 1);
}

#[test]
fn providers_are_listed_with_the_ways_to_connect_them() {
    let providers = json!([github(true), github(false)]);
    let fake = Fake::new(&[("GET /v1/oauth/providers", vec![list(&providers)])]);
    let (out, _) = fake.says(0, &["oauth", "providers"]);
    assert!(
        out.contains("github    GitHub  instance  browser, device  verified"),
        "{out}"
    );
    let asked = fake.wait_for("GET /v1/oauth/providers").query;
    assert!(
        asked["details"] == "true" && !asked.contains_key("all"),
        "{asked:?}"
    );
}

/// A client as it is shown.
fn config() -> Value {
    json!({
        "provider": "github", "clientId": "Iv1", "hasSecret": true, "scopes": ["repo"],
        "redirectUri": "https://broker.example/v1/oauth/callback/github",
        "createdAt": "2026-11-23T09:30:00Z", "updatedAt": "2026-11-23T09:30:00Z",
    })
}

#[test]
fn a_client_s_secret_is_sent_and_never_shown() {
    const SET: &str = "POST /v1/oauth/configs";
    let fake = Fake::new(&[
        (SET, vec![data(&config())]),
        ("GET /v1/oauth/configs", vec![list(&json!([config()]))]),
        (
            "DELETE /v1/oauth/configs/github",
            vec![data(&json!({"success": true}))],
        ),
    ]);
    std::fs::write(fake.path("secret"), "canary-file\n").unwrap();
    let file = fake.path("secret").display().to_string();
    let set = ["oauth", "configs", "set", "github", "--client-id", "Iv1"];
    let mut seen = String::new();
    for (more, input, sent) in [
        (
            &["--client-secret-stdin"][..],
            "canary-in\n",
            json!({"clientSecret": "canary-in"}),
        ),
        (
            &["--client-secret-file", &file],
            "",
            json!({"clientSecret": "canary-file"}),
        ),
        (
            &["--public", "--scopes", "a b,c"],
            "",
            json!({"public": true, "scopes": ["a", "b", "c"]}),
        ),
        (
            &["--keep-secret", "--scopes", ""],
            "",
            json!({"scopes": []}),
        ),
    ] {
        let (out, err) = fake.fed(0, &[&set[..], more].concat(), input);
        seen.extend([out, err]);
        let mut body = json!({"provider": "github", "clientId": "Iv1"});
        body.as_object_mut()
            .unwrap()
            .extend(sent.as_object().unwrap().clone());
        assert_eq!(fake.all(SET).last().unwrap().body, body, "{more:?}");
    }
    assert!(
        seen.contains("https://broker.example/v1/oauth/callback/github"),
        "{seen}"
    );
    let (out, _) = fake.says(0, &["oauth", "configs", "list"]);
    assert!(out.contains("github    Iv1        yes     repo"), "{out}");
    fake.says(2, &["oauth", "configs", "remove", "github"]);
    let (_, err) = fake.says(0, &["oauth", "configs", "rm", "github", "--yes"]);
    assert!(err.contains("removed the client of github"), "{err}");
    assert!(!seen.contains("canary"), "{seen}");
    let two = ["--public", "--client-secret-stdin"];
    fake.says(2, &[&set[..], &two].concat());
}

#[test]
fn a_client_is_set_for_the_host_that_it_belongs_to() {
    const SET: &str = "POST /v1/oauth/configs";
    let fake = Fake::new(&[(SET, vec![data(&config())])]);
    let set = ["oauth", "configs", "set", "github", "--client-id", "Iv1"];
    let told = [
        "--public",
        "--param",
        "host=git.example.com",
        "--param",
        "a=b=c",
    ];
    fake.says(0, &[&set[..], &told].concat());
    let params = json!({"host": "git.example.com", "a": "b=c"});
    assert_eq!(fake.wait_for(SET).body["params"], params);
    fake.says(2, &[&set[..], &["--public", "--param", "host"]].concat());
}

#[test]
fn the_operator_sets_the_installation_s_clients_over_the_socket() {
    let route = "/v1/operator/oauth-clients";
    let fake = Fake::new(&[
        (&format!("POST {route}"), vec![data(&config())]),
        (&format!("GET {route}"), vec![list(&json!([config()]))]),
        (
            &format!("DELETE {route}/github"),
            vec![data(&json!({"success": true}))],
        ),
    ]);
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtools-broker"));
        command
            .args(words)
            .env_clear()
            .env("RUNTOOLS_SOCKET", fake.path("s"));
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        ended(0, child.spawn().unwrap())
    };
    let set = [
        "oauth-client",
        "set",
        "github",
        "--client-id",
        "Iv1",
        "--keep-secret",
        "--param",
        "host=git.example.com",
    ];
    let (_, err) = run(&set);
    assert!(err.contains("set the client of github to Iv1"), "{err}");
    let sent = fake.wait_for(&format!("POST {route}")).body;
    assert_eq!(sent["params"], json!({"host": "git.example.com"}));
    assert!(run(&["oauth-client", "list"]).0.contains("Iv1"));
    run(&["oauth-client", "remove", "github", "--yes"]);
    assert_eq!(fake.all(&format!("DELETE {route}/github")).len(), 1);
}

#[test]
fn a_run_may_name_the_account() {
    let ran = json!({"success": true, "result": "done", "durationMs": 1});
    let told = json!({"slug": "github", "ready": true, "fields": []});
    let fake = Fake::new(&[
        ("POST /v1/tools/github/execute", vec![data(&ran)]),
        ("POST /v1/tools/github/explain", vec![data(&told)]),
    ]);
    fake.says(
        0,
        &[
            "tool",
            "exec",
            "github",
            "--action",
            "me",
            "--account",
            "octocat",
        ],
    );
    fake.says(0, &["tool", "explain", "github", "--account", "octocat"]);
    for route in ["execute", "explain"] {
        let asked = fake.wait_for(&format!("POST /v1/tools/github/{route}"));
        assert_eq!(asked.body["account"], "octocat", "{route}");
    }
    fake.says(0, &["tool", "exec", "github", "--action", "me"]);
    let asked = fake.all("POST /v1/tools/github/execute");
    assert!(asked[1].body.get("account").is_none());
}

#[test]
fn an_empty_client_secret_is_refused_with_the_options_there_are() {
    let fake = Fake::github(&[]);
    let (_, err) = fake.fed(
        2,
        &[
            "oauth",
            "configs",
            "set",
            "github",
            "--client-id",
            "Iv1",
            "--client-secret-stdin",
        ],
        "\n",
    );
    assert!(err.contains("the value is empty"), "{err}");
    assert!(
        err.contains("--client-secret-file FILE") && !err.contains("--generate"),
        "{err}"
    );
}
