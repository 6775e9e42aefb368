//! For how long an admin's word for a tool counts.
//!
//! It is judged when the tool is used, and not taken back where it is written: nothing that was written
//! late, or left behind by a kill, can count again. A private tool has one user, its maker, so that the
//! caller's own role decides. Their word counts in the term of office that they gave it in: who was an
//! admin, is none and becomes one again vouches anew by writing the tool anew. For a shared tool the
//! organisation stands, until an admin takes it back.

use super::hub::Tool;
use crate::id::UserId;
use crate::policy::Principal;

impl Tool {
    /// Whether the broker or an admin stands behind it.
    #[must_use]
    pub fn vouched(&self) -> bool {
        self.custom.is_none_or(|custom| custom.vouched)
    }

    /// Whether `user` may lend it a secret of their own, also one bound to a host: there its writer may
    /// have an account, and have the value written into it.
    #[must_use]
    pub fn trusted_by(&self, user: UserId) -> bool {
        self.custom
            .is_none_or(|custom| custom.vouched || custom.revealer == Some(user))
    }

    /// The tool as it is for `principal` now, whatever its record says.
    #[must_use]
    pub fn seen_by(mut self, principal: &Principal) -> Self {
        if let Some(custom) = &mut self.custom {
            let in_office = principal.is_admin() && custom.term == principal.term();
            custom.vouched &= custom.shared || in_office;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::id::{OrgId, UserId};
    use crate::name::ToolSlug;
    use crate::policy::{self, Permit, Principal, Scopes, ToolRef, Via, WriteTool};
    use crate::tools::{Hub, ToolSpec};
    use crate::vault::tests_rig::Rig;
    use crate::wire::Role;

    fn ann(role: Role, term: u64) -> Principal {
        let (org, user) = (OrgId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let (via, scopes) = (Via::Local { uid: 7 }, Arc::new(Scopes::all()));
        Principal::recognised(org, user, role, via, scopes).in_term(term)
    }

    fn slug() -> ToolSlug {
        ToolSlug::parse("custom-x").unwrap()
    }

    async fn write(rig: &Rig, hub: &Hub, principal: &Principal) {
        let found = hub.find(&rig.vault, principal, &slug()).await;
        let (slug, owner, shared) = (slug(), None, false);
        let new = ToolRef {
            slug,
            owner,
            shared,
        };
        let reference = found.map_or(new, |tool| tool.as_ref());
        let permit: Permit<WriteTool> = policy::check(principal, (reference, false)).unwrap();
        let spec = json!({
            "slug": "custom-x", "name": "X", "actionsJson": {},
            "credentialsJson": {"required": [], "schema": {}},
        });
        let spec = ToolSpec::from_custom_json(spec).unwrap();
        let recorded = rig.recorded().await;
        hub.write(&rig.vault, &permit, spec, &recorded)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_admins_word_counts_in_the_term_that_it_was_given_in() {
        let rig = Rig::new().await;
        rig.org(1).await;
        let hub = Hub::new().unwrap();
        let vouched = async |principal: &Principal| {
            let tool = hub.find(&rig.vault, principal, &slug()).await.unwrap();
            tool.vouched()
        };
        let (first, demoted) = (ann(Role::Admin, 0), ann(Role::Member, 1));
        write(&rig, &hub, &first).await;
        assert!(vouched(&first).await);
        assert!(!vouched(&demoted).await);
        // What was decided before the demotion, and written after it, counts no more than that.
        write(&rig, &hub, &first).await;
        let again = ann(Role::Admin, 2);
        assert!(!vouched(&again).await);
        write(&rig, &hub, &again).await;
        assert!(vouched(&again).await);
        assert!(!vouched(&first).await);
    }
}
