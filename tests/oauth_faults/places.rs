//! Where requests to providers go: nowhere but to the provider, whatever a person, a name or the
//! environment says (A9, T3, T5).

use std::time::Duration;

use serde_json::json;

use crate::harness::agreeable::{agree, connect_fault, fault_client, fault_file};
use crate::harness::connect::{self, begin, write_files};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::oidc::provider_file;
use crate::harness::tools::{install, tool};
use crate::harness::{Broker, Setup, Upstream};
use crate::{ended_tokens, tokens};

/// What a person may type where the name of their shop, tenant or host belongs, to send the broker elsewhere.
/// `PORT` is one that is listened on.
const HOSTILE: [&str; 61] = [
    "",
    " ",
    ".",
    "..",
    "-a",
    "a-.b",
    ".acme",
    "acme..evil",
    "acme.evil.example",
    "acme.evil.example.",
    "evil.example/",
    "evil.example#",
    "evil.example?",
    "evil.example:443",
    "evil.example\\",
    "evil.example%2f",
    "evil.example%23.acme",
    "127.0.0.1",
    "127.0.0.1:PORT",
    "127.0.0.1:PORT/",
    "127.0.0.1:PORT#",
    "127.0.0.1:PORT?x=",
    "127.0.0.1:PORT\\",
    "acme@127.0.0.1:PORT",
    "acme:x@127.0.0.1:PORT/",
    "127.0.0.1:PORT@acme",
    "127.1",
    "127.0.0.1.",
    "0x7f.1",
    "0177.0.0.1",
    "[::1]",
    "[::1]:PORT",
    "[::ffff:127.0.0.1]:PORT",
    "::1",
    "0.0.0.0:PORT",
    "localhost:PORT",
    "localhost.",
    "169.254.169.254",
    "metadata.google.internal",
    "10.0.0.1",
    "http://127.0.0.1:PORT",
    "https://127.0.0.1:PORT/x",
    "//127.0.0.1:PORT",
    "acme\r\nHost: evil.example",
    "acme\nevil",
    "acme\tevil",
    "acme\0",
    "acme evil",
    "acme%00",
    "acme%2eevil.example",
    "%61cme",
    "acme;evil",
    "acme,evil",
    "acme&x=y",
    "{client_secret}",
    "xn--80ak6aa92e",
    "\u{430}cme",
    "\u{ff21}cme",
    "acme\u{3002}evil.example",
    "acme\u{200b}",
    "acme\u{202e}",
];

/// The same where a whole host belongs; as the name of a shop these are as good as any.
const HOSTILE_HOSTS: [&str; 4] = ["localhost", "2130706433", "0x7f000001", "evil"];

#[test]
fn a9_no_name_of_a_shop_a_tenant_or_a_host_leads_elsewhere() {
    // Somebody who listens, and is not called.
    let listener = Upstream::echo();
    let port = listener.port().to_string();
    let broker = connect::broker(&[], "hosts = [\"login.example.com\"]");
    let ann = broker.member("Ann");
    for (provider, param) in [
        ("shopify", "shop"),
        ("zendesk", "subdomain"),
        ("okta", "domain"),
        ("auth0", "domain"),
        ("auth0", "region"),
        ("gitlab", "host"),
        ("salesforce", "host"),
        ("oidc", "host"),
    ] {
        let client = fault_client();
        let mut config = json!({
            "provider": provider, "clientId": client.id, "clientSecret": client.secret,
        });
        if provider == "oidc" {
            config["params"] = json!({"host": "login.example.com"});
        }
        let set = broker.operator().post("/v1/oauth/configs", &config);
        set.expect(200);
        let hosts: &[&str] = if param == "host" { &HOSTILE_HOSTS } else { &[] };
        for hostile in HOSTILE.iter().chain(hosts) {
            let value = hostile.replace("PORT", &port);
            let mut params = json!({ param: value });
            if param == "region" {
                params["domain"] = "acme".into();
            }
            let params = params.to_string();
            let params: String = url::form_urlencoded::byte_serialize(params.as_bytes()).collect();
            let refused = begin(&ann, provider, &format!("params={params}"));
            let what = format!("{provider}, {param}: {value:?}");
            assert_eq!(refused.status, 400, "{what}");
            assert_eq!(refused.refused(400), "bad_param", "{what}");
            if value.len() > 3 {
                let text = String::from_utf8_lossy(&refused.body).into_owned();
                assert!(!text.contains(&value), "{what}: {text}");
            }
        }
    }
    assert_eq!(listener.accepted(), 0, "somebody was called");
}

#[test]
fn t3_a_proxy_that_the_environment_names_sees_nothing() {
    let (fault, proxy) = (FaultProvider::start(), Upstream::echo());
    agree(&fault);
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let private = "private = [\"127.0.0.1/32\"]";
    let mut wrapper = vec!["env".to_owned()];
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        let there = format!("http://127.0.0.1:{}", proxy.port());
        wrapper.push(format!("{name}={there}"));
        wrapper.push(format!("{}={there}", name.to_lowercase()));
    }
    let setup = Setup {
        config: write_files(folder.path(), &[fault_file(&fault, &[])], private),
        wrapper,
        ..Setup::default()
    };
    let broker = Broker::over(folder, setup);
    let ann = broker.member("Ann");
    fault.always("/token", tokens(&json!({})));
    let connection = connect_fault(&broker, &ann);
    let path = format!(
        "/v1/oauth/connections/{}",
        connection["id"].as_str().unwrap()
    );
    fault.always("/revoke", Answer::empty(200));
    assert_eq!(ann.delete(&path).expect(200)["data"]["upstream"], "revoked");
    assert_eq!(proxy.accepted(), 0);
}

/// What a name leads to is judged at each connection: `tests_outbound` shows that with a resolver of its own.
#[test]
fn t5_a_provider_at_a_private_address_is_there_only_while_its_range_is_named() {
    let (fault, upstream) = (FaultProvider::start(), Upstream::echo());
    agree(&fault);
    let found = provider_file("peer-discovery", "found", fault.port());
    let mut broker = connect::broker(&[fault_file(&fault, &[])], "");
    install(
        &broker.operator(),
        &tool("custom-me", upstream.port(), "fault", &[]),
    );
    let ann = broker.member("Ann");
    fault.next("/token", ended_tokens());
    connect_fault(&broker, &ann);
    let before = fault.seen().len();

    // The range that the operator names is another one now.
    let elsewhere = "private = [\"10.0.0.0/8\"]";
    for files in [[fault_file(&fault, &[])], [("found", found)]] {
        broker.kill();
        broker.restart_with(Setup {
            config: write_files(broker.folder().path(), &files, elsewhere),
            unready: true,
            ..Setup::default()
        });
        assert_eq!(broker.wait(Duration::from_secs(30)), Some(1));
        let said = broker.log_text();
        assert!(said.contains("needs its range in oauth.private"), "{said}");
    }
    assert_eq!(fault.seen().len(), before, "nobody was called");
}
