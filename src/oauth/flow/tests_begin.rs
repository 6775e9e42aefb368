//! Beginning, looking, agreeing.

use std::collections::HashSet;

use super::tests_rig::{GIT, MAIL, Rig, SHOP, URL, ask, at, loopback, org, user};
use super::{ConfirmFault, FlowFault, FlowPurpose, PublicUrl, ReturnTo, Tell};
use crate::crypto::{SystemRandom, sha256};
use crate::id::{ConnectionId, OrgId, UserId};

#[test]
fn a1_no_two_flows_share_a_state_and_no_state_is_kept_as_it_is() {
    let mut rig = Rig::new();
    let (mut states, mut flows) = (HashSet::new(), HashSet::new());
    for number in 0..10_000_u32 {
        let mut ask = ask(MAIL, loopback());
        let mut id = [0; 16];
        id[..4].copy_from_slice(&(number / 10).to_be_bytes());
        ask.user = UserId::from_bytes(id);
        // A thousand are under way in one organisation at most.
        id[..4].copy_from_slice(&(number / 1_000).to_be_bytes());
        ask.org = OrgId::from_bytes(id);
        let started = rig.book.begin(ask, rig.now, &SystemRandom).unwrap();
        let state = rig.leave(&started.flow).remove("state").unwrap();
        rig.jar.clear();
        assert_eq!(state.len(), 43);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        assert!(state.bytes().all(plain));
        flows.insert(started.flow.to_string());
        if number == 0 {
            let kept = format!("{:?}", rig.book);
            assert!(!kept.contains(&state) && !kept.contains(&started.flow.to_string()));
        }
        states.insert(state);
    }
    assert_eq!((states.len(), flows.len()), (10_000, 10_000));
}

#[test]
fn a1_a_flow_lives_ten_minutes() {
    let mut rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    assert_eq!(started.expires, at(600_000));
    rig.now = at(599_999);
    assert!(
        rig.book
            .invitation(&started.flow, &rig.nobody(), rig.now)
            .is_some()
    );
    rig.now = at(600_000);
    assert!(
        rig.book
            .invitation(&started.flow, &rig.nobody(), rig.now)
            .is_none()
    );
    assert_eq!(rig.status(&started.flow), "expired");
    rig.now = at(1_200_000);
    let view = rig.book.view(org(), user(1), &started.flow, rig.now);
    assert_eq!(view, None);
}

#[test]
fn a2_each_trip_has_a_challenge_of_its_own() {
    let mut rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let (one, two) = (rig.leave(&started.flow), rig.leave(&started.flow));
    for trip in [&one, &two] {
        assert_eq!(trip["code_challenge_method"], "S256");
        assert_eq!(trip["code_challenge"].len(), 43);
    }
    for name in ["state", "code_challenge", "nonce"] {
        assert_ne!(one[name], two[name], "{name}");
    }
    let super::Taken::Pending(pending) =
        rig.answer("acme-git", &format!("code=c&state={}", two["state"]))
    else {
        panic!("not taken");
    };
    let challenge = pending.verifier().unwrap().expose(|verifier| {
        assert!((43..=128).contains(&verifier.len()));
        data_encoding::BASE64URL_NOPAD.encode(&sha256(verifier))
    });
    assert_eq!(challenge, two["code_challenge"]);
    // A6: the nonce goes along, for whoever checks the ID token.
    assert_eq!(pending.nonce(), Some(two["nonce"].as_str()));
}

#[test]
fn a2_only_a_file_with_a_reason_goes_without_a_challenge() {
    let mut rig = Rig::new();
    let flow = rig.begin(SHOP, loopback()).flow;
    let trip = rig.leave(&flow);
    assert!(!trip.contains_key("code_challenge"));
    assert!(!trip.contains_key("code_challenge_method"));
}

#[test]
fn a4_the_redirect_uri_is_of_the_configured_origin_and_the_same_twice() {
    let mut rig = Rig::new();
    let flow = rig.begin(GIT, loopback()).flow;
    let trip = rig.leave(&flow);
    let expected = format!("{URL}/v1/oauth/callback/acme-git");
    assert_eq!(trip["redirect_uri"], expected);
    let super::Taken::Pending(pending) =
        rig.answer("acme-git", &format!("code=c&state={}", trip["state"]))
    else {
        panic!("not taken");
    };
    assert_eq!(pending.redirect_uri(), expected);
}

#[test]
fn the_link_is_our_own_page_and_never_the_provider_s() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    assert_eq!(started.auth_url, format!("{URL}/connect/{}", started.flow));
    assert_eq!(started.code, None);
}

#[test]
fn the_page_says_who_connects_what_to_which_organisation() {
    let rig = Rig::new();
    let mut ask = ask(SHOP, loopback());
    ask.user_name = "Ann\u{202e}\n Example".to_owned();
    let flow = rig.book.begin(ask, rig.now, &SystemRandom).unwrap().flow;
    let seen = rig.book.invitation(&flow, &rig.nobody(), rig.now).unwrap();
    assert_eq!(
        (seen.user.as_str(), seen.org.as_str()),
        ("Ann Example", "Acme")
    );
    assert_eq!(seen.provider, "Acme Shop");
    assert_eq!(seen.host, "acme.shop.example");
    assert_eq!(seen.told, [("Shop".to_owned(), "acme".to_owned())]);
    assert_eq!(seen.scopes[0].scope, "orders.read");
}

#[test]
fn looking_changes_nothing_and_needs_no_cookie() {
    let mut rig = Rig::new();
    let flow = rig.begin(GIT, loopback()).flow;
    for _ in 0..3 {
        assert!(rig.book.invitation(&flow, &rig.nobody(), rig.now).is_some());
    }
    assert_eq!(rig.status(&flow), "waiting");
    let looks = (0..3).map(|_| rig.book.opened(&flow, &rig.nobody(), rig.now));
    let told: Vec<_> = looks.map(|facts| facts.is_some()).collect();
    assert_eq!(told, [true, false, false], "once is recorded");
    assert_eq!(rig.status(&flow), "opened");
    rig.leave(&flow);
    assert_eq!(rig.status(&flow), "confirmed");
}

#[test]
fn x1_once_a_browser_agreed_no_other_sees_the_page_or_can_agree() {
    let mut rig = Rig::new();
    let flow = rig.begin(GIT, loopback()).flow;
    let first = rig.leave(&flow);
    let nobody = rig.nobody();
    assert!(rig.book.invitation(&flow, &nobody, rig.now).is_none());
    let again = rig
        .book
        .confirm(&flow, &nobody, None, rig.now, &SystemRandom);
    assert!(matches!(again, Err(ConfirmFault::Gone)));
    // The same browser may go again; what was made before counts no more.
    let second = rig.leave(&flow);
    let old = rig.answer("acme-git", &format!("code=c&state={}", first["state"]));
    assert!(matches!(old, super::Taken::Unknown));
    let new = rig.answer("acme-git", &format!("code=c&state={}", second["state"]));
    assert!(matches!(new, super::Taken::Pending(_)));
    assert!(
        rig.book
            .invitation(&flow, &rig.cookies(), rig.now)
            .is_none()
    );
}

#[test]
fn going_again_and_again_does_not_make_a_link_live_for_ever() {
    let mut rig = Rig::new();
    let flow = rig.begin(GIT, loopback()).flow;
    for minute in [9, 18, 19] {
        rig.now = at(minute * 60_000);
        rig.leave(&flow);
    }
    rig.now = at(20 * 60_000);
    let late = rig
        .book
        .confirm(&flow, &rig.cookies(), None, rig.now, &SystemRandom);
    assert!(matches!(late, Err(ConfirmFault::Gone)));
}

#[test]
fn a_code_from_the_terminal_is_asked_for_five_times() {
    let mut rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let (flow, code) = (started.flow, started.code.unwrap());
    let nobody = rig.nobody();
    assert!(
        rig.book
            .invitation(&flow, &nobody, rig.now)
            .unwrap()
            .needs_code
    );
    let admit = |typed| rig.book.admit(&flow, &nobody, typed, rig.now);
    for (typed, left) in [
        (None, 4),
        (Some("BBBB-BBBB"), 3),
        (Some(""), 2),
        (Some("x"), 1),
    ] {
        let refused = admit(typed);
        assert!(matches!(refused, Err(ConfirmFault::WrongCode { left: l }) if l == left));
    }
    assert!(admit(Some(&code)).is_ok());
    assert!(matches!(admit(None), Err(ConfirmFault::TooManyTries(_))));
    assert!(matches!(admit(Some(&code)), Err(ConfirmFault::Gone)));
    rig.now = at(1);
    assert_eq!(rig.status(&flow), "too_many_tries");
}

#[test]
fn a_flow_is_seen_by_its_user_in_its_organisation_only() {
    let rig = Rig::new();
    let flow = rig.begin(GIT, loopback()).flow;
    assert_eq!(rig.status(&flow), "waiting");
    assert_eq!(rig.book.view(org(), user(2), &flow, rig.now), None);
    let elsewhere = OrgId::from_bytes([2; 16]);
    assert_eq!(rig.book.view(elsewhere, user(1), &flow, rig.now), None);
    assert!(!rig.book.cancel(org(), user(2), &flow, rig.now));
    assert!(rig.book.cancel(org(), user(1), &flow, rig.now));
    assert_eq!(rig.status(&flow), "cancelled");
    assert!(!rig.book.cancel(org(), user(1), &flow, rig.now));
    assert!(rig.book.invitation(&flow, &rig.nobody(), rig.now).is_none());
}

#[test]
fn the_oldest_of_a_user_s_flows_gives_way() {
    let rig = Rig::new();
    let flows: Vec<_> = (0..21).map(|_| rig.begin(GIT, loopback()).flow).collect();
    assert_eq!(rig.status(&flows[0]), "superseded");
    assert_eq!(rig.status(&flows[1]), "waiting");
}

#[test]
fn the_purpose_reaches_the_provider() {
    let mut rig = Rig::new();
    let connection = ConnectionId::from_bytes([7; 16]);
    for (purpose, prompt) in [
        (FlowPurpose::Connect, None),
        (FlowPurpose::Another, Some("select_account")),
        (FlowPurpose::Reconnect(connection), Some("consent")),
    ] {
        let mut ask = ask(GIT, loopback());
        ask.purpose = purpose;
        let flow = rig.book.begin(ask, rig.now, &SystemRandom).unwrap().flow;
        let trip = rig.leave(&flow);
        assert_eq!(trip.get("prompt").map(String::as_str), prompt);
    }
}

#[test]
fn what_cannot_work_is_said_when_the_flow_is_begun() {
    let rig = Rig::new();
    let begin = |text: &str| {
        rig.book
            .begin(ask(text, loopback()), rig.now, &SystemRandom)
    };
    let named = GIT.replace(
        "pkce = \"optional\"",
        "pkce = \"optional\"\nrename = { state = \"s\" }",
    );
    assert!(matches!(begin(&named), Err(FlowFault::NoState)));
    let (head, rest) = GIT.split_once("[authorize]").unwrap();
    let rest = rest.split_once("[token]").unwrap().1;
    let device = "[device]\nurl = \"https://git.example/device\"";
    let pageless = format!("{head}kind = \"device\"\n{device}\n[token]{rest}");
    assert!(matches!(begin(&pageless), Err(FlowFault::Authorize(_))));
}

#[test]
fn b9_the_address_to_return_to_is_the_one_that_was_judged() {
    let mut rig = Rig::new();
    let url = PublicUrl::parse(URL).unwrap();
    let to = ReturnTo::judge("/apps?tab=2", &url, &[]).unwrap();
    let flow = rig.begin(GIT, Tell::Return { to, popup: false }).flow;
    let state = rig.leave(&flow).remove("state").unwrap();
    let query = format!("code=c&state={state}&returnTo=https://evil.example");
    let super::Taken::Pending(pending) = rig.answer("acme-git", &query) else {
        panic!("not taken");
    };
    let super::Arrival::Onward(onward) = rig.book.arrive(pending, rig.now) else {
        panic!("not sent on");
    };
    let start = format!("{URL}/apps?tab=2&flow={flow}&ticket=");
    assert!(onward.starts_with(&start), "{onward}");
}

#[test]
fn an_organisation_leaves_room_for_others() {
    let rig = Rig::new();
    let begin = |number: u32, organisation: u8| {
        let mut ask = ask(MAIL, loopback());
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        (ask.user, ask.org) = (
            UserId::from_bytes(id),
            OrgId::from_bytes([organisation; 16]),
        );
        rig.book.begin(ask, rig.now, &SystemRandom)
    };
    for number in 0..1_000 {
        begin(number, 1).unwrap();
    }
    assert!(matches!(begin(1_000, 1), Err(FlowFault::OrgFull)));
    begin(1_000, 2).unwrap();
}
