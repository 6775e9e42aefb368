//! The provider files of the peers: they load as an operator's own would.

use runtools_broker::oauth::provider::{Catalog, Provider, Reach};

use super::harness::oidc::provider_file;

#[test]
fn the_files_for_the_peers_load_when_a_provider_may_be_on_this_machine_and_not_otherwise() {
    for template in [
        "peer",
        "peer-post",
        "peer-native",
        "peer-discovery",
        "fault",
    ] {
        let text = provider_file(template, "some-id", 4321);
        let mut catalog = Catalog::default();
        let local = Reach::within(&["127.0.0.1/32".parse().unwrap()]);
        catalog
            .add("some-id.toml", &text, &local)
            .unwrap_or_else(|error| panic!("{template}: {error}"));
        let provider = catalog.iter().next().unwrap();
        assert_eq!(provider.id().as_str(), "some-id");
        assert!(provider.uses_pkce(), "{template}");
        Provider::read("some-id.toml", &text, &Reach::public()).unwrap_err();
    }
}
