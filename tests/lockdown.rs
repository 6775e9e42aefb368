//! A key is in the wrong hands: everything that was handed out is void with one command, whatever happens next.

mod harness;

use harness::crm::{crm_call, install_crm};
use harness::disk::Disk;
use harness::{Broker, Setup, Upstream};
use serde_json::{Value, json};

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

/// What the journal has of lockdowns, newest first: the code of each.
fn operator_log(handed: &Handed) -> Vec<Value> {
    let path = "/v1/audit?all=true&action=vault.lockdown";
    let log = handed.broker.operator().get(path).expect(200);
    let entries = log["data"].as_array().unwrap().iter();
    entries.map(|entry| entry["code"].clone()).collect()
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
    // Said after the addresses that a start is known by.
    let told = || handed.broker.log_text();
    harness::eventually(|| {
        told()
            .contains("The vault was locked down at 20")
            .then_some(())
    });
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
    let log = operator_log(&handed);
    // Newest first: whoever unsealed made void what was handed out until then.
    assert_eq!(log, [json!("finished"), Value::Null]);
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
    assert!(operator_log(&handed).contains(&json!("finished")));
}

/// Locks it down, and is to be killed at `place` on the way, or where somebody unseals.
fn cut_short_at(place: &'static str, locks: bool) -> Handed {
    let mut handed = handed_out();
    if !locks {
        lock_down(&handed.broker);
    }
    handed.broker.restart_with(Setup {
        failpoint: Some(place),
        ..Setup::default()
    });
    let words: &[&str] = if locks {
        &["lockdown", "--yes"]
    } else {
        &["unseal"]
    };
    assert_ne!(handed.broker.runs(words, None).exit, 0, "{place}");
    assert_eq!(harness::eventually(|| handed.broker.died_of()), 9);
    handed.broker.restart_with(Setup::default());
    handed
}

#[test]
fn what_was_void_stays_void_wherever_a_lockdown_or_its_end_is_cut_short() {
    for place in ["vault.lockdown.voided", "vault.lockdown.finished"] {
        let handed = cut_short_at(place, place == "vault.lockdown.voided");
        let operator = handed.broker.operator();
        assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");
        handed.broker.runs(&["unseal"], None).expect(0);
        handed.answers("unauthorized");
        assert!(
            operator_log(&handed).contains(&json!("finished")),
            "{place}"
        );
    }
    // The marker is gone, and so is what it kept out: everything was void before it went.
    let handed = cut_short_at("vault.lockdown.lifted", false);
    handed.answers("unauthorized");
    assert!(operator_log(&handed).contains(&json!("finished")));
    let fresh = handed.broker.operator().make_key(&[]);
    let holder = handed.broker.anonymous().key(&fresh);
    holder.get("/v1/secrets").expect(200);
}

#[test]
fn a_sealed_vault_is_locked_down_too_and_a_full_disk_keeps_nobody_in() {
    let mut handed = handed_out();
    let operator = handed.broker.operator();
    operator.send("POST", "/v1/operator/seal", None).expect(200);
    lock_down(&handed.broker);
    handed.broker.restart();
    let operator = handed.broker.operator();
    assert_eq!(operator.get("/v1/secrets").refused(503), "sealed");
    handed.broker.runs(&["unseal"], None).expect(0);
    handed.answers("unauthorized");

    let key = operator.make_key(&[]);
    assert_eq!(handed.broker.stop(), Some(0));
    let disk = Disk::over(&handed.broker.data(), "64m");
    handed.broker.restart();
    let holder = handed.broker.anonymous().key(&key);
    holder.get("/v1/secrets").expect(200);
    disk.fill();
    let operator = handed.broker.operator();
    let full = (0..4000).any(|n| {
        let secret = json!({"name": format!("FULL_{n}"), "value": "x".repeat(60_000)});
        operator.post("/v1/secrets", &secret).status != 201
    });
    assert!(full, "the disk is full and nothing was refused");
    drop(handed.broker.runs(&["lockdown", "--yes"], None));
    assert_eq!(holder.get("/v1/secrets").refused(503), "sealed");
    disk.free();
    drop(handed);
}
