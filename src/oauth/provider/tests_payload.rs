//! B16: a payload that the provider did not sign, or not lately, is nobody's; and what a file of that kind
//! may say.

use serde_json::{Value, json};

use super::tests_samples::{edited, load};
use super::{Catalog, Payload, Provider, SignatureFault, check_payload};
use crate::clock::Timestamp;
use crate::name::ProviderId;
use crate::secret::Secret;

/// Signed by Python's hmac and hashlib, as Telegram says that it signs.
const RECORDED: &str = include_str!("../../../tests/fixtures/providers/telegram-widget.json");
const FILE: &str = include_str!("../../../config/providers/telegram-widget.toml");

struct Recorded {
    provider: Provider,
    secret: Secret,
    made: i64,
    text: String,
}

fn recorded() -> Recorded {
    let fixture: Value = serde_json::from_str(RECORDED).unwrap();
    let said = &fixture["payload"];
    let id = ProviderId::parse("telegram-widget").unwrap();
    Recorded {
        provider: (**Catalog::shipped().unwrap().get(&id).unwrap()).clone(),
        secret: Secret::copy_of(said["secret"].as_str().unwrap().as_bytes()),
        made: said["signed_at"].as_i64().unwrap(),
        text: said["text"].as_str().unwrap().to_owned(),
    }
}

impl Recorded {
    fn at(&self, text: &str, later: i64) -> Result<(), SignatureFault> {
        let payload = Payload::read(text).ok_or(SignatureFault::Query)?;
        let now = Timestamp::default().plus_seconds(self.made + later);
        let signed = check_payload(&self.provider, &payload, &self.secret, now)?;
        assert_eq!(signed.made, Timestamp::default().plus_seconds(self.made));
        assert_eq!(signed.until, signed.made.plus_seconds(300));
        Ok(())
    }

    fn json(&self) -> Value {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(self.text.as_bytes());
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    }
}

fn written(document: &str) -> String {
    data_encoding::BASE64URL_NOPAD.encode(document.as_bytes())
}

#[test]
fn b16_a_payload_is_its_provider_s_as_it_was_recorded() {
    let recorded = recorded();
    assert_eq!(recorded.at(&recorded.text, 1), Ok(()));
    // Neither the order of its members nor padding is signed.
    let turned = recorded.json();
    let turned: Vec<_> = turned.as_object().unwrap().iter().rev().collect();
    let turned: Vec<_> = turned
        .iter()
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    let turned = format!("{{ {} }}", turned.join(" , "));
    assert_eq!(recorded.at(&written(&turned), 1), Ok(()));
    let padded = data_encoding::BASE64URL.encode(turned.as_bytes());
    assert_eq!(recorded.at(&padded, 1), Ok(()));
}

#[test]
fn b16_one_changed_byte_of_a_payload_is_somebody_elses() {
    let recorded = recorded();
    let whole = data_encoding::BASE64URL_NOPAD.decode(recorded.text.as_bytes());
    let whole = whole.unwrap();
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 1;
        let changed = data_encoding::BASE64URL_NOPAD.encode(&bytes);
        assert!(recorded.at(&changed, 1).is_err(), "{index}");
    }
    let refused = |edit: fn(&mut Value)| {
        let mut document = recorded.json();
        edit(&mut document);
        recorded.at(&written(&document.to_string()), 1).unwrap_err()
    };
    let wrong = SignatureFault::Wrong;
    assert_eq!(refused(|it| it["id"] = 1_234_567_891.into()), wrong);
    assert_eq!(refused(|it| it["is_admin"] = true.into()), wrong);
    assert_eq!(
        refused(|it| drop(it.as_object_mut().unwrap().remove("photo_url"))),
        wrong
    );
    assert_eq!(refused(|it| it["auth_date"] = 1_795_426_101.into()), wrong);
    assert_eq!(
        refused(|it| it["hash"] = "".into()),
        SignatureFault::Missing
    );
    assert_eq!(
        refused(|it| drop(it.as_object_mut().unwrap().remove("hash"))),
        SignatureFault::Missing
    );
    let other = Secret::copy_of(b"7654321098:AAfixture-BotToken_0002");
    let payload = Payload::read(&recorded.text).unwrap();
    let now = Timestamp::default().plus_seconds(recorded.made);
    let checked = check_payload(&recorded.provider, &payload, &other, now);
    assert_eq!(checked, Err(wrong));
}

#[test]
fn b16_a_payload_counts_for_five_minutes_and_not_before_it_was_made() {
    let recorded = recorded();
    for (later, good) in [
        (-61, false),
        (-60, true),
        (0, true),
        (300, true),
        (301, false),
    ] {
        let checked = recorded.at(&recorded.text, later);
        let expected = if good {
            Ok(())
        } else {
            Err(SignatureFault::Age)
        };
        assert_eq!(checked, expected, "{later}");
    }
}

#[test]
fn b16_a_payload_is_read_in_one_way_or_not_at_all() {
    let read = |document: &str| Payload::read(&written(document)).map(|it| it.pairs().to_vec());
    let pairs = read(r#"{"b":"x","a":7,"c":true}"#).unwrap();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(pairs, ["a=7", "b=x", "c=true"]);
    for document in [
        "",
        "false",
        "[]",
        r#"{"a":1,"a":1}"#,
        r#"{"a":{}}"#,
        r#"{"a":[1]}"#,
        r#"{"a":null}"#,
        r#"{"a":1.5}"#,
        // A line break would let one member pose as two.
        r#"{"a":"x\nid=1"}"#,
        r#"{"a\n":"x"}"#,
        r#"{"a":"\u0000"}"#,
        r#"{"a=b":"x"}"#,
        r#"{"a":1} "#,
    ] {
        let trailing = document.ends_with("} ");
        assert_eq!(read(document).is_some(), trailing, "{document}");
    }
    let many: Vec<_> = (0..65).map(|n| format!("\"a{n}\":1")).collect();
    assert!(read(&format!("{{{}}}", many.join(","))).is_none());
    assert!(read(&format!("{{\"a\":\"{}\"}}", "x".repeat(2049))).is_none());
    assert!(Payload::read("no base64!").is_none());
    let shown = Payload::read(&recorded().text).unwrap();
    assert_eq!(format!("{shown:?}"), "Payload(hidden)");
}

#[test]
fn a_file_for_payloads_has_what_they_need_and_no_token() {
    let at = "[identity]\n";
    for (old, new, key) in [
        ("payload = \"tgAuthResult\"\n", "", "callback.payload"),
        ("\"tgAuthResult\"", "\"a&b\"", "callback.payload"),
        (
            "over = \"payload_lines\"",
            "over = \"sorted_query\"",
            "callback.signature",
        ),
        ("max_age_s = 300", "max_age_s = 0", "callback.signature"),
        ("exclude = []", "exclude = [\"id\"]", "callback.signature"),
        (
            "exclude = []",
            "exclude = [\"auth_date\"]",
            "callback.signature",
        ),
        ("pkce = \"off\"", "pkce = \"optional\"", "authorize.pkce"),
        ("mode = \"none\"", "rotates = \"always\"", "refresh.mode"),
        (
            "source = \"callback\"",
            "source = \"id_token\"",
            "identity.source",
        ),
        ("hosts = []", "hosts = [\"api.telegram.org\"]", "api.hosts"),
        (
            at,
            "[token]\nurl = \"https://a.example.com/\"\n[identity]\n",
            "kind",
        ),
        (
            at,
            "[[revoke]]\nurl = \"https://a.example.com/\"\n[identity]\n",
            "kind",
        ),
    ] {
        let fault = load(&edited(FILE, old, new)).unwrap_err().to_string();
        let begins = format!("telegram-widget.toml: {key}: ");
        assert!(fault.starts_with(&begins), "{new}: {fault}");
    }
}

#[test]
fn a_payload_is_signed_and_a_query_s_signature_is_over_the_query() {
    let unsigned = FILE.split("[callback.signature]").next().unwrap();
    let rest = FILE.split("max_age_s = 300\n").nth(1).unwrap();
    let fault = load(&format!("{unsigned}{rest}")).unwrap_err().to_string();
    assert!(
        fault.contains("callback.signature: a payload is signed"),
        "{fault}"
    );
    let plain =
        super::tests_samples::GOOGLE.replace("[token]\n", "[callback]\npayload = \"x\"\n[token]\n");
    assert!(
        load(&plain)
            .unwrap_err()
            .to_string()
            .contains("callback.payload")
    );
    let lines = super::tests_samples::SHOPIFY.replace("\"sorted_query\"", "\"payload_lines\"");
    assert!(
        load(&lines)
            .unwrap_err()
            .to_string()
            .contains("callback.signature")
    );
}
