//! Invariant 2 of the broker: what is placed, and what never leaves, whatever a caller writes.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::crossing::{Cargo, Crossing, Placing};
use super::placeholder::any_in;
use super::scrub::Patterns;
use super::tests_sending::{Arrived, HOST, Means, World, drawn, field, runner};
use crate::egress::Url;
use crate::secret::Secret;

/// How somebody who hides a placeholder may write it.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    Raw,
    /// Some of its letters, as the bits say.
    Percent(u64),
    Json(u64),
    /// Behind so many other bytes.
    Base64(usize),
    Base64Url(usize),
    Hex,
}

impl Spelling {
    fn of(self, text: &str) -> String {
        let some = |bits: u64, write: fn(u8) -> String| {
            let letters = text.bytes().enumerate();
            let spelled = letters.map(|(at, byte)| match bits >> (at % 64) & 1 {
                1 => write(byte),
                _ => char::from(byte).to_string(),
            });
            spelled.collect()
        };
        let behind = |count: usize| format!("{}{text}", "x".repeat(count));
        match self {
            Self::Raw => text.to_owned(),
            Self::Percent(bits) => some(bits, |byte| format!("%{byte:02X}")),
            Self::Json(bits) => some(bits, |byte| format!("\\u{byte:04x}")),
            Self::Base64(count) => STANDARD.encode(behind(count)),
            Self::Base64Url(count) => URL_SAFE_NO_PAD.encode(behind(count)),
            Self::Hex => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// Whose placeholder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Key,
    Other,
    /// Another handle's.
    Nobodys,
}

/// Where somebody writes one.
#[derive(Clone, Copy, Debug)]
enum Spot {
    Header(&'static str, &'static str),
    BasicUser,
    BasicPassword,
    Query(&'static str),
    /// As a name, not as a value.
    QueryName,
    /// In the segment that may be a slot, or in one that may not.
    Path,
    PathElsewhere,
    Json(&'static str),
    Form(&'static str),
    Text,
}

/// The slots that the key may have, by bit.
const SLOTS: [&str; 7] = [
    r#"{"header": "authorization", "format": "Bearer {key}"}"#,
    r#"{"header": "x-api-key"}"#,
    r#"{"basic": "password", "with": "x-access-token"}"#,
    r#"{"query": "access_token"}"#,
    r#"{"json": "/auth/key"}"#,
    r#"{"form": "key"}"#,
    r#"{"pathSegment": "id"}"#,
];

impl Spot {
    /// The slot that it is, for a placeholder that is spelled so: a bit of [`SLOTS`], or 7 for the one of
    /// the other field.
    fn slot(self, whose: Whose, plain: bool, percent: bool) -> Option<usize> {
        let key = match self {
            Self::Header("authorization", "Bearer " | "bEARER ") if plain => 0,
            Self::Header("x-api-key", "") if plain => 1,
            Self::BasicPassword if plain => 2,
            Self::Query("access_token") if plain || percent => 3,
            Self::Json("key") if plain => 4,
            Self::Form("key") if plain => 5,
            Self::Path if plain => 6,
            Self::Header("x-other-key", "") if plain => 7,
            _ => return None,
        };
        (whose == if key == 7 { Whose::Other } else { Whose::Key }).then_some(key)
    }
}

type Put = (Spot, Whose, Spelling);

fn puts() -> impl Strategy<Value = Vec<Put>> {
    let header = prop::sample::select(vec!["authorization", "x-api-key", "x-other-key", "x-free"]);
    let frame = prop::sample::select(vec!["", "Bearer ", "bEARER ", "Token "]);
    let spot = prop_oneof![
        6 => (header, frame).prop_map(|(name, frame)| Spot::Header(name, frame)),
        1 => Just(Spot::BasicUser),
        2 => Just(Spot::BasicPassword),
        2 => prop::sample::select(vec!["access_token", "q"]).prop_map(Spot::Query),
        1 => Just(Spot::QueryName),
        1 => Just(Spot::Path),
        1 => Just(Spot::PathElsewhere),
        2 => prop::sample::select(vec!["key", "note"]).prop_map(Spot::Json),
        2 => prop::sample::select(vec!["key", "note"]).prop_map(Spot::Form),
        1 => Just(Spot::Text),
    ];
    let whose =
        prop_oneof![6 => Just(Whose::Key), 2 => Just(Whose::Other), 1 => Just(Whose::Nobodys)];
    let spelling = prop_oneof![
        8 => Just(Spelling::Raw),
        1 => any::<u64>().prop_map(Spelling::Percent),
        1 => any::<u64>().prop_map(Spelling::Json),
        1 => (0_usize..4).prop_map(Spelling::Base64),
        1 => (0_usize..4).prop_map(Spelling::Base64Url),
        1 => Just(Spelling::Hex),
    ];
    prop::collection::vec((spot, whose, spelling), 0..3)
}

/// The request with all that was put into it, and which slots that fills. `None` for one that is no request,
/// with two bodies or a target that is none, or that is written in two spellings at once.
#[expect(clippy::too_many_lines, reason = "a request is written in one piece")]
fn written(
    world: &World,
    means: &Means,
    (puts, placing): (&[Put], Placing),
) -> Option<(Crossing, Vec<Option<usize>>)> {
    let stranger = drawn();
    let (mut headers, mut queries) = (HeaderMap::new(), vec!["q=1".to_owned()]);
    let (mut path, mut body) = (["v1", "things", "x"].map(str::to_owned), None);
    let mut slots = Vec::new();
    for (spot, whose, spelling) in puts {
        let own = |name| means.placeholders[&field(name)].text().to_owned();
        let text = match whose {
            Whose::Key => own("key"),
            Whose::Other => own("other"),
            Whose::Nobodys => stranger.text().to_owned(),
        };
        let spelled = spelling.of(&text);
        let percent = matches!(spelling, Spelling::Percent(_));
        slots.push(spot.slot(*whose, spelled == text, percent));
        let mut header = |name: &'static str, value: String| {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        };
        let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
        let mut write = |kind: &'static str, text: String| body.replace((kind, text)).is_none();
        let fits = match spot {
            // One spelling within another is nobody's credential, and none is looked for.
            Spot::BasicUser | Spot::BasicPassword if spelled != text => false,
            Spot::Header(name, frame) => {
                header(name, format!("{frame}{spelled}"));
                true
            }
            Spot::BasicUser => {
                header("authorization", basic(format!("{spelled}:x")));
                true
            }
            Spot::BasicPassword => {
                header("authorization", basic(format!("git:{spelled}")));
                true
            }
            Spot::Query(name) => {
                queries.push(format!("{name}={spelled}"));
                true
            }
            Spot::QueryName => {
                queries.push(format!("{spelled}=1"));
                true
            }
            Spot::Path => std::mem::replace(&mut path[2], spelled) == "x",
            Spot::PathElsewhere => std::mem::replace(&mut path[1], spelled) == "things",
            Spot::Json(name) => write(
                "application/json",
                format!(r#"{{"n": 1, "auth": {{"{name}": "{spelled}"}}}}"#),
            ),
            Spot::Form(name) => write(
                "application/x-www-form-urlencoded",
                format!("a=1&{name}={spelled}&b=2"),
            ),
            Spot::Text => write("text/plain", format!("say {spelled} again")),
        };
        if !fits {
            return None;
        }
    }
    let (path, query) = (path.join("/"), queries.join("&"));
    let url = Url::parse(&format!("http://{HOST}:{}/{path}?{query}", world.port())).ok()?;
    let cargo = match body {
        Some((kind, text)) => {
            headers.insert("content-type", HeaderValue::from_static(kind));
            Cargo::Whole(Bytes::from(text))
        }
        None => Cargo::None,
    };
    Some((
        Crossing::new(Method::POST, &url, headers, cargo, placing),
        slots,
    ))
}

/// Takes the values out of what arrived, where slots of the binding are; how often each slot had one, and
/// what is left.
fn emptied(mut came: Arrived, slots: u32, (key, other): (&str, &str)) -> (Vec<usize>, String) {
    let has = |bit: usize| slots >> bit & 1 == 1;
    let mut filled = Vec::new();
    let basic = format!("Basic {}", STANDARD.encode(format!("x-access-token:{key}")));
    came.headers.retain(|(name, value)| {
        let slot = match &**name {
            "authorization" if has(0) && *value == format!("Bearer {key}") => 0,
            "x-api-key" if has(1) && value == key => 1,
            "authorization" if has(2) && *value == basic => 2,
            "x-other-key" if value == other => 7,
            _ => return true,
        };
        filled.push(slot);
        false
    });
    let (path, query) = came.target.split_once('?').unwrap_or((&came.target, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = query.split('&').filter(|pair| {
        let is = has(3)
            && pair
                .strip_prefix("access_token=")
                .is_some_and(|it| decoded(it) == key);
        filled.extend(is.then_some(3));
        !is
    });
    let query: Vec<_> = pairs.collect();
    let segments = path.split('/').enumerate().map(|(at, segment)| {
        let is = has(6) && at == 3 && decoded(segment) == key;
        filled.extend(is.then_some(6));
        if is { "" } else { segment }
    });
    let path: Vec<_> = segments.collect();
    let mut body = came.body.clone();
    if has(4) && body.contains(&format!(r#""auth": {{"key": "{key}"}}"#)) {
        filled.push(4);
        body = body.replacen(key, "", 1);
    }
    if has(5) && body.starts_with(&format!("a=1&key={key}&")) {
        filled.push(5);
        body = body.replacen(key, "", 1);
    }
    came.target = format!("{}?{}", path.join("/"), query.join("&"));
    came.body = body;
    (filled, came.whole())
}

#[test]
fn invariant_2_no_value_is_placed_outside_a_slot_of_its_binding_and_no_placeholder_leaves() {
    let world = World::new();
    let value = "[A-Za-z0-9._~-]{24}";
    let case = (puts(), 1_u32..128, any::<bool>(), value, value);
    let (sent, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = runner(1_000);
    let ran = runner.run(&case, |(puts, slots, swaps, key, other)| {
        let named = (0..7).filter(|bit| slots >> bit & 1 == 1);
        let named: Vec<Value> = named
            .map(|bit| serde_json::from_str(SLOTS[bit]).unwrap())
            .collect();
        let names = json!({"key": named, "other": [{"header": "x-other-key"}]});
        let path = if slots >> 6 & 1 == 1 {
            "/v1/*/{@id}"
        } else {
            "/**"
        };
        let means = world.means(&names, path, &[("key", &key), ("other", &other)]);
        let placing = if swaps { Placing::Swap } else { Placing::Fill };
        let Some((crossing, put)) = written(&world, &means, (&puts, placing)) else {
            return Ok(());
        };
        let legal =
            |slot: &Option<usize>| slot.is_some_and(|bit| bit == 7 || slots >> bit & 1 == 1);
        let of_key = put
            .iter()
            .filter(|slot| slot.is_some_and(|bit| bit < 7))
            .count();
        let once = of_key <= 1 && put.len() - of_key <= 1;
        let Ok(came) = world.send(crossing, &means) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        sent.set(sent.get() + 1);
        prop_assert!(put.iter().all(legal) && once, "{:?}", puts);
        let (filled, rest) = emptied(came, slots, (&key, &other));
        let secrets = [&key, &other].map(|value| Secret::copy_of(value.as_bytes()));
        let patterns = Patterns::for_values(&secrets, []).unwrap();
        prop_assert!(patterns.occurrences(rest.as_bytes()).is_empty(), "{}", rest);
        prop_assert!(!any_in(rest.as_bytes()), "{}", rest);
        if swaps {
            // What the caller wrote no placeholder for is not there.
            let mut wanted: Vec<_> = put.into_iter().flatten().collect();
            let mut filled = filled;
            wanted.sort_unstable();
            filled.sort_unstable();
            prop_assert_eq!(filled, wanted);
        }
        Ok(())
    });
    ran.unwrap();
    let (sent, refused) = (sent.get(), refused.get());
    assert!(sent > 200 && refused > 200, "{sent} {refused}");
}
