//! What a serving process gave up, and whether the kernel saw to it.

/// One thing that only the serving process gives up: a command line has to reach its user's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confinement {
    /// Files outside its own folders and those it reads (Landlock, Linux 5.13).
    Files,
    /// Listening on other TCP ports (Landlock, Linux 6.7).
    Ports,
    /// Signals to other processes, and their abstract sockets (Landlock, Linux 6.12).
    Signals,
    /// System calls that serving needs not, running a program first of all (seccomp).
    Calls,
}

impl Confinement {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Files, Self::Ports, Self::Signals, Self::Calls];

    /// Its name in reports, logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Files => "landlock_files",
            Self::Ports => "landlock_ports",
            Self::Signals => "landlock_signals",
            Self::Calls => "seccomp",
        }
    }

    /// Whether a broker that is to be confined does not start without it. The other two are younger than
    /// the kernel of the oldest system that is served, Debian 12's 6.1.
    #[must_use]
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Files | Self::Calls)
    }
}

impl std::fmt::Display for Confinement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// What was tried so far, and whether the kernel saw to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confined(Vec<(Confinement, bool)>);

impl Confined {
    /// Notes how a try ended.
    pub fn note(&mut self, what: Confinement, in_force: bool) {
        self.0.push((what, in_force));
    }

    /// Whether `what` is in force.
    #[must_use]
    pub fn holds(&self, what: Confinement) -> bool {
        self.0.contains(&(what, true))
    }

    /// What was tried in vain.
    pub fn missing(&self) -> impl Iterator<Item = Confinement> + '_ {
        let failed = self.0.iter().filter(|(_, in_force)| !in_force);
        failed.map(|(what, _)| *what)
    }

    /// Each by its label, for metrics: what was not tried is not in force.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        Confinement::ALL
            .map(|what| (what.label(), self.holds(what)))
            .into_iter()
    }
}
