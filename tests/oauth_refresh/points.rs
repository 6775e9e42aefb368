//! R5 with real kills: a broker that dies at each of the seven places of a refresh, whatever the provider
//! does with spent tokens, and is started again.
//!
//! What must happen then is the table in `src/manual/accounts.md`. Three real providers serve all cases: one
//! that rotates, one that rotates and takes a spent token for ten minutes more, and one that does not rotate.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use runtools_broker::failpoint::Failpoint;
use serde_json::Value;

use super::at_length::{EAGER, LIVING, THIRD, within};
use crate::harness::connect::{back, connects, peer_file, set_client, write_files};
use crate::harness::oidc::{Peer, PeerSetup, Rotate};
use crate::harness::tools::{install, tool};
use crate::harness::{Broker, Canaries, Setup, Upstream, eventually};
use crate::{HOUR, NEVER, Stage};

/// SIGKILL.
const KILL: i32 = 9;

/// Long enough for a login, short enough to wait for its end.
const BRIEF: u32 = 4;

/// A case: where the broker dies, and what its provider's file says.
#[derive(Clone, Copy, Debug)]
struct Case {
    place: Failpoint,
    /// What it says of refresh tokens: `always`, `sometimes` or `never`.
    rotates: &'static str,
    grace: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.place.name(), self.rotates, self.grace)
    }
}

impl Case {
    /// The lines of the provider's file in which it differs.
    fn changes(self) -> Vec<(&'static str, &'static str)> {
        let post = ("client_auth = \"basic\"", "client_auth = \"post\"");
        let revoke = ("hint = true", "hint = true\nauth = \"client_post\"");
        let sometimes = ("rotates = \"always\"", "rotates = \"sometimes\"");
        let rotates = match self.rotates {
            "sometimes" => Some(sometimes),
            "never" => Some(NEVER),
            _ => None,
        };
        let grace = ("[refresh]", "[refresh]\nreuse_grace_s = 600");
        let grace = (self.grace == 600).then_some(grace);
        [post, revoke]
            .into_iter()
            .chain(rotates)
            .chain(grace)
            .collect()
    }

    /// A provider that does as the file says. One that sometimes rotates does it now: that is the worse case.
    fn peer(self) -> &'static Arc<Peer> {
        static PLAIN: OnceLock<Arc<Peer>> = OnceLock::new();
        static GRACED: OnceLock<Arc<Peer>> = OnceLock::new();
        static KEEPING: OnceLock<Arc<Peer>> = OnceLock::new();
        let (peer, rotate, grace) = match (self.rotates, self.grace) {
            ("never", _) => (&KEEPING, Rotate::Never, 0),
            (_, 0) => (&PLAIN, Rotate::Always, 0),
            (_, grace) => (&GRACED, Rotate::Always, grace),
        };
        peer.get_or_init(|| {
            Arc::new(Peer::with(PeerSetup {
                rotate,
                grace,
                access_ttl: BRIEF,
                refreshed_ttl: Some(HOUR),
                ..PeerSetup::default()
            }))
        })
    }

    /// A broker that will die at the place, with Ann's account at the peer.
    fn stage(self, peer: &Arc<Peer>, more: &[(&str, &str)]) -> Stage {
        let changes = [self.changes(), more.to_vec()].concat();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let files = [peer_file(peer, &changes)];
        let setup = Setup {
            config: write_files(folder.path(), &files, "private = [\"127.0.0.1/32\"]"),
            failpoint: Some(self.place.name()),
            ..Setup::default()
        };
        let (broker, upstream) = (Broker::over(folder, setup), Upstream::echo());
        let id = self.to_string();
        let client = peer.client_of(&id, &back(&broker, "peer"));
        set_client(&broker.operator(), "peer", &client).expect(200);
        let spec = tool("custom-me", upstream.port(), "peer", &["read"]);
        install(&broker.operator(), &spec);
        let ann = broker.member("Ann");
        let connection = connects(&ann, "peer", "ann");
        let key = ann.make_key(&[]);
        Stage {
            peer: Arc::clone(peer),
            client: Some(id),
            upstream,
            broker,
            key,
            connection,
        }
    }

    fn rotates(self) -> bool {
        self.rotates != "never"
    }

    /// Whether the provider has done what it was asked.
    fn processed(self) -> bool {
        self.place >= Failpoint::RefreshP4
    }

    /// Whether what it gave is on disk.
    fn stored(self) -> bool {
        self.place >= Failpoint::RefreshP6
    }

    /// Whether the table allows that the grant is lost.
    fn may_be_lost(self) -> bool {
        self.processed() && !self.stored() && self.rotates() && self.grace == 0
    }
}

/// Runs the tool until the broker dies of its place, and starts it again without one.
fn die(stage: &mut Stage) {
    let body = ("application/json", br#"{"action":"run"}"#.as_slice());
    let ann = stage.ann();
    let signal = within(
        Duration::from_mins(1),
        "it never came there: builds without debug assertions do not",
        || {
            drop(ann.try_send("POST", "/v1/tools/custom-me/execute", Some(body)));
            stage.broker.died_of()
        },
    );
    assert_eq!(signal, KILL);
    let setup = stage.broker.setup();
    stage.broker.restart_with(Setup {
        failpoint: None,
        ..setup
    });
}

/// What its folder and its log must not hold, once everybody is done.
struct Remains {
    case: String,
    bytes: Vec<(String, Vec<u8>)>,
}

impl Remains {
    fn of(case: &str, broker: &Broker) -> Self {
        let files = broker.files().into_iter();
        let named = files.map(|(path, bytes)| (path.display().to_string(), bytes));
        let log = ("the log".to_owned(), broker.log_bytes());
        Self {
            case: case.to_owned(),
            bytes: named.chain([log]).collect(),
        }
    }
}

/// Nothing of what came from the provider or went there is to be found in any of it.
fn nothing_shows(peers: &[&Arc<Peer>], remains: &[Remains]) {
    let mut canaries = Canaries::new();
    let secrets: BTreeSet<_> = peers.iter().flat_map(|peer| peer.secrets()).collect();
    assert!(secrets.len() > remains.len(), "the peers were told nothing");
    for secret in &secrets {
        canaries.also(secret);
    }
    for remains in remains {
        for (what, bytes) in &remains.bytes {
            canaries.absent_from(&format!("{}: {what}", remains.case), bytes);
        }
    }
}

/// The journal's chain holds, what was under way included.
#[track_caller]
fn verifies(stage: &Stage) {
    let operator = stage.broker.operator();
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    let state = found["data"]["state"].as_str().unwrap();
    let sound = matches!(state, "intact" | "incomplete") && found["data"]["finding"].is_null();
    assert!(sound, "{found}");
    let log = stage.broker.log_text();
    assert!(!log.contains("panicked"), "{log}");
}

/// It is over, and our fault.
#[track_caller]
fn is_lost(stage: &Stage) {
    let shown = stage.now();
    assert_eq!(shown["status"], "revoked", "{shown}");
    assert_eq!(shown["reason"], "rotation_lost", "{shown}");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 1);
}

/// It works, and nothing was lost.
#[track_caller]
fn works(stage: &Stage) {
    let shown = stage.now();
    assert_eq!(shown["status"], "active", "{shown}");
    assert_eq!(shown["reason"], Value::Null, "{shown}");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 0);
}

/// Killed while a caller waits, since the old access token has ended.
fn killed(case: Case) -> Remains {
    let mut stage = case.stage(case.peer(), &[]);
    std::thread::sleep(Duration::from_millis(u64::from(BRIEF) * 1000 + 200));
    die(&mut stage);
    // What was not sent was not: the provider knows nothing of it.
    assert_eq!(stage.refreshes(), usize::from(case.processed()), "{case}");
    if case.may_be_lost() {
        assert_eq!(stage.refused(409), "needs_reauth", "{case}");
        is_lost(&stage);
        assert_eq!(stage.refused(409), "needs_reauth");
        assert!(stage.upstream.seen().is_empty(), "{case}");
    } else {
        let token = stage.used();
        assert!(stage.peer.is_active(&token), "{case}");
        assert_eq!(stage.used(), token, "{case}");
        works(&stage);
    }
    // Once more where the first answer was lost, or never asked for; not where it was kept.
    let asked = stage.asked();
    let wanted = 1 + usize::from(case.processed() && !case.stored());
    assert_eq!(asked.len(), wanted, "{case}: {asked:?}");
    let shown = asked.iter().map(|asked| asked.form("refresh_token"));
    let shown: BTreeSet<_> = shown.collect();
    assert_eq!(shown.len(), 1, "{case}: always the one that was stored");
    verifies(&stage);
    Remains::of(&case.to_string(), &stage.broker)
}

/// Tells these stories at the same time: what remains of each.
fn side_by_side(cases: &[Case], tell: impl Fn(Case) -> Remains + Sync) -> Vec<Remains> {
    std::thread::scope(|scope| {
        let tell = &tell;
        let running = cases.iter().map(|&case| scope.spawn(move || tell(case)));
        let running: Vec<_> = running.collect();
        let ended = running.into_iter().map(|case| case.join().unwrap());
        ended.collect()
    })
}

/// All that providers do with spent tokens, each beside the others.
fn killed_at(place: Failpoint) {
    let all = ["always", "sometimes", "never"];
    let cases = all.iter().flat_map(|&rotates| {
        [0, 600].map(|grace| Case {
            place,
            rotates,
            grace,
        })
    });
    let cases: Vec<_> = cases.collect();
    let remains = side_by_side(&cases, killed);
    let peers: Vec<_> = cases.iter().map(|case| case.peer()).collect();
    nothing_shows(&peers, &remains);
    assert_eq!(remains.len(), 6);
}

#[test]
fn r5_a_broker_that_died_before_it_wrote_that_it_would_ask_asks() {
    killed_at(Failpoint::RefreshP1);
}

#[test]
fn r5_a_broker_that_died_after_it_wrote_that_it_would_ask_asks() {
    killed_at(Failpoint::RefreshP2);
}

#[test]
fn r5_a_broker_that_died_before_it_sent_anything_asks() {
    killed_at(Failpoint::RefreshP3);
}

#[test]
fn r5_a_broker_that_died_with_the_answer_in_hand_asks_again_and_may_be_refused() {
    killed_at(Failpoint::RefreshP4);
}

#[test]
fn r5_a_broker_that_died_before_it_kept_the_new_tokens_asks_again_and_may_be_refused() {
    killed_at(Failpoint::RefreshP5);
}

#[test]
fn r5_a_broker_that_died_after_it_kept_the_new_tokens_has_them() {
    killed_at(Failpoint::RefreshP6);
}

#[test]
fn r5_a_broker_that_died_before_it_told_its_callers_has_the_new_tokens() {
    killed_at(Failpoint::RefreshP7);
}

/// Killed while the old access token has more than two minutes left. It takes as long as the other stories
/// of `at_length.rs`, among which it is told.
pub(super) fn r5_killed_while_the_token_lives() {
    let peer = Arc::new(Peer::with(PeerSetup {
        access_ttl: LIVING,
        refreshed_ttl: Some(HOUR),
        ..PeerSetup::default()
    }));
    let unstored = [
        Failpoint::RefreshP2,
        Failpoint::RefreshP3,
        Failpoint::RefreshP4,
        Failpoint::RefreshP5,
    ];
    let cases = unstored.iter().flat_map(|&place| {
        ["always", "sometimes"].map(|rotates| Case {
            place,
            rotates,
            grace: 0,
        })
    });
    let cases: Vec<_> = cases.collect();
    let remains = side_by_side(&cases, |case| killed_living(case, &peer));
    nothing_shows(&[&peer], &remains);
}

fn killed_living(case: Case, peer: &Arc<Peer>) -> Remains {
    let mut stage = case.stage(peer, &[EAGER]);
    let began = Instant::now();
    // From two minutes before its end on, it is tried once more.
    let last_chance = Duration::from_secs(u64::from(LIVING) - 120);
    let first = stage.used();
    std::thread::sleep(THIRD);
    die(&mut stage);
    let before = usize::from(case.processed());
    // What may be spent is not shown again while the token works. A machine that took too long for this
    // has come to the last chance meanwhile.
    for _ in 0..3 {
        assert_eq!(stage.used(), first, "{case}");
        let refreshes = stage.refreshes();
        if began.elapsed() + Duration::from_secs(2) < last_chance {
            assert_eq!(refreshes, before, "{case}");
            assert_eq!(stage.now()["status"], "active", "{case}");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    within(
        Duration::from_mins(1),
        "the last chance was not taken",
        || {
            stage.used();
            (stage.refreshes() == before + 1).then_some(())
        },
    );
    if case.may_be_lost() {
        eventually(|| (stage.now()["status"] == "revoked").then_some(()));
        is_lost(&stage);
        assert_eq!(stage.used(), first, "{case}: until its end");
    } else {
        let second = eventually(|| Some(stage.used()).filter(|token| *token != first));
        assert!(stage.peer.is_active(&second), "{case}");
        works(&stage);
    }
    assert_eq!(stage.refreshes(), before + 1, "{case}");
    verifies(&stage);
    Remains::of(&format!("{case}, living"), &stage.broker)
}

#[test]
fn a_place_that_nobody_knows_ends_the_start() {
    let mut broker = Broker::with(Setup {
        failpoint: Some("oauth.refresh.p8"),
        unready: true,
        ..Setup::default()
    });
    assert_eq!(broker.wait(Duration::from_secs(30)), Some(1));
    let said = broker.log_text();
    assert!(
        said.contains("the place to die at is none that there is"),
        "{said}"
    );
    assert!(!said.contains("p8"), "{said}");
}
