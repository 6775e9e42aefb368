//! Variables as the lines by which a shell sets them.
//!
//! A value is whatever it is: it may hold quotes, dollars and line breaks, and stays one word. Each shell
//! has a quotation in which nothing but its own end means anything; that one is used.

use super::proxied::Variable;
use crate::name::VariableName;

/// A shell to write for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    /// `sh`, and all that read the same: bash, zsh, dash, ksh.
    #[default]
    Sh,
    /// `fish`.
    Fish,
    /// `PowerShell`.
    Powershell,
}

impl Shell {
    /// The lines that take `empty` away and set `variables`, a comment before those of one purpose.
    #[must_use]
    pub fn lines(self, variables: &[Variable], empty: &[VariableName]) -> String {
        let mut text = String::new();
        if !empty.is_empty() {
            text.push_str(
                "\n# credentials of the tool that nothing fills: yours are not for programs\n",
            );
        }
        for name in empty {
            text.push_str(&match self {
                Self::Sh => format!("unset {name}\n"),
                Self::Fish => format!("set -e {name}\n"),
                Self::Powershell => format!("Remove-Item Env:{name} -ErrorAction Ignore\n"),
            });
        }
        let mut purpose = "";
        for variable in variables {
            if variable.purpose != purpose {
                purpose = variable.purpose;
                text.extend(["\n# ", purpose, "\n"]);
            }
            let (name, value) = (&*variable.name, self.quoted(&variable.value));
            text.push_str(&match self {
                Self::Sh => format!("export {name}={value}\n"),
                Self::Fish => format!("set -gx {name} {value}\n"),
                Self::Powershell => format!("$env:{name} = {value}\n"),
            });
        }
        text
    }

    /// How its output is taken in: `command` as an argument of the shell's own words.
    #[must_use]
    pub fn taken_in(self, command: &str) -> String {
        match self {
            Self::Sh => format!("eval \"$({command})\""),
            Self::Fish => format!("{command} | source"),
            Self::Powershell => format!("{command} | Out-String | Invoke-Expression"),
        }
    }

    /// `value` as one word.
    #[must_use]
    pub fn quoted(self, value: &str) -> String {
        let mut text = String::from("'");
        for letter in value.chars() {
            match (self, letter) {
                (Self::Sh, '\'') => text.push_str("'\\''"),
                (Self::Fish, '\'' | '\\') => text.extend(['\\', letter]),
                // PowerShell takes four other characters for the same quotation mark.
                (Self::Powershell, '\'' | '\u{2018}'..='\u{201b}') => text.extend([letter, letter]),
                _ => text.push(letter),
            }
        }
        text.push('\'');
        text
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::Shell;
    use crate::client::proxied::Variable;
    use crate::name::VariableName;

    fn one(value: &str) -> [Variable; 1] {
        [Variable::new("A_KEY", value, "for a test")]
    }

    /// What `sh` has in the variable after it read the lines.
    fn read_by_sh(value: &str) -> String {
        let script = format!("{}printf %s \"$A_KEY\"", Shell::Sh.lines(&one(value), &[]));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Reads a quotation as its manual says, and gives what comes after it.
    fn read_back(text: &str, shell: Shell) -> Option<(String, String)> {
        let mut letters = text.strip_prefix('\'')?.chars().peekable();
        let mut value = String::new();
        loop {
            let letter = letters.next()?;
            let ends = match shell {
                Shell::Fish if letter == '\\' => {
                    let next = letters.next()?;
                    if next != '\'' && next != '\\' {
                        value.push('\\');
                    }
                    value.push(next);
                    continue;
                }
                Shell::Powershell => matches!(letter, '\'' | '\u{2018}'..='\u{201b}'),
                Shell::Sh | Shell::Fish => letter == '\'',
            };
            if !ends {
                value.push(letter);
            } else if shell == Shell::Powershell && letters.peek() == Some(&letter) {
                letters.next();
                value.push(letter);
            } else {
                return Some((value, letters.collect()));
            }
        }
    }

    #[test]
    fn a_shell_forgets_what_nothing_fills() {
        let name = [VariableName::parse("A_KEY").unwrap()];
        let lines = Shell::Sh.lines(&[], &name);
        let script = format!("A_KEY=canary\nexport A_KEY\n{lines}printf %s \"${{A_KEY-gone}}\"");
        let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert_eq!(output.stdout, b"gone");
        assert!(Shell::Fish.lines(&[], &name).contains("\nset -e A_KEY\n"));
        let lines = Shell::Powershell.lines(&[], &name);
        assert!(lines.contains("\nRemove-Item Env:A_KEY -ErrorAction Ignore\n"));
    }

    #[test]
    fn a_shell_sets_what_it_is_told_under_a_comment() {
        let lines = |shell: Shell| shell.lines(&one("it's"), &[]);
        assert_eq!(
            lines(Shell::Sh),
            "\n# for a test\nexport A_KEY='it'\\''s'\n"
        );
        assert_eq!(
            lines(Shell::Fish),
            "\n# for a test\nset -gx A_KEY 'it\\'s'\n"
        );
        assert_eq!(
            lines(Shell::Powershell),
            "\n# for a test\n$env:A_KEY = 'it''s'\n"
        );
    }

    #[test]
    fn what_a_shell_would_run_is_text() {
        for value in [
            "",
            "$(touch x)",
            "`id`",
            "a\nb; exit 1",
            "\\",
            "'; exit 1; '",
            "-n",
            "ä",
        ] {
            assert_eq!(read_by_sh(value), value);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sh_reads_every_value_back(value in "[^\0]{0,40}") {
            prop_assert_eq!(read_by_sh(&value), value);
        }
    }

    proptest! {
        #[test]
        fn every_value_is_one_word(value in "(['\\\\\u{2018}-\u{201b}\n$` ;#]|[^\0]){0,40}") {
            for shell in [Shell::Fish, Shell::Powershell] {
                let (back, rest) = read_back(&shell.quoted(&value), shell).unwrap();
                prop_assert_eq!(&back, &value);
                prop_assert_eq!(rest, "");
            }
        }
    }
}
