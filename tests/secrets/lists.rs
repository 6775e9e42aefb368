//! Lists: what one may see, filters, pages.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Broker, Client, eventually};
use crate::{names, set};

#[test]
fn lists_show_what_one_may_see_and_filters_hold_on_every_page() {
    let broker = Broker::start();
    let (admin, ann) = (broker.admin(&[]), broker.member("Ann"));
    for n in 0..7 {
        let category = if n % 2 == 0 { "tool" } else { "custom" };
        let scope = if n < 3 { "tools" } else { "all" };
        let body =
            json!({"name": format!("ANN_{n}"), "value": "v", "category": category, "scope": scope});
        ann.post("/v1/secrets", &body).expect(201);
        let body = json!({"name": format!("ORG_{n}"), "value": "v", "category": category, "orgWide": true});
        admin.post("/v1/secrets", &body).expect(201);
    }
    let count = |client: &Client, query: &str| {
        names(&client.get(&format!("/v1/secrets{query}")).expect(200)).len()
    };
    assert_eq!(count(&ann, ""), 14);
    assert_eq!(count(&ann, "?owner=user"), 7);
    assert_eq!(count(&ann, "?owner=org"), 7);
    assert_eq!(count(&ann, "?category=tool"), 8);
    assert_eq!(count(&ann, "?category=tool&scope=tools"), 2);
    assert_eq!(count(&admin, ""), 7);
    assert_eq!(count(&admin, "?all=true"), 14);
    assert_eq!(ann.get("/v1/secrets?all=true").refused(403), "admin_only");
    for bad in [
        "?owner=everyone",
        "?owner=user&all=true",
        "?category=x",
        "?limit=0",
        "?limit=-1",
        "?limit=501",
        "?limit=99999999999999999999",
        "?limit=ten",
        "?limit=",
        "?deleted=maybe",
        "?unknown=1",
        "?all=1",
    ] {
        assert_eq!(
            ann.get(&format!("/v1/secrets{bad}")).refused(400),
            "bad_request",
            "{bad}"
        );
    }
    // A page is full although others lie between: filters come before the limit.
    let page = ann.get("/v1/secrets?category=tool&limit=8").expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 8);
}

#[test]
fn a_walk_by_cursor_sees_each_secret_once_while_others_are_written() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    for n in 0..12 {
        set(&admin, &format!("OLD_{n}"), "v");
    }
    for limit in 1..=3 {
        let (mut seen, mut cursor, mut turn) = (Vec::new(), String::new(), 0);
        loop {
            let page = admin
                .get(&format!("/v1/secrets?limit={limit}{cursor}"))
                .expect(200);
            let data = page["data"].as_array().unwrap();
            assert!(data.len() <= limit);
            seen.extend(
                data.iter()
                    .map(|one| one["name"].as_str().unwrap().to_owned()),
            );
            assert_eq!(page["hasMore"], page["meta"]["hasMore"]);
            assert_eq!(page["nextCursor"], page["meta"]["nextCursor"]);
            assert_eq!(page["hasMore"], page["nextCursor"].is_string());
            let Some(next) = page["nextCursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
            set(&admin, &format!("NEW_{limit}_{turn}"), "v");
            turn += 1;
            assert!(turn < 100, "the walk ends");
        }
        let unique: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(unique.len(), seen.len(), "none twice");
        assert!(
            (0..12).all(|n| unique.contains(&format!("OLD_{n}"))),
            "none missing"
        );
    }
    let page = admin.get("/v1/secrets?limit=1").expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let other = broker.member("Ann");
    for forged in [
        "x".to_owned(),
        "AAAA".to_owned(),
        String::new(),
        "%00".to_owned(),
        cursor.to_lowercase(),
        format!("{cursor}A"),
        cursor[..cursor.len() - 2].to_owned(),
        format!("B{}", &cursor[1..]),
    ] {
        let path = format!("/v1/secrets?cursor={forged}");
        assert_eq!(admin.get(&path).refused(400), "bad_request", "{forged}");
    }
    // Another's cursor names a place in another's list.
    assert_eq!(
        other
            .get(&format!("/v1/secrets?cursor={cursor}"))
            .refused(400),
        "bad_request"
    );
}

#[test]
fn a_cursor_leads_nowhere_once_names_stand_in_another_order() {
    let broker = Broker::start();
    let admin = broker.admin(&[]);
    for n in 0..6 {
        set(&admin, &format!("KEY_{n}"), "v");
    }
    let page = admin.get("/v1/secrets?limit=2").expect(200);
    let next = page["nextCursor"].as_str().unwrap();
    let path = format!("/v1/secrets?limit=2&cursor={next}");
    assert_eq!(names(&admin.get(&path).expect(200)).len(), 2);
    let operator = broker.operator();
    operator
        .post("/v1/operator/index-rotation", &json!({}))
        .expect(200);
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] == "done").then_some(())
    });
    assert_eq!(admin.get(&path).refused(400), "bad_request");
    let all = admin.get("/v1/secrets").expect(200);
    assert_eq!(names(&all).len(), 6);
}
