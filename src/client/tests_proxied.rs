//! What the broker's answer turns into, and what of it is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Proxied, Variable, covers};
use crate::client::ClientEnv;
use crate::name::VariableName;
use crate::wire::Resolved;

fn answer() -> Value {
    let authority = rcgen::generate_simple_self_signed(vec!["x.test".into()]).unwrap();
    json!({
        "id": "0190a5f0-0000-7000-8000-000000000001", "handle": "rt_hdl_abc123", "tool": "github",
        "expiresAt": "2026-11-28T23:00:00Z", "usesLeft": 1000,
        "fields": [
            {"field": "token", "source": "user_secret", "env": ["GITHUB_TOKEN", "GH_TOKEN"]},
            {"field": "other", "source": "missing", "env": ["GITHUB_OTHER"]},
        ],
        "placeholders": {"token": "ghp_rtPlaceh0lder1"},
        "constraints": [{
            "scheme": "https", "hosts": ["api.github.com", "*.ghe.test"], "port": 443,
            "methods": ["GET"], "paths": ["/**"], "slots": {"token": ["header authorization"]},
        }],
        "proxy": {
            "url": "http://127.0.0.1:8421", "username": "runtools",
            "certificateAuthority": authority.cert.pem(), "boundHosts": [],
        },
    })
}

fn read(answer: Value) -> Option<Proxied> {
    Proxied::of(serde_json::from_value::<Resolved>(answer).ok()?).ok()
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut answer = answer();
    *answer.pointer_mut(pointer).unwrap() = value;
    answer
}

fn variables(proxied: &Proxied, direct: Option<&str>) -> Vec<Variable> {
    let env = ClientEnv {
        no_proxy: direct.map(str::to_owned),
        ..ClientEnv::default()
    };
    proxied.naming(("/run/roots.pem", "/run/roots.p12"), &env)
}

fn value(proxied: &Proxied, name: &str, direct: Option<&str>) -> Option<String> {
    let mut found = variables(proxied, direct)
        .into_iter()
        .filter(|it| it.name == name);
    let value = found.next().map(|it| it.value);
    assert!(found.next().is_none(), "{name} is set twice");
    value
}

#[test]
fn every_variable_of_a_field_has_its_placeholder_and_an_empty_field_has_none() {
    let proxied = read(answer()).unwrap();
    let value = |name| value(&proxied, name, None);
    let placeholder = Some("ghp_rtPlaceh0lder1".to_owned());
    assert_eq!(value("GITHUB_TOKEN"), placeholder);
    assert_eq!(value("GH_TOKEN"), placeholder);
    assert_eq!(value("GITHUB_OTHER"), None);
    let empty: Vec<_> = proxied.empty().iter().map(VariableName::as_str).collect();
    assert_eq!(empty, ["GITHUB_OTHER"]);
    // One that another field fills is not empty.
    let shared = read(changed("/fields/1/env", json!(["GH_TOKEN"]))).unwrap();
    assert!(shared.empty().is_empty());
}

#[test]
fn the_handle_is_the_password_at_the_proxy_and_stands_nowhere_else() {
    let proxied = read(answer()).unwrap();
    let address = "http://runtools:rt_hdl_abc123@127.0.0.1:8421";
    for variable in variables(&proxied, None) {
        let is_proxy = variable.name.to_ascii_uppercase().ends_with("_PROXY")
            && !variable.name.eq_ignore_ascii_case("no_proxy")
            && variable.name != "NODE_USE_ENV_PROXY";
        assert_eq!(is_proxy, variable.value == address, "{}", variable.name);
        assert!(is_proxy || !variable.value.contains("rt_hdl_"));
    }
    let slashed = read(changed("/proxy/url", json!("http://[::1]:8421/"))).unwrap();
    let address = value(&slashed, "https_proxy", None).unwrap();
    assert_eq!(address, "http://runtools:rt_hdl_abc123@[::1]:8421");
}

#[test]
fn every_program_is_told_of_the_file_of_roots() {
    let proxied = read(answer()).unwrap();
    for name in [
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
    ] {
        assert_eq!(
            value(&proxied, name, None).as_deref(),
            Some("/run/roots.pem")
        );
    }
    // Java is told in its own way, also of what does not go through the proxy.
    let java = value(&proxied, "JAVA_TOOL_OPTIONS", Some("corp.test")).unwrap();
    for option in [
        "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8421",
        "-Djavax.net.ssl.trustStore=/run/roots.p12",
        "-Dhttp.nonProxyHosts=localhost|*.localhost|127.0.0.1|[::1]|corp.test|*.corp.test",
    ] {
        assert!(java.contains(option), "{java}");
    }
}

#[test]
fn what_is_bound_is_never_reached_past_the_proxy() {
    let proxied = read(answer()).unwrap();
    let direct = |inherited| value(&proxied, "NO_PROXY", inherited).unwrap();
    assert_eq!(direct(None), "localhost,127.0.0.1,::1");
    let inherited =
        "corp.test, .github.com,*,localhost,api.github.com:443,ghe.test,10.0.0.0/8,,hub.test";
    assert_eq!(
        direct(Some(inherited)),
        "localhost,127.0.0.1,::1,corp.test,10.0.0.0/8,hub.test"
    );
    // As is one that is for declared actions alone, or whose credential nothing fills.
    let more = json!(["api.github.com", "uploads.corp.test", "127.0.0.1"]);
    let more = read(changed("/proxy/boundHosts", more)).unwrap();
    assert_eq!(
        value(&more, "NO_PROXY", Some("corp.test,other.test")).unwrap(),
        "localhost,::1,other.test"
    );
    let here = changed("/constraints/0/hosts", json!(["localhost", "10.1.2.3"]));
    let here = read(here).unwrap();
    let direct = value(&here, "NO_PROXY", Some("10.0.0.0/8,a.test")).unwrap();
    assert_eq!(direct, "127.0.0.1,::1,a.test");
}

#[test]
fn an_answer_that_no_broker_gives_reaches_no_shell() {
    for (pointer, bad) in [
        ("/handle", "rt_hdl_a@evil.test/"),
        ("/handle", ""),
        ("/proxy/username", "a:b"),
        ("/proxy/url", "https://127.0.0.1:8421"),
        ("/proxy/url", "http://127.0.0.1"),
        ("/proxy/url", "http://evil.test@127.0.0.1:1"),
        ("/proxy/url", "http://127.0.0.1:8421/x"),
        ("/proxy/certificateAuthority", ""),
        (
            "/proxy/certificateAuthority",
            "-----BEGIN CERTIFICATE-----\n!\n",
        ),
        ("/placeholders/token", "ghp_\n"),
        ("/placeholders/token", "$(id)"),
        ("/fields/0/env/0", "LD_PRELOAD"),
        ("/fields/0/env/1", "a b"),
    ] {
        assert!(
            read(changed(pointer, json!(bad))).is_none(),
            "{pointer} {bad}"
        );
    }
    let mut without = answer();
    without.as_object_mut().unwrap().remove("proxy");
    assert!(read(without).is_none());
}

#[test]
fn an_entry_covers_a_host_in_every_librarys_reading() {
    for (entry, bound) in [
        ("*", "a.test"),
        ("a.test", "a.test"),
        (".test", "a.test"),
        ("*.test", "a.test"),
        ("A.Test:443", "a.test"),
        ("x.a.test", "*.a.test"),
        ("a.test", "*.a.test"),
        ("[::1]", "::1"),
        ("::1", "[::1]"),
        ("10.0.0.0/8", "10.0.0.1"),
        ("a.test", "ba.test"),
        ("a.test.", "a.test"),
        ("*.", "a.test"),
    ] {
        assert!(covers(entry, bound), "{entry} {bound}");
    }
    for (entry, bound) in [
        ("b.test", "a.test"),
        ("xa.test", "a.test"),
        ("10.0.0.0/8", "a.test"),
    ] {
        assert!(!covers(entry, bound), "{entry} {bound}");
    }
}

/// Whether Java goes past the proxy: `sun.net.spi.DefaultProxySelector`, its default among the patterns.
fn passes(patterns: &str, host: &str) -> bool {
    let added = "localhost|127.*|[::1]|0.0.0.0|[::0]";
    let all = match patterns {
        "" => return false,
        some => format!("{some}|{added}"),
    };
    all.split('|').any(
        |pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => host.ends_with(end),
            (None, Some(begin)) => host.starts_with(begin),
            (None, None) => pattern == host,
        },
    )
}

proptest! {
    #[test]
    fn whatever_no_proxy_says_no_bound_host_is_in_it(inherited in "[a-z.*,:0-9/ ]{0,60}") {
        let proxied = read(answer()).unwrap();
        let direct = value(&proxied, "NO_PROXY", Some(&inherited)).unwrap();
        let java = value(&proxied, "JAVA_TOOL_OPTIONS", Some(&inherited)).unwrap();
        let mut options = java.split(' ');
        let patterns = options.find_map(|it| it.strip_prefix("-Dhttp.nonProxyHosts=")).unwrap();
        for host in ["api.github.com", "x.ghe.test"] {
            for entry in direct.split(',') {
                let bare = entry.trim_start_matches(['*', '.']);
                prop_assert!(!host.ends_with(bare), "{entry}");
            }
            prop_assert!(!passes(patterns, host), "{patterns}");
        }
    }

    #[test]
    fn what_is_bound_on_this_machine_java_does_not_reach_past_the_proxy(
        inherited in "[a-z.*,:0-9/ ]{0,60}",
        host in "localhost|127\\.0\\.0\\.[1-9]|::1|0\\.0\\.0\\.0",
    ) {
        let proxied = read(changed("/proxy/boundHosts", json!([host]))).unwrap();
        let java = value(&proxied, "JAVA_TOOL_OPTIONS", Some(&inherited)).unwrap();
        prop_assert!(java.contains(" -Dhttp.nonProxyHosts= "), "{java}");
    }
}
