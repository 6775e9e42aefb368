//! Finding records again.

use super::tests_rig::{Rig, event, org, record, user};
use super::{
    Action, Actor, Entry, Event, Filter, Journal, Outcome, Scope, SecretFilter, Target, TargetKind,
};
use crate::clock::Timestamp;
use crate::id::{ObjectId, UserId};
use crate::name::{FieldName, ToolSlug};

#[tokio::test]
async fn an_event_is_read_back_as_it_was_recorded() {
    let rig = Rig::new();
    let journal = rig.open();
    let full = event(Action::ToolExecute)
        .on_behalf_of(UserId::from_random([8; 16]))
        .request(crate::id::RequestId::from_random([9; 16]))
        .peer("127.0.0.1".parse().unwrap())
        .target(
            Target::new(TargetKind::Secret)
                .id(&[7; 16])
                .name("CRM_KEY")
                .version(2),
        )
        .tool(ToolSlug::parse("crm").unwrap())
        .tool_action(crate::name::ActionName::parse("lookup").unwrap())
        .host(crate::name::Host::parse("api.crm.example").unwrap())
        .method("GET")
        .denied("host_not_allowed")
        .code("policy")
        .source(FieldName::parse("apiKey").unwrap(), "secret")
        .store_generation(5);
    journal.record(full.clone()).await.unwrap().is_all();
    let page = journal.query(&Filter::new(Scope::All)).unwrap();
    assert_eq!(page.entries[0].event, full);
    let json = serde_json::to_string(&page.entries[0]).unwrap();
    assert_eq!(
        serde_json::from_str::<Entry>(&json).unwrap(),
        page.entries[0]
    );
    let odd = event(Action::ToolExecute).method("G\u{0}ET secret");
    assert_eq!(odd.method.unwrap().as_str(), "OTHER");
}

#[tokio::test]
async fn an_organisation_sees_its_own_records_only() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    let others = Event::new(Action::SecretReveal, user(5)).org(org(6));
    journal.record(others).await.unwrap().is_all();
    journal
        .record(Event::new(Action::ServerStart, Actor::System))
        .await
        .unwrap()
        .is_all();
    let count = |scope| journal.query(&Filter::new(scope)).unwrap().entries.len();
    assert_eq!(count(Scope::All), 4);
    assert_eq!(count(Scope::Org(org(4))), 2);
    assert_eq!(count(Scope::Org(org(6))), 1);
    assert_eq!(count(Scope::Org(org(7))), 0);
}

/// A journal of three records, a second apart.
async fn three(rig: &Rig) -> Journal {
    let journal = rig.open();
    let secret = Target::new(TargetKind::Secret).id(&[7; 16]).name("CRM_KEY");
    record(&journal, 1).await;
    rig.clock.advance_millis(1000);
    let used = event(Action::ToolExecute).tool(crm()).target(secret);
    journal.record(used).await.unwrap().is_all();
    rig.clock.advance_millis(1000);
    let other = Event::new(Action::SecretReveal, user(9)).org(org(4));
    let tool_of_that_name = Target::new(TargetKind::Tool).name("CRM_KEY");
    journal
        .record(other.target(tool_of_that_name))
        .await
        .unwrap()
        .is_all();
    journal
}

fn crm() -> ToolSlug {
    ToolSlug::parse("crm").unwrap()
}

fn user_id(byte: u8) -> UserId {
    UserId::from_random([byte; 16])
}

fn actor(byte: u8) -> ObjectId {
    ObjectId::from_bytes(*user_id(byte).bytes())
}

fn named(name: &str) -> SecretFilter {
    SecretFilter::Name(name.to_owned())
}

const SECOND: Option<Timestamp> = Some(Timestamp::from_millis(1_700_000_001_000));
const BY_ID: Option<SecretFilter> = Some(SecretFilter::Id(ObjectId::from_bytes([7; 16])));

type Case = (fn(&mut Filter), &'static [u64]);

#[tokio::test]
async fn conditions_narrow_what_is_found() {
    let rig = Rig::new();
    let journal = three(&rig).await;
    let cases: &[Case] = &[
        (|_| {}, &[3, 2, 1]),
        (|filter| filter.actor = Some(actor(9)), &[3]),
        (|filter| filter.actor = Some(actor(8)), &[]),
        (|filter| filter.tool = Some(crm()), &[2]),
        (|filter| filter.action = Some(Action::SecretReveal), &[3, 1]),
        (|filter| filter.secret = Some(named("CRM_KEY")), &[2]),
        (|filter| filter.secret = Some(named("CRM")), &[]),
        (|filter| filter.secret = BY_ID, &[2]),
        (|filter| filter.since = SECOND, &[3, 2]),
        (|filter| filter.until = SECOND, &[1]),
        (|filter| filter.cursor = Some(3), &[2, 1]),
        (|filter| filter.cursor = Some(0), &[]),
        (|filter| filter.cursor = Some(u64::MAX), &[3, 2, 1]),
        (|filter| filter.limit = 0, &[3]),
    ];
    for (narrow, expected) in cases {
        let mut filter = Filter::new(Scope::Org(org(4)));
        narrow(&mut filter);
        let page = journal.query(&filter).unwrap();
        let found: Vec<_> = page.entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(found, *expected, "{filter:?}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let mut rig = Rig::new();
    rig.options.segment_bytes = 6000;
    let journal = rig.open();
    for _ in 0..25 {
        journal
            .record(event(Action::SecretSet))
            .await
            .unwrap()
            .outcome(Outcome::success());
    }
    journal.checkpoint().unwrap();
    assert!(super::segment::list(&rig.dir).unwrap().len() > 2);
    let mut filter = Filter {
        limit: 4,
        ..Filter::new(Scope::Org(org(4)))
    };
    let mut seqs = Vec::new();
    loop {
        let page = journal.query(&filter).unwrap();
        assert!(page.entries.len() <= 4);
        assert!(page.entries.iter().all(|entry| entry.outcome.is_some()));
        seqs.extend(page.entries.iter().map(|entry| entry.seq));
        filter.cursor = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(seqs.len(), 25);
    assert!(seqs.is_sorted_by(|a, b| a > b));
}
