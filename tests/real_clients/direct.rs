//! Hosts that a tool is bound to and no free request may go to: nothing goes past the proxy there either.

use crate::World;
use crate::harness::Upstream;
use crate::vendor;

const TOOL: &str = r#"
slug = "custom-direct"
name = "Direct"

[credentials.token]
secret = "DIRECT_TOKEN"

[[bindings]]
hosts = ["HOST"]
port = PORT
private = ["127.0.0.1/32", "::1/128"]
methods = ["GET"]
paths = ["/**"]
only_actions = true
slots.token = [{ header = "authorization", format = "Bearer {token}" }]
"#;

#[test]
fn no_client_goes_past_the_proxy_to_a_host_that_is_for_declared_actions_alone() {
    for host in ["localhost", "127.0.0.1"] {
        let origin = Upstream::tls(&["localhost", "127.0.0.1"], vendor::answer);
        let root = origin.root_pem().to_owned();
        let mut world = World::trusting(&root, origin);
        world.secret("DIRECT_TOKEN");
        let port = world.origin.port().to_string();
        let slug = world.install(&TOOL.replace("PORT", &port).replace("HOST", host));
        let url = format!("https://{host}:{port}/");
        // With the word that makes curl show what the proxy says, and one more without a check of
        // certificates, as careless code has it.
        let program = ["curl", "-sSvk", "--max-time", "40", &url];
        let mut command = world.command(&slug, &program);
        command.env("NO_PROXY", format!("{host},internal.test"));
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{told}");
        assert!(told.contains("HTTP/1.1 403"), "{told}");
        assert_eq!(world.origin.accepted(), 0, "{told}");
        world.stage.keep_bytes("curl", &output.stderr);
        world.stage.finish();
    }
}
