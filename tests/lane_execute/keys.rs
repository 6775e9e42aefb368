//! What is made of a key, and whom it is shown to, by right of a handle (reference: DC-15, EX-13, HT-5).

use runtools_broker::crypto::{hmac_of, sha256};
use runtools_broker::secret::Secret;
use serde_json::{Value, json};

use crate::Set;
use crate::lanes::{LANES, Wish, resolve};
use crate::stage::certificates::{Flaw, Suspect};
use crate::stage::{Stage, tls_tool, tool};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn ex_13_only_what_is_sent_is_signed_and_only_as_the_tool_says() {
    let mut set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0]["slots"]["apiKey"] = json!([{"hmac": {
            "message": "{timestamp}\n{method}\n{target}\n{body_sha256}",
            "header": "x-signature", "timestampHeader": "x-timestamp",
        }}]);
        spec
    });
    let key = Secret::copy_of(set.value.as_bytes());
    for lane in LANES {
        // All that a caller might take for a say in it.
        let wish = Wish::get(&set.url("/run?x=1&message=forged"))
            .post("text/plain", "sub=admin&scopes=all")
            .header("x-signature", "00")
            .header("x-timestamp", "1")
            .header("x-message", "forged");
        let shown = set.sent(lane, &wish);
        let seen = set.upstream.last();
        let of = |name: &str| seen.headers.get_all(name).iter().count();
        assert_eq!((of("x-signature"), of("x-timestamp")), (1, 1), "{lane:?}");
        let time = seen.header("x-timestamp");
        assert_ne!(time, "1", "{lane:?}");
        let message = format!(
            "{time}\nPOST\n{}\n{}",
            seen.target,
            hex(&sha256(&seen.body))
        );
        let signature = hex(&hmac_of(&key, message.as_bytes()));
        assert_eq!(seen.header("x-signature"), signature, "{lane:?}");
        assert!(!shown.contains(&signature), "{lane:?}: {shown}");
        set.stage.canaries.also(&signature);
    }
    // The key itself is sent nowhere, so that its placeholder may stand nowhere.
    let placeholder = &set.handle.placeholder;
    let url = set.url("/run");
    set.refused(
        &Wish::get(&url).header("x-signature", placeholder),
        403,
        "placement",
    );
    let body = format!("message={placeholder}");
    set.refused(&Wish::get(&url).post("text/plain", &body), 403, "placement");
    set.stage.finish();
}

#[test]
fn dc_15_an_untrusted_certificate_gets_no_byte_inside_tls() {
    use Flaw::{Expired, NotYet, SelfSigned, UnknownIssuer, WrongName};
    for flaw in [WrongName, Expired, NotYet, SelfSigned, UnknownIssuer] {
        let upstream = Suspect::start(flaw);
        let mut stage = Stage::trusting(&upstream.root);
        let admin = stage.broker.admin(&[]);
        stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tls_tool("custom-x", upstream.port));
        let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
        let url = format!("https://localhost:{}/run", upstream.port);
        for lane in LANES {
            let before = upstream.accepted();
            let came = lane.send(&stage, &admin, &handle, &Wish::get(&url));
            let shown = format!("{flaw:?} {lane:?}: {}", came.text);
            assert_eq!((came.status, &*came.code), (502, "tls_failed"), "{shown}");
            assert!(upstream.accepted() > before, "it was tried: {shown}");
            assert_eq!(upstream.bytes_inside(), 0, "{shown}");
        }
        // No switch in the request turns it off: there is none to turn.
        for more in ["insecure", "verify", "tls"] {
            let mut body = json!({"handle": handle, "method": "GET", "url": url});
            body[more] = false.into();
            let reply = stage.send(&admin, "POST", "/v1/execute", &body);
            assert_eq!(reply.refused(400), "bad_request", "{more}");
        }
        stage.finish();
    }
}

#[test]
fn ht_5_no_line_break_comes_into_a_request_with_the_credential_or_beside_it() {
    let set = Set::new();
    for bad in ["\r\nx-evil: 1", "\n", "\u{0}", "é"] {
        let value = format!("{}{bad}", set.value);
        let body = json!({ "value": value });
        let path = "/v1/secrets/KEY/rotate";
        let rotated = set.stage.send(&set.admin, "POST", path, &body);
        assert_eq!(rotated.refused(400), "bad_request", "{bad:?}");
        // Nor does one that stands beside it.
        let is_break = !bad.starts_with('é');
        for place in ["url", "method", "headers", "query"] {
            let mut wish: Value = json!({
                "handle": set.handle.text, "method": "GET", "url": set.url("/run"),
            });
            let text = |before: &str| format!("{before}{bad}");
            match place {
                "url" => wish["url"] = text(&set.url("/run")).into(),
                "method" => wish["method"] = text("GET").into(),
                "query" => wish["query"] = json!({ "a": bad }),
                _ => wish["headers"] = json!({ "x-a": text("b") }),
            }
            let reply = set.stage.send(&set.admin, "POST", "/v1/execute", &wish);
            if place == "query" && bad != "\u{0}" {
                // Data, which is escaped.
                assert_eq!(reply.status, 200, "{bad:?}");
                let seen = set.upstream.last();
                assert!(seen.target.starts_with("/run?a=%"), "{}", seen.target);
                assert_eq!(seen.header("x-evil"), "");
            } else if is_break || place != "headers" {
                assert_eq!(reply.status, 400, "{place} {bad:?}");
            }
        }
    }
    let escaped = set.url("/run%0d%0ax-evil:1");
    set.refused(&Wish::get(&escaped), 400, "bad_url");
    // The handle was made for a value that was never replaced.
    for lane in LANES {
        set.sent(lane, &Wish::get(&set.url("/run")));
        let shown = set.upstream.last().header("authorization");
        assert_eq!(shown, format!("Bearer {}", set.value));
    }
    set.stage.finish();
}
