//! Who may do what: principal + action + object → [`Permit`].
//!
//! A [`Principal`] is a caller whose credential was checked. Each action is a type: it names the scope
//! a key must have, the object it acts on, and the rule. [`check`] is the only maker of a
//! [`Permit`], and everything that touches data takes one, so that a forgotten check does not
//! compile. The object stands inside the permit: what was decided on is what is acted on.
//!
//! "Not yours" and "not there" are the same answer: [`Denied::NotFound`].

mod action;
mod principal;
mod scope;

pub use action::*;
pub use principal::{Principal, Via};
pub use scope::{Scope, ScopeError, Scopes};

/// Why an action is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The API key lacks this scope.
    #[error("this API key lacks the scope {0}")]
    Scope(&'static str),
    /// No service may, for whomever it acts.
    #[error("a service uses credentials for others, and does nothing else for them")]
    Service,
    /// Only an admin of the organisation may.
    #[error("only an admin of the organisation may do this")]
    AdminOnly,
    /// Only the operator of the installation may, over the Unix socket.
    #[error("only the operator of this installation may do this, over its Unix socket")]
    OperatorOnly,
    /// The organisation's policy forbids it.
    #[error("the organisation's policy does not allow this")]
    OrgPolicy,
    /// A key cannot hand out scopes that it does not have itself.
    #[error("an API key cannot grant scopes that it does not have itself")]
    Escalation,
    /// It is somebody else's, or does not exist.
    #[error("not found")]
    NotFound,
}

/// Something a caller may want to do.
pub trait Action {
    /// What it acts on.
    type Object;
    /// The scope that an API key needs for it.
    const SCOPE: &'static str;
    /// Its name, for audit and metrics.
    const NAME: &'static str;

    /// The rule, beyond the scope.
    ///
    /// # Errors
    /// Why it is not allowed.
    fn rule(principal: &Principal, object: &Self::Object) -> Result<(), Denied>;
}

/// Proof that `principal` may do `A` to the object inside.
#[derive(Debug)]
pub struct Permit<A: Action> {
    principal: Principal,
    object: A::Object,
}

impl<A: Action> Permit<A> {
    /// Who may.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What they may do it to.
    #[must_use]
    pub const fn object(&self) -> &A::Object {
        &self.object
    }

    /// Decides again, upon the same object, for the same caller as they are recognised `now`.
    ///
    /// # Errors
    /// Why the action is not allowed any more.
    pub fn still_holds(&self, now: &Principal) -> Result<(), Denied> {
        check_scope::<A>(now)?;
        A::rule(now, &self.object)
    }
}

/// Asks for the scope alone, before the object is looked for.
///
/// # Errors
/// [`Denied::Scope`], [`Denied::Service`].
pub fn check_scope<A: Action>(principal: &Principal) -> Result<(), Denied> {
    if principal.scopes().allow(A::SCOPE) {
        return Ok(());
    }
    let service = principal.service().is_some();
    if service && !Scopes::of_services().allow(A::SCOPE) {
        return Err(Denied::Service);
    }
    Err(Denied::Scope(A::SCOPE))
}

/// Decides. The scope is asked first: a key without it learns nothing about the object.
///
/// # Errors
/// Why the action is not allowed.
pub fn check<A: Action>(principal: &Principal, object: A::Object) -> Result<Permit<A>, Denied> {
    check_scope::<A>(principal)?;
    A::rule(principal, &object)?;
    Ok(Permit {
        principal: principal.clone(),
        object,
    })
}
