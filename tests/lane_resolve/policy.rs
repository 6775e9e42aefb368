//! The organisation's policy is asked again at every use (reference: HS-2).

use serde_json::json;

use crate::lanes::{LANES, Lane, Wish, resolve, try_resolve};
use crate::set;
use crate::stage::tls_tool;

#[test]
fn hs_2_a_handle_dies_when_the_organisations_policy_forbids_what_it_stands_for() {
    let (mut stage, upstream, ..) = set(&json!({}));
    let operator = stage.operator();
    // A tool that nobody but its writer vouches for: what it is lent it can show, which takes the same.
    let ann = stage.broker.member("Ann");
    stage.secret(&ann, "KEY", &json!({}));
    let mut spec = tls_tool("custom-y", upstream.port());
    // Nor may it reach this machine: it gets as far as that.
    spec["bindings"][0]
        .as_object_mut()
        .unwrap()
        .remove("private");
    stage.install(&ann, &spec);
    let handle = resolve(&stage, &ann, "custom-y", &json!({})).text;
    let code = |lane: Lane| {
        let url = format!("https://localhost:{}/run", upstream.port());
        let came = lane.send(&stage, &ann, &handle, &Wish::get(&url));
        (came.status, came.code)
    };
    for lane in LANES {
        assert_ne!(code(lane).1, "handle_dead", "{lane:?}");
    }
    let off = json!({"settings": {"revealEnabled": false}});
    let path = "/v1/organizations/current";
    stage.send(&operator, "PATCH", path, &off).expect(200);
    for lane in LANES {
        assert_eq!(code(lane), (410, "handle_dead".to_owned()), "{lane:?}");
    }
    let refused = try_resolve(&stage, &ann, "custom-y", &json!({}));
    assert_eq!(refused.refused(403), "policy_denied");
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}
