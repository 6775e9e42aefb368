//! What is written into a place stays in it.

use proptest::prelude::*;

use super::{Place, QuerySecrets, Template, TemplateError, Vars};
use crate::secret::Secret;

const REFUSED: QuerySecrets = QuerySecrets::Refused;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

#[test]
fn a_template_shows_its_names_in_order() {
    let holes = template("https://{params.shop}.x.com/{meta.a}?b={client_id}");
    let names: Vec<_> = holes.names().collect();
    assert_eq!(names, ["params.shop", "meta.a", "client_id"]);
    assert_eq!(holes.to_string(), holes.as_str());
}

#[test]
fn a_brace_before_anything_but_a_letter_is_itself() {
    let json = template(r#"{"setup":{},"id":"{client_id}","n":{1}}"#);
    let vars = Vars::new().text("client_id", "x");
    let written = json.render(&vars, Place::Body).unwrap();
    assert_eq!(*written, r#"{"setup":{},"id":"x","n":{1}}"#);
}

#[test]
fn other_names_are_refused() {
    for (text, error) in [
        ("{secret}", TemplateError::Name),
        ("{params}", TemplateError::Name),
        ("{params.}", TemplateError::Name),
        ("{params.a.b}", TemplateError::Name),
        ("{params.1}", TemplateError::Name),
        ("{meta.a b}", TemplateError::Name),
        ("{env.HOME}", TemplateError::Name),
        ("{client_id{client_id}", TemplateError::Name),
        ("{client_id", TemplateError::Open),
        ("a\nb", TemplateError::Text),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
    assert_eq!(Template::parse(&"a".repeat(4097)), Err(TemplateError::Text));
}

#[test]
fn values_are_encoded_where_the_place_needs_it() {
    let value = "a b&c=d+é?";
    let vars = Vars::new().text("params.v", value);
    let hole = template("x{params.v}y");
    let render = |place| hole.render(&vars, place).map(|text| text.to_string());
    let encoded = "xa%20b%26c%3Dd%2B%C3%A9%3Fy";
    assert_eq!(render(Place::Path).unwrap(), encoded);
    assert_eq!(render(Place::Query(REFUSED)).unwrap(), encoded);
    assert_eq!(render(Place::Body).unwrap(), format!("x{value}y"));
    let name = "params.v".into();
    let place = Place::Header;
    assert_eq!(render(place), Err(TemplateError::Value { name, place }));
    let missing = hole.render(&Vars::new(), Place::Body);
    let name = "params.v".into();
    assert_eq!(missing, Err(TemplateError::Missing { name }));
}

#[test]
fn secrets_stand_only_where_nobody_logs() {
    let token = Secret::copy_of(b"t/0k en");
    let hidden = Vars::new()
        .secret("access_token", &token)
        .secret("params.x", &token);
    let open = Vars::new().text("access_token", "t/0k en");
    for (vars, name) in [
        (&hidden, "access_token"),
        (&hidden, "params.x"),
        (&open, "access_token"),
    ] {
        let hole = template(&format!("{{{name}}}"));
        for place in [
            Place::Origin,
            Place::Host,
            Place::HostSuffix,
            Place::HostLabel,
            Place::Path,
            Place::Query(REFUSED),
        ] {
            let name = name.into();
            let refused = hole.render(vars, place);
            assert_eq!(refused, Err(TemplateError::Secret { name, place }));
        }
        for (place, written) in [
            (Place::Header, "t/0k en"),
            (Place::Body, "t/0k en"),
            (Place::Query(QuerySecrets::Allowed), "t%2F0k%20en"),
        ] {
            assert_eq!(*hole.render(vars, place).unwrap(), written);
        }
        let url = template(&format!("https://a.test/?t={{{name}}}"));
        assert!(url.render_url(vars, REFUSED).is_err());
        let url = url.render_url(vars, QuerySecrets::Allowed).unwrap();
        assert_eq!(*url, "https://a.test/?t=t%2F0k%20en");
    }
    assert!(!format!("{hidden:?}{open:?}").contains("t/0k"));
    let bytes = Secret::copy_of(&[0xff, 0xfe]);
    let vars = Vars::new().secret("access_token", &bytes);
    let broken = template("{access_token}").render(&vars, Place::Body);
    assert!(matches!(broken, Err(TemplateError::Value { .. })));
}

#[test]
fn control_characters_stand_nowhere() {
    for value in ["a\r\nX: y", "\0", "a\u{7f}", "\u{85}", "\t"] {
        let secret = Secret::copy_of(value.as_bytes());
        let vars = Vars::new()
            .secret("access_token", &secret)
            .text("params.v", value);
        for hole in ["{access_token}", "{params.v}"] {
            for place in [
                Place::Header,
                Place::Body,
                Place::Query(QuerySecrets::Allowed),
            ] {
                let written = template(hole).render(&vars, place);
                assert!(
                    matches!(written, Err(TemplateError::Value { .. })),
                    "{value:?}"
                );
            }
        }
    }
}

/// A URL's parts as another parser reads them: scheme, host, port, segments, names of members.
fn parts(url: &str) -> (String, String, Option<u16>, usize, Vec<String>) {
    let url = url::Url::parse(url).unwrap();
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let names = url.query_pairs().map(|(name, _)| name.into_owned());
    (
        url.scheme().to_owned(),
        url.host_str().unwrap().to_owned(),
        url.port(),
        url.path_segments().unwrap().count(),
        names.collect(),
    )
}

/// Any text, and texts made of what separates the parts of a URL.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9./:@?#&=%;+\\\\ -]{0,12}",
        "\\PC{0,12}",
        any::<String>()
    ]
}

proptest! {
    #[test]
    fn no_value_moves_anything_around_it(
        label in hostile(), segment in hostile(), value in hostile(), part in hostile(),
    ) {
        let text = "https://{params.l}.good.test/a/{params.s}/b-{params.p}.json?c={params.v}&d=e{params.v}";
        let vars = Vars::new()
            .text("params.l", &label)
            .text("params.s", &segment)
            .text("params.p", &part)
            .text("params.v", &value);
        if let Ok(url) = template(text).render_url(&vars, REFUSED) {
            let (scheme, host, port, segments, names) = parts(&url);
            prop_assert_eq!(scheme, "https");
            prop_assert_eq!(host, format!("{label}.good.test"));
            prop_assert!(!label.contains('.'));
            prop_assert_eq!((port, segments), (None, 3));
            prop_assert_eq!(names, ["c", "d"]);
            let read = url::Url::parse(&url).unwrap();
            let members: Vec<_> = read.query_pairs().map(|(_, value)| value.into_owned()).collect();
            prop_assert_eq!(members, [value.clone(), format!("e{value}")]);
        }
    }

    #[test]
    fn good_values_are_written(label in "[a-z][a-z0-9]{0,8}", segment in "[a-zA-Z0-9 é&=+?#@:-]{1,8}") {
        let vars = Vars::new().text("params.l", &label).text("params.s", &segment);
        let url = template("https://{params.l}.good.test/{params.s}?v={params.s}");
        let url = url.render_url(&vars, REFUSED);
        prop_assert!(url.is_ok(), "{:?}", url);
    }

    #[test]
    fn a_whole_host_is_one_and_nothing_more(host in hostile()) {
        let vars = Vars::new().text("params.h", &host);
        if let Ok(url) = template("https://{params.h}/a").render_url(&vars, REFUSED) {
            let (_, read, port, segments, names) = parts(&url);
            prop_assert_eq!((read, port, segments, names.len()), (host, None, 1, 0));
        }
    }

    #[test]
    fn an_origin_is_one_and_nothing_more(
        origin in prop_oneof!["https://[a-z0-9./:@?#&=%\\\\-]{0,12}", any::<String>()],
    ) {
        let vars = Vars::new().text("meta.o", &origin);
        if let Ok(url) = template("{meta.o}/a?b=c").render_url(&vars, REFUSED) {
            let (scheme, host, port, segments, names) = parts(&url);
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            prop_assert_eq!(format!("{scheme}://{host}{port}"), origin);
            prop_assert_eq!((segments, names), (1, vec!["b".to_owned()]));
        }
    }

    #[test]
    fn parsing_never_panics_and_keeps_every_byte(text in "[a-z.{}_]{0,24}|\\PC{0,24}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(template.as_str(), &text);
            let shown: String = template.names().map(|name| format!("{{{name}}}")).collect();
            prop_assert!(shown.len() <= text.len());
        }
    }

    #[test]
    fn a_header_is_one_line(value in any::<String>()) {
        let vars = Vars::new().text("params.v", &value);
        if let Ok(written) = template("Bearer {params.v}").render(&vars, Place::Header) {
            prop_assert!(written.bytes().all(|b| matches!(b, b' '..=b'~')));
        }
    }
}
