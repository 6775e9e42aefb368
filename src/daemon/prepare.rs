//! What is settled before there is a second thread: the settings are looked at, the folders made, and
//! everything else on the machine given up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DaemonError;
use super::connected::check;
use super::folders::{private, refuse_file};
use super::init::is_unfinished;
use super::parts::places;
use crate::config::{Config, CustodySettings, HardeningMode};
use crate::custody::{Attendant, Custodians, folder_among};
use crate::hardening::{AfreshError, Confined, Confinement, Reach, confine};
use crate::http::serve::refuse_plain;
use crate::vault::Places;

/// Settings that were looked at, and the folders they name.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    pub(super) confined: Confined,
    /// Who starts programs that hold keys, where a confined broker is not to.
    pub(super) attendant: Option<Arc<Attendant>>,
}

impl Prepared {
    /// Looks at the settings and makes the folders. A start that fails here leaves nothing behind.
    ///
    /// # Errors
    /// [`DaemonError`] says what is wrong and what to do.
    pub fn new(config: Config) -> Result<Self, DaemonError> {
        refuse_cleartext(&config)?;
        check(&config)?;
        refuse_unfinished(&config)?;
        data_and_keys(&config, &places(&config))?;
        for socket in sockets(&config) {
            if let Some(parent) = socket.parent().filter(|parent| !parent.exists()) {
                private(parent)?;
            }
        }
        Ok(Self {
            config,
            confined: Confined::default(),
            attendant: None,
        })
    }

    /// Gives up every file and port that the broker needs not. The process must have one thread. `afresh` is how its
    /// beginning went. `word` is the verb of the [attendant](crate::config::CustodySettings::attendant), who is started before.
    ///
    /// # Errors
    /// [`DaemonError::Inherited`] where the settings require that nothing is inherited;
    /// [`DaemonError::Unconfined`] where the settings require it and the kernel does not do it;
    /// [`DaemonError::IsRoot`] where root is to run it; [`DaemonError::OwnProgram`]; [`DaemonError::Attendant`].
    pub fn confine(
        &mut self,
        afresh: Result<(), AfreshError>,
        word: &str,
    ) -> Result<(), DaemonError> {
        afresh.or_else(|error| heed(error, self.config.hardening))?;
        if self.config.hardening == HardeningMode::Require && rustix::process::getuid().is_root() {
            return Err(DaemonError::IsRoot);
        }
        let reach = reach(&self.config);
        if self.config.custody.runs_programs() {
            let custody = &self.config.custody;
            refuse_own(custody, &reach)?;
            let started = custody.attendant(word);
            let attendant = started.map_err(|error| DaemonError::Attendant(error.kind()))?;
            self.attendant = Some(Arc::new(attendant));
        }
        self.confined = confine(&reach);
        insist(&self.confined, self.config.hardening)
    }

    /// Who may open the key ring without a person, and how they are asked.
    pub(super) fn custodians(&self) -> Custodians {
        let who = self.config.custodians();
        match &self.attendant {
            Some(attendant) => who.by(attendant),
            None => who,
        }
    }
}

/// Says what is still there that was inherited, and stops where it may not be.
fn heed(error: AfreshError, mode: HardeningMode) -> Result<(), DaemonError> {
    let (code, hint) = (error.code(), error.hint());
    tracing::warn!(code, error = %error, hint, "what it inherited is still there");
    if mode == HardeningMode::Require {
        return Err(DaemonError::Inherited(error));
    }
    Ok(())
}

/// Refuses a program that holds a key where the broker itself may write: whoever takes it over could put another in
/// its place, or lead a link there elsewhere, and have that one run.
fn refuse_own(custody: &CustodySettings, reach: &Reach) -> Result<(), DaemonError> {
    // A way that cannot be gone leads to nothing that is run.
    let is_own = |path: &&Path| matches!(folder_among(path, &reach.own), Ok(Some(_)));
    match custody.programs().find(is_own) {
        Some(path) => Err(DaemonError::OwnProgram(path.to_owned())),
        None => Ok(()),
    }
}

/// Says what the kernel did not do, and stops where it has to be done.
pub(super) fn insist(confined: &Confined, mode: HardeningMode) -> Result<(), DaemonError> {
    // Of the environment it was said before, and why.
    let others = |missing: &Confinement| *missing != Confinement::Environment;
    for missing in confined.missing().filter(others) {
        if mode == HardeningMode::Require && missing.is_required() {
            return Err(DaemonError::Unconfined(missing));
        }
        tracing::warn!(
            control = missing.label(),
            "not in force: the kernel does not do it"
        );
    }
    Ok(())
}

/// The two directories are there, and nobody else's.
pub(super) fn data_and_keys(config: &Config, places: &Places) -> Result<(), DaemonError> {
    // Said before anything is missed in it: a file is no empty folder.
    refuse_file(&config.data_dir)?;
    refuse_file(&config.keys_dir)?;
    places.refuse_gone()?;
    private(&config.data_dir)?;
    private(&config.keys_dir)
}

/// What an init did not end is nobody's installation yet.
pub(super) fn refuse_unfinished(config: &Config) -> Result<(), DaemonError> {
    if is_unfinished(&config.data_dir) {
        return Err(DaemonError::Unfinished(config.data_dir.clone()));
    }
    Ok(())
}

/// Cleartext stays on this machine.
fn refuse_cleartext(config: &Config) -> Result<(), DaemonError> {
    if config.tls_files().is_none() {
        for addr in &config.listen {
            refuse_plain(*addr)?;
        }
    }
    Ok(())
}

fn sockets(config: &Config) -> Vec<PathBuf> {
    let mut sockets = vec![config.api_socket()];
    if config.proxy.enabled {
        sockets.push(config.proxy_socket());
    }
    sockets
}

/// What the broker needs of the machine.
fn reach(config: &Config) -> Reach {
    let parent = |file: &Path| file.parent().map(Path::to_owned);
    // A folder that is not named is the one it runs in.
    let named = |folder: PathBuf| {
        if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        }
    };
    let own = [config.data_dir.clone(), config.keys_dir.clone()];
    let sockets = sockets(config);
    let own = own
        .into_iter()
        .chain(sockets.iter().filter_map(|it| parent(it)))
        .chain(
            config
                .store
                .external_anchor
                .iter()
                .filter_map(|it| parent(it)),
        )
        .chain(config.backup.to.clone());
    let tls = config
        .tls_files()
        .into_iter()
        .flat_map(|it| [it.cert, it.key]);
    let files = tls.chain(config.egress.extra_roots.iter().cloned());
    let read = files.filter_map(|file| parent(&file));
    let read = read.chain(config.oauth.providers_dir.clone());
    let read = read.chain(config.credentials_dir.clone());
    let mut ports: Vec<u16> = config
        .listen
        .iter()
        .map(std::net::SocketAddr::port)
        .collect();
    if config.proxy.enabled {
        ports.push(config.proxy.listen.port());
    }
    Reach {
        own: own.map(named).collect(),
        read: read.map(named).collect(),
        ports,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::refuse_own;
    use crate::config::{CustodySettings, ExecSettings};
    use crate::daemon::DaemonError;
    use crate::hardening::Reach;

    #[test]
    fn a_program_that_the_broker_could_write_is_refused_by_whichever_name() {
        let (own, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (inside, outside) = (own.path().join("holder"), others.path().join("holder"));
        fs::write(&inside, "").unwrap();
        fs::write(&outside, "").unwrap();
        let (from, into) = (own.path().join("link"), others.path().join("link"));
        symlink(&outside, &from).unwrap();
        symlink(&inside, &into).unwrap();
        let reach = Reach {
            own: vec![own.path().to_owned(), own.path().join("not there yet")],
            read: Vec::new(),
            ports: Vec::new(),
        };
        let judged = |program: &Path| {
            let mut custody = CustodySettings::default();
            let exec = ExecSettings {
                program: program.to_owned(),
                arguments: Vec::new(),
            };
            custody.exec.insert("holder".to_owned(), exec);
            refuse_own(&custody, &reach)
        };
        let missing = own.path().join("not there yet/holder");
        for refused in [&inside, &into, &from, &missing] {
            let error = judged(refused).unwrap_err();
            assert!(matches!(error, DaemonError::OwnProgram(_)), "{refused:?}");
        }
        judged(&outside).unwrap();
    }
}
