//! Signed answers (B16).

use super::tests_rig::{Rig, SHOP, loopback};
use super::{Failure, FlowId, Taken};
use crate::crypto::hmac_of;
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

/// A browser that left for a shop, its flow, and an answer that was signed at this time.
fn signed_at(seconds: i64) -> (Rig, FlowId, String) {
    let mut rig = Rig::new();
    let flow = rig.begin(SHOP, loopback()).flow;
    let state = rig.leave(&flow).remove("state").unwrap();
    let rest = format!("code=c&shop=acme.shop.example&state={state}&timestamp={seconds}");
    (rig, flow, shop_query(&rest))
}

fn shop(edit: impl Fn(String) -> String) -> Result<super::PendingFlow, Failure> {
    let (rig, _, query) = signed_at(NOW_S);
    check(&rig, rig.answer("acme-shop", &edit(query)))
}

#[test]
fn b16_a_signed_answer_is_taken_and_a_changed_one_is_not() {
    let pending = shop(|query| query).unwrap();
    assert_eq!(pending.bound().meta()["shop"], "acme.shop.example");
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
        let (rig, _, query) = signed_at(NOW_S + seconds);
        let checked = check(&rig, rig.answer("acme-shop", &query));
        assert_eq!(checked.is_ok(), right, "{seconds}");
    }
}

#[test]
fn b16_a_signed_answer_is_taken_once() {
    let (rig, flow, query) = signed_at(NOW_S);
    assert!(check(&rig, rig.answer("acme-shop", &query)).is_ok());
    assert!(matches!(rig.answer("acme-shop", &query), Taken::Unknown));
    assert_eq!(rig.status(&flow), "returned");
    // Nor by a flow of the same browser that left for another answer.
    let (other, _, _) = signed_at(NOW_S);
    assert!(matches!(other.answer("acme-shop", &query), Taken::Unknown));
}

#[test]
fn b16_a_signed_answer_without_the_state_is_nobody_s() {
    let (rig, flow, _) = signed_at(NOW_S);
    let bare = shop_query(&format!("code=c&shop=acme.shop.example&timestamp={NOW_S}"));
    assert!(matches!(rig.answer("acme-shop", &bare), Taken::Unknown));
    assert_eq!(rig.status(&flow), "confirmed");
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
fn a_flow_ends_whose_client_has_no_secret_to_check_with() {
    let (rig, flow, query) = signed_at(NOW_S);
    let Taken::Signed(signed) = rig.answer("acme-shop", &query) else {
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
