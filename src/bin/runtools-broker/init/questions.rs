//! The questions, for a person at a terminal. What the settings file says already is the usual answer.

use std::net::SocketAddr;

use runtools_broker::client::{ClientError, Session};
use runtools_broker::config::{Config, Env, Flags, HardeningMode, merged};
use runtools_broker::daemon::init::{Answers, OrganizationAnswers, Plan, SlotAnswers};
use serde_json::{Value, json};

use super::{INSTEAD, failed};

/// Asks. Where there is something already, nobody is asked in vain.
pub(super) fn ask(flags: &Flags, env: &Env, session: &Session) -> Result<Answers, ClientError> {
    let usual = Plan::of(&Answers::default(), flags, env).map_err(|error| failed(&error))?;
    let config = usual.config();
    let questions = Questions(session);
    let organization = OrganizationAnswers {
        name: questions.line("organisation", "Default")?,
        admin: questions.line("its first admin", "Admin")?,
        email: questions.line("their e-mail address, or nothing", "")?,
        login: String::new(),
    };
    let settings = questions.listener(config)?;
    let slots = questions.slots(config)?;
    let settings = merged(settings, &questions.backups()?);
    let settings = merged(settings, &questions.hardening(config)?);
    Ok(Answers {
        user: String::new(),
        organization,
        slots,
        settings: toml::Table::try_from(settings).unwrap_or_default(),
    })
}

/// What is asked, and of whom.
struct Questions<'s>(&'s Session);

impl Questions<'_> {
    fn line(&self, question: &str, usual: &str) -> Result<String, ClientError> {
        self.0.prompts.line(question, usual, INSTEAD)
    }

    /// Asks until `read` can make something of the answer.
    fn until<T>(
        &self,
        question: &str,
        usual: &str,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ClientError> {
        loop {
            if let Some(answer) = read(&self.line(question, usual)?) {
                return Ok(answer);
            }
            self.0.out.note(format!("that is not {wanted}"));
        }
    }

    fn listener(&self, config: &Config) -> Result<Value, ClientError> {
        let usual: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
        let read = |text: &str| {
            let all: Result<Vec<SocketAddr>, _> =
                text.split(',').map(|it| it.trim().parse()).collect();
            all.ok()
        };
        let wanted = "an address with a port, as 127.0.0.1:8420";
        let listen = self.until("address to listen on", &usual.join(", "), wanted, read)?;
        let mut settings = json!({});
        if listen != config.listen {
            settings = json!({ "listen": listen });
        }
        if config.tls.cert.is_some() || listen.iter().all(|it| it.ip().to_canonical().is_loopback())
        {
            return Ok(settings);
        }
        let cert = self.line("certificate chain, a PEM file", "")?;
        let key = self.line("its private key, a PEM file", "")?;
        settings = merged(
            settings,
            &json!({ "tls": { "cert": full(&cert)?, "key": full(&key)? } }),
        );
        let url = self.line(
            "where browsers reach it, as https://broker.example.com, or nothing",
            "",
        )?;
        if !url.is_empty() {
            settings = merged(settings, &json!({ "oauth": { "public_url": url } }));
        }
        Ok(settings)
    }

    fn slots(&self, config: &Config) -> Result<SlotAnswers, ClientError> {
        let mut slots = SlotAnswers::default();
        let custody = &config.custody;
        let named: Vec<&str> = custody
            .exec
            .keys()
            .chain(custody.pkcs11.keys())
            .map(String::as_str)
            .collect();
        let mut words = vec!["key-file", "systemd-credential"];
        words.extend(&named);
        words.push("nobody");
        let start = self.choice("what unseals a start", &words)?;
        match &*start {
            "key-file" => slots.key_file = true,
            "systemd-credential" => {
                slots.credential = self.line("its name", runtools_broker::custody::CREDENTIAL)?;
            }
            name if custody.exec.contains_key(name) => slots.exec = vec![start.clone()],
            name if custody.pkcs11.contains_key(name) => slots.pkcs11 = vec![start.clone()],
            _ => {}
        }
        let mut words = vec!["passphrase", "shares"];
        if start != "nobody" {
            words.push("nobody");
        }
        match &*self.choice("who else unseals it", &words)? {
            "passphrase" => slots.passphrase = true,
            "shares" => {
                let number = |text: &str| text.parse().ok();
                slots.shares = self.until("how many shares", "5", "a number", number)?;
                slots.threshold = self.until("how many of them unseal", "3", "a number", number)?;
            }
            _ => {}
        }
        Ok(slots)
    }

    /// One of these words, the first of which is the usual one.
    fn choice(&self, question: &str, words: &[&str]) -> Result<String, ClientError> {
        let all = words.join(", ");
        let usual = words.first().copied().unwrap_or_default();
        let read = |text: &str| words.contains(&text).then(|| text.to_owned());
        let wanted = format!("one of {all}");
        self.until(&format!("{question} ({all})"), usual, &wanted, read)
    }

    fn backups(&self) -> Result<Value, ClientError> {
        let recipients = self.line("age recipients who may open backups, or nothing", "")?;
        if recipients.is_empty() {
            return Ok(json!({}));
        }
        let recipients: Vec<&str> = recipients
            .split([',', ' '])
            .filter(|it| !it.is_empty())
            .collect();
        let mut backup = json!({ "recipients": recipients });
        let to = self.line("the folder of a backup each day, or nothing", "")?;
        if !to.is_empty() {
            backup = merged(backup, &json!({ "to": full(&to)? }));
        }
        Ok(json!({ "backup": backup }))
    }

    fn hardening(&self, config: &Config) -> Result<Value, ClientError> {
        let mut words = ["best-effort", "require"];
        if config.hardening == HardeningMode::Require {
            words.reverse();
        }
        let question = "where the kernel cannot confine the broker";
        let chosen = self.choice(question, &words)?;
        Ok(if chosen == *words.first().unwrap_or(&"") {
            json!({})
        } else {
            json!({ "hardening": chosen })
        })
    }
}

/// A path as it is meant where it is typed.
fn full(path: &str) -> Result<std::path::PathBuf, ClientError> {
    std::path::absolute(path).map_err(|error| ClientError::file(path, &error))
}
