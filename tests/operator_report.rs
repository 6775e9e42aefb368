//! Who used what since a time, as the operator's program sums it up.

mod harness;

use harness::crm::{crm_call, install_crm};
use harness::{Broker, Canaries, Upstream};
use serde_json::{Value, json};

fn report(broker: &Broker, more: &[&str]) -> Vec<Value> {
    let words = [&["report", "--since", "1h", "--json"], more].concat();
    let told = broker.runs(&words, None).expect(0);
    told["data"].as_array().unwrap().clone()
}

#[test]
fn a_report_sums_up_who_used_which_credential_where_and_how_often() {
    let mut canaries = Canaries::new();
    let value = canaries.value();
    let (broker, upstream) = (Broker::start(), Upstream::echo());
    assert_eq!(report(&broker, &[]), Vec::<Value>::new());
    let operator = broker.operator();
    install_crm(&operator, upstream.port(), &value);
    let bob = broker.member("bob");
    for n in 0..3 {
        let call = crm_call(&format!("person{n}@example.com"), "CRM_KEY");
        operator
            .post("/v1/tools/custom-crm/execute", &call)
            .expect(200);
    }
    let wide = json!({"orgWide": true});
    operator
        .post("/v1/secrets/CRM_KEY/reveal", &wide)
        .expect(200);
    bob.post("/v1/secrets/CRM_KEY/reveal", &wide).refused(403);

    let lines = report(&broker, &[]);
    let line = |action: &str, by: &str| {
        let mut found = lines
            .iter()
            .filter(|line| line["action"] == action && line["by"].as_str().unwrap().contains(by));
        let line = found
            .next()
            .unwrap_or_else(|| panic!("{action} by {by}: {lines:?}"));
        assert!(found.next().is_none(), "{lines:?}");
        line
    };
    let used = line("tool.execute", "");
    assert_eq!(
        (&used["what"], &used["kind"]),
        (&json!("CRM_KEY"), &json!("secret"))
    );
    assert_eq!((&used["uses"], &used["denied"]), (&json!(3), &json!(0)));
    assert_eq!(
        (&used["tool"], &used["host"]),
        (&json!("custom-crm"), &json!("127.0.0.1"))
    );
    assert!(used["first"].as_str() <= used["last"].as_str());
    let refused = line("auth.denied", "bob");
    assert_eq!(
        (&refused["uses"], &refused["denied"]),
        (&json!(1), &json!(1))
    );

    // Narrowed down, and as a person reads it.
    assert!(report(&broker, &["--secret", "OTHER"]).is_empty());
    assert_eq!(
        report(&broker, &["--actor", "bob"]),
        std::slice::from_ref(refused)
    );
    let shown = broker.runs(&["report", "--since", "1h"], None);
    assert!(shown.stdout.contains("CRM_KEY") && shown.stdout.contains("DENIED"));
    canaries.absent_from("the report", shown.stdout.as_bytes());
    let wrong = broker.runs(&["report", "--since", "yesterday"], None);
    assert_ne!(wrong.exit, 0);
    assert_ne!(
        broker.runs(&["report"], None).exit,
        0,
        "a time is asked for"
    );
}
