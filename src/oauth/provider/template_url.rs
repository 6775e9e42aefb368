//! The URL that a template writes: where each hole stands in it, and what that allows.
//!
//! A hole may be the origin (`{meta.instance_url}/path`), a whole host, one label of it or its end,
//! a piece of one path segment, or the value of a query member. It is never in a scheme, a port or
//! user information, and never the name of a query member.

use zeroize::Zeroizing;

use super::template::{Part, Place, QuerySecrets, Template, TemplateError};
use super::template_place::write_into;
use super::vars::Vars;
use crate::egress::Url;
use crate::name::Host;

/// A template, read as a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape<'t> {
    /// `https` or `http`; none when the first hole is a whole origin.
    pub(super) scheme: Option<&'static str>,
    /// The host, with the port where one is written; or the one hole that is an origin.
    pub(super) authority: Vec<Piece<'t>>,
    /// Each hole, and where it stands.
    pub(super) holes: Vec<(&'t str, Place)>,
}

/// A piece of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// The file's own text.
    Literal(&'t str),
    /// A name.
    Hole(&'t str),
}

const NO_URL: &str = "what comes out is no URL that may be used";

const fn wrong(reason: &'static str) -> TemplateError {
    TemplateError::Url { reason }
}

impl Template {
    /// Fills in a URL: each hole as the place where it stands needs it.
    ///
    /// # Errors
    /// [`TemplateError`]: a value is missing, is a secret in the wrong place, or may not stand there.
    pub fn render_url(
        &self,
        vars: &Vars<'_>,
        secrets: QuerySecrets,
    ) -> Result<Zeroizing<String>, TemplateError> {
        let shape = self.shape(secrets)?;
        let place = |hole| {
            shape
                .holes
                .get(hole)
                .map_or(Place::Host, |(_, place)| *place)
        };
        let url = self.fill(vars, place)?;
        // The query may hold a secret, and is left out of what is read a second time.
        let head = url.split_once('?').map_or(url.as_str(), |(head, _)| head);
        Url::parse(head).map_err(|_| wrong(NO_URL))?;
        Ok(url)
    }

    /// The host that its URL goes to.
    ///
    /// # Errors
    /// [`TemplateError`]: a value of the host is missing, or may not stand there.
    pub fn host(&self, vars: &Vars<'_>) -> Result<Host, TemplateError> {
        let shape = self.shape(QuerySecrets::Refused)?;
        let mut text = Zeroizing::new(String::new());
        if let Some(scheme) = shape.scheme {
            text.push_str(scheme);
            text.push_str("://");
        }
        let mut places = shape.holes.iter().map(|(_, place)| *place);
        for piece in &shape.authority {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Hole(name) => {
                    let value = vars.get(name).ok_or_else(|| missing(name))?;
                    let place = places.next().unwrap_or(Place::Host);
                    write_into(&mut text, name, value, place)?;
                }
            }
        }
        let url = Url::parse(&text).map_err(|_| wrong(NO_URL))?;
        Ok(url.host().clone())
    }

    /// The URL with something harmless in every hole, to see whether the rest of it is right.
    pub(super) fn sample(&self, secrets: QuerySecrets) -> Result<Url, TemplateError> {
        let shape = self.shape(secrets)?;
        let mut places = shape.holes.iter().map(|(_, place)| *place);
        let pieces = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Hole(_) => match places.next() {
                Some(Place::Origin) => "https://a.example",
                Some(Place::Host) => "a.example",
                _ => "a",
            },
        });
        Url::parse(&pieces.collect::<String>()).map_err(|_| wrong(NO_URL))
    }

    /// Where its holes stand.
    pub(super) fn shape(&self, secrets: QuerySecrets) -> Result<Shape<'_>, TemplateError> {
        let (mut reader, rest) = Reader::begin(&self.parts, secrets)?;
        for part in rest {
            match part {
                Part::Literal(text) => reader.literal(text)?,
                Part::Hole(name) => reader.hole(name)?,
            }
        }
        reader.end_authority()?;
        Ok(reader.shape)
    }
}

fn missing(name: &str) -> TemplateError {
    let name = name.into();
    TemplateError::Missing { name }
}

/// Reads the parts of a template from left to right.
struct Reader<'t> {
    shape: Shape<'t>,
    region: Region,
    secrets: QuerySecrets,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Region {
    Authority,
    /// Right behind a whole origin, where only a slash or a question mark may follow.
    Border,
    Path,
    QueryName,
    QueryValue,
}

impl<'t> Reader<'t> {
    /// Reads how the URL begins; gives the parts that follow.
    fn begin(
        parts: &'t [Part],
        secrets: QuerySecrets,
    ) -> Result<(Self, &'t [Part]), TemplateError> {
        let (first, rest) = parts.split_first().ok_or(wrong("a URL is not empty"))?;
        let mut reader = Self {
            shape: Shape {
                scheme: None,
                authority: Vec::new(),
                holes: Vec::new(),
            },
            region: Region::Authority,
            secrets,
        };
        match first {
            Part::Hole(name) => {
                reader.shape.authority.push(Piece::Hole(name));
                reader.shape.holes.push((name, Place::Origin));
                reader.region = Region::Border;
            }
            Part::Literal(text) => {
                let schemes = [("https://", "https"), ("http://", "http")];
                let found = schemes
                    .into_iter()
                    .find_map(|(prefix, scheme)| Some((scheme, text.strip_prefix(prefix)?)));
                let (scheme, text) = found.ok_or(wrong("a URL begins with https://"))?;
                reader.shape.scheme = Some(scheme);
                reader.literal(text)?;
            }
        }
        Ok((reader, rest))
    }

    fn literal(&mut self, text: &'t str) -> Result<(), TemplateError> {
        // In a path `@` is a letter like others: `/users/@me`.
        let host = match self.region {
            Region::Authority => text.split(['/', '?']).next().unwrap_or_default(),
            _ => "",
        };
        if text.contains(['#', '\\', '{', '}', ' ']) || host.contains('@') {
            return Err(wrong(
                "a URL has no fragment, user information, brace or space",
            ));
        }
        match self.region {
            Region::Authority => {
                let end = text.find(['/', '?']).unwrap_or(text.len());
                let (host, rest) = text.split_at_checked(end).unwrap_or((text, ""));
                if !host.is_empty() {
                    self.shape.authority.push(Piece::Literal(host));
                }
                if rest.is_empty() {
                    return Ok(());
                }
                self.end_authority()?;
                self.path(rest);
            }
            Region::Border if !text.starts_with(['/', '?']) => {
                return Err(wrong("behind an origin, a URL goes on with a slash"));
            }
            Region::Border | Region::Path => self.path(text),
            Region::QueryName | Region::QueryValue => self.query(text),
        }
        Ok(())
    }

    fn path(&mut self, text: &str) {
        self.region = Region::Path;
        if let Some((_, query)) = text.split_once('?') {
            self.region = Region::QueryName;
            self.query(query);
        }
    }

    fn query(&mut self, text: &str) {
        let member = text.rsplit_once('&').map(|(_, member)| member);
        if member.is_some() {
            self.region = Region::QueryName;
        }
        if member.unwrap_or(text).contains('=') {
            self.region = Region::QueryValue;
        }
    }

    fn hole(&mut self, name: &'t str) -> Result<(), TemplateError> {
        let place = match self.region {
            Region::Authority => {
                self.shape.authority.push(Piece::Hole(name));
                return Ok(());
            }
            Region::Border => return Err(wrong("behind an origin, a URL goes on with a slash")),
            Region::Path => Place::Path,
            Region::QueryName => return Err(wrong("in a query, names stand only in values")),
            Region::QueryValue => Place::Query(self.secrets),
        };
        self.shape.holes.push((name, place));
        Ok(())
    }

    /// Gives the holes of the host their places, now that all of it is known.
    fn end_authority(&mut self) -> Result<(), TemplateError> {
        if self.region != Region::Authority {
            return Ok(());
        }
        let pieces = self.shape.authority.clone();
        let mut before = None;
        for (index, piece) in pieces.iter().copied().enumerate() {
            let after = pieces.get(index.saturating_add(1)).copied();
            match (piece, before, after) {
                (Piece::Literal(_), ..) => {}
                (Piece::Hole(name), None, None) => self.shape.holes.push((name, Place::Host)),
                (Piece::Hole(name), Some(Piece::Literal(text)), None) if text.ends_with('.') => {
                    self.shape.holes.push((name, Place::HostSuffix));
                }
                (Piece::Hole(_), Some(Piece::Hole(_)), _)
                | (Piece::Hole(_), _, Some(Piece::Hole(_)) | None) => {
                    return Err(wrong("a name in a host stands between dots"));
                }
                (Piece::Hole(_), _, Some(Piece::Literal(text))) if text.starts_with(':') => {
                    return Err(wrong("a name stands in no host with a port"));
                }
                (Piece::Hole(name), ..) => self.shape.holes.push((name, Place::HostLabel)),
            }
            before = Some(piece);
        }
        if self.shape.authority.is_empty() {
            return Err(wrong("a URL has a host"));
        }
        self.region = Region::Path;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, QuerySecrets, Template};

    fn places(text: &str) -> Option<Vec<Place>> {
        let template = Template::parse(text).unwrap();
        let shape = template.shape(QuerySecrets::Refused).ok()?;
        Some(shape.holes.iter().map(|(_, place)| *place).collect())
    }

    #[test]
    fn every_hole_has_the_place_where_it_stands() {
        let query = Place::Query(QuerySecrets::Refused);
        for (text, expected) in [
            ("https://a.test/b?c=d", vec![]),
            ("https://{params.a}/", vec![Place::Host]),
            ("https://{params.a}", vec![Place::Host]),
            ("https://{params.a}.b.test/c", vec![Place::HostLabel]),
            ("https://app-{params.a}.b.test", vec![Place::HostLabel]),
            ("https://a.{params.a}.b.test", vec![Place::HostLabel]),
            ("https://a.b.{params.a}/c", vec![Place::HostSuffix]),
            ("{meta.a}/b", vec![Place::Origin]),
            ("{meta.a}?b={params.c}", vec![Place::Origin, query]),
            (
                "https://a.test/{params.a}/b-{params.b}.json",
                vec![Place::Path; 2],
            ),
            ("https://a.test/?a={params.a}&b=c{params.b}", vec![query; 2]),
            (
                "https://{params.a}.b.test/{params.a}?b={params.a}",
                vec![Place::HostLabel, Place::Path, query],
            ),
        ] {
            assert_eq!(places(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_hole_stands_in_no_other_place() {
        for text in [
            "",
            "a.test/{params.a}",
            "ftp://a.test/",
            "{params.a}://a.test",
            "{meta.a}b.test/",
            "{meta.a}{meta.b}",
            "{meta.a}:{params.a}/",
            "https://",
            "https:///a",
            "https://u@a.test/",
            "https://{params.a}@a.test/",
            "https://{params.a}{params.b}.a.test/",
            "https://{params.a}:443/",
            "https://a.test:{params.a}/",
            "https://a{params.a}/",
            "https://a.test/#{params.a}",
            "https://a.test/?{params.a}=b",
            "https://a.test/?a=b&{params.a}",
            "https://a.test/?a=b&c{params.a}=d",
            "https://a.test\\b/",
        ] {
            assert_eq!(places(text), None, "{text}");
        }
    }
}
