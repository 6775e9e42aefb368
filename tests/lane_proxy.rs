//! The egress proxy: tool code that was not changed, elsewhere, with a placeholder for a credential.

mod harness;
mod lanes;
mod stage;

mod lane_proxy {
    mod asked;
    mod besides;
    mod comes_back;
    pub(crate) mod curl;
    mod ends;
    pub(crate) mod frames;
    pub(crate) mod front;
    mod goes_out;
    mod idle;
    mod life;
    mod names;
    mod passing;
    mod rates;
    mod refusals;
    mod seats;
    mod slow;
    mod smuggling;
    mod socket;
    mod socket_ends;
    mod status;
    mod strangers;
    pub(crate) mod tunnel;
    mod upload;
    mod whose;
}

use harness::{Client, Upstream};
use lane_proxy::curl::Way;
use lanes::{Handle, resolve};
use serde_json::{Value, json};
use stage::{Stage, tls_tool, tool};

const MASK: &str = "****************************************";

/// A broker, a TLS origin that shows what it was sent, and a handle for the proxy.
struct Set {
    stage: Stage,
    origin: Upstream,
    admin: Client,
    value: String,
    handle: Handle,
}

fn echo() -> Upstream {
    Upstream::tls(&["localhost"], |seen| {
        harness::upstream::json(200, &seen.echo())
    })
}

impl Set {
    fn new() -> Self {
        Self::over(echo())
    }

    fn over(origin: Upstream) -> Self {
        let mut stage = Stage::trusting(origin.root_pem());
        let admin = stage.broker.admin(&[]);
        let value = stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tls_tool("custom-x", origin.port()));
        let handle = proxied(&stage, &admin, &json!({}));
        Self {
            stage,
            origin,
            admin,
            value,
            handle,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.origin.port())
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.handle.placeholder)
    }
}

/// A handle of the proxy's for the tool `custom-x`.
#[track_caller]
fn proxied(stage: &Stage, client: &Client, more: &Value) -> Handle {
    let mut wanted = json!({"lane": "proxy"});
    stage::merge(&mut wanted, more);
    resolve(stage, client, "custom-x", &wanted)
}

#[test]
fn ex_1_a_placeholder_leaves_as_the_value_and_comes_back_masked() {
    let set = Set::new();
    let way = Way::of(&set.handle);
    for version in ["--http1.1", "--http2"] {
        let ran = way.curl(&[version, "-H", &set.bearer(), &set.url("/run?a=b")]);
        assert_eq!((ran.status, ran.connect), (200, 200), "{ran:?}");
        assert!(
            ran.text.contains(MASK) && !ran.text.contains(&set.value),
            "{ran:?}"
        );
        assert!(version.ends_with(&ran.version), "{version}: {ran:?}");
        let seen = set.origin.last();
        assert_eq!(
            seen.header("authorization"),
            format!("Bearer {}", set.value)
        );
        assert_eq!(seen.target, "/run?a=b");
        assert_eq!(seen.header("proxy-authorization"), "");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["status"], "success", "{version} {entry}");
    }
    set.stage.finish();
}

#[test]
fn several_requests_share_a_tunnel_and_each_takes_a_use() {
    let set = Set::new();
    for version in ["--http1.1", "--http2"] {
        let before = set.origin.seen().len();
        let urls = [set.url("/1"), set.url("/2"), set.url("/3"), set.url("/4")];
        let handle = proxied(&set.stage, &set.admin, &json!({"maxUses": 3}));
        let way = Way::of(&handle);
        let bearer = format!("Authorization: Bearer {}", handle.placeholder);
        let mut words = vec![version, "-H", &bearer];
        words.extend(urls.iter().map(String::as_str));
        let ran = way.curl(&words);
        assert_eq!(ran.status, 410, "the fourth: {ran:?}");
        assert!(ran.text.contains("handle_spent"), "{ran:?}");
        assert_eq!(ran.text.matches(MASK).count(), 3, "{ran:?}");
        assert_eq!(ran.connections, 0, "none but the first's: {ran:?}");
        assert_eq!(set.origin.seen().len() - before, 3);
    }
    set.stage.finish();
}

#[test]
fn every_method_body_and_answer_goes_through() {
    let set = Set::new();
    let way = Way::of(&set.handle);
    let body = "x".repeat(3 << 20);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    let from_file = format!("@{}", file.path().display());
    for version in ["--http1.1", "--http2"] {
        let ran = way.curl(&[version, "-H", &set.bearer(), "-d", "a=b", &set.url("/post")]);
        assert_eq!(ran.status, 200, "{ran:?}");
        assert_eq!(&set.origin.last().body[..], b"a=b");
        let words = [version, "-H", &set.bearer(), "--data-binary", &from_file];
        let ran = way.curl(&[&words[..], &[&set.url("/large")]].concat());
        assert_eq!(ran.status, 200, "{}", ran.told);
        assert_eq!(set.origin.last().body.len(), body.len());
        let ran = way.curl(&[version, "-i", "-H", &set.bearer(), &set.url("/head")]);
        assert_eq!(ran.status, 200, "{ran:?}");
        assert!(ran.text.contains("x-runtools-answer: upstream"), "{ran:?}");
        assert_eq!(set.origin.last().target, "/head");
        // What needs no credential goes without one.
        let ran = way.curl(&[version, &set.url("/open")]);
        assert_eq!(ran.status, 200, "{ran:?}");
        assert_eq!(set.origin.last().header("authorization"), "");
    }
    set.stage.finish();
}

#[test]
fn the_unix_socket_is_as_good_as_the_port() {
    let set = Set::new();
    let socket = set.handle.whole["proxy"]["socket"].as_str().unwrap();
    let mode = std::fs::metadata(socket).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let place = format!("localhost:{}", set.origin.port());
    let shown = lane_proxy::tunnel::basic(&set.handle.text);
    std::io::Write::write_all(
        &mut stream,
        format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{shown}\r\n").as_bytes(),
    )
    .unwrap();
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    set.stage.finish();
}

#[test]
fn a_host_that_is_bound_over_http_is_asked_without_a_tunnel() {
    let origin = Upstream::echo();
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    let value = stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", origin.port()));
    let handle = proxied(&stage, &admin, &json!({}));
    let way = Way::of(&handle);
    let bearer = format!("Authorization: Bearer {}", handle.placeholder);
    let url = format!("http://127.0.0.1:{}/run", origin.port());
    let ran = way.curl(&["-H", &bearer, &url]);
    assert_eq!((ran.status, ran.connect), (200, 0), "{ran:?}");
    assert!(ran.text.contains(MASK) && !ran.text.contains(&value));
    assert_eq!(
        origin.last().header("authorization"),
        format!("Bearer {value}")
    );
    assert_eq!(
        origin.last().header("host"),
        format!("127.0.0.1:{}", origin.port())
    );
    stage.finish();
}
