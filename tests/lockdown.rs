//! A key is in the wrong hands: everything that was handed out is void with one command, whatever happens next.

mod harness;

use harness::crm::{crm_call, install_crm};
use harness::{Broker, Setup, Upstream};
use serde_json::json;

/// An organisation with a key, a service with a key, and a tool that both may run.
struct Handed {
    broker: Broker,
    admin: String,
    hub: String,
    upstream: Upstream,
}

impl Handed {
    /// Fails unless both keys are answered so.
    fn answers(&self, code: &str) {
        for key in [&self.admin, &self.hub] {
            let answer = self.broker.anonymous().key(key).get("/v1/secrets");
            assert_eq!(answer.value()["error"]["code"], code);
        }
    }
}

fn handed_out() -> Handed {
    let (broker, upstream) = (Broker::start(), Upstream::echo());
    let operator = broker.operator();
    install_crm(
        &operator,
        upstream.port(),
        "crm-value-0123456789-abcdefghij",
    );
    let admin = operator.make_key(&[]);
    broker
        .anonymous()
        .key(&admin)
        .get("/v1/secrets")
        .expect(200);
    let body = json!({"name": "tool-hub"});
    let made = operator.post("/v1/operator/services", &body).expect(201);
    let hub = made["data"]["key"].as_str().unwrap().to_owned();
    // It is known, and asked for whom it acts.
    let known = broker.anonymous().key(&hub).get("/v1/secrets");
    assert_ne!(known.value()["error"]["code"], "unauthorized");
    Handed {
        broker,
        admin,
        hub,
        upstream,
    }
}

fn lock_down(broker: &Broker) {
    let asked = broker.runs(&["lockdown"], None);
    assert_ne!(asked.exit, 0, "nobody said yes");
    broker.runs(&["lockdown", "--yes"], None).expect(0);
}

#[test]
fn every_key_is_void_at_once_and_stays_so_and_only_a_person_unseals() {
    let mut handed = handed_out();
    lock_down(&handed.broker);
    let call = crm_call("person@example.com", "CRM_KEY");
    let admin = handed.broker.anonymous().key(&handed.admin);
    let refused = admin.post("/v1/tools/custom-crm/execute", &call);
    assert_eq!(refused.refused(503), "sealed");
    assert!(handed.upstream.seen().is_empty());

    // The key file lies there, and a start does not use it.
    handed.broker.restart();
    let told = handed.broker.log_text();
    assert!(told.contains("The vault was locked down at 20"), "{told}");
    let operator = handed.broker.operator();
    assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");

    handed.broker.runs(&["unseal"], None).expect(0);
    handed.answers("unauthorized");
    let listed = operator.get("/v1/api-keys").expect(200);
    let keys = listed["data"].as_array().unwrap();
    assert!(
        !keys.is_empty() && keys.iter().all(|key| key["status"] == "revoked"),
        "{listed}"
    );

    // What is made from now on is good, and a start unseals by itself again.
    let fresh = operator.make_key(&[]);
    handed.broker.restart();
    let holder = handed.broker.anonymous().key(&fresh);
    holder.get("/v1/secrets").expect(200);
    handed.answers("unauthorized");
    let log = handed
        .broker
        .operator()
        .get("/v1/audit?all=true&action=vault.lockdown")
        .expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log}");
}

#[test]
fn a_lockdown_that_was_cut_short_is_finished_before_anybody_is_let_in() {
    let mut handed = handed_out();
    let setup = Setup {
        failpoint: Some("vault.lockdown.marked"),
        ..Setup::default()
    };
    handed.broker.restart_with(setup);
    assert_ne!(handed.broker.runs(&["lockdown", "--yes"], None).exit, 0);
    assert_eq!(harness::eventually(|| handed.broker.died_of()), 9);
    handed.broker.restart_with(Setup::default());
    let operator = handed.broker.operator();
    assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");
    handed.broker.runs(&["unseal"], None).expect(0);
    handed.answers("unauthorized");
    let log = operator
        .get("/v1/audit?all=true&action=vault.lockdown")
        .expect(200);
    let codes: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["code"])
        .collect();
    assert!(codes.contains(&&json!("finished")), "{log}");
}
