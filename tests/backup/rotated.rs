//! Backups of before, of while, and of after keys are replaced.

use serde_json::{Value, json};

use crate::harness::Broker;
use crate::harness::{Client, eventually};
use crate::{create, intact, key, restore, set, setup, started, value};

const SECRETS: usize = 120;

fn rotation(operator: &Client) -> Value {
    operator.get("/v1/key-rotation").expect(200)["data"]["rotation"].clone()
}

/// Replaces the keys of this level, and waits until it is over.
fn replaced(operator: &Client, level: &str) {
    let begun = operator.post("/v1/key-rotation", &json!({"level": level}));
    assert!(
        begun.status < 300,
        "{}",
        String::from_utf8_lossy(&begun.body)
    );
    over(operator);
}

fn over(operator: &Client) {
    eventually(|| (rotation(operator)["phase"] == "finished").then_some(()));
}

#[test]
fn each_of_them_is_restored_with_every_secret_and_goes_on() {
    let broker = Broker::with(setup("sled"));
    let (identity, recipient) = key(broker.folder().path());
    let operator = broker.operator();
    for n in 0..SECRETS {
        set(&operator, &format!("KEPT_{n}"), &format!("value {n}"));
    }
    let key_file = broker.keys().join("root.key");
    let file = |name: &str| broker.path(&format!("{name}.age"));
    create(&broker, &file("before"), &recipient);
    replaced(&operator, "owner");
    create(&broker, &file("between"), &recipient);
    // While the next goes on: its own record, and whatever it has done by then, are in it.
    let begun = operator.post("/v1/key-rotation", &json!({"level": "org"}));
    assert!(
        begun.status < 300,
        "{}",
        String::from_utf8_lossy(&begun.body)
    );
    create(&broker, &file("while"), &recipient);
    over(&operator);
    create(&broker, &file("after"), &recipient);
    for name in ["before", "between", "while", "after"] {
        let folder = tempfile::tempdir().unwrap();
        let ran = restore(&file(name), folder.path(), &identity, &key_file);
        assert_eq!(ran.exit, 0, "{name}: {}", ran.stderr);
        let there = started(folder, "sled");
        let operator = there.operator();
        let all_there = || {
            for n in 0..SECRETS {
                let kept = value(&operator, &format!("KEPT_{n}"));
                assert_eq!(kept, Some(format!("value {n}")), "{name}");
            }
        };
        all_there();
        if name == "while" {
            over(&operator);
        }
        replaced(&operator, "owner");
        all_there();
        intact(&operator);
    }
}
