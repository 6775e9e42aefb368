//! How many flows and accounts there may be, and what whoever wants more hears.

use serde_json::json;

use crate::harness::agreeable::{agree, with_one_account};
use crate::harness::connect::{begin, connections, connects, goes, start};
use crate::harness::fault_provider::Answer;
use crate::harness::{Seen, eventually};

#[test]
fn an_organisation_has_a_thousand_flows_and_the_next_hears_when_to_come_back() {
    let (_provider, broker) = with_one_account(|file| file, "");
    let mut last = None;
    for number in 0..50 {
        let member = broker.member(&format!("M {number}"));
        let mut flows = (0..20)
            .map(|_| start(&member, "fault", ""))
            .collect::<Vec<_>>();
        last = flows.pop().map(|flow| (member, flow));
    }
    let late = broker.member("Late");
    let refused = begin(&late, "fault", "");
    assert_eq!(refused.headers["retry-after"], "60");
    assert_eq!(refused.refused(503), "too_many_flows");
    // One that ends makes room for one.
    let (member, flow) = last.unwrap();
    let path = format!("/v1/oauth/flows/{}", flow.id);
    member.delete(&path).expect(200);
    start(&late, "fault", "");
    assert_eq!(begin(&late, "fault", "").refused(503), "too_many_flows");
    // Whoever has flows goes on with them: the oldest of their own gives way to a newer one.
    assert_eq!(begin(&member, "fault", "").refused(503), "too_many_flows");
}

#[test]
fn a_member_connects_as_many_accounts_as_may_be_and_more_are_given_back() {
    let (provider, broker) = with_one_account(|file| file, "accounts_per_member = 1\n");
    agree(&provider);
    let (mia, bob) = (broker.member("Mia"), broker.member("Bob"));
    let first = connects(&mia, "fault", "mia");
    let other = json!({"id": "8", "name": "Another of Mia's"});
    provider.next("/me", Answer::json(200, &other));
    provider.next("/token", Answer::tokens("access-of-8", "refresh-of-8"));
    let ended = goes(&mia, "fault", "mia", "");
    assert_eq!(
        (&ended["status"], &ended["error"]),
        (&json!("failed"), &json!("too_many_accounts"))
    );
    assert_eq!(connections(&mia), std::slice::from_ref(&first));
    let revoked = eventually(|| {
        let asked = provider.asked("/revoke");
        let of = |seen: &Seen| seen.form("token");
        asked
            .iter()
            .find_map(of)
            .filter(|token| token == "refresh-of-8")
    });
    assert_eq!(revoked, "refresh-of-8");
    // The same account once more is no further one; and each member counts for themselves.
    assert_eq!(connects(&mia, "fault", "mia")["id"], first["id"]);
    connects(&bob, "fault", "bob");
}

#[test]
fn an_organisation_connects_as_many_accounts_as_may_be() {
    let (provider, broker) = with_one_account(|file| file, "accounts_per_org = 1\n");
    agree(&provider);
    let (mia, bob) = (broker.member("Mia"), broker.member("Bob"));
    connects(&mia, "fault", "mia");
    let ended = goes(&bob, "fault", "bob", "");
    assert_eq!(ended["error"], "too_many_accounts", "{ended}");
    assert!(connections(&bob).is_empty());
}
