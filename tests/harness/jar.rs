//! A browser without a screen: it keeps cookies, goes where it is sent, and fills in forms. It runs
//! no script, and minds no `SameSite`: for both there is [`Chromium`](super::chromium::Chromium).

use regex::Regex;
use url::Url;

use super::{Client, Reply};

/// Somebody's browser.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
}

/// A cookie as it was set. Ports share cookies, as in any browser.
#[derive(Clone, Debug)]
pub struct Cookie {
    pub host: String,
    pub path: String,
    pub name: String,
    pub value: String,
    /// The whole `Set-Cookie` line.
    pub line: String,
}

/// Where the browser is, and what it got there.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: Url,
    pub reply: Reply,
}

/// A form of a page.
#[derive(Clone, Debug)]
pub struct Form {
    pub method: String,
    pub action: Url,
    pub fields: Vec<(String, String)>,
}

impl Jar {
    pub fn new() -> Self {
        Self::default()
    }

    /// One request, as when an address is typed in. Goes nowhere else.
    pub fn get(&mut self, url: &str) -> Page {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        self.send("GET", &url, "none", None)
    }

    /// The same, and on to wherever that leads.
    pub fn open(&mut self, url: &str) -> Page {
        let page = self.get(url);
        self.follow(page)
    }

    /// Goes on from a page while it redirects.
    pub fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..20 {
            let Some(next) = page.location() else {
                return page;
            };
            page = self.get(next.as_str());
        }
        panic!("redirects without end: {}", page.url);
    }

    /// Sends the first form of a page with these fields changed or added. Goes nowhere else.
    pub fn submit(&mut self, page: &Page, changes: &[(&str, &str)]) -> Page {
        let form = page.form();
        let mut fields = form.fields;
        for (name, value) in changes {
            fields.retain(|(old, _)| old != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        let body = body.extend_pairs(fields).finish();
        let site = if form.action.origin() == page.url.origin() {
            "same-origin"
        } else {
            "cross-site"
        };
        if form.method == "POST" {
            let origin = page.url.origin().ascii_serialization();
            return self.send("POST", &form.action, site, Some((&origin, &body)));
        }
        let mut to = form.action;
        to.set_query(Some(&body));
        self.send("GET", &to, site, None)
    }

    /// Goes to `url` and does all that a provider's pages ask, as `login`, until it is sent to an
    /// address that begins with `stop`: that address, which is not visited.
    pub fn agree(&mut self, url: &str, login: &str, stop: &str) -> String {
        let mut page = self.get(url);
        for _ in 0..20 {
            page = match page.location() {
                Some(next) if next.as_str().starts_with(stop) => return next.into(),
                Some(next) => self.get(next.as_str()),
                None => self.submit(&page, &answers(&page, login)),
            };
        }
        panic!("it never came to {stop}, but to {}", page.url);
    }

    /// Goes to `url`, signs in as `login` and then says no, until it is sent to an address that
    /// begins with `stop`.
    pub fn deny(&mut self, url: &str, login: &str, stop: &str) -> String {
        let mut page = self.get(url);
        for _ in 0..20 {
            page = match page.location() {
                Some(next) if next.as_str().starts_with(stop) => return next.into(),
                Some(next) => self.get(next.as_str()),
                None if page.field("login").is_some() => self.submit(&page, &answers(&page, login)),
                None => {
                    let cancel = page.link("[ Cancel ]");
                    self.get(cancel.as_str())
                }
            };
        }
        panic!("it never came to {stop}, but to {}", page.url);
    }

    /// Types a code into the page of a device flow and agrees to everything, as `login`: the page
    /// that says it is done.
    pub fn agree_device(&mut self, url: &str, user_code: &str, login: &str) -> Page {
        let mut page = self.get(url);
        for _ in 0..20 {
            page = match page.location() {
                Some(next) => self.get(next.as_str()),
                None if page
                    .field("user_code")
                    .is_some_and(|typed| typed.is_empty()) =>
                {
                    self.submit(&page, &[("user_code", user_code)])
                }
                None if page.has_form() => self.submit(&page, &answers(&page, login)),
                None => return page,
            };
        }
        panic!("it never ended, but came to {}", page.url);
    }

    /// All cookies.
    pub fn cookies(&self) -> &[Cookie] {
        &self.cookies
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut named = self.cookies.iter().filter(|cookie| cookie.name == name);
        named.next().map(|cookie| cookie.value.as_str())
    }

    /// Puts a cookie in, as if `host` had set it with this `Set-Cookie` line.
    pub fn put(&mut self, host: &str, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let mut path = "/".to_owned();
        let mut gone = false;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.to_ascii_lowercase().as_str() {
                "path" => value.clone_into(&mut path),
                "max-age" => gone = value.parse::<i64>().unwrap() <= 0,
                "expires" => gone = gone || value.contains(" 1970 "),
                _ => {}
            }
        }
        self.cookies
            .retain(|old| (&*old.host, &*old.path, &*old.name) != (host, &*path, name));
        if !gone {
            self.cookies.push(Cookie {
                host: host.to_owned(),
                path,
                name: name.to_owned(),
                value: value.to_owned(),
                line: line.to_owned(),
            });
        }
    }

    fn send(&mut self, method: &str, url: &Url, site: &str, form: Option<(&str, &str)>) -> Page {
        let host = url.host_str().unwrap();
        let mut client = Client::origin(&url.origin().ascii_serialization())
            .header("accept", "text/html,*/*;q=0.8")
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        let cookies = self.cookies.iter().filter(|cookie| {
            let below = url.path().strip_prefix(cookie.path.trim_end_matches('/'));
            cookie.host == host
                && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let cookies: Vec<_> = cookies
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        if !cookies.is_empty() {
            client = client.header("cookie", &cookies.join("; "));
        }
        if let Some((origin, _)) = form {
            client = client.header("origin", origin);
        }
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let kind = "application/x-www-form-urlencoded";
        let reply = client.send(
            method,
            target,
            form.map(|(_, body)| (kind, body.as_bytes())),
        );
        for line in reply.headers.get_all("set-cookie") {
            self.put(host, line.to_str().unwrap());
        }
        let url = url.clone();
        Page { url, reply }
    }
}

/// What a person fills in.
fn answers<'a>(page: &Page, login: &'a str) -> Vec<(&'a str, &'a str)> {
    match page.field("login") {
        Some(_) => vec![("login", login), ("password", "any")],
        None => vec![],
    }
}

impl Page {
    pub fn status(&self) -> u16 {
        self.reply.status
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.reply.body).into_owned()
    }

    /// The part that a person reads, for messages: from `<main>` on where there is one.
    pub fn words(&self) -> String {
        let text = self.text();
        text.split_once("<main>")
            .map_or(text.clone(), |(_, main)| main.to_owned())
    }

    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.reply.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Where it redirects to.
    pub fn location(&self) -> Option<Url> {
        let location = self.header("location");
        let there = (300..400).contains(&self.status()) && !location.is_empty();
        there.then(|| self.url.join(location).unwrap())
    }

    pub fn has_form(&self) -> bool {
        self.text().contains("<form")
    }

    /// The first form.
    #[track_caller]
    pub fn form(&self) -> Form {
        let text = self.text();
        let form = Regex::new(r"(?is)<form\b([^>]*)>(.*?)</form>").unwrap();
        let Some(found) = form.captures(&text) else {
            panic!("{} has no form, but says: {text}", self.url);
        };
        let input = Regex::new(r"(?is)<input\b([^>]*)>").unwrap();
        let fields = input.captures_iter(&found[2]).filter_map(|input| {
            let value = attribute(&input[1], "value").unwrap_or_default();
            Some((attribute(&input[1], "name")?, value))
        });
        let action = attribute(&found[1], "action").unwrap_or_default();
        Form {
            method: attribute(&found[1], "method")
                .map_or_else(|| "GET".to_owned(), |method| method.to_ascii_uppercase()),
            action: self.url.join(&action).unwrap(),
            fields: fields.collect(),
        }
    }

    /// The value of a field of the first form, if there is such a field.
    pub fn field(&self, name: &str) -> Option<String> {
        if !self.has_form() {
            return None;
        }
        let mut fields = self.form().fields.into_iter();
        fields
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }

    /// Where the link with this text leads.
    #[track_caller]
    pub fn link(&self, text: &str) -> Url {
        let page = self.text();
        let link = Regex::new(r"(?is)<a\b([^>]*)>(.*?)</a>").unwrap();
        let mut links = link.captures_iter(&page);
        let Some(found) = links.find(|link| link[2].trim() == text) else {
            panic!("{} has no link {text:?}: {page}", self.url);
        };
        let to = attribute(&found[1], "href").unwrap();
        self.url.join(&to).unwrap()
    }
}

/// An attribute's value, from the inside of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let pattern = format!(r#"(?is)(?:^|\s){name}\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#);
    let found = Regex::new(&pattern).unwrap().captures(tag)?;
    let value = (1..=3).find_map(|group| found.get(group))?.as_str();
    let plain = value
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&amp;", "&");
    Some(plain)
}
