//! The attacks that the broker is built against, by number, and where each is tried.
//!
//! A lane is a way by which a request with a credential comes in. What all of them pass through, such as the
//! connector and the guard of addresses, is tried once, inside; what a lane does itself is tried in that lane.

use super::source::Source;

/// Where a case is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the part that every lane goes through.
    Inside,
    /// By a declared action, or at the API itself.
    Action,
    /// When a handle is asked for, whichever lane it is for.
    Resolve,
    /// By right of a handle, in one piece.
    Execute,
    /// By right of a handle, streaming.
    Stream,
    /// In a WebSocket.
    Socket,
    /// Through the egress proxy.
    Proxy,
}

use Place::{Action, Execute, Inside, Proxy, Resolve, Socket, Stream};

/// Every case, and where it applies.
pub(super) const CASES: [(&str, &[Place]); 50] = [
    // out through an allowed host
    ("ex_1", &[Action, Execute, Stream, Proxy]),
    ("ex_2", &[Action, Execute, Stream, Socket, Proxy]),
    ("ex_3", &[Action, Execute, Stream, Proxy]),
    ("ex_4", &[Action, Execute, Stream, Proxy]),
    ("ex_5", &[Action, Execute, Stream, Proxy]),
    ("ex_8", &[Inside, Socket, Proxy]),
    ("ex_9", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("ex_10", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("ex_11", &[Inside, Execute, Stream, Proxy]),
    ("ex_13", &[Inside, Action, Execute, Stream, Proxy]),
    ("ex_14", &[Inside, Execute, Stream, Proxy]),
    ("ex_15", &[Action, Execute, Stream, Proxy]),
    // to another place
    ("dc_1", &[Inside, Action, Execute, Stream, Proxy]),
    ("dc_3", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("dc_4", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("dc_5", &[Proxy]),
    ("dc_8", &[Inside, Execute, Stream, Socket, Proxy]),
    ("dc_9", &[Execute, Stream, Proxy]),
    ("dc_10", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("dc_12", &[Inside, Action, Execute, Stream]),
    ("dc_13", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("dc_14", &[Inside, Execute, Stream, Socket, Proxy]),
    ("dc_15", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    // inwards
    ("ss_1", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("ss_2", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("ss_4", &[Inside]),
    ("ss_5", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("ss_6", &[Execute, Stream, Socket, Proxy]),
    ("ss_9", &[Proxy]),
    // by HTTP itself
    ("ht_1", &[Inside, Action, Stream, Proxy]),
    ("ht_2", &[Proxy]),
    ("ht_4", &[Inside, Action, Execute, Stream, Socket, Proxy]),
    ("ht_5", &[Inside, Action, Execute, Stream]),
    ("ht_6", &[Inside, Execute, Stream, Proxy]),
    ("ht_9", &[Inside, Execute, Stream, Proxy]),
    ("ht_10", &[Proxy]),
    ("ht_11", &[Inside, Execute, Stream, Socket, Proxy]),
    ("ht_13", &[Execute, Stream, Proxy]),
    // with handles
    ("hs_1", &[Inside, Execute, Stream, Socket, Proxy]),
    ("hs_2", &[Inside, Execute, Stream, Socket, Proxy]),
    ("hs_3", &[Inside, Execute, Stream, Socket, Proxy]),
    ("hs_4", &[Action, Resolve, Socket, Proxy]),
    ("hs_8", &[Action]),
    ("hs_9", &[Inside, Execute, Stream, Socket, Proxy]),
    ("hs_10", &[Inside, Execute, Stream, Proxy]),
    // beside the answer
    ("lk_2", &[Action]),
    ("lk_3", &[Action]),
    ("lk_5", &[Action, Execute, Stream, Socket, Proxy]),
    ("lk_6", &[Action]),
    ("lk_8", &[Inside]),
];

/// Cases without a test of their name, and why.
pub(super) const APART: [(&str, &str); 11] = [
    ("hs_7", "there are no approvals"),
    (
        "lk_4",
        "no HTTP/2 goes out, so that there is no table of headers",
    ),
    ("oa_1", "rules r1 to r18 of the OAuth client"),
    ("oa_2", "rules r1 to r18 of the OAuth client"),
    ("oa_3", "rules r1 to r18 of the OAuth client"),
    ("oa_4", "rules r1 to r18 of the OAuth client"),
    ("oa_7", "rules r1 to r18 of the OAuth client"),
    ("oa_8", "rules r1 to r18 of the OAuth client"),
    ("oa_9", "rules b1 to b16 and x1 to x7 of the OAuth client"),
    ("oa_11", "rules r1 to r18 of the OAuth client"),
    ("oa_12", "rules m1 and t1 to t11 of the OAuth client"),
];

/// The cases that a test carries in its name: `dc_3_dc_4_targets_…` is of DC-3 and of DC-4.
pub(super) fn cases_of(name: &str) -> Vec<String> {
    let mut words = name.split('_');
    let mut found = Vec::new();
    while let (Some(kind), Some(number)) = (words.next(), words.next()) {
        let is_kind = ["ex", "dc", "ss", "ht", "hs", "lk", "oa"].contains(&kind);
        if !is_kind || number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        found.push(format!("{kind}_{number}"));
    }
    found
}

/// How a test says that it sends in either lane of a handle's, in one piece, and streaming.
const EITHER: [&str; 2] = ["LANES", "set.refused("];
const IN_ONE_PIECE: [&str; 4] = [
    "Lane::Execute",
    "\"/v1/execute\"",
    "use_it(",
    "exchange(&set",
];
const STREAMING: [&str; 2] = ["Lane::Egress", "egress("];

impl Place {
    /// Whether a file's test is of this place.
    pub(super) fn has(self, source: &Source, test: &str) -> bool {
        let path = &*source.path;
        let socket = path.starts_with("tests/lane_websocket");
        let proxy = path.starts_with("tests/lane_proxy");
        // One journey goes through all of them, since it waits a minute for each.
        let all = path.starts_with("tests/lane_memory");
        let streaming = path.starts_with("tests/lane_egress");
        let handle = path.starts_with("tests/lane_") && !socket && !proxy;
        let says = |words: &[&str]| {
            let body = body_of(source, test).unwrap_or_default();
            EITHER.iter().chain(words).any(|word| body.contains(word))
        };
        match self {
            Self::Inside => path.starts_with("src/"),
            Self::Socket => socket || all,
            Self::Proxy => proxy || all,
            Self::Resolve => path.starts_with("tests/lane_resolve"),
            Self::Execute => all || (handle && !streaming && says(&IN_ONE_PIECE)),
            Self::Stream => all || streaming || (handle && says(&STREAMING)),
            Self::Action => path.starts_with("tests/") && !path.starts_with("tests/lane"),
        }
    }
}

/// What stands in a test of a file.
pub(super) fn body_of<'a>(source: &'a Source, test: &str) -> Option<&'a str> {
    let begins = source.text.find(&format!("fn {test}("))?;
    source.text.get(begins..)?.split("\n}\n").next()
}

/// The names of a file's tests.
pub(super) fn tests_of(source: &Source) -> impl Iterator<Item = &str> {
    let attributes = ["#[test]", "#[tokio::test]", "#[test_case"];
    let is_test = move |before: &str| {
        let lines = before.trim_end().lines().rev();
        let mut lines = lines.take_while(|line| line.trim_start().starts_with("#["));
        lines.any(|line| attributes.iter().any(|a| line.trim_start().starts_with(a)))
    };
    source.text.match_indices("fn ").filter_map(move |(at, _)| {
        let before = source.text[..at].trim_end_matches("async ");
        let name = source.text[at + 3..].split('(').next()?;
        (is_test(before) || source.text.contains("proptest!")).then_some(name)
    })
}
