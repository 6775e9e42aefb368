//! Answers that a provider signs (B16): whose they are is the state's to say, as with any other, and a
//! signature that is wrong ends the flow before its code goes anywhere.

use ring::hmac;
use runtools_broker::clock::{Clock as _, SystemClock};

use crate::harness::agreeable::fault_client;
use crate::harness::connect::{Flow, TERMINAL, connections, member, set_client, start};
use crate::harness::fault_provider::FaultProvider;
use crate::harness::jar::{Jar, Page};
use crate::harness::oidc::PeerClient;
use crate::harness::{Broker, Client};
use crate::{leave, refused, with_fault};

/// The secret of the client, which the provider signs with.
const SECRET: &str = "a-client-secret-that-signs";

fn signing() -> (FaultProvider, Broker) {
    let rule = "[callback.signature]\nalg = \"hmac-sha256\"\nencoding = \"hex\"\n\
                over = \"sorted_query\"\nexclude = []\nkey = \"client_secret\"\n\
                max_age_param = \"timestamp\"\nmax_age_s = 300\n\n[token]\n";
    let (provider, broker) = with_fault(|file| file.replace("[token]\n", rule));
    let client = PeerClient {
        secret: SECRET.to_owned(),
        ..fault_client()
    };
    set_client(&broker.operator(), "fault", &client).expect(200);
    (provider, broker)
}

fn seconds() -> i64 {
    SystemClock.now().millis() / 1000
}

/// A member's flow, whose browser is at the provider's.
struct Away {
    flow: Flow,
    jar: Jar,
    back: String,
    state: String,
}

impl Away {
    fn of(client: &Client) -> Self {
        let flow = start(client, "fault", &format!("redirect_uri={TERMINAL}"));
        let mut jar = Jar::new();
        let door = leave(&mut jar, &flow);
        let read = |name| member(&door, name).unwrap();
        let (back, state) = (read("redirect_uri"), read("state"));
        Self {
            flow,
            jar,
            back,
            state,
        }
    }

    /// What the provider signs, with the signature last.
    fn signed(&self, made: i64) -> String {
        let rest = format!("code=a-code&state={}&timestamp={made}", self.state);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let mac = hmac::sign(&key, rest.as_bytes());
        format!(
            "{rest}&hmac={}",
            data_encoding::HEXLOWER.encode(mac.as_ref())
        )
    }

    fn comes(&mut self, query: &str) -> Page {
        self.jar.get(&format!("{}?{query}", self.back))
    }

    /// The flow ends with this answer, for this reason.
    #[track_caller]
    fn ends(&mut self, query: &str, client: &Client) {
        let told = self.comes(query).location();
        let told = told.unwrap_or_else(|| panic!("not sent on: {query}"));
        let error = member(told.as_str(), "error");
        assert_eq!(error.as_deref(), Some("bad_signature"), "{query}");
        assert_eq!(self.flow.seen(client)["error"], "bad_signature");
    }
}

#[test]
fn b16_an_answer_that_was_changed_on_the_way_ends_its_flow_and_makes_no_call() {
    let (provider, broker) = signing();
    let mia = broker.member("Mia");
    let edits: [fn(&str) -> String; 8] = [
        |query| query.replace("a-code", "b-code"),
        |query| query.replace("hmac=", "hmac=0"),
        |query| query.replace("hmac=", "hmac[]="),
        |query| query.replace("hmac=", "hmac%5B%5D="),
        |query| format!("{query}&more=1"),
        |query| query.split_once("&hmac").unwrap().0.to_owned(),
        |query| {
            let (rest, mac) = query.split_once("hmac=").unwrap();
            format!("{rest}hmac={}", mac.to_uppercase())
        },
        // One bit of the signature's last digit.
        |query| {
            let mut text = query.to_owned();
            let last = char::from_digit(text.pop().unwrap().to_digit(16).unwrap() ^ 1, 16);
            text.push(last.unwrap());
            text
        },
    ];
    for edit in edits {
        let mut away = Away::of(&mia);
        let query = edit(&away.signed(seconds()));
        away.ends(&query, &mia);
    }
    assert_eq!(provider.asked("/token").len(), 0);
    assert_eq!(connections(&mia).len(), 0);
}

#[test]
fn b16_an_answer_of_another_time_is_none() {
    let (provider, broker) = signing();
    let mia = broker.member("Mia");
    // Far enough from the bounds of five minutes and one for a machine that is slow.
    for made in [-3600, -330, 600, 3600] {
        let mut away = Away::of(&mia);
        let query = away.signed(seconds() + made);
        away.ends(&query, &mia);
    }
    assert_eq!(provider.asked("/token").len(), 0);
}

#[test]
fn b16_an_answer_that_says_something_twice_is_not_looked_at_and_one_in_another_order_is() {
    let (provider, broker) = signing();
    let mia = broker.member("Mia");
    let mut away = Away::of(&mia);
    let query = away.signed(seconds());
    let mac = query.split_once("&hmac=").unwrap().1;
    for twice in [
        format!("hmac={mac}"),
        "code=a-code".to_owned(),
        format!("timestamp={}", seconds()),
        "%63ode=b-code".to_owned(),
    ] {
        let page = away.comes(&format!("{query}&{twice}"));
        refused(&page, 400, "bad_callback");
    }
    assert_eq!(away.flow.seen(&mia)["status"], "confirmed");
    let turned: Vec<_> = query.split('&').rev().collect();
    let told = away.comes(&turned.join("&")).location().unwrap();
    let ticket = member(told.as_str(), "ticket").unwrap();
    let ended = away.flow.finish(&mia, &ticket).expect(200)["data"].clone();
    assert_eq!(ended["status"], "connected", "{ended}");
    assert_eq!(provider.asked("/token").len(), 1);
}

/// Nothing is remembered of an answer that one member could use up for another: it is of one flow by
/// the state that is signed with it, and that flow takes one.
#[test]
fn b16_a_signed_answer_counts_once_and_for_its_own_flow() {
    let (provider, broker) = signing();
    let (mia, nora) = (broker.member("Mia"), broker.member("Nora"));
    let (mut ours, mut theirs) = (Away::of(&mia), Away::of(&nora));
    let query = ours.signed(seconds());
    let page = theirs.comes(&query);
    refused(&page, 403, "wrong_browser");
    assert!(ours.comes(&query).location().is_some());
    let page = ours.comes(&query);
    refused(&page, 404, "flow_unknown");
    let query = theirs.signed(seconds());
    let told = theirs.comes(&query).location().unwrap();
    let ticket = member(told.as_str(), "ticket").unwrap();
    theirs.flow.finish(&nora, &ticket).expect(200);
    assert_eq!(provider.asked("/token").len(), 1);
}
