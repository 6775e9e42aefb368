//! Every key that a vault has open, read out of the files of a stopped broker with the key file of that day.

use std::path::Path;

use runtools_broker::crypto::{
    Commitment, Context, Key, Owner, Purpose, Record, Sealed, open, open_padded, sha256,
};
use runtools_broker::custody::{Provider, Ring};
use runtools_broker::id::{ObjectId, OrgId, SecretId, StoreId};
use runtools_broker::store::{Class, DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind};
use serde_json::Value;

use crate::harness::Broker;
use crate::harness::disk::copy;

/// The installation's own keys that hide something or sign: number in the store, name, what each is for.
const OWN: [(u8, &str, Purpose); 6] = [
    (1, "the anchor's", Purpose::AuditKey),
    (2, "the state's", Purpose::State),
    (3, "the journal's", Purpose::AuditKey),
    (4, "the seed that signs the journal", Purpose::AuditKey),
    (5, "the index's", Purpose::IndexKey),
    (6, "the store's", Purpose::State),
];

/// A key, and what it is called when it is found where it should not be.
pub(crate) type Named = (&'static str, [u8; 32]);

struct Files {
    store: StoreId,
    records: Vec<(Vec<u8>, Record)>,
}

impl Files {
    fn of(data: &Path, store: StoreId) -> Self {
        let copied = tempfile::tempdir().unwrap();
        copy(&data.join("store/."), copied.path());
        let engine = DiskEngine::open(copied.path(), EngineKind::Sled, DEFAULT_CACHE_BYTES);
        let mut records = Vec::new();
        let mut look = |name: &[u8], value: &[u8]| {
            if let Ok(record) = Record::parse(value) {
                records.push((name.to_vec(), record));
            }
            Ok(())
        };
        engine.unwrap().visit(&[], None, &mut look).unwrap();
        Self { store, records }
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = &(Vec<u8>, Record)> {
        let all = self.records.iter();
        all.filter(move |(name, _)| name.first() == Some(&class.byte()))
    }

    fn own(&self, root: &Key, number: u8, purpose: Purpose) -> Key {
        let place = [Class::SystemKey.byte(), number];
        let mut all = self.of_class(Class::SystemKey);
        let (_, record) = all.find(|(name, _)| *name == place).unwrap();
        let context = Context::system(self.store, ObjectId::from_bytes([number; 16]), 1);
        opened(root, purpose, &context, &first(record)).unwrap()
    }

    /// The only organisation's key, and the one that its names are under.
    fn of_org(&self, root: &Key, org: OrgId) -> (Key, Key) {
        let (_, record) = self.of_class(Class::OrgKey).next().unwrap();
        let mut reader = record.reader();
        let _id = reader.sealed().unwrap();
        let (key, index) = (reader.sealed().unwrap(), reader.sealed().unwrap());
        let context = |number| Context {
            org,
            ..Context::system(self.store, ObjectId::from_bytes(*org.bytes()), number)
        };
        let key = opened(root, Purpose::OrgKey, &context(1), &key).unwrap();
        let index = opened(&key, Purpose::IndexKey, &context(2), &index).unwrap();
        (key, index)
    }

    /// The key of what its members share.
    fn of_shared(&self, org_key: &Key, org: OrgId) -> Key {
        let context = Context {
            org,
            owner: Owner::ORG_SHARED,
            ..Context::system(self.store, ObjectId::from_bytes([0; 16]), 1)
        };
        let open = |(_, record): &(Vec<u8>, Record)| {
            opened(org_key, Purpose::OwnerKey, &context, &first(record))
        };
        self.of_class(Class::OwnerKey).find_map(open).unwrap()
    }

    /// The key of one of their secrets, the only one.
    fn of_value(&self, owner_key: &Key, org: OrgId) -> Key {
        let context = |object, version| Context {
            org,
            owner: Owner::ORG_SHARED,
            ..Context::system(self.store, object, version)
        };
        let pointer = |(name, record): &(Vec<u8>, Record)| -> Option<Value> {
            let digest = sha256(name);
            let object = ObjectId::from_bytes(*digest.first_chunk().unwrap());
            let context = context(object, 0);
            let sealed = first(record);
            let mut bytes = owner_key.expose(|bytes| *bytes);
            let by = Key::from_bytes(sealed.key()?, &mut bytes).unwrap();
            let text = open_padded(&by, Purpose::State, &context, &sealed).ok()?;
            text.expose(|text| serde_json::from_slice(text)).ok()
        };
        let pointer = self.of_class(Class::Secret).find_map(pointer).unwrap();
        let id = SecretId::parse(pointer["id"].as_str().unwrap()).unwrap();
        let made = serde_json::from_value(pointer["versions"][0][1].clone()).unwrap();
        let open = |(_, record): &(Vec<u8>, Record)| {
            let mut reader = record.reader();
            let wrapped = reader.sealed().unwrap();
            let context = Context {
                data_key: reader.commitment().unwrap(),
                created: made,
                ..context(ObjectId::from_bytes(*id.bytes()), 1)
            };
            opened(owner_key, Purpose::DataKey, &context, &wrapped)
        };
        self.of_class(Class::SecretVersion).find_map(open).unwrap()
    }
}

fn first(record: &Record) -> Sealed {
    record.reader().sealed().unwrap()
}

/// The key in a box, by the key `by`, whatever that is called.
fn opened(by: &Key, purpose: Purpose, context: &Context, sealed: &Sealed) -> Option<Key> {
    let mut bytes = by.expose(|bytes| *bytes);
    let by = Key::from_bytes(sealed.key()?, &mut bytes).unwrap();
    let key = open(&by, purpose, context, sealed).ok()?;
    Some(Key::from_secret(by.name(), &key).unwrap())
}

/// All of them, of a stopped broker with one organisation and one secret, which its members share.
pub(crate) fn every_key(broker: &Broker, org: OrgId) -> Vec<Named> {
    let ring = Ring::load(&broker.keys()).unwrap();
    let file = broker.keys().join("root.key");
    let root = ring.open(Provider::KeyFile(&file)).unwrap();
    let files = Files::of(&broker.data(), ring.store());
    let (org_key, org_index) = files.of_org(&root, org);
    let owner = files.of_shared(&org_key, org);
    let value = files.of_value(&owner, org);
    assert_ne!(*value.commitment().bytes(), *Commitment::NONE.bytes());
    let bytes = |key: &Key| key.expose(|bytes| *bytes);
    let mut all = vec![
        ("the root key", bytes(&root)),
        ("the organisation's", bytes(&org_key)),
        ("the organisation's index", bytes(&org_index)),
        (OWNER, bytes(&owner)),
        ("the value's", bytes(&value)),
    ];
    for (number, name, purpose) in OWN {
        all.push((name, bytes(&files.own(&root, number, purpose))));
    }
    all
}

/// What the owner's key is called, which is the one that is kept in clear while the vault is open.
pub(crate) const OWNER: &str = "the owner's";
