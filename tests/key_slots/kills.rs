//! SIGKILL while a slot is added or removed: the ring is the one of before, or the one of after.

use serde_json::json;

use crate::harness::{Broker, Setup, eventually};
use crate::{WORDS, broker, opens, slots};

/// SIGKILL.
const KILL: i32 = 9;

/// Starts it so that it dies at `place` while `act` acts, and starts it again: how many slots it has then.
fn cut_short(broker: &mut Broker, place: &'static str, act: &dyn Fn(&Broker) -> i32) -> usize {
    broker.restart_with(Setup {
        failpoint: Some(place),
        ..Setup::default()
    });
    assert_ne!(act(broker), 0, "{place}");
    assert_eq!(eventually(|| broker.died_of()), KILL, "{place}");
    broker.restart_with(Setup::default());
    opens(broker);
    slots(broker).len()
}

fn add_words(broker: &Broker) -> i32 {
    let add = ["key", "slot", "add", "passphrase"];
    broker.runs(&add, Some(WORDS)).exit
}

fn remove_words(broker: &Broker) -> i32 {
    let remove = ["key", "slot", "remove", "passphrase", "--yes"];
    broker.runs(&remove, None).exit
}

#[test]
fn a_slot_whose_adding_or_removing_is_cut_short_is_there_whole_or_not_at_all() {
    let mut broker = broker(Setup::default());
    for (place, is_done) in [
        ("keys.replace.written", false),
        ("keys.replace.named", true),
    ] {
        let added = cut_short(&mut broker, place, &add_words);
        assert_eq!(added, 1 + usize::from(is_done), "{place}");
        if !is_done {
            assert_eq!(add_words(&broker), 0, "{place}");
        }
        let test = ["key", "slot", "test", "passphrase"];
        broker.runs(&test, Some(WORDS)).expect(0);
        let left = cut_short(&mut broker, place, &remove_words);
        assert_eq!(left, 2 - usize::from(is_done), "{place}");
        if !is_done {
            assert_eq!(remove_words(&broker), 0, "{place}");
        }
        assert_eq!(slots(&broker).len(), 1, "{place}");
    }
}

#[test]
fn a_key_file_whose_making_is_cut_short_is_no_way_in_until_its_slot_is_there() {
    let mut broker = broker(Setup::default());
    let second = broker.keys().join("second.key");
    let body = json!({"kind": "key-file", "path": second});
    let add = |broker: &Broker| {
        let sent = body.to_string();
        let sent = Some(("application/json", sent.as_bytes()));
        let answer = broker
            .operator()
            .try_send("POST", "/v1/operator/slots", sent);
        answer.map_or(1, |reply| i32::from(reply.status != 201))
    };
    for place in [
        "keys.make.written",
        "keys.make.named",
        "keys.replace.written",
    ] {
        assert_eq!(cut_short(&mut broker, place, &add), 1, "{place}");
        // A file that no slot is for is refused: who makes the next slot says what becomes of it.
        if add(&broker) != 0 {
            assert!(second.exists(), "{place}");
            std::fs::remove_file(&second).unwrap();
            assert_eq!(add(&broker), 0, "{place}");
        }
        let test = ["key", "slot", "list", "--json"];
        let listed = broker.runs(&test, None).expect(0);
        let all = listed["data"].as_array().unwrap();
        assert_eq!(all.len(), 2, "{place}");
        let id = all[1]["id"].as_str().unwrap();
        let path = second.display().to_string();
        let test = ["key", "slot", "test", id, "--path", &path];
        broker.runs(&test, None).expect(0);
        let remove = ["key", "slot", "remove", id, "--yes"];
        broker.runs(&remove, None).expect(0);
        std::fs::remove_file(&second).unwrap();
    }
}
