//! "did you mean": the known word that a mistyped one is nearest to.

/// Most candidates that are looked at, so that a hostile file cannot make this slow.
const CANDIDATES_MAX: usize = 1_000;

/// `; did you mean "listener"?`, or nothing when no candidate is near.
pub(crate) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("; did you mean {candidate:?}?"),
        None => String::new(),
    }
}

/// The nearest candidate, if it is near: one slip of the finger in three letters, at most three.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().collect();
    let near = (word.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.chars().count().abs_diff(word.len()) <= near)
        .map(|candidate| (distance(&word, &candidate.chars().collect::<Vec<_>>()), candidate))
        .filter(|&(distance, _)| distance <= near)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many slips lie between two words: a letter too many, too few, wrong, or two exchanged
/// (optimal string alignment).
fn distance(one: &[char], two: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=two.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in two.iter().enumerate() {
            let at =
                |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column).saturating_add(usize::from(letter != other));
            let removed = at(&above, column + 1).saturating_add(1);
            let added = at(&current, column).saturating_add(1);
            let mut least = replaced.min(removed).min(added);
            let exchanged = row > 0
                && column > 0
                && one.get(row - 1) == Some(other)
                && two.get(column - 1) == Some(letter);
            if exchanged {
                least = least.min(at(&before, column - 1).saturating_add(1));
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("listner", "listener", 1),
            ("lsitener", "listener", 1),
            ("adress", "address", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
        ];
        for (one, two, expected) in cases {
            let (one, two): (Vec<_>, Vec<_>) = (one.chars().collect(), two.chars().collect());
            assert_eq!(distance(&one, &two), expected, "{one:?} {two:?}");
            assert_eq!(distance(&two, &one), expected, "{two:?} {one:?}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["name", "address", "accept", "backlog"];
        assert_eq!(suggestion("adress", known), "; did you mean \"address\"?");
        assert_eq!(suggestion("nmae", known), "; did you mean \"name\"?");
        assert_eq!(suggestion("colour", known), "");
        assert_eq!(suggestion("", known), "");
    }
}
