//! How many connections one handle, one user, one organisation, and all together may have open.

use serde_json::{Value, json};

use super::tunnel::{Spoken, connect, open};
use crate::harness::{Client, eventually};
use crate::lanes::{Handle, resolve};
use crate::stage::{Stage, tls_tool};
use crate::{echo, proxied};

/// A tunnel, or what the proxy said instead.
fn asked(handle: &Handle, port: u16) -> Result<Spoken<std::net::TcpStream>, String> {
    let (mut spoken, answer) = connect(handle, &format!("localhost:{port}"));
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(spoken);
    }
    Err(format!("{answer}{}", spoken.until("}}")))
}

#[track_caller]
fn refused(handle: &Handle, port: u16, status: &str, said: &str) {
    let answer = asked(handle, port).err().expect("a refusal");
    let right = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(said);
    assert!(right, "{said}: {answer}");
    assert!(
        answer.to_lowercase().contains("\r\nretry-after: 1\r\n"),
        "{answer}"
    );
}

/// The key of a new organisation's admin, with the tool and its secret.
fn elsewhere(stage: &Stage, port: u16) -> Client {
    let body = json!({"name": "Elsewhere", "createKey": true});
    let made = stage
        .operator()
        .post("/v1/organizations", &body)
        .expect(201);
    let key = made["data"]["key"].as_str().unwrap();
    let admin = stage.broker.anonymous().key(key);
    stage.secret_of(
        &admin,
        "KEY",
        "a-value-of-another-organisations",
        &json!({}),
    );
    stage.install(&admin, &tls_tool("custom-x", port));
    admin
}

#[test]
fn each_may_have_so_many_connections_open_and_leaves_the_others_theirs() {
    let origin = echo();
    let settings = "limits.proxy_connections = 6\nlimits.proxy_connections_per_org = 5\n\
                    limits.proxy_connections_per_user = 3\nlimits.proxy_connections_per_handle = 2";
    let mut stage = Stage::trusting_within(origin.root_pem(), settings);
    let port = origin.port();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", port));
    let path = "/v1/tools/custom/custom-x/visibility";
    let shown = json!({"visibility": "org"});
    stage.send(&admin, "PATCH", path, &shown).expect(200);
    let colleague = stage.broker.member("Ann");
    stage.secret(&colleague, "KEY", &json!({}));
    let stranger = elsewhere(&stage, port);
    let of = |client| proxied(&stage, client, &json!({}));
    let [first, second] = [of(&admin), of(&admin)];
    let [theirs, others] = [of(&colleague), of(&stranger)];
    let mut open_ones = Vec::new();
    let mut sit = |handle: &Handle| open_ones.push(asked(handle, port).unwrap());
    sit(&first);
    sit(&first);
    refused(&first, port, "429", "This handle has 2 connections open");
    sit(&second);
    refused(
        &second,
        port,
        "429",
        "who asked for this one have 3 connections",
    );
    sit(&theirs);
    sit(&theirs);
    let last = of(&colleague);
    refused(&last, port, "429", "this organisation have 5 connections");
    sit(&others);
    refused(&others, port, "503", "\"busy\"");
    // A plain request stands in the same line.
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    let plain = format!("{head}{}\r\n", super::tunnel::basic(&first.text));
    let plain = plain.replacen("GET /", &format!("GET http://localhost:{port}/"), 1);
    let mut spoken = super::tunnel::knock(&first, plain.as_bytes());
    assert!(spoken.until("}}").contains("\"busy\""));
    assert_eq!(origin.accepted(), 0, "nothing was dialled for any of them");
    // One leaves, and there is room for whoever comes.
    drop(open_ones.pop());
    let again = eventually(|| asked(&others, port).ok());
    drop((again, open_ones));
    eventually(|| asked(&first, port).ok());
    let mut tunnel = eventually(|| Some(open(&second, port)));
    tunnel.get(&second, port, "/run");
    tunnel.until(crate::MASK);
    stage.finish();
}

#[test]
fn a_handle_of_the_same_user_by_another_key_is_no_way_around_their_share() {
    let settings = "limits.proxy_connections_per_user = 1";
    let mut stage = Stage::within(settings);
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", 1));
    let key = stage.operator().make_key(&[]);
    let second = stage.broker.anonymous().key(&key);
    let wanted: Value = json!({"lane": "proxy"});
    let [one, two] = [&admin, &second].map(|who| resolve(&stage, who, "custom-x", &wanted));
    let open = asked(&one, 1).unwrap();
    refused(&two, 1, "429", "\"too_many_connections\"");
    drop(open);
    eventually(|| asked(&two, 1).ok());
    stage.finish();
}
