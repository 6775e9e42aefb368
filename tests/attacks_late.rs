//! Requests that arrive slowly, of callers who lose meanwhile what they had when they began.

mod harness;
mod stage;

mod attacks_late {
    mod withdrawn;
}

use harness::api::Half;
use harness::crm::{crm, crm_call};
use harness::{Broker, Client, Reply, Upstream};
use serde_json::{Value, json};

const MEMBERS: &str = "/v1/organizations/current/members";

/// A member of one's own, with a key.
struct Person {
    member: Value,
    key: String,
}

impl Person {
    fn new(broker: &Broker, role: &str) -> Self {
        let body = json!({"name": "Eve", "role": role, "createKey": true});
        let member = broker.operator().post(MEMBERS, &body).expect(201)["data"].clone();
        let key = member["key"].as_str().unwrap().to_owned();
        Self { member, key }
    }

    fn path(&self) -> String {
        format!("{MEMBERS}/{}", self.member["id"].as_str().unwrap())
    }

    fn client(&self, broker: &Broker) -> Client {
        broker.anonymous().key(&self.key)
    }

    fn key_path(&self, broker: &Broker) -> String {
        let keys = self.client(broker).get("/v1/api-keys").expect(200);
        format!("/v1/api-keys/{}", keys["data"][0]["id"].as_str().unwrap())
    }

    /// Begins a request, and leaves half of its body for later.
    fn begin(&self, broker: &Broker, request: &str, more: &str, body: &Value) -> Half {
        let head = format!("{request} HTTP/1.1\r\nX-API-Key: {}{more}", self.key);
        Half::send(broker, &head, body)
    }
}

/// What happens to somebody while their request arrives.
#[derive(Clone, Copy, Debug)]
enum Loss {
    KeyRevoked,
    Removed,
    Demoted,
    Narrowed,
}

impl Loss {
    fn happens_to(self, person: &Person, broker: &Broker) {
        let operator = broker.operator();
        let key = person.key_path(broker);
        let reply = match self {
            Self::KeyRevoked => operator.delete(&key),
            Self::Removed => operator.delete(&person.path()),
            Self::Demoted => operator.json("PATCH", &person.path(), &json!({"role": "member"})),
            Self::Narrowed => operator.json(
                "PATCH",
                &key,
                &json!({"scopes": ["secret:read", "org:read"]}),
            ),
        };
        reply.expect(200);
    }
}

fn last(broker: &Broker, action: &str) -> Value {
    let path = format!("/v1/audit?all=true&action={action}");
    broker.operator().get(&path).expect(200)["data"][0].clone()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.refused(status), code, "{what}");
}

#[test]
fn a_secret_that_arrives_after_its_caller_was_refused_is_not_set() {
    let broker = Broker::start();
    for (loss, role, org_wide, status, code) in [
        (Loss::KeyRevoked, "member", false, 401, "unauthorized"),
        (Loss::Removed, "member", false, 401, "unauthorized"),
        (Loss::Narrowed, "member", false, 403, "missing_scope"),
        (Loss::KeyRevoked, "admin", true, 401, "unauthorized"),
        (Loss::Removed, "admin", true, 401, "unauthorized"),
        (Loss::Demoted, "admin", true, 403, "admin_only"),
    ] {
        let person = Person::new(&broker, role);
        let body = json!({"name": "LATE", "value": "a value that comes late", "orgWide": org_wide});
        let late = person.begin(&broker, "POST /v1/secrets", "", &body);
        loss.happens_to(&person, &broker);
        let reply = late.finish();
        refused(&reply, status, code, &format!("{loss:?} {org_wide}"));
        if status == 401 {
            // Exactly as if they had come after it: the same answer, and the same record.
            let now = person.client(&broker).post("/v1/secrets", &body);
            assert_eq!(
                now.value()["error"]["message"],
                reply.value()["error"]["message"]
            );
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
        let found = broker.operator().get("/v1/secrets?all=true").expect(200);
        assert_eq!(found["data"], json!([]), "{loss:?}");
    }
    let entry = last(&broker, "auth.failed");
    assert_eq!(entry["decision"]["denied"], "not_a_member", "{entry}");
    // Who lost nothing is not held up by what others lose.
    let person = Person::new(&broker, "member");
    let body = json!({"name": "LATE", "value": "a value that comes late"});
    let late = person.begin(&broker, "POST /v1/secrets", "", &body);
    let other = Person::new(&broker, "member");
    Loss::Removed.happens_to(&other, &broker);
    late.finish().expect(201);
}

#[test]
fn a_change_of_members_keys_or_tools_that_arrives_late_changes_nothing() {
    let broker = Broker::start();
    let operator = broker.operator();
    let victim = Person::new(&broker, "admin");
    let spec = json!({"slug": "late-tool", "name": "Late", "credentialsJson": {"required": []}, "actionsJson": {}});
    for (loss, status, code) in [
        (Loss::Demoted, 403, "admin_only"),
        (Loss::Removed, 401, "unauthorized"),
        (Loss::KeyRevoked, 401, "unauthorized"),
    ] {
        let person = Person::new(&broker, "admin");
        let settings = json!({"settings": {"membersRevealShared": true}});
        let begun: Vec<_> = [
            (
                format!("PATCH {}", victim.path()),
                json!({"role": "member"}),
            ),
            (
                format!("POST {MEMBERS}"),
                json!({"name": "Late", "role": "admin"}),
            ),
            ("PATCH /v1/organizations/current".to_owned(), settings),
        ]
        .into_iter()
        .map(|(request, body)| (person.begin(&broker, &request, "", &body), request))
        .collect();
        let key = person.begin(&broker, "POST /v1/api-keys", "", &json!({"name": "late"}));
        let tool = person.begin(&broker, "POST /v1/tools/custom", "", &spec);
        let before = operator.get(MEMBERS).expect(200)["data"].clone();
        loss.happens_to(&person, &broker);
        for (late, request) in begun {
            refused(&late.finish(), status, code, &format!("{loss:?} {request}"));
        }
        let after = operator.get(MEMBERS).expect(200)["data"].clone();
        let roles = |members: &Value| -> Vec<Value> {
            let members = members.as_array().unwrap().iter();
            let others = members.filter(|one| one["id"] != person.member["id"]);
            others.map(|one| one["role"].clone()).collect()
        };
        assert_eq!(roles(&before), roles(&after), "{loss:?}");
        let org = operator.get("/v1/organizations/current").expect(200);
        assert_eq!(org["data"]["settings"]["membersRevealShared"], false);
        if status == 401 {
            refused(&key.finish(), 401, code, "a key");
            refused(&tool.finish(), 401, code, "a tool");
            let keys = operator.get("/v1/api-keys?all=true").expect(200);
            let mut keys = keys["data"].as_array().unwrap().iter();
            assert!(keys.all(|key| key["name"] != "late"));
        }
    }
}

#[test]
fn a_call_that_arrives_after_its_caller_was_demoted_is_lent_nothing_shared() {
    let upstream = Upstream::echo();
    let broker = Broker::start();
    let operator = broker.operator();
    let secret = json!({"name": "CRM_KEY", "value": "a value of all of us", "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
    let person = Person::new(&broker, "admin");
    let tool = crm(upstream.port());
    person
        .client(&broker)
        .post("/v1/tools/custom", &tool)
        .expect(201);
    let call = crm_call("person@example.com", "CRM_KEY");
    let request = "POST /v1/tools/custom-crm/execute";
    person
        .begin(&broker, request, "", &call)
        .finish()
        .expect(200);
    let late = person.begin(&broker, request, "", &call);
    Loss::Demoted.happens_to(&person, &broker);
    refused(&late.finish(), 403, "policy_denied", "a call");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn an_answer_is_not_heard_again_by_who_was_refused_while_they_asked() {
    let broker = Broker::start();
    let person = Person::new(&broker, "member");
    let body = json!({"name": "ONCE", "value": "a value that comes once"});
    let once = "\r\nIdempotency-Key: once";
    person
        .begin(&broker, "POST /v1/secrets", once, &body)
        .finish()
        .expect(201);
    let again = person
        .begin(&broker, "POST /v1/secrets", once, &body)
        .finish();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let late = person.begin(&broker, "POST /v1/secrets", once, &body);
    Loss::KeyRevoked.happens_to(&person, &broker);
    refused(&late.finish(), 401, "unauthorized", "a repetition");
}
