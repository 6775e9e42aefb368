//! Echoes in other spellings (reference: EX-3, EX-5).

use serde_json::json;

use crate::base64;
use crate::harness::Upstream;
use crate::harness::upstream::json as json_answer;
use crate::lanes::{LANES, Wish, resolve};
use crate::stage::encoded::{self, FIXTURE};
use crate::stage::raw::reply;
use crate::stage::{Raw, Stage, tool};

#[test]
fn ex_5_an_echo_in_another_spelling_comes_back_masked() {
    let upstream = Upstream::plain(|seen| {
        let shown = seen.header("authorization");
        let value = shown.trim_start_matches("Bearer ").as_bytes();
        let each = |spell: &dyn Fn(u8) -> String| value.iter().map(|b| spell(*b)).collect();
        let forms: [String; 6] = [
            base64(std::str::from_utf8(value).unwrap()),
            base64(&format!("x{}", shown.trim_start_matches("Bearer "))),
            each(&|b| format!("{b:02X}")),
            each(&|b| format!("%{b:02x}")),
            each(&|b| format!("\\u{b:04x}")),
            each(&|b| format!("&#{b};")),
        ];
        let mut answer = json_answer(200, &json!({}));
        *answer.body_mut() = format!("{forms:?} <{}>", forms.join("> <")).into();
        answer
            .headers_mut()
            .insert("content-type", "text/plain".parse().unwrap());
        answer
    });
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", upstream.port()));
    let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
    let url = format!("http://127.0.0.1:{}/run", upstream.port());
    for lane in LANES {
        let came = lane.send(&stage, &admin, &handle, &Wish::get(&url));
        assert_eq!(came.status, 200, "{lane:?}: {}", came.text);
        let entry = stage.ended("broker.exchange");
        let hits = entry["outcome"]["scrub_hits"].as_u64().unwrap();
        assert!(hits >= 10, "{lane:?}: {entry}");
    }
    // In no spelling did anything come out.
    stage.finish();
}

#[test]
fn ex_3_an_encoded_echo_is_decoded_and_comes_back_masked() {
    for (encoding, body) in encoded::echoes() {
        let upstream = Raw::start(move |_, stream| {
            let lines = format!("content-type: text/plain\r\ncontent-encoding: {encoding}\r\n");
            reply(stream, &lines, &body);
        });
        let mut stage = Stage::new();
        let admin = stage.broker.admin(&[]);
        stage.canaries.also(FIXTURE);
        stage.secret_of(&admin, "KEY", FIXTURE, &json!({}));
        stage.install(&admin, &tool("custom-x", upstream.port()));
        let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
        let url = format!("http://127.0.0.1:{}/run", upstream.port());
        for lane in LANES {
            let came = lane.send(&stage, &admin, &handle, &Wish::get(&url));
            let shown = format!("{encoding}, {lane:?}: {}", came.text);
            assert_eq!(came.status, 200, "{shown}");
            assert!(came.text.contains(&encoded::masked()), "{shown}");
            assert!(!came.text.contains("content-encoding"), "{shown}");
            let entry = stage.ended("broker.exchange");
            assert_eq!(entry["outcome"]["scrub_hits"], 2, "{entry}");
        }
        stage.finish();
    }
}
