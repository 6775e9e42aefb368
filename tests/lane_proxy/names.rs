//! The three places where a tunnel says for which host it is (reference: DC-5): the CONNECT, the hello, and the
//! request. All of them say the same, or nothing reaches anybody.

use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::json;

use super::tunnel::{connect, shake, trust};
use crate::harness::Upstream;
use crate::lanes::Handle;
use crate::stage::{Stage, tls_tool};
use crate::{echo, proxied};

/// Two hosts that the handle is bound to, so that none is refused for itself.
const NAMES: [Option<&str>; 3] = [Some("localhost"), Some("other.localhost"), None];

struct Set {
    stage: Stage,
    origin: Upstream,
    handle: Handle,
}

/// A handle that is bound to all of `hosts`.
fn set(origin: Upstream, hosts: &[&str]) -> Set {
    let mut stage = Stage::trusting(origin.root_pem());
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    let mut spec = tls_tool("custom-x", origin.port());
    spec["bindings"][0]["hosts"] = json!(hosts);
    let url = format!("https://{}:{}/run", hosts[0], origin.port());
    spec["actionsJson"]["run"]["http"]["url"] = json!(url);
    stage.install(&admin, &spec);
    let handle = proxied(&stage, &admin, &json!({}));
    Set {
        stage,
        origin,
        handle,
    }
}

/// A client that says no name in its hello.
fn nameless(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.enable_sni = false;
    Arc::new(config)
}

/// What a tunnel to `tunnel` comes to whose hello says `hello`, and whose request `host`.
fn came(set: &Set, [tunnel, hello, host]: [Option<&str>; 3]) -> String {
    let port = set.origin.port();
    let (mut spoken, answer) = connect(&set.handle, &format!("{}:{port}", tunnel.unwrap_or("")));
    if !answer.starts_with("HTTP/1.1 200") {
        return format!("{}{}", &answer[..12], code(&spoken.until("}}")));
    }
    let trusting = trust(&set.handle, &[]);
    let trusting = match hello {
        Some(_) => trusting,
        None => nameless(&trusting),
    };
    // Who says none looks for that of the tunnel in the certificate.
    let name = hello.or(tunnel).unwrap();
    let mut shaken = match shake(spoken, trusting, name) {
        Ok(shaken) => shaken,
        Err(error) => return error,
    };
    let host = host.map(|host| format!("Host: {host}:{port}\r\n"));
    let bearer = format!("Authorization: Bearer {}\r\n", set.handle.placeholder);
    shaken.write(&format!(
        "GET /run HTTP/1.1\r\n{}{bearer}\r\n",
        host.unwrap_or_default()
    ));
    let answer = shaken.until("}");
    format!("{}{}", &answer[..12], code(&answer))
}

/// The code in a refusal, after a space.
fn code(answer: &str) -> String {
    let code = answer.split("\"code\":\"").nth(1);
    let code = code.and_then(|rest| rest.split('"').next());
    code.map(|code| format!(" {code}")).unwrap_or_default()
}

#[test]
fn dc_5_of_all_ways_to_name_two_hosts_or_none_in_three_places_only_agreement_passes() {
    let set = set(echo(), &["localhost", "other.localhost"]);
    let mut passed = Vec::new();
    for tunnel in NAMES {
        for hello in NAMES {
            for host in NAMES {
                let names = [tunnel, hello, host];
                let before = set.origin.accepted();
                let came = came(&set, names);
                let expected = match names {
                    [None, ..] => "HTTP/1.1 400 bad_url",
                    [tunnel, hello, _] if tunnel != hello => "UnrecognisedName",
                    [tunnel, _, host] if tunnel != host => "HTTP/1.1 421 wrong_authority",
                    _ => {
                        passed.push((tunnel, came));
                        continue;
                    }
                };
                assert!(came.contains(expected), "{names:?}: {came}");
                assert_eq!(set.origin.accepted(), before, "{names:?}");
            }
        }
    }
    // Where all agree it is a request like any other: there, and wherever that name leads.
    assert_eq!(passed.len(), 2, "{passed:?}");
    assert_eq!(passed[0].1, "HTTP/1.1 200", "{passed:?}");
    assert!(!passed[1].1.contains("421"), "{passed:?}");
    set.stage.finish();
}

#[test]
fn dc_5_a_hello_without_a_name_is_for_an_address_and_for_nothing_else() {
    let origin = Upstream::tls(&["127.0.0.1"], |seen| {
        crate::harness::upstream::json(200, &seen.echo())
    });
    let set = set(origin, &["127.0.0.1"]);
    let address = Some("127.0.0.1");
    for (hello, host, expected) in [
        (None, address, "HTTP/1.1 200"),
        (None, None, "HTTP/1.1 421 wrong_authority"),
        (None, Some("localhost"), "HTTP/1.1 421 wrong_authority"),
        (Some("localhost"), address, "UnrecognisedName"),
    ] {
        let before = set.origin.accepted();
        let came = came(&set, [address, hello, host]);
        assert!(came.contains(expected), "{hello:?} {host:?}: {came}");
        if expected != "HTTP/1.1 200" {
            assert_eq!(set.origin.accepted(), before, "{hello:?} {host:?}");
        }
    }
    assert_eq!(set.origin.seen().len(), 1);
    set.stage.finish();
}
