//! Connecting an account as a person does: the real command line, headless Chromium, and a real provider.
//!
//! Of the whole way only our part is counted: what the terminal does before a browser opens, the answers to the
//! browser, painting the page that asks, and what is left to do once the browser is back, with the broker's two
//! requests to the provider in it. The provider's pages, whoever reads and clicks, and Chromium's start are not.

use std::time::{Duration, Instant};

use runtools_broker::clock::{Clock, SystemClock};

use crate::Effort;
use crate::harness::chromium::Chromium;
use crate::harness::chromium_log::Asked;
use crate::harness::desk::{Desk, ended};
use crate::load::cpu;
use crate::report::Report;

/// Milliseconds of one connect.
struct Way {
    /// From the start of the command line until a browser is opened.
    begun: f64,
    /// Answers to the browser.
    answers: f64,
    /// From the end of the answer that asks the person until it is painted.
    painted: f64,
    /// From the browser's return until the command line ended.
    ended: f64,
    /// All of it, the provider's pages and the driver's clicks too.
    whole: f64,
}

impl Way {
    fn own(&self) -> f64 {
        self.begun + self.answers + self.painted + self.ended
    }
}

/// In milliseconds since 1970.
fn now() -> f64 {
    SystemClock.now().millis() as f64
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Goes the whole way once, as a person who was never seen at the provider.
fn goes(desk: &Desk, browser: &Chromium, login: &str) -> Way {
    browser.forget_cookies();
    let began = Instant::now();
    let (door, child) = desk.connecting(&[]);
    let begun = millis(began.elapsed());
    let command = std::thread::spawn(move || (ended(0, child), now(), Instant::now()));
    browser.open(&door);
    browser.wait_text("Default");
    let painted = browser.script(
        "const [page] = performance.getEntriesByType('navigation');
         return page.loadEventEnd - page.responseEnd;",
    );
    browser.click("button[type=submit]");
    browser.wait_url(&desk.peer.origin());
    browser.type_into("input[name=login]", login);
    browser.type_into("input[name=password]", "any\u{E007}");
    browser.wait_text("Authorize");
    browser.click("button[type=submit]");
    let (said, at, instant) = command.join().unwrap();
    assert_eq!(said.0, format!("connected peer as {login}\n"));
    // The door is the terminal's own port, as is the one through which the browser comes back.
    let terminal = url::Url::parse(&door)
        .unwrap()
        .origin()
        .ascii_serialization();
    let asked = browser.asked();
    let last = asked
        .iter()
        .rposition(|asked| asked.url.starts_with(&terminal));
    let last = last.expect("the browser came back");
    let first = asked.iter().position(|asked| asked.url == door);
    let back = &asked[last];
    let ours = |asked: &&Asked| {
        let own = [&terminal, desk.broker.origin()];
        own.iter().any(|own| asked.url.starts_with(*own))
    };
    let answers = asked[first.expect("the door")..last].iter().filter(ours);
    let took = answers.map(|asked| asked.took.expect("an answer"));
    Way {
        begun,
        answers: took.map(millis).sum(),
        painted: painted.as_f64().expect("a page that was loaded"),
        ended: at - back.at * 1000.0,
        whole: millis(instant.duration_since(began)),
    }
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "`runtools oauth connect` in headless Chromium at a real provider, from its start to \
                         `connected`: our own part";
    const HEAD: [&str; 4] = ["what", "p50 ms", "most ms", "bar"];
    let count = if effort.quick { 3 } else { 12 };
    let (desk, browser) = (Desk::new(), Chromium::start());
    // The first page of a browser's life is about the browser.
    goes(&desk, &browser, "nobody");
    let before = cpu(desk.broker.pid());
    let ways: Vec<_> = (0..count)
        .map(|n| goes(&desk, &browser, &format!("person{n}")))
        .collect();
    let used = millis(cpu(desk.broker.pid()) - before) / f64::from(count);
    let mut row = |what: &str, part: &dyn Fn(&Way) -> f64, bar: Option<f64>| {
        let mut all: Vec<f64> = ways.iter().map(part).collect();
        all.sort_by(f64::total_cmp);
        let most = all[all.len() - 1];
        let verdict = bar.map(|bar| Report::verdict("≤ 3 s", most <= bar));
        let shown = |value: f64| format!("{value:.1}");
        let cells = [
            what.to_owned(),
            shown(all[all.len() / 2]),
            shown(most),
            verdict.unwrap_or_default(),
        ];
        report.row(TITLE, &HEAD, &cells);
    };
    row("until a browser is opened", &|way| way.begun, None);
    row("answers to the browser", &|way| way.answers, None);
    row("painting the page that asks", &|way| way.painted, None);
    row(
        "from the browser's return to the end",
        &|way| way.ended,
        None,
    );
    row("**all of that**", &Way::own, Some(crate::connect::BAR_MS));
    row(
        "with the provider's pages and the driver's clicks",
        &|way| way.whole,
        None,
    );
    row("the broker's processor time", &|_| used, None);
}
