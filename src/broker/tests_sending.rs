//! Of the six invariants of the broker those about what goes out: requests of random make, over the real
//! types, to an upstream that is there. Here is that upstream, and the one about where they go.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::crossing::{Cargo, Crossing, Placing};
use super::guard::{Misplaced, Placeholders, settle};
use super::place::{Values, place};
use super::placeholder::Placeholder;
use super::sign::Surroundings;
use super::upload::Progress;
use crate::clock::Timestamp;
use crate::crypto::{SystemRandom, hmac_of};
use crate::egress::tests_origin::{Origin, answer, egress};
use crate::egress::{Limits, Private, ResolveError, Resolver, Url};
use crate::name::FieldName;
use crate::secret::Secret;
use crate::tools::{Binding, ToolSpec};

pub(super) const HOST: &str = "api.good.test";
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// Everybody is on this machine; and which names were asked for.
#[derive(Debug, Default)]
struct Here(Mutex<Vec<(String, u16)>>);

impl Resolver for Here {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        self.0.lock().unwrap().push((name.to_owned(), port));
        Box::pin(std::future::ready(Ok(vec![IpAddr::from([127, 0, 0, 1])])))
    }
}

/// An upstream, and the way to it.
pub(super) struct World {
    runtime: Runtime,
    origin: Origin,
}

/// A request as it arrived, and which names were asked for on its way.
pub(super) struct Arrived {
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    asked: Vec<(String, u16)>,
}

impl Arrived {
    fn read(request: &str, asked: Vec<(String, u16)>) -> Self {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let line = lines.next().unwrap();
        let target = line.strip_prefix("POST ").unwrap();
        let target = target.strip_suffix(" HTTP/1.1").unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        });
        Self {
            target: target.to_owned(),
            headers: headers.collect(),
            body: body.to_owned(),
            asked,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(it, _)| it == name);
        let value = found.next().map(|(_, value)| &**value);
        assert!(found.next().is_none(), "{name} came twice");
        value
    }

    pub(super) fn whole(&self) -> String {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {v}"))
            .collect();
        format!("{}\n{}\n\n{}", self.target, headers.join("\n"), self.body)
    }
}

/// What a request is sent with.
pub(super) struct Means {
    binding: Binding,
    pub(super) placeholders: Placeholders,
    values: Values,
}

pub(super) fn field(name: &str) -> FieldName {
    FieldName::parse(name).unwrap()
}

pub(super) fn drawn() -> Placeholder {
    Placeholder::draw(None, &SystemRandom).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let origin = runtime.block_on(Origin::start(None, |_| answer("ok")));
        Self { runtime, origin }
    }

    pub(super) fn port(&self) -> u16 {
        self.origin.address.port()
    }

    /// A binding with these slots, by field, for `path` at the upstream; with values and placeholders.
    pub(super) fn means(&self, slots: &Value, path: &str, values: &[(&str, &str)]) -> Means {
        let names = slots.as_object().unwrap().keys();
        let fields = names.map(|name| (name.clone(), json!({"type": "string"})));
        let fields: serde_json::Map<_, _> = fields.collect();
        let spec = json!({
            "slug": "custom-x", "name": "X", "actionsJson": {},
            "credentialsJson": {"required": [], "schema": fields},
            "bindings": [{
                "scheme": "http", "hosts": [HOST, "127.0.0.1"], "port": self.port(),
                "private": ["127.0.0.1/32"], "methods": ["POST"], "paths": [path], "slots": slots,
            }],
        });
        let spec = ToolSpec::from_custom_json(spec).unwrap();
        let secret = |value: &str| Secret::copy_of(value.as_bytes());
        let names = values.iter().map(|(name, _)| (field(name), drawn()));
        Means {
            binding: spec.bindings.into_iter().next().unwrap(),
            placeholders: names.collect(),
            values: values.iter().map(|(n, v)| (field(n), secret(v))).collect(),
        }
    }

    /// Takes every step from the plan to the wire.
    pub(super) fn send(&self, crossing: Crossing, means: &Means) -> Result<Arrived, Misplaced> {
        let plan = settle(&crossing, Some(&means.binding), &means.placeholders)?;
        let (url, places) = (crossing.url().unwrap(), crossing.places(&means.binding));
        let here = Arc::<Here>::default();
        let egress = egress(None, Arc::<Here>::clone(&here), Limits::default());
        let private = Private::Granted(means.binding.private.clone());
        let before = self.origin.requests().len();
        self.runtime.block_on(async {
            let target = egress.admit(url, &private).await.unwrap();
            let peer = egress.connect(target).await.unwrap();
            assert_eq!(peer.peer_addr(), self.origin.address);
            let authority = peer.origin().authority();
            let around = Surroundings {
                authority: &authority,
                now: NOW,
                token: None,
            };
            let slots = (&means.binding, &plan, &*places);
            let progress = Progress::default();
            let placed = place(crossing, slots, &means.values, (&around, &progress));
            let answer = peer.send(placed.unwrap().0).await.unwrap();
            answer.body.collect().await.unwrap();
        });
        let requests = self.origin.requests();
        assert_eq!(requests.len(), before + 1);
        let asked = std::mem::take(&mut *here.0.lock().unwrap());
        Ok(Arrived::read(&requests[before], asked))
    }
}

/// Says what failed, and writes nothing down.
pub(super) fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    })
}

#[test]
fn invariant_3_one_reading_of_the_target_is_judged_dialled_signed_and_sent() {
    let world = World::new();
    let signer = json!({"hmac": {
        "header": "x-signature", "timestampHeader": "x-time", "format": "{signature}",
        "message": "{timestamp}.{method}.{host}.{target}.{body}",
    }});
    let key = "a-key-that-signs-0123456789";
    let means = world.means(&json!({"key": [signer]}), "/**", &[("key", key)]);
    let host = prop::sample::select(vec![HOST, "API.Good.TEST", "127.0.0.1"]);
    let noise = prop::sample::select(vec![
        "",
        "",
        "@",
        "\\",
        "\t",
        "#",
        "//",
        "/..",
        "/.",
        "%2e",
        "%2F",
        ";a",
        "%25",
        "%00",
        "ü",
        "%C3%BC",
        "%20",
        ":",
        ".",
        "?",
        "&",
        "=",
        "+",
        "%5c",
        "x@evil.test/",
        ".evil.test",
        "0",
    ]);
    let case = (
        host,
        "(/[a-zA-Z0-9._~:@!$'()*,-]{1,6}){0,3}/?",
        proptest::option::of("[a-zA-Z0-9=&._~/?:@!$'()*,;%+-]{0,12}"),
        noise,
        any::<prop::sample::Index>(),
    );
    let (sent, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = runner(1_500);
    let ran = runner.run(&case, |(host, path, query, noise, at)| {
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let mut text = format!("http://{host}:{}{path}{query}", world.port());
        text.insert_str(at.index(text.len()), noise);
        let Ok(url) = Url::parse(&text) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        let body = Cargo::Whole(Bytes::from_static(b"a body"));
        let crossing = Crossing::new(Method::POST, &url, HeaderMap::new(), body, Placing::Swap);
        // What is dialled is read from what was judged.
        let dialled = crossing.url().unwrap();
        prop_assert_eq!(dialled.origin(), url.origin());
        let judged = crossing.destination();
        prop_assert_eq!(
            (judged.host, judged.port, judged.path),
            (url.host(), url.port(), url.path())
        );
        if !means.binding.admits(&judged, &[]) {
            return Ok(());
        }
        let (target, origin) = (crossing.target(), crossing.origin());
        let came = world.send(crossing, &means).unwrap();
        sent.set(sent.get() + 1);
        prop_assert_eq!(&came.target, &target);
        prop_assert_eq!(came.header("host"), Some(&*url.authority()));
        prop_assert_eq!(
            format!("{url:?}"),
            format!("Url({origin}/…)"),
            "as logs have it"
        );
        let name = (host != "127.0.0.1").then(|| (HOST.to_owned(), world.port()));
        prop_assert_eq!(&came.asked, &name.into_iter().collect::<Vec<_>>());
        let host = came.header("host").unwrap();
        let time = came.header("x-time").unwrap();
        let message = format!("{time}.POST.{host}.{}.{}", came.target, came.body);
        let mac = hmac_of(&Secret::copy_of(key.as_bytes()), message.as_bytes());
        let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(came.header("x-signature"), Some(&*mac));
        Ok(())
    });
    ran.unwrap();
    let (sent, refused) = (sent.get(), refused.get());
    assert!(sent > 200 && refused > 200, "{sent} {refused}");
}
