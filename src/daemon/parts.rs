//! Parts of a broker that are made of nothing but other parts, and of settings.

use std::sync::Arc;

use crate::broker::Judge;
use crate::config::Config;
use crate::directory::Directory;
use crate::http::{Rate, RateRules};
use crate::oauth::Accounts;
use crate::tools::Hub;
use crate::vault::{Lifecycle, Places};

/// Who knows callers, tools and accounts as they are when they are asked.
pub(super) fn judge(
    directory: &Arc<Directory>,
    hub: &Arc<Hub>,
    accounts: &Arc<Accounts>,
    lifecycle: &Arc<Lifecycle>,
) -> Judge {
    Judge {
        directory: Arc::clone(directory),
        hub: Arc::clone(hub),
        accounts: Arc::clone(accounts),
        lifecycle: Arc::clone(lifecycle),
    }
}

/// What callers may take.
pub(super) fn rate_rules(config: &Config) -> RateRules {
    let rate = &config.rate;
    let minutes = i64::try_from(config.auth.lockout_minutes).unwrap_or(15);
    RateRules {
        principal: Rate {
            per_second: rate.per_principal_per_second,
            burst: rate.per_principal_burst,
        },
        source: Rate {
            per_second: rate.per_source_per_second,
            burst: rate.per_source_burst,
        },
        lockout_failures: config.auth.lockout_failures,
        lockout_millis: minutes * 60_000,
    }
}

/// Where everything is that is kept.
pub(super) fn places(config: &Config) -> Places {
    Places {
        data: config.data_dir.clone(),
        keys: config.keys_dir.clone(),
        external_anchor: config.store.external_anchor.clone(),
    }
}
