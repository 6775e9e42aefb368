//! What a page is shown on.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// 1280 × 800.
    Desktop,
    /// 390 × 844, at two pixels a point, as phones have it.
    Phone,
    /// As wide and as high.
    Of(u16, u16),
}

impl Screen {
    /// As the browser's developer tools want it.
    pub fn metrics(self) -> Value {
        let (width, height, scale, mobile) = match self {
            Self::Desktop => (1280, 800, 1, false),
            Self::Phone => (390, 844, 2, true),
            Self::Of(width, height) => (width, height, 1, false),
        };
        json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile})
    }
}
