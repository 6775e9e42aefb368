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
    /// By right of a handle, in one piece and streaming.
    Handle,
    /// In a WebSocket.
    Socket,
    /// Through the egress proxy.
    Proxy,
}

use Place::{Action, Handle, Inside, Proxy, Socket};

/// Every case, and where it applies.
pub(super) const CASES: [(&str, &[Place]); 50] = [
    // out through an allowed host
    ("ex_1", &[Action, Handle, Proxy]),
    ("ex_2", &[Action, Handle, Socket, Proxy]),
    ("ex_3", &[Action, Handle, Proxy]),
    ("ex_4", &[Action, Handle, Proxy]),
    ("ex_5", &[Action, Handle, Proxy]),
    ("ex_8", &[Inside, Socket, Proxy]),
    ("ex_9", &[Inside, Action, Handle, Socket, Proxy]),
    ("ex_10", &[Inside, Action, Handle, Socket, Proxy]),
    ("ex_11", &[Inside, Handle, Proxy]),
    ("ex_13", &[Inside, Action, Handle, Proxy]),
    ("ex_14", &[Inside, Handle, Proxy]),
    ("ex_15", &[Action, Handle, Proxy]),
    // to another place
    ("dc_1", &[Inside, Action, Handle, Proxy]),
    ("dc_3", &[Inside, Action, Handle, Socket, Proxy]),
    ("dc_4", &[Inside, Action, Handle, Socket, Proxy]),
    ("dc_5", &[Proxy]),
    ("dc_8", &[Inside, Handle, Socket, Proxy]),
    ("dc_9", &[Handle, Proxy]),
    ("dc_10", &[Inside, Action, Handle, Socket, Proxy]),
    ("dc_12", &[Inside, Action, Handle]),
    ("dc_13", &[Inside, Action, Handle, Socket, Proxy]),
    ("dc_14", &[Inside, Handle, Socket, Proxy]),
    ("dc_15", &[Inside, Action, Handle, Socket, Proxy]),
    // inwards
    ("ss_1", &[Inside, Action, Handle, Socket, Proxy]),
    ("ss_2", &[Inside, Action, Handle, Socket, Proxy]),
    ("ss_4", &[Inside]),
    ("ss_5", &[Inside, Action, Handle, Socket, Proxy]),
    ("ss_6", &[Handle, Socket, Proxy]),
    ("ss_9", &[Proxy]),
    // by HTTP itself
    ("ht_1", &[Inside, Action, Handle, Proxy]),
    ("ht_2", &[Proxy]),
    ("ht_4", &[Inside, Action, Handle, Socket, Proxy]),
    ("ht_5", &[Inside, Action, Handle]),
    ("ht_6", &[Inside, Handle, Proxy]),
    ("ht_9", &[Inside, Handle, Proxy]),
    ("ht_10", &[Proxy]),
    ("ht_11", &[Inside, Handle, Socket, Proxy]),
    ("ht_13", &[Handle, Proxy]),
    // with handles
    ("hs_1", &[Inside, Handle, Socket, Proxy]),
    ("hs_2", &[Inside, Handle, Socket, Proxy]),
    ("hs_3", &[Inside, Handle, Socket, Proxy]),
    ("hs_4", &[Action, Handle, Socket, Proxy]),
    ("hs_8", &[Action]),
    ("hs_9", &[Inside, Handle, Socket, Proxy]),
    ("hs_10", &[Inside, Handle, Proxy]),
    // beside the answer
    ("lk_2", &[Action]),
    ("lk_3", &[Action]),
    ("lk_5", &[Action, Handle, Socket, Proxy]),
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

impl Place {
    /// Whether a file's tests are of this place.
    pub(super) fn has(self, source: &Source) -> bool {
        let path = &*source.path;
        let socket = path.starts_with("tests/lane_websocket");
        let proxy = path.starts_with("tests/lane_proxy");
        // One journey goes through all of them, since it waits a minute for each.
        let all = path.starts_with("tests/lane_memory");
        match self {
            Self::Inside => path.starts_with("src/"),
            Self::Socket => socket || all,
            Self::Proxy => proxy || all,
            Self::Handle => path.starts_with("tests/lane_") && !socket && !proxy,
            Self::Action => path.starts_with("tests/") && !path.starts_with("tests/lane"),
        }
    }
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
