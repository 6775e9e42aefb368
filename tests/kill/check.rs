//! What must be so after a kill.

use std::collections::HashSet;

use serde_json::json;

use crate::harness::{Broker, Client};
use crate::writes::{What, Write};

/// Every record of the journal after `seq`, by request.
pub(super) fn journal(operator: &Client, after: u64) -> HashSet<String> {
    let mut requests = HashSet::new();
    let mut cursor = String::new();
    loop {
        let page = operator
            .get(&format!("/v1/audit?limit=500{cursor}"))
            .expect(200);
        let mut old = false;
        for entry in page["data"].as_array().unwrap() {
            old |= entry["seq"].as_u64().unwrap() <= after;
            if let Some(request) = entry["request"].as_str() {
                requests.insert(request.to_owned());
            }
        }
        match page["nextCursor"].as_str() {
            Some(next) if !old => cursor = format!("&cursor={next}"),
            _ => return requests,
        }
    }
}

pub(super) fn head(operator: &Client) -> u64 {
    operator.get("/v1/audit/head").expect(200)["data"]["seq"]
        .as_u64()
        .unwrap()
}

/// What lists show after a restart.
pub(super) struct Listed {
    keys: HashSet<String>,
    installed: HashSet<String>,
}

impl Listed {
    fn of(operator: &Client) -> Self {
        let all = |path: &str, field: &str| {
            let page = operator.get(path).expect(200);
            assert_eq!(page["hasMore"], false);
            let entries = page["data"].as_array().unwrap().iter();
            entries
                .map(|entry| entry[field].as_str().unwrap().to_owned())
                .collect()
        };
        Self {
            keys: all("/v1/api-keys", "name"),
            installed: all("/v1/tools?installed=true", "slug"),
        }
    }
}

/// Whether the write is there; fails when it is there in part or wrong.
pub(super) fn is_there(
    write: &Write,
    operator: &Client,
    anonymous: &Client,
    listed: &Listed,
) -> Option<bool> {
    match &write.what {
        What::Secret { name, value } => {
            let wide = [true, false].map(|wide| {
                let body = json!({"orgWide": wide});
                operator.post(&format!("/v1/secrets/{name}/reveal"), &body)
            });
            let found: Vec<_> = wide.iter().filter(|reply| reply.status != 404).collect();
            for reply in &found {
                let secret = reply.expect(200);
                assert_eq!(secret["data"]["value"], value.as_str(), "{write:?}");
                assert_eq!(secret["data"]["version"], 1, "{write:?}");
            }
            assert!(found.len() < 2, "{write:?} stands twice");
            Some(found.len() == 1)
        }
        // Checked by `rotations`, since later ones replace earlier ones.
        What::Rotation { .. } | What::Execute { .. } => None,
        What::ApiKey { name, key } => {
            if let Some(key) = key {
                anonymous.key(key).get("/v1/secrets").expect(200);
            }
            Some(listed.keys.contains(name))
        }
        What::Tool { slug } => {
            let reply = operator.get(&format!("/v1/tools/{slug}"));
            if reply.status == 404 {
                return Some(false);
            }
            assert_eq!(reply.expect(200)["data"]["slug"], slug.as_str());
            Some(true)
        }
        What::Install { slug } => Some(listed.installed.contains(slug)),
    }
}

/// The value in force is that of the last acknowledged rotation, or of the one under way.
pub(super) fn rotations(writes: &[Write], operator: &Client, requests: &HashSet<String>) {
    for at in 4..6 {
        let mine = format!("ROTATED_{at}");
        let of_mine: Vec<_> = writes
            .iter()
            .filter_map(|write| match &write.what {
                What::Rotation {
                    name,
                    version,
                    value,
                } if *name == mine => Some((write, *version, value)),
                _ => None,
            })
            .collect();
        let Some((last, ..)) = of_mine.last() else {
            continue;
        };
        let revealed = operator
            .post(
                &format!("/v1/secrets/{mine}/reveal"),
                &json!({"orgWide": true}),
            )
            .expect(200);
        let (version, value) = (&revealed["data"]["version"], &revealed["data"]["value"]);
        let in_force = of_mine.iter().find(|(.., v)| *value == v.as_str());
        let acknowledged = of_mine.iter().rev().find(|(write, ..)| write.acknowledged);
        match (in_force, acknowledged) {
            (Some((write, number, _)), acknowledged) => {
                assert_eq!(version, number, "{write:?}");
                let newest = write.request == last.request;
                assert!(
                    newest || acknowledged.is_some_and(|(a, ..)| a.request == write.request),
                    "an older value is in force: {write:?}"
                );
                assert!(requests.contains(&write.request), "unrecorded: {write:?}");
            }
            (None, Some((write, ..))) => panic!("acknowledged and lost: {write:?}"),
            (None, None) => assert!(*version == of_mine[0].1 - 1, "the first was not lost whole"),
        }
    }
}

pub(super) fn check(writes: &[Write], broker: &Broker, requests: Option<&HashSet<String>>) {
    let (operator, anonymous) = (broker.operator(), broker.anonymous());
    let listed = Listed::of(&operator);
    std::thread::scope(|scope| {
        for part in writes.chunks(writes.len().div_ceil(6).max(1)) {
            let (operator, anonymous, listed) = (&operator, &anonymous, &listed);
            scope.spawn(move || {
                for write in part {
                    let there = is_there(write, operator, anonymous, listed);
                    if write.acknowledged {
                        assert_ne!(there, Some(false), "acknowledged and lost: {write:?}");
                    }
                    if let Some(requests) = requests
                        && (write.acknowledged || there == Some(true))
                    {
                        assert!(requests.contains(&write.request), "unrecorded: {write:?}");
                    }
                }
            });
        }
    });
}

pub(super) fn verify(operator: &Client) {
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    let state = found["data"]["state"].as_str().unwrap();
    assert!(
        matches!(state, "intact" | "incomplete") && found["data"]["finding"].is_null(),
        "{found}"
    );
}
