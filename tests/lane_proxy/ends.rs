//! What ends tunnels without a word about their handle, their secret or their tool (reference: HS-2).

use std::time::Instant;

use runtools_broker::clock::{Clock as _, SystemClock};
use serde_json::json;

use super::life::{Streaming, cut, stream};
use super::tunnel::{connect, open};
use crate::lanes::cut::in_a_second;
use crate::proxied;
use crate::stage::{Stage, tls_tool, with};

#[test]
fn hs_2_a_tunnel_is_cut_when_the_organisations_policy_forbids_what_it_stands_for() {
    in_a_second("forbidden", || {
        let mut stage = Stage::new();
        let ann = stage.broker.member("Ann");
        stage.secret(&ann, "KEY", &json!({}));
        // What nobody but its writer vouches for reaches nothing on this machine: there is a tunnel, no more.
        let mut spec = tls_tool("custom-x", 9);
        let binding = spec["bindings"][0].as_object_mut().unwrap();
        binding.remove("private");
        stage.install(&ann, &spec);
        let handle = proxied(&stage, &ann, &json!({}));
        let mut idle = open(&handle, 9);
        let off = json!({"settings": {"revealEnabled": false}});
        let path = "/v1/organizations/current";
        stage
            .send(&stage.operator(), "PATCH", path, &off)
            .expect(200);
        let (took, _) = idle.end();
        let (_, answer) = connect(&handle, "localhost:9");
        assert!(answer.starts_with("HTTP/1.1 407"), "{answer}");
        stage.finish();
        took
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_member_who_asked_for_it_is_removed() {
    cut("removed", Streaming::of_member, |set| {
        let members = "/v1/organizations/current/members";
        let listed = set.stage.operator().get(members).expect(200);
        let mut listed = listed["data"].as_array().unwrap().iter();
        let ann = listed.find(|one| one["name"] == "Ann").unwrap();
        let path = format!("{members}/{}", ann["id"].as_str().unwrap());
        set.stage.operator().delete(&path).expect(200);
    });
}

#[test]
fn hs_2_a_tunnel_is_cut_when_the_time_of_its_secret_is_over() {
    let mut set = Streaming::open(&json!({}));
    // A secret that lives long enough for this machine to open a stream with it, however busy it is.
    let began = Instant::now();
    drop(stream(&set.front, &set.handle, &set.value));
    let life = 2_000 + 10 * i64::try_from(began.elapsed().as_millis()).unwrap();
    let end = SystemClock.now().plus_millis(life);
    let more = json!({"expires": end.to_string()});
    let value = set.stage.secret(&set.asker, "SHORT", &more);
    let handle = proxied(&set.stage, &set.asker, &with("SHORT"));
    let (mut client, mut served) = stream(&set.front, &handle, &value);
    let mut idle = open(&handle, set.front.port);
    client.end();
    idle.end();
    let late = SystemClock.now().millis_since(end);
    // Every handle is looked at each ten seconds all the same: that would be later.
    assert!(late < 5_000, "{late} milliseconds after the end");
    assert!(served.is_left(), "the upstream is let go of");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "handle_dead", "{entry}");
    set.stage.finish();
}
