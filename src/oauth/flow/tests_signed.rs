//! Signed answers (B16), and those without a state.

use super::tests_rig::{Rig, SHOP, WIDGET, at, loopback};
use super::{Failure, Taken};
use crate::crypto::{hmac_of, hmac_of_digest};
use crate::secret::Secret;

const NOW_S: i64 = 1_700_000_000;

fn secret() -> Secret {
    Secret::copy_of(b"client-secret")
}

/// A shop's query, signed; `rest` is sorted.
fn shop_query(rest: &str) -> String {
    let mac = hmac_of(&secret(), rest.as_bytes());
    format!("{rest}&hmac={}", data_encoding::HEXLOWER.encode(&mac))
}

fn widget_query(id: u32, auth_date: i64) -> String {
    let lines = format!("auth_date={auth_date}\nid={id}");
    let mac = hmac_of_digest(&secret(), lines.as_bytes());
    let mac = data_encoding::HEXLOWER.encode(&mac);
    format!("id={id}&auth_date={auth_date}&hash={mac}")
}

fn check(rig: &Rig, taken: Taken) -> Result<super::PendingFlow, Failure> {
    let Taken::Signed(signed) = taken else {
        panic!("not signed: {taken:?}");
    };
    match rig.book.check(signed, &secret(), rig.now) {
        Taken::Pending(pending) => Ok(pending),
        Taken::Failed { failure, .. } => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn shop(edit: impl Fn(String) -> String) -> Result<super::PendingFlow, Failure> {
    let mut rig = Rig::new();
    let flow = rig.begin(SHOP, loopback()).flow;
    let state = rig.leave(&flow).remove("state").unwrap();
    let rest = format!("code=c&shop=acme.shop.example&state={state}&timestamp={NOW_S}");
    let taken = rig.answer("acme-shop", &edit(shop_query(&rest)));
    check(&rig, taken)
}

#[test]
fn b16_a_signed_answer_is_taken_and_a_changed_one_is_not() {
    let pending = shop(|query| query).unwrap();
    assert_eq!(pending.bound().meta()["shop"], "acme.shop.example");
    assert!(pending.payload().is_none());
    // Members in another order are the same answer.
    assert!(shop(|query| query.split('&').rev().collect::<Vec<_>>().join("&")).is_ok());
    let refused = |edit: fn(String) -> String| shop(edit).err();
    let signature = Some(Failure::Signature);
    assert_eq!(
        refused(|query| query.replace("code=c", "code=d")),
        signature
    );
    assert_eq!(refused(|query| query.replace("hmac=", "hmac=0")), signature);
    assert_eq!(
        refused(|query| query.replace("hmac=", "hmac[]=")),
        signature
    );
    assert_eq!(refused(|query| format!("{query}&more=1")), signature);
    assert_eq!(
        refused(|query| query.split("&hmac").next().unwrap().to_owned()),
        signature
    );
}

#[test]
fn b16_an_answer_from_another_time_is_not_taken() {
    for (seconds, right) in [
        (0, true),
        (-300, true),
        (-301, false),
        (60, true),
        (61, false),
    ] {
        let mut rig = Rig::new();
        let flow = rig.begin(WIDGET, loopback()).flow;
        rig.leave(&flow);
        let taken = rig.answer("acme-chat", &widget_query(7, NOW_S + seconds));
        let checked = check(&rig, taken);
        assert_eq!(checked.is_ok(), right, "{seconds}");
    }
}

#[test]
fn b16_a_signed_answer_is_taken_once() {
    let mut rig = Rig::new();
    let query = widget_query(7, NOW_S);
    for expected in [None, Some(Failure::Replayed)] {
        let flow = rig.begin(WIDGET, loopback()).flow;
        rig.leave(&flow);
        let taken = rig.answer("acme-chat", &query);
        assert_eq!(check(&rig, taken).err(), expected);
    }
}

#[test]
fn an_answer_for_another_shop_is_not_this_flow_s() {
    let mut rig = Rig::new();
    let flow = rig.begin(SHOP, loopback()).flow;
    let state = rig.leave(&flow).remove("state").unwrap();
    let rest = format!("code=c&shop=evil.shop.example&state={state}&timestamp={NOW_S}");
    let taken = rig.answer("acme-shop", &shop_query(&rest));
    assert!(matches!(
        taken,
        Taken::Failed {
            failure: Failure::Answer,
            ..
        }
    ));
}

#[test]
fn a_payload_without_a_state_is_of_the_flow_that_this_browser_left_with() {
    let mut rig = Rig::new();
    let older = rig.begin(WIDGET, loopback()).flow;
    rig.leave(&older);
    rig.now = at(1_000);
    let newer = rig.begin(WIDGET, loopback()).flow;
    rig.leave(&newer);
    let query = widget_query(7, NOW_S);
    let nobody = rig.answer_with("acme-chat", &query, &rig.nobody());
    assert!(matches!(nobody, Taken::Unknown));
    let other = rig.answer("acme-shop", &query);
    assert!(matches!(other, Taken::Unknown));
    let taken = rig.answer("acme-chat", &query);
    let pending = check(&rig, taken).unwrap();
    assert_eq!(*pending.flow(), newer);
    assert!(pending.code().is_none() && pending.verifier().is_none());
    let payload = pending.payload().unwrap();
    assert_eq!(payload["id"], "7");
    assert!(!payload.contains_key("hash"));
    assert_eq!(rig.status(&older), "confirmed");
}

#[test]
fn a_flow_ends_whose_client_has_no_secret_to_check_with() {
    let mut rig = Rig::new();
    let flow = rig.begin(WIDGET, loopback()).flow;
    rig.leave(&flow);
    let Taken::Signed(signed) = rig.answer("acme-chat", &widget_query(7, NOW_S)) else {
        panic!("not signed");
    };
    let taken = rig.book.abandon(&signed, Failure::Sealed, rig.now);
    assert!(matches!(
        taken,
        Taken::Failed {
            failure: Failure::Sealed,
            ..
        }
    ));
    assert_eq!(rig.status(&flow), "sealed");
}
