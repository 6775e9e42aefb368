//! What stands in the broker's memory, read as root reads it: while it serves, after a task has panicked with a
//! value in its hands, in a core that somebody took by force, and after it was sealed.
//!
//! The root key stands there in clear while the vault is open, unless the kernel has pages that nobody else can
//! read; what opens it, and what callers keep, stands there for as long as it is used and no longer.
//!
//! gdb must be installed, for `gcore`; without it this test fails.

mod harness;
#[path = "memory/keys.rs"]
mod keys;

use std::path::Path;
use std::process::Command;

use harness::memory::occurrences;
use harness::{Broker, Client, Setup, eventually};
use keys::{Named, OWNER, every_key};
use runtools_broker::custody::{Provider, Ring};
use runtools_broker::failpoint::Failpoint;
use runtools_broker::id::OrgId;
use serde_json::json;

const VALUE: &str = "a-value-that-is-looked-for-0123456789";
const WORDS: &str = "correct horse battery staple eleven";

/// What is looked for.
struct Looked {
    root: [u8; 32],
    key_file: Vec<u8>,
}

impl Looked {
    fn of(broker: &Broker) -> Self {
        let file = broker.keys().join("root.key");
        let ring = Ring::load(&broker.keys()).unwrap();
        let root = ring.open(Provider::KeyFile(&file)).unwrap();
        Self {
            root: root.expose(|bytes| *bytes),
            key_file: std::fs::read(&file).unwrap(),
        }
    }

    /// How often each stands where `count` looks: the root key, and all that is never to stand there.
    fn found(&self, count: impl Fn(&[u8]) -> usize) -> (usize, usize) {
        let never = [&self.key_file, VALUE.as_bytes(), WORDS.as_bytes()];
        (count(&self.root), never.into_iter().map(count).sum())
    }
}

/// Whether this broker keeps the root key where the kernel lets nobody look.
fn has_secret_page(broker: &Broker) -> bool {
    let page = broker.operator().get("/metrics");
    let page = String::from_utf8(page.body).unwrap();
    page.contains("runtools_hardening_enforced{control=\"secret_page\"} 1")
}

fn reveal(operator: &Client) -> Result<u16, String> {
    let body = json!({}).to_string();
    let body = Some(("application/json", body.as_bytes()));
    let reply = operator.try_send("POST", "/v1/secrets/LOOKED_FOR/reveal", body);
    reply.map(|reply| reply.status)
}

/// A core of the process as it is: the kernel writes none of it, and a debugger asks nobody.
fn core_of(pid: u32, folder: &Path) -> Vec<u8> {
    let path = folder.join("core");
    let made = Command::new("gcore")
        .arg("-a")
        .arg("-o")
        .args([&path.display().to_string(), &pid.to_string()])
        .output()
        .expect("gcore is in Debian's gdb");
    let file = path.with_file_name(format!("core.{pid}"));
    let core = std::fs::read(&file).unwrap_or_else(|_| panic!("{made:?}"));
    std::fs::remove_file(file).unwrap();
    core
}

#[test]
fn memory_holds_what_is_in_use_and_nothing_that_was() {
    let panics = format!("{}@2!", Failpoint::ValueOpened.name());
    let broker = Broker::with(Setup {
        failpoint: Some(panics.leak()),
        ..Setup::default()
    });
    let operator = broker.operator();
    let looked = Looked::of(&broker);
    let is_open = |(root, others): (usize, usize)| {
        let readable = !has_secret_page(&broker);
        (others == 0 && (root > 0) == readable).then_some(root)
    };
    let in_memory = || looked.found(|it| occurrences(broker.pid(), it));
    let secret = json!({"name": "LOOKED_FOR", "value": VALUE});
    operator.post("/v1/secrets", &secret).expect(201);
    assert_eq!(reveal(&operator), Ok(200));
    let slot = json!({"kind": "passphrase", "label": "spare", "passphrase": WORDS});
    operator.post("/v1/operator/slots", &slot).expect(201);
    // The last of an answer is wiped when its connection is.
    let usual = eventually(|| is_open(in_memory()));

    // A task that panics with the value in its hands wipes it, and takes nobody with it.
    let answer = reveal(&operator);
    assert!(
        answer.as_ref().map_or(true, |status| *status == 500),
        "{answer:?}"
    );
    eventually(|| {
        broker
            .log_text()
            .contains("panicked; the message is not shown")
            .then_some(())
    });
    assert_eq!(eventually(|| is_open(in_memory())), usual);
    assert_eq!(reveal(&operator), Ok(200));
    eventually(|| is_open(in_memory()));

    // A core has no more in it.
    let folder = tempfile::tempdir().unwrap();
    let in_core = |core: &[u8], it: &[u8]| memchr::memmem::find_iter(core, it).count();
    let core = core_of(broker.pid(), folder.path());
    let found = looked.found(|it| in_core(&core, it));
    assert!(is_open(found).is_some(), "{found:?}");

    operator.send("POST", "/v1/operator/seal", None).expect(200);
    eventually(|| (in_memory() == (0, 0)).then_some(()));
    let core = core_of(broker.pid(), folder.path());
    assert_eq!(looked.found(|it| in_core(&core, it)), (0, 0));
}

/// The names of those that stand where `count` looks.
fn there(keys: &[Named], count: impl Fn(&[u8]) -> usize) -> Vec<&'static str> {
    let found = keys.iter().filter(|(_, key)| count(key) > 0);
    found.map(|(name, _)| *name).collect()
}

#[test]
fn no_key_of_any_level_is_in_memory_once_the_vault_is_sealed() {
    let mut broker = Broker::start();
    let secret = json!({"name": "LOOKED_FOR", "value": VALUE, "orgWide": true});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    let org = broker.operator().get("/v1/organizations/current");
    let org = org.expect(200)["data"]["id"].as_str().map(OrgId::parse);
    assert_eq!(broker.stop(), Some(0));
    let keys = every_key(&broker, org.unwrap().unwrap());
    assert_eq!(keys.len(), 11);
    broker.restart();
    let operator = broker.operator();
    let shared = json!({"orgWide": true});
    let reveal = || operator.post("/v1/secrets/LOOKED_FOR/reveal", &shared);
    let in_memory = |it: &[u8]| occurrences(broker.pid(), it);
    for _ in 0..2 {
        assert_eq!(reveal().expect(200)["data"]["value"], VALUE);
        let open = there(&keys, in_memory);
        assert!(
            open.contains(&OWNER),
            "the control run finds nothing: {open:?}"
        );
        operator.send("POST", "/v1/operator/seal", None).expect(200);
        // The last of an answer is wiped when its connection is.
        eventually(|| there(&keys, in_memory).is_empty().then_some(()));
        let folder = tempfile::tempdir().unwrap();
        let core = core_of(broker.pid(), folder.path());
        let in_core = |it: &[u8]| memchr::memmem::find_iter(&core, it).count();
        assert_eq!(there(&keys, in_core), Vec::<&str>::new());
        operator.post("/v1/operator/unseal", &json!({})).expect(200);
    }
}
