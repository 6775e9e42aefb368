//! Looking for a tool by words.

use super::spec::ToolSpec;
use crate::name::ActionName;

/// More words than these are left out: each is looked for in all that there is.
const WORDS: usize = 16;

/// Words to look for, in whatever case.
#[derive(Debug)]
pub struct Search {
    words: Vec<String>,
}

/// How well a tool fits: the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    slug: SlugFit,
    /// Over all words, how far from the name the nearest place is that has the word.
    distance: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SlugFit {
    Whole,
    Start,
    Else,
}

impl Search {
    /// Looks for the words of `text`; for any tool where there are none.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        for word in text.split_whitespace().map(str::to_lowercase) {
            if words.len() < WORDS && !words.contains(&word) {
                words.push(word);
            }
        }
        Self { words }
    }

    /// How well a tool fits, if every word occurs in it: in its slug, name, actions' names, category
    /// or description.
    #[must_use]
    pub fn rank(&self, spec: &ToolSpec) -> Option<Rank> {
        if self.words.is_empty() {
            let slug = SlugFit::Else;
            return Some(Rank { slug, distance: 0 });
        }
        let actions: Vec<&str> = spec.actions.keys().map(ActionName::as_str).collect();
        let places = [
            spec.slug.as_str(),
            &spec.name,
            &actions.join("\n"),
            &spec.category,
            &spec.description,
        ]
        .map(str::to_lowercase);
        let mut distance = 0;
        for word in &self.words {
            distance += places.iter().position(|place| place.contains(word))?;
        }
        // As people write it: `google drive` is google-drive.
        let (slug, written) = (spec.slug.as_str(), self.words.join("-"));
        let slug = if slug == written {
            SlugFit::Whole
        } else if slug.starts_with(&written) {
            SlugFit::Start
        } else {
            SlugFit::Else
        };
        Some(Rank { slug, distance })
    }
}

#[cfg(test)]
mod tests {
    use super::Search;
    use crate::tools::Catalog;

    fn found(text: &str) -> Vec<String> {
        let (catalog, search) = (Catalog::embedded().unwrap(), Search::new(text));
        let mut found: Vec<_> = catalog
            .all()
            .filter_map(|spec| Some((search.rank(spec)?, spec.slug.to_string())))
            .collect();
        found.sort();
        found.into_iter().map(|(_, slug)| slug).collect()
    }

    #[test]
    fn every_word_must_occur_and_what_is_called_so_comes_first() {
        assert_eq!(found("  Refund stripe "), ["stripe"]);
        assert_eq!(found("stripe REFUND"), ["stripe"]);
        assert!(found("refund github").is_empty());
        assert!(found("no-such-tool").is_empty());
        assert_eq!(found("").len(), Catalog::embedded().unwrap().all().count());
        let git = found("git");
        assert_eq!(git[..3], ["github", "github-app", "gitlab"]);
        // Whoever is called so comes before who is only spoken of: GitHub has issues too.
        assert_eq!(found("github app")[0], "github-app");
        assert_eq!(found("github")[0], "github");
    }
}
