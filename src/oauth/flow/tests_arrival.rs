//! Callbacks: whose they are, and what they are worth.

use super::tests_rig::{GIT, MAIL, Rig, at, loopback, org, user};
use super::{Arrival, Failure, FinishFault, FlowId, Found, Outcome, Standing, Taken, Tell};
use crate::crypto::SystemRandom;
use crate::egress::Url;
use crate::id::{ConnectionId, OrgId};
use crate::oauth::flow::tests_rig::ask;

fn failure(taken: &Taken) -> Option<Failure> {
    match taken {
        Taken::Failed { failure, .. } => Some(*failure),
        _ => None,
    }
}

/// A flow whose browser left, and its state.
fn away(rig: &mut Rig, text: &str, tell: Tell) -> (FlowId, String) {
    let started = rig.begin(text, tell);
    let code = started.code;
    if let Some(code) = code {
        let (cookies, now) = (rig.cookies(), rig.now);
        let typed = Some(code.as_str());
        let left = rig
            .book
            .confirm(&started.flow, &cookies, typed, now, &SystemRandom);
        rig.jar
            .push(left.unwrap().cookie.split(';').next().unwrap().to_owned());
    }
    let state = rig.leave(&started.flow).remove("state").unwrap();
    (started.flow, state)
}

/// The ticket that the browser carries onward.
fn ticket(rig: &Rig, taken: Taken) -> String {
    let Taken::Pending(pending) = taken else {
        panic!("not taken: {taken:?}");
    };
    let Arrival::Onward(onward) = rig.book.arrive(pending, rig.now) else {
        panic!("redeemed without a ticket");
    };
    onward.split("ticket=").nth(1).unwrap().to_owned()
}

#[test]
fn b1_whatever_is_wrong_with_a_state_nothing_comes_of_it() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, loopback());
    let query = format!("code=c&state={state}");
    let unknown = |taken: Taken| assert!(matches!(taken, Taken::Unknown), "{taken:?}");
    unknown(rig.answer("acme-git", "code=c&state=unknown"));
    unknown(rig.answer("acme-git", "code=c"));
    unknown(rig.answer("acme-git", "code=c&state="));
    unknown(rig.answer("acme-git", ""));
    // Another provider's path, without the cookie: as if the state were unknown.
    unknown(rig.answer_with("acme-mail", &query, &rig.nobody()));
    assert_eq!(rig.status(&flow), "confirmed");
    assert!(matches!(rig.answer("acme-git", &query), Taken::Pending(_)));
    unknown(rig.answer("acme-git", &query));
    let (_, late) = away(&mut rig, GIT, loopback());
    rig.now = at(600_000);
    unknown(rig.answer("acme-git", &format!("code=c&state={late}")));
}

#[test]
fn b2_of_fifty_callbacks_at_once_one_is_taken() {
    let mut rig = Rig::new();
    let (_, state) = away(&mut rig, GIT, loopback());
    let query = format!("code=c&state={state}");
    let rig = &rig;
    let taken: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| matches!(rig.answer("acme-git", &query), Taken::Pending(_))))
            .collect();
        all.into_iter()
            .map(|one| usize::from(one.join().unwrap()))
            .sum()
    });
    assert_eq!(taken, 1);
}

#[test]
fn b2_an_error_consumes_a_flow_as_well() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, loopback());
    let denied = rig.answer("acme-git", &format!("error=access_denied&state={state}"));
    assert_eq!(failure(&denied), Some(Failure::Denied));
    let Taken::Failed { onward, .. } = denied else {
        panic!("not failed");
    };
    let told = format!("http://127.0.0.1:49152/callback?flow={flow}&error=access_denied");
    assert_eq!(onward, told);
    let code = rig.answer("acme-git", &format!("code=c&state={state}"));
    assert!(matches!(code, Taken::Unknown));
    assert_eq!(rig.status(&flow), "access_denied");
}

#[test]
fn a3_after_an_error_nobody_is_sent_again_with_less() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, loopback());
    let answer = format!("error=invalid_request&error_description=code_challenge&state={state}");
    assert_eq!(
        failure(&rig.answer("acme-git", &answer)),
        Some(Failure::Client)
    );
    let again = rig
        .book
        .confirm(&flow, &rig.cookies(), None, rig.now, &SystemRandom);
    assert!(again.is_err());
}

#[test]
fn b3_b15_x2_x4_another_browser_s_callback_touches_nothing() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, loopback());
    let query = format!("code=c&state={state}");
    for _ in 0..3 {
        let taken = rig.answer_with("acme-git", &query, &rig.nobody());
        assert!(matches!(taken, Taken::WrongBrowser));
    }
    let mut other = Rig::new();
    away(&mut other, GIT, loopback());
    let taken = rig.answer_with("acme-git", &query, &other.cookies());
    assert!(matches!(taken, Taken::WrongBrowser));
    let error = rig.answer_with("acme-git", &format!("error=x&state={state}"), &rig.nobody());
    assert!(matches!(error, Taken::WrongBrowser));
    assert_eq!(rig.status(&flow), "confirmed");
    assert!(matches!(rig.answer("acme-git", &query), Taken::Pending(_)));
}

#[test]
fn x3_an_attacker_s_answer_in_the_victim_s_browser_is_refused() {
    let mut rig = Rig::new();
    let (_, attackers) = away(&mut rig, GIT, loopback());
    rig.jar.clear();
    let (victims, _) = away(&mut rig, GIT, loopback());
    let taken = rig.answer("acme-git", &format!("code=attackers&state={attackers}"));
    assert!(matches!(taken, Taken::WrongBrowser));
    assert_eq!(rig.status(&victims), "confirmed");
}

#[test]
fn x5_two_tabs_are_told_apart_in_any_order() {
    let mut rig = Rig::new();
    let (one, first) = away(&mut rig, GIT, loopback());
    let (two, second) = away(&mut rig, GIT, loopback());
    for (flow, state) in [(two, second), (one, first)] {
        let Taken::Pending(pending) = rig.answer("acme-git", &format!("code=c&state={state}"))
        else {
            panic!("not taken");
        };
        assert_eq!(*pending.flow(), flow);
    }
}

#[test]
fn a5_a_code_that_came_by_another_provider_s_way_is_spent_on_nothing() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, loopback());
    let query = format!("code=c&state={state}");
    let taken = rig.answer("acme-mail", &query);
    assert!(matches!(taken, Taken::OtherProvider(_)));
    assert!(matches!(rig.answer("acme-git", &query), Taken::Unknown));
    assert_eq!(rig.status(&flow), "wrong_provider");
}

#[test]
fn b5_who_answers_is_who_was_asked() {
    let encoded = |iss: &str| {
        percent_encoding::utf8_percent_encode(iss, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    for (text, id, iss, right) in [
        (GIT, "acme-git", Some("https://git.example"), true),
        (GIT, "acme-git", None, true),
        (GIT, "acme-git", Some("https://git.example/"), false),
        (GIT, "acme-git", Some("https://GIT.example"), false),
        (GIT, "acme-git", Some("https://evil.example"), false),
        (GIT, "acme-git", Some(""), false),
        (MAIL, "acme-mail", Some("https://mail.example"), false),
        (MAIL, "acme-mail", None, true),
    ] {
        for answer in ["code=c", "error=access_denied"] {
            let mut rig = Rig::new();
            let (_, state) = away(&mut rig, text, loopback());
            let iss = iss
                .map(|iss| format!("&iss={}", encoded(iss)))
                .unwrap_or_default();
            let taken = rig.answer(id, &format!("{answer}&state={state}{iss}"));
            let wrong = failure(&taken) == Some(Failure::Issuer);
            assert_eq!(!wrong, right, "{id} {answer} {iss}");
        }
    }
}

#[test]
fn b5_an_issuer_that_says_it_names_itself_has_to() {
    for (names_itself, required) in [(true, false), (false, true)] {
        let text = if required {
            GIT.replace("[token]", "[callback]\niss = \"required\"\n[token]")
        } else {
            GIT.to_owned()
        };
        let mut rig = Rig::new();
        let mut ask = ask(&text, loopback());
        let page = Url::parse("https://git.example/discovered").unwrap();
        ask.found = Some(Found { page, names_itself });
        let flow = rig.book.begin(ask, rig.now, &SystemRandom).unwrap().flow;
        let seen = rig.book.invitation(&flow, &rig.nobody(), rig.now).unwrap();
        assert_eq!(seen.host, "git.example");
        let state = rig.leave(&flow).remove("state").unwrap();
        let taken = rig.answer("acme-git", &format!("code=c&state={state}"));
        assert_eq!(failure(&taken), Some(Failure::Issuer));
    }
}

#[test]
fn b7_what_the_provider_says_is_kept_short_and_plain() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, Tell::Code);
    let said = format!("%3Cb%3E%E2%80%AE%00{}", "x".repeat(1_000));
    let query = format!("error=server_error&error_description={said}&state={state}");
    assert_eq!(
        failure(&rig.answer("acme-git", &query)),
        Some(Failure::Unavailable)
    );
    let view = rig.book.result(&flow, &rig.cookies(), rig.now).unwrap();
    let said = view.said.unwrap();
    assert!(
        said.starts_with("<b>xxx") && said.chars().count() == 200,
        "{said}"
    );
}

#[test]
fn an_answer_without_a_code_or_with_an_error_beside_it_is_none() {
    for query in [
        "",
        "code=",
        "code=c&error=access_denied",
        "code=%0d%0a",
        "code=%c3%a9",
    ] {
        let mut rig = Rig::new();
        let (flow, state) = away(&mut rig, GIT, loopback());
        let taken = rig.answer("acme-git", &format!("{query}&state={state}"));
        assert_eq!(failure(&taken), Some(Failure::Answer), "{query}");
        assert_eq!(rig.status(&flow), "bad_answer");
    }
}

#[test]
fn only_who_began_finishes_once_with_the_browser_s_ticket() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, loopback());
    let finish = |rig: &Rig, org, user, ticket: &str| {
        let finished = rig.book.finish(org, user, &flow, ticket, rig.now);
        finished.map(|pending| pending.code().unwrap().expose(<[u8]>::to_vec))
    };
    assert_eq!(
        finish(&rig, org(), user(1), "x"),
        Err(FinishFault::NotReturned)
    );
    let taken = rig.answer("acme-git", &format!("code=the-code&state={state}"));
    let ticket = ticket(&rig, taken);
    assert_eq!(rig.status(&flow), "returned");
    let elsewhere = OrgId::from_bytes([2; 16]);
    assert_eq!(
        finish(&rig, org(), user(2), &ticket),
        Err(FinishFault::NotFound)
    );
    assert_eq!(
        finish(&rig, elsewhere, user(1), &ticket),
        Err(FinishFault::NotFound)
    );
    assert_eq!(
        finish(&rig, org(), user(1), "wrong"),
        Err(FinishFault::Ticket)
    );
    assert_eq!(
        finish(&rig, org(), user(1), &ticket),
        Ok(b"the-code".to_vec())
    );
    assert_eq!(
        finish(&rig, org(), user(1), &ticket),
        Err(FinishFault::NotReturned)
    );
}

#[test]
fn b11_a_code_is_not_redeemed_after_its_time() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, MAIL, loopback());
    let taken = rig.answer("acme-mail", &format!("code=c&state={state}"));
    let ticket = ticket(&rig, taken);
    rig.now = at(60_000);
    let late = rig.book.finish(org(), user(1), &flow, &ticket, rig.now);
    assert_eq!(late.err(), Some(FinishFault::Late));
    assert_eq!(rig.status(&flow), "code_expired");
}

#[test]
fn the_result_is_for_the_browser_that_left_and_for_ten_minutes() {
    let mut rig = Rig::new();
    let (flow, state) = away(&mut rig, GIT, Tell::Code);
    let standing = |rig: &Rig| {
        let view = rig.book.result(&flow, &rig.cookies(), rig.now);
        view.map(|view| view.standing)
    };
    assert_eq!(standing(&rig), Some(Standing::Away));
    let Taken::Pending(pending) = rig.answer("acme-git", &format!("code=c&state={state}")) else {
        panic!("not taken");
    };
    let Arrival::Redeem(pending) = rig.book.arrive(pending, rig.now) else {
        panic!("not redeemed");
    };
    assert_eq!(standing(&rig), Some(Standing::Working));
    let outcome = Outcome::Connected {
        connection: ConnectionId::from_bytes([9; 16]),
        account: "octocat".to_owned(),
        renewed: false,
        missing: vec!["repo".to_owned()],
    };
    rig.book.settle(pending.key(), outcome.clone(), rig.now);
    assert_eq!(standing(&rig), Some(Standing::Over(outcome)));
    let view = rig.book.view(org(), user(1), &flow, rig.now).unwrap();
    assert_eq!(view.status.as_str(), "connected");
    assert_eq!(
        (view.account.as_deref(), view.missing.len()),
        (Some("octocat"), 1)
    );
    assert!(rig.book.result(&flow, &rig.nobody(), rig.now).is_none());
    rig.book
        .settle(pending.key(), Outcome::Failed(Failure::Internal), rig.now);
    assert_eq!(rig.status(&flow), "connected", "an end is an end");
    rig.now = at(600_000);
    assert_eq!(standing(&rig), None);
}
