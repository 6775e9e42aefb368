//! Of the six invariants of the broker the one about what comes back: answers of random make, from an
//! upstream that is there, through everything that they pass on their way to the caller.

use std::cell::Cell;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::{Builder, Runtime};

use super::relay::{Ledger, Relayed};
use super::scrub::Patterns;
use super::scrub::tests_oracle::leak;
use super::scrub::tests_spellings::spellings;
use crate::egress::tests_origin::{Origin, Step, fetch, plain};
use crate::egress::{Limits, Url};
use crate::secret::Secret;
use crate::vault::tests_rig::Rig;

/// An upstream that answers as it is told.
struct World {
    runtime: Runtime,
    rig: Rig,
    origin: Origin,
    script: Arc<Mutex<Vec<Step>>>,
}

/// What a caller got of an answer, and whether it came to its end.
struct Came {
    bytes: Vec<u8>,
    body: usize,
    whole: bool,
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let (runtime, script) = (runtime.unwrap(), Arc::<Mutex<Vec<Step>>>::default());
        let told = Arc::clone(&script);
        let (rig, origin) = runtime.block_on(async move {
            let told = move |_| told.lock().unwrap().clone();
            (Rig::new().await, Origin::start(None, told).await)
        });
        Self {
            runtime,
            rig,
            origin,
            script,
        }
    }

    /// What a caller gets who sent `value`, and is answered so. `None` when the answer is no HTTP.
    async fn answered(&self, value: &str, steps: Vec<Step>) -> Option<Came> {
        *self.script.lock().unwrap() = steps;
        let url = Url::parse(&format!("http://{}/", self.origin.address)).unwrap();
        let incoming = fetch(&plain(Limits::default()), url).await.ok()?;
        let patterns = Patterns::for_values([&Secret::copy_of(value.as_bytes())], []).unwrap();
        let recorded = self.rig.recorded().await;
        let ledger = Ledger::new(recorded, Instant::now(), Arc::default());
        let ends = Box::pin(std::future::pending());
        let relayed = Relayed::new(incoming, &patterns, ledger, ends, Box::new(()));
        let mut came = Came {
            bytes: Vec::new(),
            body: 0,
            whole: false,
        };
        // Withheld: its encoding cannot be undone.
        let Ok(mut relayed) = relayed else {
            return Some(came);
        };
        for (name, value) in &relayed.headers {
            came.bytes.extend_from_slice(name.as_str().as_bytes());
            came.bytes.push(b'\n');
            came.bytes.extend_from_slice(value.as_bytes());
            came.bytes.push(b'\n');
        }
        loop {
            match relayed.body.frame().await {
                None => came.whole = true,
                Some(Err(_)) => {}
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        came.body += data.len();
                        came.bytes.extend_from_slice(data);
                    }
                    for (name, value) in frame.trailers_ref().into_iter().flatten() {
                        came.bytes.extend_from_slice(name.as_str().as_bytes());
                        came.bytes.push(b'\n');
                        came.bytes.extend_from_slice(value.as_bytes());
                    }
                    continue;
                }
            }
            return Some(came);
        }
    }
}

/// How a body is encoded, and what is said of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coded {
    Plain,
    Gzip,
    Deflate,
    Twice,
    /// Of a kind that nobody knows.
    Unknown,
    /// Not as it says.
    Lying,
}

impl Coded {
    fn encode(self, body: &[u8]) -> (&'static str, Vec<u8>) {
        let gzip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        match self {
            Self::Plain => ("", body.to_vec()),
            Self::Gzip => ("content-encoding: gzip\r\n", gzip(body)),
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(body).unwrap();
                ("content-encoding: deflate\r\n", encoder.finish().unwrap())
            }
            Self::Twice => ("content-encoding: gzip, gzip\r\n", gzip(&gzip(body))),
            Self::Unknown => ("content-encoding: rot13\r\n", body.to_vec()),
            Self::Lying => ("content-encoding: gzip\r\n", body.to_vec()),
        }
    }
}

/// An answer that shows the value wherever an upstream may write something.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    /// Names, and which spelling stands in each.
    headers: Vec<(&'static str, prop::sample::Index)>,
    /// How much stands before each echo in the body, and how that is spelled.
    echoes: Vec<(usize, prop::sample::Index)>,
    coded: Coded,
    /// The size of each chunk; `None` for a body of a length.
    chunks: Option<usize>,
    trailer: Option<prop::sample::Index>,
    /// How many bytes are written at a time, and how many are not written at all.
    every: usize,
    cut: usize,
}

impl Answer {
    fn steps(&self, value: &str) -> (usize, Vec<Step>) {
        let spelled = spellings(value);
        let pick = |which: &prop::sample::Index| which.get(&spelled).1.clone();
        let mut head = format!("HTTP/1.1 {} As It Is\r\n", self.status);
        for (name, which) in &self.headers {
            let text = pick(which);
            if text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
            {
                head.extend([format!("{name}: see {text} there\r\n")]);
            }
        }
        let mut body = String::new();
        for (before, which) in &self.echoes {
            body.extend([" , ".repeat(*before), pick(which)]);
        }
        body.push_str(" end");
        let length = body.len();
        let (said, encoded) = self.coded.encode(body.as_bytes());
        head.push_str(said);
        let mut bytes = Vec::new();
        match self.chunks {
            None => {
                let rest = format!("{head}content-length: {}\r\n\r\n", encoded.len());
                bytes.extend_from_slice(rest.as_bytes());
                bytes.extend_from_slice(&encoded);
            }
            Some(size) => {
                let rest = format!("{head}transfer-encoding: chunked\r\ntrailer: x-late\r\n\r\n");
                bytes.extend_from_slice(rest.as_bytes());
                for chunk in encoded.chunks(size) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n");
                let text = self.trailer.as_ref().map(pick).unwrap_or_default();
                if text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    bytes.extend_from_slice(format!("x-late: {text}\r\n").as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.truncate(bytes.len().saturating_sub(self.cut));
        let pieces = bytes
            .chunks(self.every)
            .map(|piece| Step::Send(piece.to_vec()));
        (length, pieces.chain([Step::Close]).collect())
    }
}

fn answers() -> impl Strategy<Value = Answer> {
    let name = prop::sample::select(vec![
        "location",
        "x-echo",
        "www-authenticate",
        "etag",
        "link",
        "content-type",
        "set-cookie",
        "server",
    ]);
    let index = any::<prop::sample::Index>;
    let coded = prop_oneof![
        4 => Just(Coded::Plain), 2 => Just(Coded::Gzip), 1 => Just(Coded::Deflate),
        1 => Just(Coded::Twice), 1 => Just(Coded::Unknown), 1 => Just(Coded::Lying),
    ];
    let parts = (
        prop::sample::select(vec![200_u16, 201, 302, 404, 500]),
        prop::collection::vec((name, index()), 0..4),
        prop::collection::vec((0_usize..30, index()), 0..5),
        coded,
        proptest::option::of(1_usize..70),
        proptest::option::of(index()),
        prop::sample::select(vec![3_usize, 17, 400, 100_000]),
        prop_oneof![8 => Just(0_usize), 1 => 1_usize..60],
    );
    parts.prop_map(
        |(status, headers, echoes, coded, chunks, trailer, every, cut)| Answer {
            status,
            headers,
            echoes,
            coded,
            chunks,
            trailer,
            every,
            cut,
        },
    )
}

/// Says what failed, and writes nothing down.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    })
}

#[test]
fn invariant_5_every_byte_of_an_answer_is_searched_or_withheld() {
    let world = World::new();
    let (passed, withheld) = (Cell::new(0), Cell::new(0));
    let mut runner = runner(500);
    let ran = runner.run(&(answers(), "[A-Z0-9/+~]{18}"), |(answer, value)| {
        let (length, steps) = answer.steps(&value);
        let came = world.runtime.block_on(world.answered(&value, steps));
        let Some(came) = came else {
            prop_assert!(answer.cut > 0, "it is HTTP");
            return Ok(());
        };
        let shown = leak(&came.bytes, value.as_bytes());
        prop_assert_eq!(shown, None, "{}", String::from_utf8_lossy(&came.bytes));
        // Nothing but what cannot be read is held back.
        let readable = !matches!(answer.coded, Coded::Unknown | Coded::Lying | Coded::Twice)
            && answer.cut == 0;
        prop_assert_eq!(came.whole, readable, "{} bytes of {}", came.body, length);
        if readable {
            prop_assert_eq!(came.body, length);
            passed.set(passed.get() + 1);
        } else {
            withheld.set(withheld.get() + 1);
        }
        Ok(())
    });
    ran.unwrap();
    let (passed, withheld) = (passed.get(), withheld.get());
    assert!(passed > 100 && withheld > 30, "{passed} {withheld}");
}
