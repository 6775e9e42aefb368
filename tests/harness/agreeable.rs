//! The provider that answers anything, while it agrees to everything.

use serde_json::{Value, json};

use super::connect::{connects, edited, set_client};
use super::fault_provider::{Answer, FaultProvider};
use super::oidc::{PeerClient, provider_file};
use super::{Broker, Canaries, Client, connect};

/// The file of a provider that answers anything, under the id `fault`, with these words changed.
pub fn fault_file(fault: &FaultProvider, changes: &[(&str, &str)]) -> (&'static str, String) {
    let text = provider_file("fault", "fault", fault.port());
    ("fault", edited(text, changes))
}

/// The client that such a provider takes, as any other.
pub fn fault_client() -> PeerClient {
    PeerClient {
        id: "fault-client".into(),
        secret: Canaries::new().value(),
        auth: "post",
    }
}

/// Connects an account there, setting the client first; what it answers is set before.
#[track_caller]
pub fn connect_fault(broker: &Broker, client: &Client) -> Value {
    set_client(&broker.operator(), "fault", &fault_client()).expect(200);
    connects(client, "fault", "ann")
}

/// A provider that agrees to everything: the account `42`, and tokens `access-1`, `refresh-1`, and so
/// on, each time others.
pub fn agreeable() -> FaultProvider {
    let fault = FaultProvider::start();
    agree(&fault);
    let count = std::sync::atomic::AtomicU32::new(1);
    fault.script("/token", move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Answer::tokens(&access(count), &format!("refresh-{count}-of-the-account"))
    });
    fault
}

/// The access token that [`agreeable`] gives the `count`th time.
pub fn access(count: u32) -> String {
    format!("access-{count}-of-the-account")
}

/// Lets a provider send browsers back with a code, and tell whose account it is.
pub fn agree(fault: &FaultProvider) {
    fault.script("/authorize", |seen| {
        let mut to = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
        let state = seen.query("state").unwrap();
        let code = Canaries::new().value();
        to.query_pairs_mut()
            .extend_pairs([("code", code), ("state", state)]);
        Answer::redirect(302, to.as_str())
    });
    let me = json!({ "id": "42", "name": "ann", "email": "ann@fault.example" });
    fault.always("/me", Answer::json(200, &me));
}

/// A provider with the one account `7` of Mia M, the tokens `access-1` and `refresh-1`, and nothing to say
/// against revoking them; and a broker that knows it by `file`, with a client, and `more` lines of `[oauth]`.
pub fn with_one_account(
    file: impl FnOnce(String) -> String,
    more: &str,
) -> (FaultProvider, Broker) {
    let provider = FaultProvider::start();
    provider.always("/token", Answer::tokens("access-1", "refresh-1"));
    let me = json!({"id": "7", "name": "Mia M"});
    provider.always("/me", Answer::json(200, &me));
    provider.always("/revoke", Answer::empty(200));
    let (id, text) = fault_file(&provider, &[]);
    let broker = connect::broker(&[(id, file(text))], more);
    set_client(&broker.operator(), id, &fault_client()).expect(200);
    (provider, broker)
}
