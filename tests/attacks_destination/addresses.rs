//! Addresses that no tool may reach (SS-*).

use serde_json::{Value, json};

use crate::harness::Upstream;
use crate::stage::{Stage, text, tls_tool, tool, with};

/// A tool without grants for `host` over https.
fn https_tool(slug: &str, host: &str) -> Value {
    let mut spec = tool(slug, 443);
    let binding = spec["bindings"][0].as_object_mut().unwrap();
    binding.remove("private");
    binding.insert("scheme".to_owned(), json!("https"));
    binding.insert("hosts".to_owned(), json!([host]));
    let shown = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    spec["actionsJson"]["run"]["http"]["url"] = json!(format!("https://{shown}/run"));
    spec
}

#[test]
fn ss_1_addresses_that_are_not_public_are_refused_without_a_grant() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let hosts = [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
        "fe80::1",
        "fe90::1",
        "fea0::1",
        "feb0::1",
        "fc00::1",
        "fd12::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "localhost",
    ];
    for (index, host) in hosts.iter().enumerate() {
        let slug = format!("custom-a{index}");
        stage.install(&operator, &https_tool(&slug, host));
        let reply = stage.run(&operator, &slug, &with("KEY"));
        assert_eq!(
            reply.refused(403),
            "address_refused",
            "{host}: {}",
            text(&reply)
        );
    }
    for (index, host) in ["fe80::1%lo", "fe80::1%25lo", "127.1", "0x7f000001"]
        .iter()
        .enumerate()
    {
        let spec = https_tool(&format!("custom-b{index}"), host);
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{host}");
    }
    stage.finish();
}

#[test]
fn ss_1_a_member_cannot_grant_a_private_range_and_reaches_none() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let member = stage.broker.member("mallory");
    stage.secret(&member, "KEY", &json!({}));
    let spec = tool("custom-x", upstream.port());
    let reply = stage.send(&member, "POST", "/v1/tools/custom", &spec);
    assert_eq!(reply.refused(403), "admin_only", "{}", text(&reply));
    let mut spec = https_tool("custom-x", "127.0.0.1");
    spec["bindings"][0]["port"] = json!(upstream.port());
    spec["actionsJson"]["run"]["http"]["url"] =
        json!(format!("https://127.0.0.1:{}/run", upstream.port()));
    stage.install(&member, &spec);
    let reply = stage.run(&member, "custom-x", &with("KEY"));
    assert_eq!(reply.refused(403), "address_refused");
    // A grant for another range does not help an admin's tool either.
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let mut spec = tool("custom-y", upstream.port());
    spec["bindings"][0]["private"] = json!(["10.0.0.0/8", "127.0.0.2/32"]);
    stage.install(&operator, &spec);
    let reply = stage.run(&operator, "custom-y", &with("KEY"));
    assert_eq!(reply.refused(403), "address_refused");
    assert_eq!(upstream.accepted(), 0, "ss_9: not even a connection");
    stage.finish();
}

#[test]
fn ss_2_metadata_services_are_refused_even_with_a_grant() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let addresses = [
        ("169.254.169.254", "169.254.0.0/16"),
        ("169.254.170.2", "169.254.170.2/32"),
        ("169.254.170.23", "169.254.0.0/16"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("192.0.0.192", "192.0.0.0/24"),
        ("168.63.129.16", "168.63.129.16/32"),
        ("fd00:ec2::254", "fd00::/8"),
        ("::ffff:169.254.169.254", "::/1"),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::/96"),
        ("metadata.google.internal", "127.0.0.0/8"),
    ];
    for (index, (host, range)) in addresses.iter().enumerate() {
        for scheme in ["https", "http"] {
            let slug = format!("custom-{scheme}-{index}");
            let mut spec = https_tool(&slug, host);
            let binding = &mut spec["bindings"][0];
            binding["scheme"] = json!(scheme);
            binding["port"] = json!(80);
            binding["private"] = json!([range]);
            let shown = if host.contains(':') {
                format!("[{host}]")
            } else {
                (*host).to_owned()
            };
            spec["actionsJson"]["run"]["http"]["url"] = json!(format!("{scheme}://{shown}:80/run"));
            stage.install(&operator, &spec);
            let reply = stage.run(&operator, &slug, &with("KEY"));
            assert_eq!(
                reply.refused(403),
                "metadata_refused",
                "{scheme} {host}: {}",
                text(&reply)
            );
        }
    }
    stage.finish();
}

#[test]
fn ss_5_the_broker_never_calls_itself() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    for port in stage.own_ports() {
        let mut plain = tool(&format!("custom-self-{port}"), port);
        stage.install(&operator, &plain);
        let mut named = tls_tool(&format!("custom-self-name-{port}"), port);
        named["bindings"][0]["private"] = json!(["127.0.0.0/8"]);
        stage.install(&operator, &named);
        // The address of the same port in an IPv6 coat.
        let mapped = format!("custom-self-mapped-{port}");
        plain["slug"] = json!(mapped);
        plain["bindings"][0]["hosts"] = json!(["::ffff:127.0.0.1"]);
        plain["bindings"][0]["private"] = json!(["::ffff:127.0.0.0/104"]);
        plain["actionsJson"]["run"]["http"]["url"] =
            json!(format!("http://[::ffff:127.0.0.1]:{port}/run"));
        stage.install(&operator, &plain);
        for kind in ["self", "self-name", "self-mapped"] {
            let slug = format!("custom-{kind}-{port}");
            let reply = stage.run(&operator, &slug, &with("KEY"));
            assert_eq!(reply.refused(403), "circular", "{slug}: {}", text(&reply));
        }
    }
    stage.finish();
}
