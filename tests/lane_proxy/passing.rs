//! Hosts that the operator lists: unread, uncredentialled, and guarded all the same.

use serde_json::json;

use super::tunnel::{connect, shake, trust};
use crate::harness::{Setup, Upstream};
use crate::lanes::Handle;
use crate::stage::{Stage, tls_tool};
use crate::{echo, proxied};

/// A broker that passes on to `listed`; the tool is bound to `bound`.
fn stage(listed: &[String], private: &[&str], bound: u16) -> (Stage, Handle) {
    let config = format!("proxy.pass_through = {listed:?}\nproxy.private = {private:?}");
    let mut stage = Stage::with(Setup {
        config,
        ..Setup::default()
    });
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", bound));
    let handle = proxied(&stage, &admin, &json!({}));
    (stage, handle)
}

/// What trusts the upstream itself.
fn trusting(upstream: &Upstream, handle: &Handle) -> Handle {
    let mut whole = handle.whole.clone();
    whole["proxy"]["certificateAuthority"] = json!(upstream.root_pem());
    Handle {
        whole,
        ..handle.clone()
    }
}

#[test]
fn a_listed_host_is_reached_unread_counted_and_recorded() {
    let upstream = Upstream::tls(&["localhost", "127.0.0.1"], |seen| {
        crate::harness::upstream::json(200, &seen.echo())
    });
    let listed = [format!("127.0.0.1:{}", upstream.port())];
    let (stage, handle) = stage(&listed, &["127.0.0.0/8"], 1);
    let (spoken, answer) = connect(&handle, &listed[0]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(
        upstream.accepted(),
        0,
        "nothing is dialled before the hello"
    );
    // The certificate is the host's own.
    let config = trust(&trusting(&upstream, &handle), &[]);
    let mut tunnel = shake(spoken, config, "127.0.0.1").unwrap();
    tunnel.write(&format!(
        "GET /simple HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        listed[0]
    ));
    tunnel.until("\"target\":\"/simple\"");
    tunnel.end();
    drop(tunnel);
    let entry = stage.ended("broker.connect");
    assert_eq!(entry["decision"], "allowed", "{entry}");
    assert_eq!(entry["host"], "127.0.0.1", "{entry}");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    assert!(
        entry["outcome"]["bytes_in"].as_u64().unwrap() > 500,
        "{entry}"
    );
    assert!(
        entry["outcome"]["bytes_out"].as_u64().unwrap() > 200,
        "{entry}"
    );
    assert!(stage.journal("broker.exchange").is_empty());
    stage.finish();
}

#[test]
fn a_listed_host_is_named_in_the_hello_and_speaks_tls() {
    let upstream = echo();
    let listed = [format!("127.0.0.1:{}", upstream.port())];
    let (stage, handle) = stage(&listed, &["127.0.0.0/8"], 1);
    let (spoken, _) = connect(&handle, &listed[0]);
    let error = shake(spoken, trust(&handle, &[]), "evil.test")
        .err()
        .unwrap();
    assert!(error.contains("UnrecognisedName"), "{error}");
    let (mut spoken, _) = connect(&handle, &listed[0]);
    spoken.write("GET / HTTP/1.1\r\n\r\n");
    assert!(spoken.end().1.contains("not_tls"));
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn a_host_that_the_tool_is_bound_to_is_never_passed_unread() {
    let upstream = echo();
    let other = echo();
    let listed = [
        format!("localhost:{}", upstream.port()),
        format!("localhost:{}", other.port()),
    ];
    let (stage, handle) = stage(&listed, &["127.0.0.0/8", "::1/128"], upstream.port());
    // The bound port is read, by the handle's own authority.
    let (spoken, answer) = connect(&handle, &listed[0]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(shake(spoken, trust(&handle, &[]), "localhost").is_ok());
    // Another port of the same host is not passed either.
    let (mut spoken, answer) = connect(&handle, &listed[1]);
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("host_not_bound"),
        "{answer}"
    );
    assert_eq!((upstream.accepted(), other.accepted()), (0, 0));
    stage.finish();
}

#[test]
fn a_host_that_is_for_declared_actions_alone_is_never_passed_unread() {
    let upstream = echo();
    let listed = [format!("localhost:{}", upstream.port())];
    let config =
        format!("proxy.pass_through = {listed:?}\nproxy.private = [\"127.0.0.0/8\", \"::1/128\"]");
    let mut stage = Stage::with(Setup {
        config,
        ..Setup::default()
    });
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    let mut spec = tls_tool("custom-x", upstream.port());
    spec["bindings"][0]["onlyActions"] = json!(true);
    stage.install(&admin, &spec);
    let handle = proxied(&stage, &admin, &json!({}));
    assert_eq!(handle.whole["constraints"], json!([]));
    // Yet who builds an environment of it hears which hosts are not to be reached past the proxy.
    assert_eq!(handle.whole["proxy"]["boundHosts"], json!(["localhost"]));
    let (mut spoken, answer) = connect(&handle, &listed[0]);
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("host_not_bound"),
        "{answer}"
    );
    assert!(answer.contains("free requests do not go there"), "{answer}");
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn a_list_opens_no_address_that_is_closed() {
    let upstream = echo();
    let listed = [
        format!("localhost:{}", upstream.port()),
        format!("127.0.0.1:{}", upstream.port()),
        "169.254.169.254".to_owned(),
        "metadata.google.internal".to_owned(),
        "10.0.0.1".to_owned(),
    ];
    let (without, handle) = stage(&listed, &[], 1);
    for place in &listed {
        let place = if place.contains(':') {
            place.clone()
        } else {
            format!("{place}:443")
        };
        let (mut spoken, answer) = connect(&handle, &place);
        let answer = format!("{answer}{}", spoken.until("}}"));
        assert!(answer.starts_with("HTTP/1.1 403"), "{place}: {answer}");
    }
    without.finish();
    // Nor does any range open a metadata service or the broker itself.
    let (stage, handle) = stage(&["169.254.169.254".to_owned()], &["0.0.0.0/0"], 1);
    let (mut spoken, answer) = connect(&handle, "169.254.169.254:443");
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("metadata"),
        "{answer}"
    );
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}
