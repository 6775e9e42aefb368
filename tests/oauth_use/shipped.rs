//! The shipped tools and the shipped providers fit together.

use std::collections::{BTreeMap, BTreeSet};

use runtools_broker::name::HostPattern;
use runtools_broker::oauth::provider::Catalog as Providers;
use runtools_broker::tools::{Catalog as Tools, HostSource, Slot};

/// The shipped tools whose service has a provider file, and its id.
const CONNECTED: [(&str, &str); 9] = [
    ("github", "github"),
    ("gitlab", "gitlab"),
    ("gmail", "google"),
    ("google-calendar", "google-calendar"),
    ("google-drive", "google-drive"),
    ("jira", "atlassian"),
    ("linear", "linear"),
    ("notion", "notion"),
    ("slack", "slack"),
];

#[test]
fn each_shipped_tool_whose_service_has_a_provider_takes_a_connected_account() {
    let tools = Tools::embedded().unwrap();
    let connected: BTreeMap<_, _> = tools
        .all()
        .filter_map(|tool| {
            let oauth = tool.credentials.oauth.as_ref()?;
            Some((tool.slug.to_string(), oauth.provider.to_string()))
        })
        .collect();
    let wanted = CONNECTED.map(|(tool, provider)| (tool.to_owned(), provider.to_owned()));
    assert_eq!(connected, BTreeMap::from(wanted));
}

#[test]
fn t11_each_tool_that_takes_an_account_may_send_its_token_to_all_its_hosts_in_a_header() {
    let (tools, providers) = (Tools::embedded().unwrap(), Providers::shipped().unwrap());
    for tool in tools.all() {
        let Some(oauth) = &tool.credentials.oauth else {
            continue;
        };
        let slug = &tool.slug;
        let provider = providers.get(&oauth.provider);
        let provider = provider.unwrap_or_else(|| panic!("{slug}: no {}", oauth.provider));
        let scopes = &provider.spec().scopes;
        let offered: BTreeSet<&String> = scopes
            .default
            .iter()
            .chain(scopes.available.iter().map(|available| &available.scope))
            .collect();
        for scope in &oauth.scopes {
            assert!(offered.contains(scope), "{slug}: nobody can grant {scope}");
        }
        let bound = provider.bind(&BTreeMap::new(), &[]).unwrap();
        let api = provider.api_hosts(&bound).unwrap();
        let mut placed = 0;
        for (field, binding) in oauth
            .credential_mapping
            .keys()
            .flat_map(|field| tool.bindings.iter().map(move |binding| (field, binding)))
        {
            let Some(slots) = binding.slots.get(field) else {
                continue;
            };
            placed += 1;
            assert!(
                matches!(slots.first(), Some(Slot::Header { .. })),
                "{slug}: a token goes into a header"
            );
            let HostSource::Listed(hosts) = &binding.hosts else {
                panic!("{slug}: a token needs hosts");
            };
            for host in hosts {
                assert!(
                    api.iter().any(|api| covers(api, host)),
                    "{slug}: {host} is none of {api:?}"
                );
            }
        }
        assert!(placed > 0, "{slug}: its mapping places nothing");
    }
}

fn covers(api: &HostPattern, host: &HostPattern) -> bool {
    match host {
        HostPattern::Exact(host) => api.matches(host),
        HostPattern::OneLabel(_) => api == host,
    }
}
