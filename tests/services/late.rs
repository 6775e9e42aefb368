//! Requests of a service that arrive slowly, while what lets it act is lost; and users who lose their office.

use serde_json::{Value, json};

use super::hub::Set;
use crate::harness::api::Half;
use crate::lanes::{LANES, Wish, resolve};
use crate::stage::tool;

/// What is lost while the request arrives.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Delegation,
    UsersKey,
    Membership,
    ServiceKey,
    Service,
}

impl Loss {
    fn happens(self, set: &Set) {
        let operator = set.stage.operator();
        match self {
            Self::Delegation => set.undelegate(&set.bob.user),
            Self::UsersKey => {
                let bob = set.stage.broker.anonymous().key(&set.bob.key);
                let keys = bob.get("/v1/api-keys").expect(200);
                let id = keys["data"][0]["id"].as_str().unwrap();
                bob.delete(&format!("/v1/api-keys/{id}")).expect(200);
            }
            Self::Membership => drop(operator.delete(&set.bob.path()).expect(200)),
            Self::ServiceKey => {
                let path = format!("/v1/operator/services/{}/rotate", set.hub.id);
                operator.post(&path, &json!({})).expect(201);
            }
            Self::Service => {
                let path = format!("/v1/services/{}", set.hub.id);
                set.admin.delete(&path).expect(200);
            }
        }
    }
}

#[test]
fn a_request_that_arrives_after_its_service_lost_the_right_gets_no_handle() {
    for (loss, delegated, status, code) in [
        (Loss::Delegation, true, 403, "subject_refused"),
        (Loss::UsersKey, false, 403, "subject_refused"),
        (Loss::Membership, true, 403, "subject_refused"),
        (Loss::ServiceKey, false, 401, "unauthorized"),
        (Loss::Service, true, 401, "unauthorized"),
    ] {
        let set = Set::new();
        let subject = if delegated {
            set.delegate(&set.bob.user);
            format!("X-RunTools-Subject: {}", set.bob.user)
        } else {
            format!("X-RunTools-Subject-Token: {}", set.bob.key)
        };
        let key = &set.hub.key;
        let head = format!("POST /v1/resolve HTTP/1.1\r\nX-API-Key: {key}\r\n{subject}");
        let body = json!({"tool": "custom-x", "credentialOverrides": {"apiKey": "KEY"}});
        let late = Half::send(&set.stage.broker, &head, &body);
        loss.happens(&set);
        let reply = late.finish();
        set.stage.keep("late", &reply);
        assert_eq!(reply.refused(status), code, "{loss:?}");
        let made = set.stage.journal("broker.resolve");
        assert!(made.is_empty(), "{loss:?}: {made:?}");
        set.finish();
    }
}

#[test]
fn hs_2_a_handle_dies_with_the_office_of_the_user_whom_a_service_acts_for() {
    let set = Set::new();
    let operator = set.stage.operator();
    let eve = set.member("Eve");
    let role = |role: &str| {
        let body = json!({"role": role});
        operator.json("PATCH", &eve.path(), &body).expect(200);
    };
    role("admin");
    // Her word as an admin lets her tool reach a private address.
    let own = set.stage.broker.anonymous().key(&eve.key);
    set.stage
        .install(&own, &tool("custom-y", set.upstream.port()));
    let body = json!({"name": "KEY", "value": "the value of Eve 0123456789"});
    own.post("/v1/secrets", &body).expect(201);
    let hub = set.hub.with_token(&set.stage, &eve.key);
    let handle = resolve(&set.stage, &hub, "custom-y", &json!({})).text;
    let wish = Wish::get(&set.url());
    let came = LANES[0].send(&set.stage, &hub, &handle, &wish);
    assert_eq!(came.status, 200, "{came:?}");
    let before = set.upstream.seen().len();
    role("member");
    for lane in LANES {
        let came = lane.send(&set.stage, &hub, &handle, &wish);
        assert_eq!((came.status, &*came.code), (410, "handle_dead"), "{lane:?}");
    }
    assert_eq!(set.upstream.seen().len(), before, "nothing was sent");
    let entry: Value = set.stage.journal("broker.exchange").swap_remove(0);
    assert_eq!(entry["actor"]["id"], set.hub.id, "{entry}");
    assert_eq!(entry["on_behalf_of"], eve.user, "{entry}");
    set.finish();
}
