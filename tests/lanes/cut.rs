//! A second is the promise for what is open when its right ends. Since the machine may be busy with other
//! things, one time of five is enough.

use std::time::Duration;

use runtools_broker::clock::Timestamp;
use serde_json::Value;

use crate::stage::Stage;

/// Does it `once` and again until it takes less than a second, five times at most.
#[track_caller]
pub fn in_a_second(what: &str, once: impl Fn() -> Duration) {
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= Duration::from_secs(1)) {
        assert!(took.len() < 5, "{what}: it took {took:?}");
        took.push(once());
    }
}

/// From when the change that ended an exchange was in the journal to when its end was, by the journal's own
/// times. `entry` is the exchange's.
#[track_caller]
pub fn after_the_change(stage: &Stage, entry: &Value) -> Duration {
    let time = |entry: &Value| {
        let text = entry["outcome"]["time"].as_str().unwrap_or_default();
        Timestamp::parse(text).unwrap()
    };
    let all = stage.operator().get("/v1/audit").expect(200);
    // The latest stands first: of those after the exchange, the last.
    let others = all["data"].as_array().unwrap().iter().rev();
    let mut others = others.filter(|other| {
        other["seq"].as_u64() > entry["seq"].as_u64() && !other["outcome"]["time"].is_null()
    });
    let change = others.next().expect("no change");
    let millis = time(entry).millis_since(time(change));
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
