//! Names to addresses, as an argument.

use std::fmt;
use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// The name has no address, or nobody could say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name has no address")]
pub struct ResolveError;

/// Who knows the addresses of names.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// All addresses of `name`; `port` is for resolvers that need one. Asked once per dial.
    fn resolve<'a>(
        &'a self,
        name: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, port)).await;
            let found = found.map_err(|_| ResolveError)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ResolveError, Resolver, SystemResolver};

    #[tokio::test]
    async fn the_system_knows_its_own_name_and_says_when_there_is_none() {
        let local = SystemResolver.resolve("localhost", 1).await.unwrap();
        assert!(!local.is_empty() && local.iter().all(std::net::IpAddr::is_loopback));
        let none = SystemResolver.resolve("no-such-host.invalid", 1).await;
        assert_eq!(none, Err(ResolveError));
    }
}
