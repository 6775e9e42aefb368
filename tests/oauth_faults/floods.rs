//! T4: answers without end, or that grow without end. Time and memory stay bounded.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::fault_provider::Answer;
use crate::harness::memory::peak;
use crate::harness::tools::run;
use crate::{Stage, ended_tokens};

#[test]
fn t4_no_flood_takes_long_or_much_and_each_is_transient() {
    let slow =
        br#"{"access_token": "dripping-access-token", "expires_in": 3600, "token_type": "bearer"}"#;
    let floods = [
        ("drip", Answer::Drip(Duration::from_secs(1), slow.to_vec())),
        ("hang", Answer::Hang),
        ("announced", Answer::Endless { announced: true }),
        ("unannounced", Answer::Endless { announced: false }),
        ("bomb", Answer::GzipBomb(2 << 30)),
        ("headers", Answer::EndlessHeaders),
    ];
    std::thread::scope(|scope| {
        let running = floods.map(|(name, flood)| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread
                .spawn_scoped(scope, move || is_bounded(flood))
                .unwrap()
        });
        for one in running {
            one.join().unwrap();
        }
    });
}

fn is_bounded(flood: Answer) {
    let stage = Stage::new(&[]);
    // Once when an account is connected …
    let before = (peak(stage.broker.pid()), stage.fault.sent());
    stage.fault.next("/token", flood.clone());
    let began = Instant::now();
    let error = stage.fails();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(error, "try_again");
    // … once when its name is asked for …
    stage.fault.next("/token", ended_tokens());
    stage.fault.next("/me", flood.clone());
    stage.connects_anyway();
    // … and once when it is refreshed.
    stage.fault.next("/token", flood);
    let began = Instant::now();
    let refused = run(&stage.ann, "custom-me", None);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(refused.refused(503), "token_unavailable");
    assert_eq!(stage.ended("transient"), 1);
    let (memory, sent) = (
        peak(stage.broker.pid()) - before.0,
        stage.fault.sent() - before.1,
    );
    assert!(memory < 48 << 20, "{memory} bytes");
    // What two systems keep on their way of three floods, and no more.
    assert!(sent < 48 << 20, "{sent} bytes");
    let shown: Value = stage.connections();
    assert_eq!(shown[0]["status"], "active", "{shown}");
}

impl Stage {
    /// Connects although the first try fails: what was asked once is asked again.
    #[track_caller]
    fn connects_anyway(&self) {
        let ended = self.goes();
        assert_eq!(ended["status"], "connected", "{ended}");
    }
}
