//! An address as a picture that a phone's camera reads.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The picture in lines of half blocks, light on dark as terminals mostly are; cameras read it either
/// way, and no colour is needed. `None` when it would be wider than `columns`.
#[must_use]
pub fn picture(address: &str, columns: usize) -> Option<String> {
    // A screen is never torn or dirty: the least redundancy gives the largest modules.
    let code = QrCode::with_error_correction_level(address, EcLevel::L).ok()?;
    let quiet_zone = 2 * 4;
    if code.width() + quiet_zone > columns {
        return None;
    }
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::picture;

    const PAGE: &str = "https://provider.example/device?user_code=WDJB-MJHT";

    #[test]
    fn a_picture_is_square_bordered_and_made_of_half_blocks() {
        let picture = picture(PAGE, 80).unwrap();
        let lines: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
        let columns = lines[0].len();
        assert!(lines.iter().all(|line| line.len() == columns));
        assert_eq!(lines.len(), columns.div_ceil(2));
        assert!(columns <= 45, "{columns}");
        let blocks = ['\u{2588}', '\u{2580}', '\u{2584}', ' '];
        assert!(lines.iter().flatten().all(|c| blocks.contains(c)));
        // The quiet zone is light: four modules all around, two lines of them above.
        assert!(lines[..2].iter().flatten().all(|c| *c == '\u{2588}'));
        assert!(
            lines
                .iter()
                .all(|line| line[..4] == ['\u{2588}'; 4] || line == &lines[lines.len() - 1])
        );
        // The corner of the first finder pattern: seven dark modules in a row.
        assert_eq!(lines[2][4..11].iter().collect::<String>(), " ▄▄▄▄▄ ");
    }

    #[test]
    fn what_does_not_fit_is_not_shown() {
        let columns = picture(PAGE, 80)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .chars()
            .count();
        assert!(picture(PAGE, columns).is_some());
        assert!(picture(PAGE, columns - 1).is_none());
        assert!(picture(&"x".repeat(5000), 10_000).is_none());
    }
}
