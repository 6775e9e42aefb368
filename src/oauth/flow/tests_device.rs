//! Device attempts: when is asked, and when it ends.

use super::tests_rig::{at, org, read, user};
use super::unguessable::{What, digest};
use super::{
    DeviceAnswer, DeviceAsk, DeviceBook, DeviceFault, DeviceShown, DeviceStatus, DeviceTurn,
    Failure, Outcome, Turn,
};
use crate::clock::Timestamp;
use crate::crypto::SystemRandom;
use crate::id::{ConnectionId, OrgId};
use crate::oauth::client::{ClientOwner, ClientRef};
use crate::oauth::provider::Bound;
use crate::secret::Secret;

const CHAT: &str = r#"
schema = 1
id = "acme-device"
display_name = "Acme Device"
kind = "device"
revoke_reason = "a sample"
[device]
url = "https://device.example/start"
max_wait_s = 900
[token]
url = "https://device.example/token"
[identity]
url = "https://device.example/user"
id = "/id"
[api]
hosts = ["device.example"]
"#;

type Book = DeviceBook<Secret>;

fn asking(number: u8) -> DeviceAsk {
    DeviceAsk {
        org: org(),
        user: user(number),
        provider: read(CHAT),
        bound: Bound::default(),
        scopes: Vec::new(),
        client: ClientRef {
            owner: ClientOwner::Instance,
            client_id: "client-1".to_owned(),
        },
        replaces: None,
    }
}

fn shown(interval_s: u32, expires_s: i64) -> DeviceShown {
    DeviceShown {
        user_code: "BCDF-GHJK".to_owned(),
        verification_uri: "https://device.example/go".to_owned(),
        verification_uri_complete: None,
        interval_s,
        expires_at: at(expires_s * 1_000),
    }
}

fn start(book: &Book, number: u8, interval_s: u32, expires_s: i64) -> String {
    let grant = Secret::copy_of(b"device-code");
    let (ask, shown) = (asking(number), shown(interval_s, expires_s));
    let begun = book.start(ask, shown, grant, at(0), &SystemRandom);
    begun.unwrap().token
}

fn seconds(seconds: i64) -> Timestamp {
    at(seconds * 1_000)
}

fn asks(book: &Book, attempt: &str, now: i64) -> Option<DeviceTurn<Secret>> {
    match book.turn(org(), user(1), attempt, seconds(now)).unwrap() {
        Turn::Ask(turn) => Some(turn),
        Turn::Stored(_) => None,
    }
}

fn status(book: &Book, attempt: &str, now: i64) -> (DeviceStatus, Option<&'static str>) {
    let view = book.view(org(), user(1), attempt, seconds(now)).unwrap();
    (view.status, view.error)
}

#[test]
fn d1_whoever_asks_more_often_hears_what_is_known() {
    let book = Book::new();
    let attempt = start(&book, 1, 5, 600);
    assert!(asks(&book, &attempt, 0).is_none());
    assert!(asks(&book, &attempt, 4).is_none());
    let turn = asks(&book, &attempt, 5).unwrap();
    assert!(turn.grant().same_as(&Secret::copy_of(b"device-code")));
    assert!(
        asks(&book, &attempt, 6).is_none(),
        "the question is under way"
    );
    book.answered(turn, DeviceAnswer::Pending, seconds(7))
        .unwrap();
    assert!(asks(&book, &attempt, 11).is_none());
    assert!(asks(&book, &attempt, 12).is_some());
}

#[test]
fn d1_slow_down_is_for_good_and_no_answer_doubles_until_there_is_one() {
    let book = Book::new();
    let attempt = start(&book, 1, 5, 900);
    let mut now = 5;
    let mut waits = Vec::new();
    for answer in [
        DeviceAnswer::SlowDown,
        DeviceAnswer::Pending,
        DeviceAnswer::NoAnswer,
        DeviceAnswer::NoAnswer,
        DeviceAnswer::NoAnswer,
        DeviceAnswer::NoAnswer,
        DeviceAnswer::Pending,
        DeviceAnswer::SlowDown,
    ] {
        let turn = asks(&book, &attempt, now).unwrap();
        book.answered(turn, answer, seconds(now)).unwrap();
        let wait = (1..200)
            .find(|wait| is_due(&book, &attempt, now + wait))
            .unwrap();
        waits.push(wait);
        now += wait;
    }
    assert_eq!(waits, [10, 10, 20, 40, 60, 60, 10, 15]);
    let view = book.view(org(), user(1), &attempt, seconds(now)).unwrap();
    assert_eq!(
        view.shown.interval_s, 15,
        "whoever asks is told to slow down too"
    );
}

/// Whether it may be asked for, without taking the right.
fn is_due(book: &Book, attempt: &str, now: i64) -> bool {
    book.with(seconds(now), |shelf| {
        let attempt = shelf.get(&digest(What::Attempt, attempt)).unwrap();
        attempt.due_at(seconds(now)).is_some()
    })
}

#[test]
fn d2_it_ends_with_its_time_a_no_and_any_unknown_error() {
    for (failure, expected) in [
        (
            Failure::Denied,
            (DeviceStatus::Failed, Some("access_denied")),
        ),
        (Failure::Expired, (DeviceStatus::Expired, Some("expired"))),
        (
            Failure::NotEnabled,
            (DeviceStatus::Failed, Some("device_not_enabled")),
        ),
        (
            Failure::Provider,
            (DeviceStatus::Failed, Some("provider_error")),
        ),
    ] {
        let book = Book::new();
        let attempt = start(&book, 1, 5, 600);
        let turn = asks(&book, &attempt, 5).unwrap();
        book.answered(turn, DeviceAnswer::Ended(failure), seconds(5))
            .unwrap();
        assert_eq!(status(&book, &attempt, 20), expected);
        assert!(asks(&book, &attempt, 20).is_none());
    }
    let book = Book::new();
    let attempt = start(&book, 1, 5, 600);
    assert!(asks(&book, &attempt, 600).is_none());
    assert_eq!(
        status(&book, &attempt, 600),
        (DeviceStatus::Expired, Some("expired"))
    );
    assert!(
        book.view(org(), user(1), &attempt, seconds(1_200))
            .is_none()
    );
}

#[test]
fn d5_nobody_is_waited_for_longer_than_the_file_says() {
    let book = Book::new();
    let attempt = start(&book, 1, 0, 86_400);
    let view = book.view(org(), user(1), &attempt, at(0)).unwrap();
    assert_eq!(view.shown.expires_at, seconds(900));
    assert_eq!(view.shown.interval_s, 1);
}

#[test]
fn d3_what_is_asked_with_is_shown_to_nobody() {
    let book = DeviceBook::<&str>::new();
    let other = Book::new();
    start(&other, 1, 5, 600);
    let turn = asks(&other, &start(&other, 1, 5, 600), 5).unwrap();
    for text in [
        format!("{book:?}"),
        format!("{other:?}"),
        format!("{turn:?}"),
    ] {
        assert!(!text.contains("device-code"), "{text}");
    }
}

#[test]
fn d5_a_yes_is_taken_once_even_when_the_question_was_given_up() {
    let book = Book::new();
    let attempt = start(&book, 1, 5, 600);
    let slow = asks(&book, &attempt, 5).unwrap();
    let second = asks(&book, &attempt, 65).unwrap();
    let key = second.key();
    assert!(book.approved(slow, seconds(66)));
    assert!(!book.approved(second, seconds(66)));
    assert_eq!(status(&book, &attempt, 66).0, DeviceStatus::Pending);
    assert!(asks(&book, &attempt, 130).is_none());
    let outcome = Outcome::Connected {
        connection: ConnectionId::from_bytes([9; 16]),
        account: "octocat".to_owned(),
        renewed: false,
        missing: Vec::new(),
    };
    book.settle(key, outcome, seconds(67));
    let view = book.view(org(), user(1), &attempt, seconds(67)).unwrap();
    assert_eq!(
        (view.status, view.account.as_deref()),
        (DeviceStatus::Connected, Some("octocat"))
    );
}

#[test]
fn an_answer_to_a_question_that_was_given_up_changes_nothing() {
    let book = Book::new();
    let attempt = start(&book, 1, 5, 600);
    let slow = asks(&book, &attempt, 5).unwrap();
    let second = asks(&book, &attempt, 65).unwrap();
    book.answered(slow, DeviceAnswer::Ended(Failure::Denied), seconds(66))
        .unwrap();
    assert_eq!(status(&book, &attempt, 66).0, DeviceStatus::Pending);
    book.answered(second, DeviceAnswer::Pending, seconds(66))
        .unwrap();
    assert!(asks(&book, &attempt, 71).is_some());
}

#[test]
fn an_attempt_is_its_user_s_and_ends_when_they_say_so() {
    let book = Book::new();
    let attempt = start(&book, 1, 5, 600);
    let elsewhere = OrgId::from_bytes([2; 16]);
    assert!(book.view(org(), user(2), &attempt, seconds(5)).is_none());
    assert!(
        book.view(elsewhere, user(1), &attempt, seconds(5))
            .is_none()
    );
    assert!(book.turn(org(), user(2), &attempt, seconds(5)).is_none());
    assert!(
        book.view(org(), user(1), "device-code", seconds(5))
            .is_none()
    );
    assert!(!book.cancel(org(), user(2), &attempt, seconds(5)));
    let turn = asks(&book, &attempt, 5).unwrap();
    assert!(book.cancel(org(), user(1), &attempt, seconds(6)));
    assert!(
        !book.approved(turn, seconds(7)),
        "what was given is to be given back"
    );
    assert_eq!(
        status(&book, &attempt, 7),
        (DeviceStatus::Failed, Some("cancelled"))
    );
}

#[test]
fn d4_what_is_in_memory_ends_with_it() {
    let book = Book::new();
    let attempt = start(&book, 1, 5, 600);
    let turn = asks(&book, &attempt, 5).unwrap();
    book.forget();
    assert!(book.view(org(), user(1), &attempt, seconds(5)).is_none());
    assert!(!book.approved(turn, seconds(6)));
}

#[test]
fn d4_one_that_is_taken_up_again_is_asked_for_as_it_says_and_once() {
    let (before, book) = (Book::new(), Book::new());
    let attempt = start(&before, 1, 5, 600);
    let key = Book::key_of(&attempt);
    let take_up = |interval_s| {
        let grant = Secret::copy_of(b"device-code");
        let (ask, shown) = (asking(1), shown(interval_s, 600));
        book.take_up(key, ask, shown, grant, seconds(100)).unwrap()
    };
    assert!(take_up(10));
    assert!(!take_up(1), "it is there");
    // Not at once, though it may be long since anybody asked.
    assert!(asks(&book, &attempt, 109).is_none());
    let turn = asks(&book, &attempt, 110).unwrap();
    assert_eq!(turn.key(), key);
    assert!(
        matches!(book.next_turn(key, seconds(110)), Some(Turn::Stored(_))),
        "nobody else asks meanwhile"
    );
    assert_eq!(
        status(&book, &attempt, 600),
        (DeviceStatus::Expired, Some("expired"))
    );
}

#[test]
fn nobody_has_many_attempts_asked_for_at_once_and_no_organisation_takes_every_place() {
    let book = Book::new();
    let mine: Vec<_> = (0..6).map(|_| start(&book, 1, 5, 600)).collect();
    assert_eq!(
        status(&book, &mine[0], 1),
        (DeviceStatus::Failed, Some("superseded"))
    );
    assert_eq!(status(&book, &mine[1], 1).0, DeviceStatus::Pending);
    let member = |number: u8, organisation: u8| {
        let mut ask = asking(number);
        ask.org = OrgId::from_bytes([organisation; 16]);
        let grant = Secret::copy_of(b"device-code");
        book.start(ask, shown(5, 600), grant, at(0), &SystemRandom)
    };
    // Five are under way: ninety-five more of other members, and then no more of this organisation.
    for number in 2..=96 {
        member(number, 1).unwrap();
    }
    assert!(matches!(member(97, 1), Err(DeviceFault::OrgFull)));
    member(97, 2).unwrap();
    // What ended makes room.
    assert!(book.cancel(org(), user(1), &mine[5], at(0)));
    member(97, 1).unwrap();
}
