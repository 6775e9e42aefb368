//! What an upstream says before its answer and after it, through a tunnel (reference: EX-4).

use serde_json::json;

use super::curl::Way;
use super::front::Front;
use crate::stage::{Stage, tls_tool};
use crate::{MASK, proxied};

#[test]
fn ex_4_what_comes_before_and_after_an_answer_brings_nothing_back_through_a_tunnel() {
    let front = Front::start();
    let mut stage = Stage::trusting(&front.root);
    let admin = stage.broker.admin(&[]);
    let value = stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", front.port));
    let handle = proxied(&stage, &admin, &json!({}));
    let way = Way::of(&handle);
    let bearer = format!("Authorization: Bearer {}", handle.placeholder);
    let url = format!("https://localhost:{}/run", front.port);
    for version in ["--http1.1", "--http2"] {
        // curl shows trailers as further lines of the head.
        let words = [
            version,
            "-D",
            "-",
            "-H",
            "TE: trailers",
            "-H",
            &bearer,
            &url,
        ];
        let curl = way.command(&words).spawn().unwrap();
        let mut served = front.origin.next();
        assert!(served.head.contains(&value), "{}", served.head);
        let said = format!(
            "HTTP/1.1 102 Processing\r\nx-echo: {value}\r\n\r\n\
             HTTP/1.1 103 Early Hints {value}\r\nlink: </{value}>; rel=preload\r\n\r\n\
             HTTP/1.1 200 OK {value}\r\ntransfer-encoding: chunked\r\ntrailer: x-echo, x-plain\r\n\
             connection: close\r\n\r\n2\r\nok\r\n0\r\nx-echo: <{value}>\r\nx-plain: said\r\n\r\n"
        );
        served.write(said.as_bytes()).unwrap();
        let output = curl.wait_with_output().unwrap();
        let came = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{version}: {output:?}");
        // One answer after that of the proxy itself, which opens the tunnel.
        let (_, inside) = came.split_once("\r\n\r\n").unwrap();
        assert_eq!(inside.matches("HTTP/").count(), 1, "{version}: {came}");
        assert!(!came.contains("preload"), "{version}: {came}");
        assert!(inside.contains("ok"), "{version}: {came}");
        assert!(
            inside.contains(&format!("x-echo: <{MASK}>")),
            "{version}: {came}"
        );
        assert!(inside.contains("x-plain: said"), "{version}: {came}");
        let entry = stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["scrub_hits"], 1, "{version}: {entry}");
        stage.keep_bytes(version, &output.stdout);
    }
    stage.finish();
}
