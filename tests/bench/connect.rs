//! Connecting an account: what of it is the broker's own time.
//!
//! A person's browser goes through a whole flow, at a provider that answers at once: begun, the page, agreed,
//! the callback, finished. What is left without the broker's part of it is the same exchanges, with nothing
//! behind them: those of the browser at a bare server, and the broker's two at the provider.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::load::{self, cpu};
use crate::report::Report;
use crate::servers::Server;
use crate::{Effort, accounts, browser};

/// The most that the broker may add to a person's way, in milliseconds.
pub(crate) const BAR_MS: f64 = 3_000.0;

/// A connection that is kept, and the cookies that were set on it.
struct Browser {
    stream: TcpStream,
    cookies: Vec<(String, String)>,
}

/// An answer, as far as anything is read of it.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn location(&self) -> &str {
        let mut lines = self.head.lines();
        let found = lines.find_map(|line| line.strip_prefix("location: "));
        found.unwrap_or_else(|| panic!("it leads nowhere: {}", self.head))
    }

    /// What stands in the body between these two.
    fn between(&self, before: &str, after: &str) -> &str {
        let rest = self.body.split_once(before);
        let found = rest.and_then(|(_, rest)| rest.split_once(after));
        found
            .unwrap_or_else(|| panic!("no {before}: {}", self.body))
            .0
    }
}

/// A member of an address's query.
fn member<'a>(url: &'a str, name: &str) -> &'a str {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(key, _)| *key == name);
    found.unwrap_or_else(|| panic!("no {name}: {url}")).1
}

impl Browser {
    fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            cookies: Vec::new(),
        }
    }

    /// One exchange: a request line's first two words, more lines of the head, a body.
    fn send(&mut self, line: &str, head: &str, body: &str) -> Answer {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<_> = pairs.collect();
        let text = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\ncontent-length: {}\r\n{head}\r\n{body}",
            self.stream.peer_addr().unwrap(),
            cookies.join("; "),
            body.len()
        );
        self.stream.write_all(text.as_bytes()).unwrap();
        let (mut got, mut piece) = (Vec::new(), [0; 16 * 1024]);
        let (head, length) = loop {
            let read = self.stream.read(&mut piece).unwrap();
            assert!(read > 0, "the server closed the connection");
            got.extend_from_slice(&piece[..read]);
            if let Some((head, length)) = load::lengths(&got)
                && got.len() >= head + length
            {
                break (head, length);
            }
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let answer = Answer {
            head: text(&got[..head]),
            body: text(&got[head..head + length]),
        };
        let sound = ["HTTP/1.1 20", "HTTP/1.1 303"];
        let sound = sound.iter().any(|status| answer.head.starts_with(status));
        assert!(sound, "{line}: {}{}", answer.head, answer.body);
        let set = answer
            .head
            .lines()
            .filter_map(|line| line.strip_prefix("set-cookie: "));
        for pair in set.filter_map(|line| line.split(';').next()?.split_once('=')) {
            self.cookies.retain(|(name, _)| name != pair.0);
            self.cookies.push((pair.0.to_owned(), pair.1.to_owned()));
        }
        answer
    }

    /// Goes through a flow, as a person's browser and terminal do.
    fn connect(&mut self, key: &str, account: usize) {
        let (key, json) = (
            format!("x-api-key: {key}\r\n"),
            "content-type: application/json\r\n",
        );
        let begin = "GET /v1/oauth/start/bench?redirect_uri=http://127.0.0.1:19999/back";
        let begun = self.send(begin, &key, "");
        let flow = begun.between("\"flow\":\"", "\"").to_owned();
        let navigates = "sec-fetch-site: same-origin\r\n";
        let page = self.send(&format!("GET /connect/{flow}"), navigates, "");
        let form = format!("token={}", page.between("name=\"token\" value=\"", "\""));
        let posted = format!("{navigates}content-type: application/x-www-form-urlencoded\r\n");
        let left = self.send(&format!("POST /connect/{flow}"), &posted, &form);
        let state = member(left.location(), "state");
        let back = format!("GET /v1/oauth/callback/bench?code={account}&state={state}");
        let back = self.send(&back, "sec-fetch-site: cross-site\r\n", "");
        let ticket = format!("{{\"ticket\":\"{}\"}}", member(back.location(), "ticket"));
        let finish = format!("POST /v1/oauth/flows/{flow}/finish");
        let ended = self.send(&finish, &format!("{key}{json}"), &ticket);
        assert!(ended.body.contains("\"connected\""), "{}", ended.body);
        self.cookies.clear();
    }
}

/// Milliseconds of each of `count` runs, in order of size.
fn timed(count: usize, mut run: impl FnMut(usize)) -> Vec<f64> {
    let once = |n| {
        let began = Instant::now();
        run(n);
        began.elapsed().as_secs_f64() * 1000.0
    };
    let mut all: Vec<f64> = (0..count).map(once).collect();
    all.sort_by(f64::total_cmp);
    all
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Connecting an account, from the start of a flow to `connected`, at a \
                         provider that answers at once";
    const HEAD: [&str; 6] = [
        "what",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "times the exchanges",
        "bar",
    ];
    // A member may have a hundred accounts.
    let count = if effort.quick { 20 } else { 90 };
    let (broker, provider) = accounts::stage();
    let bare = Server::hello(300);
    let mut browser = Browser::open(bare.addr);
    let floor = timed(count, |_| {
        for _ in 0..5 {
            browser.send("GET /hello", "", "");
        }
        Browser::open(provider).send("POST /token", "", "");
        Browser::open(provider).send("GET /me", "", "");
    });
    let mut browser = Browser::open(broker.addr());
    let before = cpu(broker.server.pid());
    let ours = timed(count, |n| browser.connect(&broker.key, n));
    let used: Duration = cpu(broker.server.pid()) - before;
    let at = |all: &[f64], part: usize| all[all.len() * part / 100];
    let (half, most) = (at(&ours, 50), at(&ours, 99));
    let row = |what: &str, all: &[f64], rest: [String; 3]| {
        let (p50, p99) = (format!("{:.2}", at(all, 50)), format!("{:.2}", at(all, 99)));
        [vec![what.to_owned(), p50, p99], rest.to_vec()].concat()
    };
    let nothing = || [String::new(), String::new(), String::new()];
    report.row(
        TITLE,
        &HEAD,
        &row("the seven exchanges alone", &floor, nothing()),
    );
    let rest = [
        format!("{:.2}", used.as_secs_f64() * 1000.0 / count as f64),
        format!("{:.1}", half / at(&floor, 50)),
        Report::verdict("≤ 3 s", most <= BAR_MS),
    ];
    report.row(TITLE, &HEAD, &row("a whole flow", &ours, rest));
    browser::measure(effort, report);
}
