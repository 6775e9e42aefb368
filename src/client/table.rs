//! Tables that fit.

use super::text::Visible;

const GAP: &str = "  ";
/// A column is not made narrower than this, the first (a name) not narrower than twice this.
const NARROWEST: usize = 8;

/// Rows under headings. The first column names the row and is cut last.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; its cells are made safe to show.
    pub fn row<C: AsRef<str>>(&mut self, cells: &[C]) {
        let safe = |cell: &C| Visible(cell.as_ref()).to_string();
        self.rows.push(cells.iter().map(safe).collect());
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lays the table out, in at most `width` characters where that is possible. Without a width
    /// nothing is cut. The first line is the headings.
    #[must_use]
    pub fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let head: Vec<&str> = self.head.clone();
        let mut lines = vec![line(&head, &widths)];
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            lines.push(line(&cells, &widths));
        }
        lines
    }

    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while room.is_some_and(|room| widths.iter().sum::<usize>() + gaps > room) {
            let wide = widths
                .iter_mut()
                .enumerate()
                .skip(1)
                .filter(|(_, width)| **width > NARROWEST);
            if let Some((_, width)) = wide.max_by_key(|(_, width)| **width) {
                *width -= 1;
            } else if let Some(width) = widths.first_mut().filter(|width| **width > 2 * NARROWEST) {
                *width -= 1;
            } else {
                break;
            }
        }
        widths
    }
}

fn line(cells: &[&str], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        if index > 0 {
            line.push_str(GAP);
        }
        let long = cell.chars().count();
        if long > width {
            line.extend(cell.chars().take(width.saturating_sub(1)));
            line.push('…');
        } else {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - long));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::Table;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "OWNER", "DESCRIPTION", "CHANGED (UTC)"]);
        let long = "the key of the billing account, rotated every quarter by finance";
        table.row(&["STRIPE_LIVE_SECRET_KEY", "org", long, "2026-11-23 09:30"]);
        table.row(&["A", "user", "evil\u{1b}[2J", "2026-11-23 09:31"]);
        table
    }

    #[test]
    fn sixty_columns_are_enough() {
        for width in [60, 80] {
            let lines = table().lines(Some(width));
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{lines:#?}"
            );
            assert!(
                lines[1].starts_with("STRIPE_LIVE_SECRET_KEY  org"),
                "{lines:#?}"
            );
            assert!(lines[1].contains('…'));
        }
    }

    #[test]
    fn without_a_terminal_nothing_is_cut_and_nothing_steers_one() {
        let lines = table().lines(None);
        assert!(lines[1].contains("every quarter by finance  2026-11-23 09:30"));
        assert!(lines[2].contains("evil\\u{1b}[2J"));
    }
}
