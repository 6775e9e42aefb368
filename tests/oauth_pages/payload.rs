//! An account that a provider signs for, in place of a code: what it says stands in the fragment, where only the
//! browser can read it (B16).

use std::sync::{Arc, Mutex};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::{digest, hmac};
use runtools_broker::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::harness::chromium::Chromium;
use crate::harness::connect::{Flow, broker, connections, set_client, start, text};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::oidc::{PeerClient, provider_file};
use crate::harness::{Broker, Client, eventually};
use crate::{agree, on_every_screen, well_made};

const BOT: &str = "7654321098:a-token-of-a-bot";

/// What the provider says of the person who is sent to it.
type Says = Arc<Mutex<Box<dyn Fn() -> String + Send>>>;

/// A provider that sends people back at once, and a broker that knows its bot.
fn open() -> (FaultProvider, Broker, Client, Says) {
    let provider = FaultProvider::start();
    let says: Says = Arc::new(Mutex::new(Box::new(|| signed(&person(7)))));
    let said = Arc::clone(&says);
    provider.script("/auth", move |seen| {
        assert_eq!(seen.query("bot_id").as_deref(), Some("7654321098"));
        let back = seen.query("return_to").unwrap();
        assert!(back.starts_with(&seen.query("origin").unwrap()), "{back}");
        let payload = said.lock().unwrap()();
        Answer::redirect(302, &format!("{back}#tgAuthResult={payload}"))
    });
    let file = provider_file("widget", "widget", provider_port(&provider));
    let broker = broker(&[("widget", file)], "");
    let bot = PeerClient {
        id: "7654321098".to_owned(),
        secret: BOT.to_owned(),
        auth: "none",
    };
    set_client(&broker.operator(), "widget", &bot).expect(200);
    let mia = broker.member("Mia");
    (provider, broker, mia, says)
}

fn provider_port(provider: &FaultProvider) -> u16 {
    url::Url::parse(&provider.origin()).unwrap().port().unwrap()
}

fn person(id: u64) -> Value {
    json!({
        "id": id, "first_name": "Ada & Böb", "username": format!("ada{id}"),
        "auth_date": SystemClock.now().millis() / 1000,
    })
}

/// The payload, as Telegram says that it signs.
fn signed(person: &Value) -> String {
    let members = person.as_object().unwrap().iter();
    let mut lines: Vec<_> = members
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    lines.sort();
    let key = digest::digest(&digest::SHA256, BOT.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
    let mut person = person.clone();
    let mac = hmac::sign(&key, lines.join("\n").as_bytes());
    person["hash"] = HEXLOWER.encode(mac.as_ref()).into();
    BASE64URL_NOPAD.encode(person.to_string().as_bytes())
}

fn answers(says: &Says, payload: impl Fn() -> String + Send + 'static) {
    *says.lock().unwrap() = Box::new(payload);
}

#[track_caller]
fn fails(browser: &Chromium, mia: &Client, flow: &Flow, code: &str) {
    browser.wait_text(&format!("Code: {code}"));
    assert_eq!(flow.seen(mia)["error"], code);
    let address = browser.url();
    assert!(address.ends_with("/result#"), "{address}");
}

#[test]
fn b16_a_signed_payload_connects_an_account_and_stays_in_no_address() {
    let (provider, _broker, mia, _) = open();
    let browser = Chromium::start();
    let flow = start(&mia, "widget", "");
    agree(&browser, &flow);
    browser.wait_text("Widget is connected");
    well_made(&browser, "a payload that was taken up");
    let address = browser.url();
    assert!(
        address.ends_with(&format!("/connect/{}/result#", flow.id)),
        "{address}"
    );
    // Nor is it a step back in the history.
    browser.script("history.back()");
    eventually(|| (!browser.url().contains("result")).then_some(()));
    assert!(!browser.url().contains("tgAuthResult"), "{}", browser.url());
    let [made] = &connections(&mia)[..] else {
        panic!("{:?}", connections(&mia));
    };
    assert_eq!(
        (&made["account"], &made["status"]),
        (&json!("ada7"), &json!("active"))
    );
    assert_eq!(made["accountId"], "7");
    // It says who somebody is, and there is nothing upstream to be ended, or asked.
    let path = format!("/v1/oauth/connections/{}", text(&made["id"]));
    let gone = mia.delete(&path).expect(200);
    assert_eq!(gone["data"]["upstream"], "unsupported", "{gone:?}");
    assert_eq!(provider.seen().len(), provider.asked("/auth").len());
}

#[test]
fn b16_a_payload_that_is_not_the_provider_s_of_now_or_was_used_before_connects_nothing() {
    let (_provider, _broker, mia, says) = open();
    let browser = Chromium::start();
    let other = |edit: fn(&mut Value)| {
        move || {
            let payload = BASE64URL_NOPAD.decode(signed(&person(7)).as_bytes());
            let mut payload: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
            edit(&mut payload);
            BASE64URL_NOPAD.encode(payload.to_string().as_bytes())
        }
    };
    let old = || {
        let mut person = person(7);
        person["auth_date"] = (person["auth_date"].as_i64().unwrap() - 330).into();
        signed(&person)
    };
    let ends = |payload: Box<dyn Fn() -> String + Send>, code: &str| {
        *says.lock().unwrap() = payload;
        let flow = start(&mia, "widget", "");
        agree(&browser, &flow);
        fails(&browser, &mia, &flow, code);
    };
    ends(Box::new(other(|it| it["id"] = 8.into())), "bad_signature");
    ends(
        Box::new(other(|it| it["hash"] = "0".repeat(64).into())),
        "bad_signature",
    );
    ends(Box::new(old), "bad_signature");
    ends(Box::new(|| "false".to_owned()), "access_denied");
    ends(Box::new(String::new), "bad_answer");
    assert_eq!(connections(&mia).len(), 0);
    // One that was used is used, in whichever flow and by whomever.
    let once = signed(&person(7));
    let again = once.clone();
    answers(&says, move || once.clone());
    let flow = start(&mia, "widget", "");
    agree(&browser, &flow);
    browser.wait_text("Widget is connected");
    ends(Box::new(move || again.clone()), "bad_signature");
    assert_eq!(connections(&mia).len(), 1);
}

#[test]
fn b16_x3_a_payload_in_another_browser_is_nobody_s() {
    let (provider, broker, mia, _) = open();
    let browser = Chromium::start();
    let flow = start(&mia, "widget", "");
    // The attacker's browser has left, and its way home is opened in the victim's.
    let mut jar = crate::harness::jar::Jar::new();
    let page = jar.get(&flow.page);
    let left = jar.submit(&page, &[("code", flow.code.as_deref().unwrap())]);
    let home = jar
        .get(left.location().unwrap().as_str())
        .location()
        .unwrap();
    browser.open(home.as_str());
    browser.wait_text("Open it in the browser where you started");
    // Nor is it taken up at another address than the flow's own.
    browser.open(&format!(
        "{}/v1/oauth/callback/widget?state=x#tgAuthResult={}",
        broker.origin(),
        signed(&person(7))
    ));
    browser.wait_text("This link does not work any more");
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
    assert_eq!(connections(&mia).len(), 0);
    assert_eq!(provider.asked("/token").len(), 0);
}

#[test]
fn without_scripts_the_page_says_what_to_do() {
    let (_provider, _broker, mia, _) = open();
    let browser = Chromium::start();
    browser.scripts(false);
    let flow = start(&mia, "widget", "");
    agree(&browser, &flow);
    browser.wait_text("This browser runs no scripts");
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
    on_every_screen(&browser, "payload");
    browser.scripts(true);
    browser.script("location.reload()");
    browser.wait_text("Widget is connected");
}
