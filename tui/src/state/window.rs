//! How much time the charts show.

use pinport_model::history::Curve;

/// The time that every chart shows; one key cycles through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Window {
    /// From the first sample on.
    #[default]
    Whole,
    Minute,
    FiveMinutes,
}

impl Window {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Whole => Self::Minute,
            Self::Minute => Self::FiveMinutes,
            Self::FiveMinutes => Self::Whole,
        }
    }

    /// Its length, unless it is the whole time.
    pub(crate) fn millis(self) -> Option<i64> {
        match self {
            Self::Whole => None,
            Self::Minute => Some(60_000),
            Self::FiveMinutes => Some(Curve::LATE_MS),
        }
    }

    /// How the title of a chart calls it; `whole` is the word for all of the time.
    pub(crate) fn word(self, whole: &'static str) -> &'static str {
        match self {
            Self::Whole => whole,
            Self::Minute => "1 min",
            Self::FiveMinutes => "5 min",
        }
    }
}
