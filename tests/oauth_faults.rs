//! Providers that answer whatever they like: redirects, floods, bombs, lies and half-truths. The broker
//! stays small and quick, believes little, and keeps what it has.

mod harness;

mod oauth_faults {
    mod answers;
    mod connecting;
    mod floods;
    mod journal;
    mod places;
    mod refreshing;
    mod sealing;
}

use harness::agreeable::{agree, fault_client, fault_file};
use harness::connect::{self, goes, set_client};
use harness::fault_provider::{Answer, FaultProvider};
use harness::tools::{install, tool};
use harness::{Broker, Client, Upstream};
use serde_json::{Value, json};

/// A provider that agrees to everything until it is told otherwise, a broker that knows it, a member
/// with a client to connect with, and a tool that takes the token.
struct Stage {
    fault: FaultProvider,
    upstream: Upstream,
    broker: Broker,
    ann: Client,
}

impl Stage {
    fn new(changes: &[(&str, &str)]) -> Self {
        let (fault, upstream) = (FaultProvider::start(), Upstream::echo());
        agree(&fault);
        let broker = connect::broker(&[fault_file(&fault, changes)], "");
        set_client(&broker.operator(), "fault", &fault_client()).expect(200);
        let spec = tool("custom-me", upstream.port(), "fault", &[]);
        install(&broker.operator(), &spec);
        let ann = broker.member("Ann");
        Self {
            fault,
            upstream,
            broker,
            ann,
        }
    }

    /// Goes through a flow: how it ended.
    #[track_caller]
    fn goes(&self) -> Value {
        goes(&self.ann, "fault", "ann", "")
    }

    /// Goes through a flow that must fail: with which error.
    #[track_caller]
    fn fails(&self) -> String {
        let ended = self.goes();
        assert_eq!(ended["status"], "failed", "{ended}");
        assert_eq!(self.connections(), json!([]), "nothing is kept");
        ended["error"].as_str().unwrap().to_owned()
    }

    /// Connects with this answer of the token endpoint: the connection.
    #[track_caller]
    fn connects(&self, answer: Answer) -> Value {
        self.fault.next("/token", answer);
        let ended = self.goes();
        assert_eq!(ended["status"], "connected", "{ended}");
        connect::connection(&self.ann, ended["connectionId"].as_str().unwrap())
    }

    fn connections(&self) -> Value {
        self.ann.get("/v1/oauth/connections").expect(200)["data"].clone()
    }

    fn token_requests(&self) -> usize {
        self.fault.asked("/token").len()
    }

    /// How many refreshes ended in a class.
    fn ended(&self, class: &str) -> u64 {
        let metrics = self.broker.operator().get("/metrics");
        let text = String::from_utf8(metrics.body).unwrap();
        let wanted =
            format!("runtools_oauth_refresh_total{{provider=\"fault\",class=\"{class}\"}}");
        let mut lines = text.lines().filter(|line| line.starts_with(&wanted));
        let line = lines.next();
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Tokens of which the access token has ended at once.
fn ended_tokens() -> Answer {
    tokens(&json!({ "expires_in": 0 }))
}

/// Good tokens, with these members changed; null takes one away.
fn tokens(changes: &Value) -> Answer {
    let mut body = json!({
        "access_token": "an-access-token", "refresh_token": "a-refresh-token",
        "token_type": "Bearer", "expires_in": 3600, "scope": "read",
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    let body = body.as_object().unwrap().clone();
    let body: serde_json::Map<_, _> = body.into_iter().filter(|(_, v)| !v.is_null()).collect();
    Answer::json(200, &body.into())
}
