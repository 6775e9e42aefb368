//! What must not connect anything: every rule of the callback and of the flow's binding to one browser,
//! tried against real processes. That nothing reached the provider's token endpoint is read from its
//! own log. The rules' numbers are those of the reference on OAuth.

mod harness;

mod oauth_refusals {
    mod asking;
    mod binding;
    mod errors;
    mod issuer;
    mod members;
    mod query;
    mod redeeming;
    mod signed;
    mod state;
}

use harness::Broker;
use harness::agreeable::with_one_account;
use harness::connect;
use harness::fault_provider::FaultProvider;
use harness::jar::{Jar, Page};

/// A page that says no, with this code in small print: it sets no cookie of a flow, leads nowhere, and
/// has nothing of what was sent. An answer of a provider's is sent on to it, so that it does not stay in
/// the browser's address (B8).
#[track_caller]
fn refused(page: &Page, status: u16, code: &str) {
    if let Some(there) = page.location() {
        let set = page.header("set-cookie");
        assert_eq!((page.status(), set), (303, ""));
        assert_eq!(there.path(), format!("/connect/refused/{code}"));
        assert_eq!(there.origin(), page.url.origin());
        assert_eq!((there.query(), there.fragment()), (None, Some("")));
        let shown = Jar::new().get(there.as_str());
        assert_eq!(shown.location(), None);
        return refused(&shown, status, code);
    }
    let answered = page.url.path().contains("/oauth/callback/");
    assert!(!answered, "the answer stays in the address");
    let text = page.words();
    assert_eq!(page.status(), status, "{text}");
    assert!(
        text.contains(&format!("<code>{code}</code>")),
        "{code}: {text}"
    );
    assert_eq!(page.location(), None);
    let set = page.header("set-cookie");
    assert!(!set.contains("rt_flow"), "{set}");
    for sent in ["code", "state"] {
        if let Some(sent) = connect::member(page.url.as_str(), sent).filter(|sent| sent.len() > 8) {
            assert!(!text.contains(&sent), "{sent} in {text}");
        }
    }
}

/// A broker with the provider `fault`, which gives tokens and tells an account.
fn with_fault(file: impl FnOnce(String) -> String) -> (FaultProvider, Broker) {
    with_one_account(file, "")
}

/// Agrees to a flow, and stops at the provider's door: its address.
#[track_caller]
fn leave(jar: &mut Jar, flow: &connect::Flow) -> String {
    let page = jar.get(&flow.page);
    let typed = flow.code.as_deref().map(|code| ("code", code));
    let left = jar.submit(&page, typed.as_slice());
    let to = left.location();
    to.unwrap_or_else(|| panic!("not sent on: {}", left.words()))
        .into()
}

/// Where a flow's browser is sent with `code` by a provider that agrees: its own address, not visited.
#[track_caller]
fn answer(door: &str, code: &str) -> String {
    let back = connect::member(door, "redirect_uri").unwrap();
    let state = connect::member(door, "state").unwrap();
    format!("{back}?code={code}&state={state}")
}
