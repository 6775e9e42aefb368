//! Keeping grants alive through everything that goes wrong: a real authorization server that rotates,
//! hangs and forgets, and real kills.

mod harness;

mod oauth_refresh {
    mod at_length;
    mod kill;
    mod points;
    mod spool;
    mod trouble;
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use harness::connect::{self, connect_peer, peer_file};
use harness::oidc::{Asked, Fault, Peer, Rotate, Then};
use harness::tools::{install, run, runs, tool};
use harness::{Broker, Client, Upstream, eventually};
use serde_json::Value;

/// Access tokens are over when a stage is ready.
const SHORT: u32 = 2;
const HOUR: u32 = 3600;
const LONG: u32 = 86_400;

/// The first word of the provider's that a grant is over is believed.
const BELIEVED: (&str, &str) = ("[refresh]", "[refresh]\nconfirm_invalid_grant = false");
/// As the peer does where it is told so.
const NEVER: (&str, &str) = ("rotates = \"always\"", "rotates = \"never\"");

/// A broker with Ann's account at the peer, and a tool that shows the token to an upstream.
struct Stage {
    peer: Arc<Peer>,
    /// Its own client there, where the peer has other brokers too.
    client: Option<String>,
    upstream: Upstream,
    broker: Broker,
    key: String,
    connection: Value,
}

impl Stage {
    /// Ann's access token lives so many seconds; those that come after it an hour.
    fn new(rotate: Rotate, changes: &[(&str, &str)], seconds: u32) -> Self {
        let (peer, upstream) = (Arc::new(Peer::start()), Upstream::echo());
        peer.rotate(rotate);
        let many = "[limits]\nconnections_per_source = 512";
        let broker = connect::broker(&[peer_file(&peer, changes)], many);
        let spec = tool("custom-me", upstream.port(), "peer", &["read"]);
        install(&broker.operator(), &spec);
        let ann = broker.member("Ann");
        peer.lifetimes(seconds, LONG);
        let connection = connect_peer(&broker, &ann, &peer, "ann");
        peer.lifetimes(HOUR, LONG);
        if seconds == SHORT {
            std::thread::sleep(Duration::from_millis(2_200));
        }
        let key = ann.make_key(&[]);
        Self {
            peer,
            client: None,
            upstream,
            broker,
            key,
            connection,
        }
    }

    fn ann(&self) -> Client {
        self.broker.anonymous().key(&self.key)
    }

    /// The refreshes that reached the peer.
    fn asked(&self) -> Vec<Asked> {
        let mut asked = self.peer.granted("refresh_token");
        if let Some(client) = &self.client {
            asked.retain(|asked| asked.form("client_id") == Some(client));
        }
        asked
    }

    fn refreshes(&self) -> usize {
        self.asked().len()
    }

    /// The connection as it is shown now.
    fn now(&self) -> Value {
        connect::connection(&self.ann(), self.connection["id"].as_str().unwrap())
    }

    /// Runs the tool: the token that the upstream saw.
    #[track_caller]
    fn used(&self) -> String {
        let done = runs(&self.ann(), "custom-me");
        assert_eq!(done["success"], true, "{done}");
        let header = self.upstream.last().header("authorization");
        header.strip_prefix("Bearer ").unwrap().to_owned()
    }

    /// The code with which a run is refused.
    #[track_caller]
    fn refused(&self, status: u16) -> String {
        run(&self.ann(), "custom-me", None).refused(status)
    }

    /// The tokens that the peer still takes. JWTs are none that it would look at.
    fn alive(&self) -> Vec<String> {
        let mut all = self.peer.secrets();
        all.retain(|secret| !secret.contains('.') && self.peer.is_active(secret));
        all
    }

    /// A counter of `/metrics`.
    fn counted(&self, name: &str) -> u64 {
        let metrics = self.broker.operator().get("/metrics");
        let text = String::from_utf8(metrics.body).unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        let line = lines.next().unwrap_or_else(|| panic!("no {name}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn r2_two_hundred_runs_at_once_make_one_refresh_and_all_use_the_new_token() {
    let stage = Stage::new(Rotate::Always, &[], SHORT);
    // They come while it is under way.
    let slow = Fault::after("/token", Then::GoOn).late(Duration::from_secs(1));
    stage.peer.fault(&slow);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            let ann = stage.ann();
            scope.spawn(move || {
                // A member may have sixty-four running.
                eventually(|| {
                    let reply = run(&ann, "custom-me", None);
                    if reply.status == 429 {
                        std::thread::sleep(Duration::from_millis(50));
                        return None;
                    }
                    assert_eq!(reply.expect(200)["data"]["success"], true);
                    Some(())
                });
            });
        }
    });
    assert_eq!(
        stage.refreshes(),
        1,
        "{:?}",
        stage.peer.granted("refresh_token")
    );
    let seen = stage.upstream.seen();
    assert_eq!(seen.len(), 200);
    let tokens: BTreeSet<_> = seen
        .iter()
        .map(|seen| seen.header("authorization"))
        .collect();
    assert_eq!(tokens.len(), 1, "all use the same");
    let token = tokens.first().unwrap().strip_prefix("Bearer ").unwrap();
    assert_eq!(stage.peer.userinfo(token).expect(200)["sub"], "ann");
    assert_eq!(stage.now()["status"], "active");
}

#[test]
fn r1_each_refresh_shows_the_token_that_the_one_before_it_gave() {
    for rotate in [Rotate::Always, Rotate::Never] {
        let changes: &[(&str, &str)] = match rotate {
            Rotate::Always => &[],
            Rotate::Never => &[NEVER],
        };
        let stage = Stage::new(rotate, changes, SHORT);
        let mut used = BTreeSet::new();
        for round in 1..=3 {
            stage
                .peer
                .lifetimes(if round < 3 { SHORT } else { HOUR }, LONG);
            used.insert(stage.used());
            assert_eq!(stage.refreshes(), round);
            std::thread::sleep(Duration::from_millis(2_200));
        }
        assert_eq!(used.len(), 3, "each time a new access token");
        let asked = stage.peer.granted("refresh_token");
        let shown: BTreeSet<_> = asked
            .iter()
            .map(|asked| asked.form("refresh_token"))
            .collect();
        let wanted = if rotate == Rotate::Always { 3 } else { 1 };
        assert_eq!(shown.len(), wanted, "{asked:?}");
        assert!(asked.iter().all(|asked| asked.status == Some(200)));
        assert_eq!(stage.now()["status"], "active");
    }
}

#[test]
fn r7_a_grant_that_was_taken_back_is_over_for_good() {
    let stage = Stage::new(Rotate::Always, &[BELIEVED], SHORT);
    stage.peer.revoke_all_of("ann");
    assert_eq!(stage.refused(409), "needs_reauth");
    let shown = stage.now();
    assert_eq!(shown["status"], "revoked", "{shown}");
    assert_eq!(shown["reason"], "provider_said", "{shown}");
    for _ in 0..3 {
        assert_eq!(stage.refused(409), "needs_reauth");
    }
    assert_eq!(stage.refreshes(), 1, "nobody knocks any more");
    assert!(stage.upstream.seen().is_empty());
}

#[test]
fn r7_a_stolen_refresh_token_that_was_used_ends_the_grant_for_both() {
    let stage = Stage::new(Rotate::Always, &[BELIEVED], SHORT);
    let client = stage.peer.basic();
    let secrets = stage.peer.secrets();
    let mut stolen = secrets.iter().filter(|secret| {
        let params = [
            ("grant_type", "refresh_token"),
            ("refresh_token", secret.as_str()),
        ];
        let reply = stage.peer.call(&client, "/token", &params);
        reply.is_ok_and(|reply| reply.status == 200)
    });
    stolen.next().expect("one of them is the refresh token");
    stage.peer.forget();
    assert_eq!(stage.refused(409), "needs_reauth");
    assert_eq!(stage.now()["status"], "revoked");
    assert_eq!(stage.refreshes(), 1);
    assert_eq!(stage.alive(), [""; 0], "the peer ended all of it");
}
