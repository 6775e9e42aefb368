//! What happens to an account, as those see it who look afterwards: each step in the journal, by whom and how it
//! ended, and counted.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::agreeable::agree;
use crate::harness::connect::text;
use crate::harness::eventually;
use crate::harness::fault_provider::Answer;
use crate::harness::tools::run;
use crate::{Stage, ended_tokens, tokens};

/// An account whose access token has ended is used, and this is what its refresh is answered with.
fn used(stage: &Stage, answer: Answer) -> u16 {
    stage.connects(ended_tokens());
    stage.fault.next("/token", answer);
    run(&stage.ann, "custom-me", None).status
}

/// What the journal says of a step: what, by whom, and a word of how it went.
fn told(record: &Value) -> String {
    let ended = &record["outcome"];
    let word = [
        &record["decision"]["denied"],
        &ended["code"],
        &record["code"],
        &ended["status"],
    ];
    let word = word.into_iter().find_map(Value::as_str);
    let whose = if record["actor"].to_string().contains("system") {
        "the broker"
    } else {
        "somebody"
    };
    format!(
        "{} by {whose}: {}",
        text(&record["action"]),
        word.unwrap_or("-")
    )
}

fn journal(stage: &Stage) -> BTreeSet<String> {
    let all = stage.broker.operator().get("/v1/audit?all=true&limit=200");
    let all = all.expect(200)["data"].clone();
    let all = all.as_array().unwrap().iter();
    let oauth = all.filter(|record| text(&record["action"]).starts_with("oauth."));
    oauth.map(told).collect()
}

#[test]
fn each_step_of_an_account_s_life_is_in_the_journal_and_counted() {
    let stage = Stage::new(&[]);
    stage.fault.always("/revoke", Answer::empty(200));
    stage.fault.script("/authorize", |seen| {
        let (back, state) = (
            seen.query("redirect_uri").unwrap(),
            seen.query("state").unwrap(),
        );
        Answer::redirect(302, &format!("{back}?error=access_denied&state={state}"))
    });
    assert_eq!(stage.goes()["error"], "access_denied");
    agree(&stage.fault);
    assert_eq!(used(&stage, Answer::error(503, "server_error")), 503);
    assert_eq!(used(&stage, tokens(&json!({}))), 200);
    assert_eq!(used(&stage, Answer::error(401, "invalid_client")), 503);
    assert_eq!(used(&stage, Answer::error(400, "invalid_grant")), 409);
    let made = stage.connections()[0].clone();
    let path = format!("/v1/oauth/connections/{}", text(&made["id"]));
    stage.ann.delete(&path).expect(200);
    let admin = stage.broker.operator();
    admin.delete("/v1/oauth/configs/fault").expect(200);
    let expected = [
        "oauth.client_set by somebody: organization",
        "oauth.start by somebody: success",
        "oauth.open by the broker: opened",
        "oauth.open by the broker: agreed",
        "oauth.deny by the broker: access_denied",
        "oauth.connect by the broker: success",
        "oauth.refresh by the broker: transient:server_error",
        "oauth.refresh by the broker: success",
        "oauth.refresh by the broker: client_config:invalid_client",
        "oauth.client_refused by the broker: organization",
        "oauth.refresh by the broker: revoked:invalid_grant",
        "oauth.over by the broker: provider_said",
        "oauth.disconnect by somebody: success",
        "oauth.revoke by the broker: success",
        "oauth.client_remove by somebody: organization",
    ];
    let expected: BTreeSet<_> = expected.map(str::to_owned).into_iter().collect();
    eventually(|| journal(&stage).is_superset(&expected).then_some(()));
    assert_eq!(journal(&stage), expected);
    let metrics = String::from_utf8(admin.get("/metrics").body).unwrap();
    for series in [
        "runtools_oauth_steps_total{way=\"browser\",step=\"opened\"} 5",
        "runtools_oauth_steps_total{way=\"browser\",step=\"agreed\"} 5",
        "runtools_oauth_steps_total{way=\"browser\",step=\"denied\"} 1",
        "runtools_oauth_steps_total{way=\"browser\",step=\"connected\"} 4",
        "runtools_oauth_refresh_total{provider=\"fault\",class=\"success\"} 1",
        "runtools_oauth_refresh_total{provider=\"fault\",class=\"transient\"} 1",
        "runtools_oauth_clients_refused_total{provider=\"fault\"} 1",
        "runtools_oauth_grants_over_total{provider=\"fault\",reason=\"provider_said\"} 1",
        "runtools_oauth_revocations_total{outcome=\"revoked\"}",
    ] {
        assert!(metrics.contains(series), "{series}\n{metrics}");
    }
}
