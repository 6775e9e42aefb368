//! Who may use a handle of the proxy's, and how often (reference: HS-3, HS-4, HS-9, HS-10).

use serde_json::{Value, json};

use super::asked::ask;
use super::tunnel::{connect, open};
use crate::harness::eventually;
use crate::lanes::{LANES, Wish, try_resolve};
use crate::{Set, echo, proxied};

#[test]
fn hs_3_a_handle_of_the_proxy_that_is_stolen_does_nothing_in_another_lane() {
    let set = Set::changed(echo(), |_| ());
    let thief = set.stage.broker.member("Ann");
    for client in [&set.admin, &thief] {
        for lane in LANES {
            let came = lane.send(
                &set.stage,
                client,
                &set.handle.text,
                &Wish::get(&set.url("/run")),
            );
            assert_eq!(
                (came.status, &*came.code),
                (404, "handle_unknown"),
                "{came:?}"
            );
            let entry = set.stage.journal("broker.exchange").swap_remove(0);
            // The journal names both: whose it is, and who sent it.
            assert!(entry.to_string().contains(&set.handle.id), "{entry}");
            assert!(
                !entry["actor"].is_null() && !entry["targets"].is_null(),
                "{entry}"
            );
        }
    }
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn hs_4_a_handle_of_the_proxy_is_made_of_what_its_asker_may_use() {
    let set = Set::changed(echo(), |_| ());
    let path = "/v1/tools/custom/custom-x/visibility";
    let shown = json!({"visibility": "org"});
    set.stage
        .send(&set.admin, "PATCH", path, &shown)
        .expect(200);
    let other = set.stage.broker.member("Ann");
    let wanted = json!({"lane": "proxy"});
    let reply = try_resolve(&set.stage, &other, "custom-x", &wanted);
    let theirs = reply.refused(404);
    let none = json!({"lane": "proxy", "credentialOverrides": {"apiKey": "NO_SUCH_KEY"}});
    let reply = try_resolve(&set.stage, &other, "custom-x", &none);
    assert_eq!(
        (theirs, 404),
        (reply.refused(404), reply.status),
        "one answer for both"
    );
    set.stage.finish();
}

#[test]
fn hs_9_a_single_use_in_many_tunnels_at_once_reaches_the_origin_once() {
    let set = Set::changed(echo(), |_| ());
    let once = proxied(&set.stage, &set.admin, &json!({"maxUses": 1}));
    let bearer = format!("Authorization: Bearer {}", once.placeholder);
    let mut tunnels: Vec<_> = (0..24).map(|_| open(&once, set.origin.port())).collect();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let sending: Vec<_> = tunnels
            .iter_mut()
            .map(|tunnel| {
                let head = format!(
                    "GET /run HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n{bearer}\r\n\r\n",
                    set.origin.port()
                );
                scope.spawn(move || {
                    tunnel.write(&head);
                    tunnel.ended()
                })
            })
            .collect();
        sending.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let good = answers.iter().filter(|it| it.starts_with("HTTP/1.1 200"));
    assert_eq!(good.count(), 1, "{answers:?}");
    let spent = answers.iter().filter(|it| it.contains("\"handle_spent\""));
    assert_eq!(spent.count(), 23, "{answers:?}");
    assert_eq!(set.origin.seen().len(), 1);
    set.stage.finish();
}

#[test]
fn hs_10_another_handles_placeholder_in_a_tunnel_is_never_swapped_and_ends_the_handle_that_brings_it()
 {
    let set = Set::changed(echo(), |_| ());
    let other = proxied(&set.stage, &set.admin, &json!({}));
    let mut near = set.handle.placeholder.clone();
    let last = if near.ends_with('A') { "B" } else { "A" };
    near.replace_range(near.len() - 1.., last);
    let shown = |strange: &str| format!("Authorization: Bearer {strange}");
    for strange in [&other.placeholder, &near, &other.placeholder, &near] {
        let bearer = shown(strange);
        set.refused("GET /run", &[&bearer], "", (403, "placeholder_unknown"));
    }
    // The fifth is the last: the tunnel ends with its handle, before its answer or behind it.
    let told = set.ask("GET /run", &[&shown(&near)], "");
    assert!([0, 403].contains(&told.status), "{told:?}");
    assert_eq!(set.origin.accepted(), 0);
    let place = format!("localhost:{}", set.origin.port());
    let dead = || {
        let (_, answer) = connect(&set.handle, &place);
        answer.starts_with("HTTP/1.1 407").then_some(())
    };
    eventually(dead);
    // The other one is as good as before.
    let bearer = format!("Authorization: Bearer {}", other.placeholder);
    let told = ask(&other, set.origin.port(), "GET /run", &[&bearer], "");
    assert_eq!(told.status, 200, "{told:?}");
    let failed: Vec<Value> = set.stage.journal("broker.exchange");
    let unknown = |it: &&Value| it["decision"]["denied"] == "placeholder_unknown";
    assert_eq!(failed.iter().filter(unknown).count(), 5, "{failed:#?}");
    set.stage.finish();
}
