//! The pages of a connect flow in a real browser: on a desk and a phone, by day and by night, by keyboard
//! alone and without scripts; every page that says no; and nothing that they ask of anybody else.

mod harness;

mod oauth_pages {
    mod cross_site;
    mod ends;
    mod looks;
    mod payload;
    mod rare;
    mod refusals;
}

use harness::Broker;
use harness::agreeable::with_one_account;
use harness::chromium::{Chromium, Screen};
use harness::connect::{self, Flow};
use harness::fault_provider::{Answer, FaultProvider};
use serde_json::json;

/// What a page must be, whatever it says: the complaints.
const COMPLAINTS: &str = r"
const found = [];
const root = document.documentElement;
if (root.lang !== 'en') found.push('no language');
if (!document.title.endsWith(' · RunTools Broker')) found.push('title: ' + document.title);
if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
if (!document.querySelector('meta[name=viewport]')) found.push('no viewport');
if (root.scrollWidth > innerWidth) found.push('wider than the screen: ' + root.scrollWidth);
for (const input of document.querySelectorAll('input:not([type=hidden])')) {
  if (!input.labels.length) found.push('an input without label');
}
const channels = (text) => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const light = (rgb) => {
  const [r, g, b] = rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const rgb = channels(getComputedStyle(at).backgroundColor);
    if (rgb.length < 4 || rgb[3] > 0) return rgb;
  }
  return [255, 255, 255];
};
for (const element of document.body.querySelectorAll('*')) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || ['SCRIPT', 'STYLE'].includes(element.tagName)) continue;
  const [one, other] = [light(channels(getComputedStyle(element).color)), light(ground(element))];
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(2)}: ${element.textContent.trim()}`);
}
for (const target of document.querySelectorAll('button, .button, input[type=text]')) {
  if (target.getBoundingClientRect().height < 44) found.push('too small for a finger: ' + target.outerHTML);
}
scrollTo(0, 0);
const go = document.querySelector('form button');
if (go && go.getBoundingClientRect().bottom > innerHeight) found.push('the button is below the fold');
const ask = document.querySelector('form.ask');
if (ask) {
  const warning = document.querySelector('.note');
  const { left, right, top, bottom } = warning.getBoundingClientRect();
  if (!warning.textContent.includes('Did somebody send you this link?')) found.push('no warning');
  if (top < 0 || bottom > innerHeight) found.push('the warning is not on the first screen');
  for (const y of [top + 4, (top + bottom) / 2, bottom - 4]) {
    const seen = document.elementFromPoint((left + right) / 2, y);
    if (!warning.contains(seen)) found.push('the warning is covered');
  }
}
return found;
";

/// Nothing is to be said against the page that is looked at, nor against what it loaded.
#[track_caller]
fn well_made(browser: &Chromium, what: &str) {
    let complaints = browser.script(COMPLAINTS);
    assert_eq!(complaints, json!([]), "{what}: {}", browser.url());
}

/// The same on each screen, by day and by night. Pictures are kept under `name`, to be looked at.
#[track_caller]
fn on_every_screen(browser: &Chromium, name: &str) {
    // A page that loads itself again stands still for its pictures: a browser that is asked for one while the page
    // goes may never answer.
    browser.script("stop()");
    // A window that a dashboard opens, a small phone, a small laptop.
    let further = [(500, 850), (375, 640), (1000, 640)].map(|(w, h)| Screen::Of(w, h));
    for screen in [Screen::Desktop, Screen::Phone].into_iter().chain(further) {
        for dark in [false, true] {
            browser.screen(screen);
            browser.dark(dark);
            let what = format!("{name}-{screen:?}-{}", if dark { "night" } else { "day" });
            well_made(browser, &what);
            let name = what
                .to_lowercase()
                .replace(", ", "x")
                .replace(['(', ')'], "");
            browser.keep_screenshot(&format!("oauth-{name}"));
        }
    }
    browser.screen(Screen::Desktop);
    browser.dark(false);
    browser.script("if (document.querySelector('meta[http-equiv=refresh]')) location.reload()");
}

/// A broker whose provider `fault` answers the browser at once with these members and the state.
fn with_fault(members: &'static [(&'static str, &'static str)]) -> (FaultProvider, Broker) {
    let (provider, broker) = with_one_account(|file| file, "");
    answer_with(&provider, members);
    (provider, broker)
}

fn answer_with(provider: &FaultProvider, members: &'static [(&'static str, &'static str)]) {
    provider.script("/authorize", move |seen| {
        let mut back = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
        let state = seen.query("state").unwrap();
        back.query_pairs_mut()
            .append_pair("state", &state)
            .extend_pairs(members);
        Answer::redirect(302, back.as_str())
    });
}

/// Opens a flow's page, types its code, and goes on.
#[track_caller]
fn agree(browser: &Chromium, flow: &Flow) {
    browser.open(&flow.page);
    let code = flow.code.as_deref().unwrap();
    browser.type_into("input[name=code]", &format!("{code}\u{E007}"));
}

/// Signs in and agrees at the peer.
fn agree_at_the_peer(browser: &Chromium, stage: &connect::Stage, login: &str) {
    browser.wait_url(&stage.peer.origin());
    browser.type_into("input[name=login]", login);
    browser.type_into("input[name=password]", "any\u{E007}");
    browser.wait_text("Authorize");
    browser.click("button[type=submit]");
}
