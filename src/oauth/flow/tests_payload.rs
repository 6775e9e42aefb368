//! Signed payloads (B16): nothing in them says which flow they are of, so the address that they are brought to
//! does, and each counts once.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::tests_rig::{Rig, at, loopback, org, user};
use super::{CallbackQuery, Failure, FlowCookies, FlowId, PendingFlow, Taken};
use crate::crypto::{hmac_of, sha256};
use crate::name::ProviderId;
use crate::secret::Secret;

const FILE: &str = include_str!("../../../config/providers/telegram-widget.toml");
const ID: &str = "telegram-widget";
const NOW_S: i64 = 1_700_000_000;
const BOT: &[u8] = b"7654321098:bot-token";

fn secret() -> Secret {
    Secret::copy_of(BOT)
}

/// What the provider signs of this person, at this time.
fn signed(id: u64, made: i64) -> String {
    let mut document = json!({
        "id": id, "first_name": "Ada", "username": "ada", "auth_date": made,
    });
    let lines = format!("auth_date={made}\nfirst_name=Ada\nid={id}\nusername=ada");
    let key = Secret::copy_of(&sha256(BOT));
    document["hash"] = HEXLOWER.encode(&hmac_of(&key, lines.as_bytes())).into();
    BASE64URL_NOPAD.encode(document.to_string().as_bytes())
}

/// A browser that left, its flow, and the query that it was sent home with.
fn away() -> (Rig, FlowId, String) {
    let mut rig = Rig::new();
    let flow = rig.begin(FILE, loopback()).flow;
    let home = leave(&mut rig, &flow);
    (rig, flow, home)
}

fn leave(rig: &mut Rig, flow: &FlowId) -> String {
    let door = rig.leave(flow);
    let mut names: Vec<_> = door.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["bot_id", "origin", "return_to"]);
    assert_eq!(door["bot_id"], "client-1");
    assert_eq!(door["origin"], "https://broker.example.com");
    let (address, query) = door["return_to"].split_once('?').unwrap();
    assert_eq!(
        address,
        "https://broker.example.com/v1/oauth/callback/telegram-widget"
    );
    query.to_owned()
}

fn check(rig: &Rig, taken: Taken) -> Result<PendingFlow, Failure> {
    match taken {
        Taken::Signed(signed) => match rig.book.check(signed, &secret(), rig.now) {
            Taken::Pending(pending) => Ok(pending),
            Taken::Failed { failure, .. } => Err(failure),
            other => panic!("{other:?}"),
        },
        Taken::Failed { failure, .. } => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn brings(rig: &Rig, home: &str, payload: &str) -> Result<PendingFlow, Failure> {
    check(
        rig,
        rig.answer(ID, &format!("{home}&tgAuthResult={payload}")),
    )
}

#[test]
fn b16_a_payload_is_taken_up_from_the_fragment_and_says_whose_account_it_is() {
    let (rig, flow, home) = away();
    // The browser sends no fragment: it is asked for, and nothing is touched.
    let Taken::InFragment(member) = rig.answer(ID, &home) else {
        panic!("it is not asked for");
    };
    assert_eq!(member, "tgAuthResult");
    assert_eq!(rig.status(&flow), "confirmed");
    let pending = brings(&rig, &home, &signed(7, NOW_S)).unwrap();
    assert_eq!(pending.bound().meta()["id"], "7");
    assert_eq!(pending.bound().meta()["username"], "ada");
    assert!(pending.code().is_none() && pending.verifier().is_none());
}

#[test]
fn b16_a_no_and_what_is_no_payload_end_the_flow() {
    for (said, failure) in [
        ("false", Failure::Denied),
        ("", Failure::Answer),
        ("e30", Failure::Answer),
        ("!", Failure::Answer),
    ] {
        let (rig, flow, home) = away();
        assert_eq!(brings(&rig, &home, said).err(), Some(failure), "{said}");
        assert_eq!(rig.status(&flow), failure.code());
    }
    let (rig, _, home) = away();
    let denied = check(&rig, rig.answer(ID, &format!("{home}&error=access_denied")));
    assert_eq!(denied.err(), Some(Failure::Denied));
}

#[test]
fn b16_x3_a_payload_in_a_browser_without_the_state_or_the_cookie_is_nobody_s() {
    let (rig, flow, home) = away();
    let payload = signed(7, NOW_S);
    let query = format!("{home}&tgAuthResult={payload}");
    let bare = format!("tgAuthResult={payload}");
    assert!(matches!(rig.answer(ID, &bare), Taken::Unknown));
    let nobody = rig.nobody();
    assert!(matches!(
        rig.answer_with(ID, &query, &nobody),
        Taken::WrongBrowser
    ));
    assert!(matches!(
        rig.answer_with(ID, &home, &nobody),
        Taken::WrongBrowser
    ));
    // An attacker's own state, in the victim's browser, is of a flow that this browser did not leave for.
    let other = away();
    let theirs = format!("{}&tgAuthResult={payload}", other.2);
    assert!(matches!(rig.answer(ID, &theirs), Taken::Unknown));
    assert_eq!(rig.status(&flow), "confirmed");
    assert!(brings(&rig, &home, &payload).is_ok());
}

#[test]
fn b16_a_payload_counts_once_in_whichever_flow() {
    let (mut rig, flow, home) = away();
    let payload = signed(7, NOW_S);
    assert!(brings(&rig, &home, &payload).is_ok());
    // The same flow is consumed; and another one, of whoever got hold of the payload, takes it no more.
    let again = format!("{home}&tgAuthResult={payload}");
    assert!(matches!(rig.answer(ID, &again), Taken::Unknown));
    let second = rig.begin(FILE, loopback()).flow;
    let home = leave(&mut rig, &second);
    let replayed = brings(&rig, &home, &payload);
    assert_eq!(replayed.err(), Some(Failure::Signature));
    assert_eq!(rig.status(&second), "bad_signature");
    assert_eq!(rig.status(&flow), "returned");
    // Another login of the same person is another payload.
    let third = rig.begin(FILE, loopback()).flow;
    let home = leave(&mut rig, &third);
    assert!(brings(&rig, &home, &signed(7, NOW_S + 1)).is_ok());
}

#[test]
fn b16_a_payload_that_is_changed_old_or_from_the_future_is_none() {
    for (seconds, right) in [
        (0, true),
        (-60, true),
        (-61, false),
        (60, true),
        (61, false),
    ] {
        let (rig, _, home) = away();
        let taken = brings(&rig, &home, &signed(7, NOW_S + seconds));
        assert_eq!(taken.is_ok(), right, "{seconds}");
    }
    // One that was signed five minutes ago, on the way out, has come too late.
    for (later, right) in [(300, true), (301, false)] {
        let (mut rig, _, home) = away();
        rig.now = at(later * 1000);
        assert_eq!(
            brings(&rig, &home, &signed(7, NOW_S)).is_ok(),
            right,
            "{later}"
        );
    }
    let (rig, flow, home) = away();
    let text = BASE64URL_NOPAD.decode(signed(7, NOW_S).as_bytes()).unwrap();
    let mut document: Value = serde_json::from_slice(&text).unwrap();
    document["id"] = 8.into();
    let changed = BASE64URL_NOPAD.encode(document.to_string().as_bytes());
    assert_eq!(
        brings(&rig, &home, &changed).err(),
        Some(Failure::Signature)
    );
    assert_eq!(rig.status(&flow), "bad_signature");
}

#[test]
fn a5_a_payload_on_another_provider_s_path_is_asked_for_by_nobody() {
    let (rig, flow, home) = away();
    let other = ProviderId::parse("telegram").unwrap();
    let jar = FlowCookies::read(rig.jar.iter().map(String::as_str), rig.book.public_url());
    let query = CallbackQuery::read(&home).unwrap();
    let taken = rig.book.take(&other, query, &jar, rig.now);
    assert!(matches!(taken, Taken::OtherProvider(_)), "{taken:?}");
    let view = rig.book.view(org(), user(1), &flow, rig.now).unwrap();
    assert_eq!(view.error, Some("wrong_provider"));
}
