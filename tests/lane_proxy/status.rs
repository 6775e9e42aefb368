//! What whoever runs the broker is told of the proxy.

use std::process::Command;

use serde_json::json;

use crate::harness::eventually;
use crate::lane_proxy::tunnel::open;
use crate::{Set, proxied};

#[test]
fn over_the_socket_it_is_said_where_the_proxy_listens_and_for_how_many() {
    let set = Set::new();
    let local = set.stage.operator();
    let lanes = || local.get("/v1/status").expect(200)["lanes"].clone();
    let here = set.handle.whole["proxy"].clone();
    let proxy = lanes()["proxy"].clone();
    assert_eq!(
        json!(format!("http://{}", proxy["address"].as_str().unwrap())),
        here["url"]
    );
    assert_eq!(proxy["socket"], here["socket"]);
    assert_eq!(
        (&proxy["tunnels"], &lanes()["handles"]),
        (&json!(0), &json!(1))
    );
    proxied(&set.stage, &set.admin, &json!({}));
    let port = set.origin.port();
    let tunnels = [open(&set.handle, port), open(&set.handle, port)];
    eventually(|| (lanes()["proxy"]["tunnels"] == 2).then_some(()));
    assert_eq!(lanes()["handles"], 2);
    let shown = Command::new(env!("CARGO_BIN_EXE_runtools"))
        .arg("status")
        .env_clear()
        .env("HOME", set.stage.broker.folder().path())
        .env("RUNTOOLS_SOCKET", set.stage.broker.socket())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let address = proxy["address"].as_str().unwrap();
    assert!(
        shown.contains(address) && shown.contains("2 tunnels"),
        "{shown}"
    );
    drop(tunnels);
    eventually(|| (lanes()["proxy"]["tunnels"] == 0).then_some(()));
    // How much goes on here is no stranger's business.
    let status = set.stage.broker.anonymous().get("/v1/status").expect(200);
    assert!(status["lanes"].is_null(), "{status}");
    set.stage.finish();
}
