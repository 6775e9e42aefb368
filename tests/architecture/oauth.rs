//! The rules of the OAuth client, by name, and where each is tried.
//!
//! A rule is tried inside, with time and answers in the test's hand; and against real processes, where what
//! counts is what another server saw. Those that stop before a code is redeemed are only shown by the log of the
//! one whom it would have been sent to.

use super::attacks::{body_of, cases_of, tests_of};
use super::source::Source;

/// Where a rule is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// In the part that it is a rule of.
    Inside,
    /// With a real broker and a real server.
    Real,
}

use Where::{Inside, Real};

const BOTH: &[Where] = &[Inside, Real];
/// Two of a kind that the broker has one of, clocks that jump, and days that pass: the engine alone is asked,
/// over real connections.
const ENGINE: &[Where] = &[Inside];
const OUTSIDE: &[Where] = &[Real];

/// Every rule, and where it is tried.
pub(super) const RULES: [(&str, &[Where]); 74] = [
    // the authorization request
    ("a1", BOTH),
    ("a2", BOTH),
    ("a3", BOTH),
    ("a4", BOTH),
    ("a5", BOTH),
    ("a6", BOTH),
    ("a7", BOTH),
    ("a8", BOTH),
    ("a9", BOTH),
    // the callback
    ("b1", BOTH),
    ("b2", BOTH),
    ("b3", BOTH),
    ("b4", BOTH),
    ("b5", BOTH),
    ("b6", BOTH),
    ("b7", BOTH),
    ("b8", BOTH),
    ("b9", BOTH),
    ("b10", BOTH),
    ("b11", BOTH),
    ("b12", BOTH),
    ("b13", BOTH),
    ("b14", BOTH),
    ("b15", BOTH),
    ("b16", BOTH),
    // whoever sends a link to somebody else
    ("x1", BOTH),
    ("x2", BOTH),
    ("x3", BOTH),
    ("x4", BOTH),
    ("x5", BOTH),
    ("x6", BOTH),
    ("x7", BOTH),
    // the token endpoint
    ("t1", BOTH),
    ("t2", BOTH),
    ("t3", OUTSIDE),
    ("t4", BOTH),
    ("t5", BOTH),
    ("t6", BOTH),
    ("t7", BOTH),
    ("t8", BOTH),
    ("t9", BOTH),
    ("t10", BOTH),
    ("t11", BOTH),
    // refreshing
    ("r1", BOTH),
    ("r2", BOTH),
    ("r3", ENGINE),
    ("r4", ENGINE),
    ("r5", BOTH),
    ("r6", BOTH),
    ("r7", BOTH),
    ("r8", BOTH),
    ("r9", BOTH),
    ("r10", BOTH),
    ("r11", BOTH),
    ("r12", BOTH),
    ("r13", ENGINE),
    ("r14", ENGINE),
    ("r15", BOTH),
    ("r16", ENGINE),
    ("r17", BOTH),
    ("r18", ENGINE),
    // revoking
    ("v1", BOTH),
    ("v2", BOTH),
    ("v3", BOTH),
    ("v4", BOTH),
    // devices
    ("d1", BOTH),
    ("d2", BOTH),
    ("d3", BOTH),
    ("d4", BOTH),
    ("d5", BOTH),
    // metadata, ID tokens, programs on the person's machine
    ("m1", BOTH),
    ("o1", BOTH),
    ("n1", BOTH),
    ("n2", BOTH),
];

/// The rules that stop before a code is redeemed, and so leave the server's log as it was.
pub(super) const STOPPING: [&str; 15] = [
    "a5", "a7", "b1", "b3", "b4", "b5", "b6", "b15", "b16", "x1", "x2", "x3", "x4", "x6", "x7",
];

/// How a test says that nobody asked for a token.
const NOBODY_ASKED: [&str; 5] = [
    ".no_call()",
    "asked(\"/token\")",
    // Each looks at the log for the tests of its file.
    "nothing_was_made(",
    ".failed()",
    "peer.log().is_empty()",
];

/// The rules that a test carries in its name: `b3_x4_another_browser_…` is of B3 and of X4. Attacks may stand
/// before them.
pub(super) fn rules_of(name: &str) -> Vec<&str> {
    let words = name.split('_').skip(cases_of(name).len() * 2);
    words.take_while(|word| is_rule(word)).collect()
}

fn is_rule(word: &str) -> bool {
    let (kind, number) = word.split_at_checked(1).unwrap_or(("", ""));
    "abxtrvdmon".contains(kind) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

impl Where {
    /// Whether a file's tests are of this place.
    pub(super) fn has(self, source: &Source) -> bool {
        match self {
            Self::Inside => source.path.starts_with("src/"),
            Self::Real => source.path.starts_with("tests/"),
        }
    }
}

/// The functions of a file, tests among them: a story that takes long is told by a test that tells several.
pub(super) fn functions_of(source: &Source) -> impl Iterator<Item = &str> {
    let rest = source.text.split("fn ").skip(1);
    rest.filter_map(|rest| rest.split('(').next())
}

/// The tests of a file that look whether anybody asked for a token.
pub(super) fn stopping_tests_of(source: &Source) -> impl Iterator<Item = &str> {
    tests_of(source).filter(|name| {
        body_of(source, name)
            .is_some_and(|body| NOBODY_ASKED.iter().any(|said| body.contains(said)))
    })
}
