//! Which of the two files a text is meant to be, by what stands in it: an operator may call
//! a file as he likes.

use toml::Spanned;

use crate::problem::Problem;
use crate::section::read_tables;
use crate::{gateway, host};

/// A kind of configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gateway,
    Host,
}

impl Kind {
    /// The kind to which most of the text's keys belong.
    pub fn recognise(text: &str) -> Result<Self, Vec<Problem>> {
        let table = read_tables(text)?;
        let count = |keys: &[&str]| {
            table.keys().filter(|key| keys.contains(&key.get_ref().as_ref())).count()
        };
        match (count(&gateway::KEYS), count(&host::KEYS)) {
            (0, 0) => {
                Err(vec![unrecognised(table.keys().map(Spanned::span).min_by_key(|s| s.start))])
            }
            (gateway, host) if gateway >= host => Ok(Self::Gateway),
            _ => Ok(Self::Host),
        }
    }

    /// Everything that is wrong with a text of this kind.
    pub fn problems(self, text: &str) -> Vec<Problem> {
        match self {
            Self::Gateway => gateway::parse(text).err().unwrap_or_default(),
            Self::Host => host::parse(text).err().unwrap_or_default(),
        }
    }
}

fn unrecognised(first_key: Option<std::ops::Range<usize>>) -> Problem {
    let sentence =
        "this is neither a gateway.toml nor a host.toml: no key at the top is one of either";
    Problem::at(first_key.unwrap_or(0..0), sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognised_by_its_keys() {
        let cases = [
            ("[[listener]]\n", Some(Kind::Gateway)),
            ("access_log = 5", Some(Kind::Gateway)),
            ("run = \"/run\"\n", Some(Kind::Host)),
            ("run = 1\nstate = 1\nlistener = 1\n", Some(Kind::Host)),
            ("run = 1\nlimits = 1\nlistener = 1\n", Some(Kind::Gateway)),
            ("hello = 1\n", None),
            ("", None),
            ("=", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Kind::recognise(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn each_kind_finds_its_own_problems() {
        let text = "state = \"/s\"\nrun = \"/r\"\ngateway = \"/g\"\n";
        assert_eq!(Kind::Host.problems(text), []);
        assert_eq!(Kind::Gateway.problems(text).len(), 4);
    }
}
