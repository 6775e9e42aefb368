//! Two things side by side, or one above the other where there is no room.

use crate::layout::{Paint, Screen, wrapped};

/// The narrowest column that shows a masked value in one line.
const NARROWEST: usize = 36;
const INDENT: &str = "   ";

/// A title and lines below it.
pub(super) struct Side<'a> {
    pub(super) title: &'a str,
    pub(super) lines: &'a [String],
    pub(super) paint: Paint,
}

/// Lays out `left` and `right`.
pub(super) fn beside(left: &Side<'_>, right: &Side<'_>, screen: Screen) -> String {
    let column = screen.width().saturating_sub(INDENT.len() + 3) / 2;
    if column < NARROWEST {
        return format!("{}\n{}", alone(left, screen), alone(right, screen));
    }
    let (head, tail) = (broken(left, column), broken(right, column));
    let mut text = format!(
        "{INDENT}{} │ {}\n{INDENT}{}─┼─{}\n",
        padded(left.title, column, Paint::Bold, screen),
        screen.paint(Paint::Bold, right.title),
        "─".repeat(column),
        "─".repeat(column),
    );
    for row in 0..head.len().max(tail.len()) {
        let cell = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
        let left_cell = padded(&cell(&head), column, left.paint, screen);
        let right_cell = screen.paint(right.paint, &cell(&tail));
        let line = format!("{INDENT}{left_cell} │ {right_cell}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn alone(side: &Side<'_>, screen: Screen) -> String {
    let width = screen.width().saturating_sub(INDENT.len());
    let mut text = format!("{INDENT}{}\n", screen.paint(Paint::Bold, side.title));
    for line in broken(side, width) {
        text.extend([format!("{INDENT}{}\n", screen.paint(side.paint, &line))]);
    }
    text
}

fn broken(side: &Side<'_>, width: usize) -> Vec<String> {
    let lines = side.lines.iter();
    lines.flat_map(|line| wrapped(line, width)).collect()
}

/// Padded before it is painted: colours have no width.
fn padded(text: &str, width: usize, paint: Paint, screen: Screen) -> String {
    let room = width.saturating_sub(text.chars().count());
    format!("{}{}", screen.paint(paint, text), " ".repeat(room))
}

#[cfg(test)]
mod tests {
    use super::{Side, beside};
    use crate::layout::{Paint, Screen};

    fn laid_out(width: usize) -> String {
        let masked = [format!("Bearer {}", "*".repeat(29))];
        let real = [format!("Bearer {}", "x".repeat(29))];
        let side = |title, lines| Side {
            title,
            lines,
            paint: Paint::Good,
        };
        let screen = Screen::plain(width);
        beside(&side("caller", &masked), &side("upstream", &real), screen)
    }

    #[test]
    fn there_are_two_columns_where_there_is_room_and_one_where_there_is_not() {
        let wide = laid_out(80);
        let both = wide.lines().find(|line| line.contains("***")).unwrap();
        assert!(both.contains(&"x".repeat(29)), "{wide}");
        for width in [20, 40, 80, 100] {
            let text = laid_out(width);
            assert!(
                text.lines().all(|line| line.chars().count() <= width),
                "{text}"
            );
        }
        let narrow = laid_out(50);
        assert!(
            !narrow.contains('│') && narrow.contains(&"x".repeat(29)),
            "{narrow}"
        );
    }
}
