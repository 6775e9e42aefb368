//! `extends`: a file that builds on another one, and says only what is different.
//!
//! Tables are merged key by key, and everything else of the child stands in place of the parent's: there is
//! no way to take a single item out of a list, or a key away, so that what a child says can be read without
//! the rules of a language. It is one level deep. What is checked, and what is used, is the merged file:
//! nothing later knows that there were two.

use toml::{Table, Value};

use super::error::{Fault, ensure};

/// The key.
const KEY: &str = "extends";
/// What a file says of itself, whatever it builds on.
const OWN: [&str; 2] = ["id", "display_name"];

/// What it says of how sure it is: nobody says that for another file.
const LOOKED: [&str; 2] = ["status", "verified"];

/// The id of the file that this one builds on.
pub(super) fn parent_of(table: &Table) -> Option<&Value> {
    table.get(KEY)
}

/// The child with what it leaves to its parent, whose text `parent` finds by id.
pub(super) fn merged<'t>(
    mut child: Table,
    parent: impl FnOnce(&str) -> Option<&'t str>,
) -> Result<Table, Fault> {
    let Some(named) = parent_of(&child) else {
        return Ok(child);
    };
    let text = named.as_str().and_then(parent);
    let text = text.ok_or_else(|| Fault::new(KEY, "the id of a file that is there"))?;
    for key in OWN {
        ensure(
            child.contains_key(key),
            key,
            "a file says it of itself, also where it builds on another",
        )?;
    }
    let mut parent: Table = toml::from_str(text)
        .map_err(|_| Fault::new(KEY, "the file that it builds on cannot be read"))?;
    let root = parent_of(&parent).is_none();
    ensure(root, KEY, "what it builds on builds on nothing itself")?;
    // What somebody has seen of the parent says nothing of what is different here.
    for key in LOOKED {
        parent.remove(key);
    }
    merge(&mut parent, std::mem::take(&mut child));
    Ok(parent)
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_samples::{CODEX, GOOGLE, load};
    use super::super::{Catalog, Provider, ProviderError, Reach, Template};
    use crate::name::ProviderId;

    const DRIVE: &str = r#"
schema = 1
id = "drive"
display_name = "Drive"
extends = "google"
[authorize]
params = { access_type = "online", hd = "example.com" }
[scopes]
default = ["openid", "https://www.googleapis.com/auth/drive.file"]
"#;

    fn catalog(files: &[(&str, &str)]) -> Result<Catalog, ProviderError> {
        let mut catalog = Catalog::default();
        catalog.add_all(files, &Reach::public())?;
        Ok(catalog)
    }

    fn fault(files: &[(&str, &str)]) -> String {
        catalog(files).unwrap_err().to_string()
    }

    fn get<'c>(catalog: &'c Catalog, id: &str) -> &'c Provider {
        catalog.get(&ProviderId::parse(id).unwrap()).unwrap()
    }

    #[test]
    fn a_child_is_its_parent_but_for_what_it_says() {
        let looked = GOOGLE.replace("schema = 1", "schema = 1\nverified = \"2026-11-23 O\"");
        let files = [("drive.toml", DRIVE), ("google.toml", looked.as_str())];
        let catalog = catalog(&files).unwrap();
        let (drive, google) = (
            get(&catalog, "drive").spec(),
            get(&catalog, "google").spec(),
        );
        assert_eq!(drive.display_name, "Drive");
        // Whoever looked at the parent's facts did not look at these.
        assert!(google.verified.is_some() && drive.verified.is_none());
        assert_eq!(drive.extends.as_deref(), Some("google"));
        let page = drive.authorize.as_ref().unwrap();
        let of = |name: &str| page.params.get(name).map(Template::as_str);
        assert_eq!(of("access_type"), Some("online"));
        assert_eq!(of("include_granted_scopes"), Some("true"));
        assert_eq!(of("hd"), Some("example.com"));
        assert_eq!(page.url, google.authorize.as_ref().unwrap().url);
        // A list is the child's or the parent's, and never of both.
        assert_eq!(drive.scopes.default.len(), 2);
        assert_eq!(drive.scopes.available.len(), 1);
        assert_eq!(drive.revoke.len(), google.revoke.len());
        assert_eq!(google.scopes.default.len(), 3, "the parent is as it was");
    }

    #[test]
    fn what_is_merged_is_checked_as_a_whole() {
        let open = DRIVE.replace(
            "[scopes]",
            "[token]\nurl = \"http://evil.example\"\n[scopes]",
        );
        let files = [("google.toml", GOOGLE), ("drive.toml", open.as_str())];
        assert_eq!(fault(&files), "drive.toml: token.url: a URL is https");
        let unknown = DRIVE.replace("[scopes]", "[scopes]\nall = true");
        let files = [("google.toml", GOOGLE), ("drive.toml", unknown.as_str())];
        assert!(fault(&files).contains("unknown field `all`"));
    }

    #[test]
    fn a_file_builds_on_one_that_is_there_and_builds_on_nothing() {
        let deep = DRIVE.replace("\"drive\"", "\"deep\"");
        let deep = deep.replace("\"google\"", "\"drive\"");
        let files = [
            ("google.toml", GOOGLE),
            ("drive.toml", DRIVE),
            ("deep.toml", deep.as_str()),
        ];
        let level = "what it builds on builds on nothing itself";
        assert_eq!(fault(&files), format!("deep.toml: extends: {level}"));
        let own = DRIVE.replace("\"google\"", "\"drive\"");
        let alone = [("drive.toml", own.as_str())];
        assert_eq!(fault(&alone), format!("drive.toml: extends: {level}"));
        let there = "drive.toml: extends: the id of a file that is there";
        assert_eq!(fault(&[("drive.toml", DRIVE)]), there);
        assert_eq!(load(DRIVE).unwrap_err().to_string(), there);
        let nameless = DRIVE.replace("display_name = \"Drive\"\n", "");
        let files = [("google.toml", GOOGLE), ("drive.toml", nameless.as_str())];
        assert!(fault(&files).starts_with("drive.toml: display_name: "));
    }

    #[test]
    fn a_parent_of_the_operators_own_comes_before_a_shipped_one() {
        let mut catalog = Catalog::shipped().unwrap();
        let own = GOOGLE.replace("display_name = \"Google\"", "display_name = \"Ours\"");
        let own = own.replace("client_auth = \"post\"", "client_auth = \"basic\"");
        let files = [("drive.toml", DRIVE), ("google.toml", own.as_str())];
        catalog.add_all(&files, &Reach::public()).unwrap();
        let token = |id: &str| get(&catalog, id).spec().token.as_ref().unwrap().client_auth;
        assert_eq!(token("drive"), token("google"));
        let mut shipped = Catalog::shipped().unwrap();
        shipped.add("drive.toml", DRIVE, &Reach::public()).unwrap();
        let page = get(&shipped, "drive").spec().authorize.as_ref().unwrap();
        assert!(
            page.params.contains_key("prompt"),
            "it is the shipped one's"
        );
    }

    #[test]
    fn v4_files_that_build_on_one_are_one_provider_upstream() {
        let catalog = Catalog::shipped().unwrap();
        let family = |id: &str| {
            let family = catalog.family(&ProviderId::parse(id).unwrap());
            let ids = family.iter().map(ProviderId::as_str);
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        let google = ["google", "google-calendar", "google-drive"];
        for id in google {
            assert_eq!(family(id), google);
        }
        assert_eq!(family("confluence"), ["atlassian", "confluence"]);
        assert_eq!(family("github"), ["github"]);
        assert_eq!(family("gone"), ["gone"]);
    }

    #[test]
    fn the_issuer_is_written_where_a_parent_names_it() {
        let child = "schema = 1\nid = \"other\"\ndisplay_name = \"Other\"\nextends = \"openai-codex\"\nissuer = \"https://login.example.com\"\n";
        let files = [("other.toml", child), ("openai-codex.toml", CODEX)];
        let catalog = catalog(&files).unwrap();
        let device = get(&catalog, "other").spec().device.as_ref().unwrap();
        let url = device.url.as_ref().unwrap().as_str();
        assert_eq!(
            url,
            "https://login.example.com/api/accounts/deviceauth/usercode"
        );
    }
}
