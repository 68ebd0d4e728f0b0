//! A part of a long list.

/// Which part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Where the part before ended (its `next`); none for the first.
    pub after: Option<String>,
    /// Most rows; at most [`Range::MAX`], which 0 stands for too.
    pub limit: u32,
}

impl Range {
    /// Most rows of one part.
    pub const MAX: u32 = 1_000;

    /// The first `limit` rows.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The limit that is meant.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        if self.limit == 0 || self.limit > Self::MAX { Self::MAX } else { self.limit }
    }
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// What the next part comes after; none if this is the last.
    pub next: Option<String>,
}
