//! Clients that hang up: a change is made whole or not at all, and is in force when a list says so.

mod harness;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use harness::{Broker, Client, eventually};
use serde_json::{Value, json};

const MEMBERS: &str = "/v1/organizations/current/members";

/// Sends a request and closes the connection `millis` later, whatever came back by then.
fn send_and_leave(broker: &Broker, key: &str, line: &str, body: &str, millis: u64) {
    let host = broker.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let text = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(millis));
}

/// A new key of the client's own: its id and its text.
fn make(client: &Client, name: &str) -> (String, String) {
    let made = client
        .post("/v1/api-keys", &json!({ "name": name }))
        .expect(201);
    let text = |field: &str| made["data"][field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// A new admin with a key: the member's id and the key.
fn admin(operator: &Client, name: &str) -> (String, String) {
    let body = json!({ "name": name, "role": "admin", "createKey": true });
    let added = operator.post(MEMBERS, &body).expect(201)["data"].clone();
    let id = added["id"].as_str().unwrap().to_owned();
    (id, added["key"].as_str().unwrap().to_owned())
}

fn member(operator: &Client, id: &str) -> Value {
    let list = operator.get(MEMBERS).expect(200)["data"].clone();
    let mut members = list.as_array().unwrap().iter();
    members.find(|one| one["id"] == id).unwrap().clone()
}

#[test]
fn a_key_is_refused_as_soon_as_it_is_listed_as_revoked_though_its_revoker_hung_up() {
    let broker = Broker::start();
    let operator = broker.operator();
    let (_, revoker) = make(&operator, "revoker");
    for round in 0..20 {
        let (id, key) = make(&operator, "victim");
        let victim = broker.anonymous().key(&key);
        victim.get("/v1/me").expect(200);
        let path = format!("/v1/api-keys/{id}");
        eventually(|| {
            send_and_leave(&broker, &revoker, &format!("DELETE {path}"), "", round % 6);
            let listed = operator.get(&path).expect(200)["data"]["status"].clone();
            let answer = victim.get("/v1/me").status;
            (listed == "revoked").then(|| assert_eq!(answer, 401, "round {round}"))
        });
    }
}

#[test]
fn a_member_is_refused_as_soon_as_they_are_listed_as_removed_though_the_remover_hung_up() {
    let broker = Broker::start();
    let operator = broker.operator();
    let (_, remover) = make(&operator, "remover");
    for round in 0..20 {
        let (id, key) = admin(&operator, "Ann");
        let ann = broker.anonymous().key(&key);
        ann.get("/v1/me").expect(200);
        let head = format!("DELETE {MEMBERS}/{id}");
        eventually(|| {
            send_and_leave(&broker, &remover, &head, "", round % 6);
            let listed = member(&operator, &id)["status"].clone();
            let answer = ann.get("/v1/me").status;
            (listed == "removed").then(|| assert_eq!(answer, 401, "round {round}"))
        });
    }
}

#[test]
fn an_admin_is_one_no_more_as_soon_as_the_list_says_so_though_the_demoter_hung_up() {
    let broker = Broker::start();
    let operator = broker.operator();
    let (_, demoter) = make(&operator, "demoter");
    for round in 0..20 {
        let (id, key) = admin(&operator, "Ann");
        let ann = broker.anonymous().key(&key);
        ann.get("/v1/api-keys?all=true").expect(200);
        let head = format!("PATCH {MEMBERS}/{id}");
        eventually(|| {
            let body = r#"{"role":"member"}"#;
            send_and_leave(&broker, &demoter, &head, body, round % 6);
            let listed = member(&operator, &id)["role"].clone();
            let answer = ann.get("/v1/api-keys?all=true").status;
            (listed == "member").then(|| assert_eq!(answer, 403, "round {round}"))
        });
    }
}

#[test]
fn a_key_that_is_asked_for_again_after_a_lost_connection_is_made_once() {
    let broker = Broker::start();
    let operator = broker.operator();
    let (_, maker) = make(&operator, "maker");
    for round in 0..20 {
        let name = format!("once {round}");
        let body = json!({ "name": name }).to_string();
        let headers = format!("{maker}\r\nIdempotency-Key: {round}");
        send_and_leave(&broker, &headers, "POST /v1/api-keys", &body, round % 6);
        let again = broker.anonymous().key(&maker);
        let again = again.header("idempotency-key", &round.to_string());
        eventually(|| {
            let reply = again.post("/v1/api-keys", &json!({ "name": name }));
            match reply.status {
                201 => Some(()),
                _ => match reply.refused(409).as_str() {
                    "shown_once" => Some(()),
                    "still_running" => None,
                    other => panic!("{other}"),
                },
            }
        });
        let keys = operator.get("/v1/api-keys").expect(200);
        let keys = keys["data"].as_array().unwrap().iter();
        assert_eq!(keys.filter(|key| key["name"] == name).count(), 1);
    }
}
