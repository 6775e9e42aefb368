//! Where placeholders stand in a request, and whether they may.
//!
//! A placeholder may stand in one slot of its field, once, at a host that the field is bound to. It is
//! taken out of where it may stand; if the mark of any is found in what is left, in any spelling, the
//! request is refused before a byte of it has gone anywhere.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::name::{FieldName, Fields};
use crate::tools::{Binding, Slot};

use super::crossing::{Crossing, Placing};
use super::leftover::{Leftover, Strange, Taken};
use super::placeholder::Placeholder;

/// Why a placeholder may not stand where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// Not in a slot of its field.
    #[error("a placeholder stands where its credential may not go")]
    Placement,
    /// In a slot, and somewhere else besides.
    #[error("a placeholder stands in the request more than once")]
    Occurrences,
    /// The field is not bound to this host, method or path.
    #[error("a placeholder is sent to where its credential is not bound to")]
    AnotherHost,
    /// It belongs to another resolution, or to none.
    #[error("a placeholder is not one of this handle's")]
    Unknown,
}

/// The placeholders of a resolution.
pub(super) type Placeholders = Fields<Placeholder>;

/// Which slots are filled in one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    slots: Fields<BTreeSet<usize>>,
    /// Where values go in a body that stays as it is otherwise.
    pub(super) splices: Vec<Splice>,
}

/// A value's place in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) at: Range<usize>,
    pub(super) field: FieldName,
    pub(super) spelling: Spelling,
}

/// How a value is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Json,
    Form,
}

impl Plan {
    /// Every field in its preferred slot, and in the path wherever it has its place.
    pub(super) fn preferred(binding: &Binding) -> Self {
        let mut plan = Self::default();
        for (field, slots) in &binding.slots {
            plan.prefer(field, slots, |_| true);
        }
        plan
    }

    fn prefer(&mut self, field: &FieldName, slots: &[Slot], may: impl Fn(&Slot) -> bool) {
        let chosen = self.slots.entry(field.clone()).or_default();
        let is_path = |slot: &Slot| matches!(slot, Slot::PathSegment { .. });
        let first = slots.iter().position(|slot| !is_path(slot) && may(slot));
        // Where the path comes first it is the preferred one.
        let first = first.filter(|_| !slots.first().is_some_and(is_path));
        let paths = slots.iter().enumerate().filter(|(_, slot)| is_path(slot));
        chosen.extend(paths.map(|(position, _)| position).chain(first));
    }

    /// Whether the slot of this position is filled with `field`.
    pub(super) fn fills(&self, field: &FieldName, position: usize) -> bool {
        let slots = self.slots.get(field);
        slots.is_some_and(|slots| slots.contains(&position))
    }

    /// Whether `field` goes anywhere.
    pub(super) fn uses(&self, field: &FieldName) -> bool {
        let spliced = self.splices.iter().any(|splice| splice.field == *field);
        spliced || self.slots.get(field).is_some_and(|slots| !slots.is_empty())
    }
}

/// Finds the placeholders of a request and decides which slots are filled.
pub(super) fn settle(
    crossing: &Crossing,
    binding: Option<&Binding>,
    placeholders: &Placeholders,
) -> Result<Plan, Misplaced> {
    let mut rest = Leftover::of(crossing, binding);
    let (mut plan, mut spotted) = (Plan::default(), BTreeSet::new());
    for (field, slots) in binding.into_iter().flat_map(|binding| &binding.slots) {
        let mut count = 0;
        for (position, slot) in slots.iter().enumerate() {
            let Some(placeholder) = placeholders.get(field) else {
                continue;
            };
            match rest.take(slot, placeholder, placeholders) {
                Taken::Nothing => {}
                Taken::Slots(found) => {
                    count += found;
                    let chosen = plan.slots.entry(field.clone()).or_default();
                    chosen.insert(position);
                }
                Taken::Body(at, spelling) => {
                    count += 1;
                    let field = field.clone();
                    plan.splices.push(Splice {
                        at,
                        field,
                        spelling,
                    });
                }
            }
        }
        match (count, crossing.placing) {
            (0, Placing::Fill) => plan.prefer(field, slots, |slot| rest.may_fill(slot)),
            // A key that signs need not be named: it is used for whatever its binding admits.
            (0, Placing::Swap) if signs(slots) => plan.prefer(field, slots, |_| true),
            (0, Placing::Swap) => {}
            (1, _) => {
                spotted.insert(field.clone());
            }
            _ => return Err(Misplaced::Occurrences),
        }
    }
    match rest.misplaced(placeholders) {
        Strange::None => Ok(plan),
        Strange::Unknown => Err(Misplaced::Unknown),
        Strange::Own(field) => {
            let bound = binding.is_some_and(|binding| binding.slots.contains_key(&field));
            Err(match (bound, spotted.contains(&field)) {
                (false, _) => Misplaced::AnotherHost,
                (true, false) => Misplaced::Placement,
                (true, true) => Misplaced::Occurrences,
            })
        }
    }
}

fn signs(slots: &[Slot]) -> bool {
    slots.iter().any(|slot| matches!(slot, Slot::Signed(_)))
}

/// Refuses a request that no handle stands behind and that has a placeholder in it, whoever's: there is
/// none that may stand there.
pub(super) fn refuse_any(crossing: &Crossing, binding: Option<&Binding>) -> Result<(), Misplaced> {
    match Leftover::of(crossing, binding).misplaced(&Placeholders::new()) {
        Strange::None => Ok(()),
        Strange::Own(_) | Strange::Unknown => Err(Misplaced::Placement),
    }
}

#[cfg(test)]
#[path = "tests_guard.rs"]
mod tests;
