//! A Rust source file, taken apart into code and comments.
//!
//! The rules ask for words of code: `unsafe` in a comment, in a string or inside
//! `unsafe_code` is none. So the text is copied twice, once with everything but code blanked
//! out and once with everything but comments, both with the lines where they were.
//!
//! # Not here
//!
//! A parser. What is not needed to tell code from comments and literals is not understood.

/// One file in three views of the same number of lines.
#[derive(Debug)]
pub(super) struct Source {
    /// As written.
    pub(super) text: String,
    /// Comments and the insides of literals are blanks.
    pub(super) code: String,
    /// Everything but comments is blank.
    pub(super) comments: String,
}

/// An identifier or keyword of the code, and its line from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// What the scanner is inside of.
#[derive(Clone, Copy)]
enum Inside {
    Code,
    LineComment,
    /// Block comments nest.
    BlockComment {
        depth: usize,
    },
    /// A string or byte string with escapes.
    Text,
    /// A raw string that ends at `"` and this many `#`.
    RawText {
        hashes: usize,
    },
}

impl Source {
    pub(super) fn read(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let mut scanner = Scanner {
            characters: &characters,
            at: 0,
            code: String::with_capacity(text.len()),
            comments: String::new(),
        };
        scanner.run();
        Self { text: text.to_owned(), code: scanner.code, comments: scanner.comments }
    }

    /// The words of the code, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.code.lines().enumerate().flat_map(|(index, line)| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|text| !text.is_empty())
                .map(move |text| Word { text, line: index + 1 })
        })
    }

    /// How many lines there are outside inline test modules (`#[cfg(test)] mod x { … }`).
    pub(super) fn lines_without_tests(&self) -> usize {
        let mut count = 0;
        let mut depth: Option<usize> = None;
        let mut marked = false;
        for line in self.code.lines() {
            let opens = line.matches('{').count();
            let closes = line.matches('}').count();
            if let Some(open) = depth {
                let left = (open + opens).saturating_sub(closes);
                depth = (left > 0).then_some(left);
                continue;
            }
            let trimmed = line.trim_start();
            if marked && trimmed.starts_with("mod ") && opens > closes {
                depth = Some(opens - closes);
                continue;
            }
            marked = trimmed.starts_with("#[cfg(test)]") || (marked && trimmed.starts_with("#["));
            count += 1;
        }
        count
    }
}

struct Scanner<'a> {
    characters: &'a [char],
    at: usize,
    code: String,
    comments: String,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let mut inside = Inside::Code;
        while self.at < self.characters.len() {
            inside = match inside {
                Inside::Code => self.code(),
                Inside::LineComment => self.line_comment(),
                Inside::BlockComment { depth } => self.block_comment(depth),
                Inside::Text => self.text(),
                Inside::RawText { hashes } => self.raw_text(hashes),
            };
        }
    }

    fn peek(&self, ahead: usize) -> char {
        self.characters.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn code(&mut self) -> Inside {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => return self.blank(2, Inside::LineComment),
            ('/', '*') => return self.blank(2, Inside::BlockComment { depth: 1 }),
            ('"', _) => {
                self.keep_code();
                return Inside::Text;
            }
            ('\'', _) => {
                self.quote();
                return Inside::Code;
            }
            ('r', '"' | '#') if !self.is_in_word() => {
                let hashes = self.hashes_from(1);
                if self.peek(1 + hashes) == '"' {
                    return self.blank(hashes + 2, Inside::RawText { hashes });
                }
            }
            // The `b` or `c` of a raw literal: the `r` behind it starts one.
            ('b' | 'c', 'r') if !self.is_in_word() => {
                let hashes = self.hashes_from(2);
                if self.peek(2 + hashes) == '"' {
                    return self.blank(hashes + 3, Inside::RawText { hashes });
                }
            }
            _ => {}
        }
        self.keep_code();
        Inside::Code
    }

    fn line_comment(&mut self) -> Inside {
        if self.peek(0) == '\n' {
            self.keep_code();
            return Inside::Code;
        }
        self.keep_comment();
        Inside::LineComment
    }

    fn block_comment(&mut self, depth: usize) -> Inside {
        match (self.peek(0), self.peek(1)) {
            ('*', '/') if depth == 1 => self.blank(2, Inside::Code),
            ('*', '/') => self.blank(2, Inside::BlockComment { depth: depth - 1 }),
            ('/', '*') => self.blank(2, Inside::BlockComment { depth: depth + 1 }),
            _ => {
                self.keep_comment();
                Inside::BlockComment { depth }
            }
        }
    }

    fn text(&mut self) -> Inside {
        match self.peek(0) {
            '\\' => self.blank(2, Inside::Text),
            '"' => {
                self.keep_code();
                Inside::Code
            }
            _ => self.blank(1, Inside::Text),
        }
    }

    fn raw_text(&mut self, hashes: usize) -> Inside {
        if self.peek(0) == '"' && self.hashes_from(1) >= hashes {
            return self.blank(hashes + 1, Inside::Code);
        }
        self.blank(1, Inside::RawText { hashes })
    }

    /// A character literal is blanked; of a lifetime only the quote is passed.
    fn quote(&mut self) {
        let literal = match (self.peek(1), self.peek(2)) {
            ('\\', _) => (3..12).find(|&ahead| self.peek(ahead) == '\'').map(|end| end + 1),
            (_, '\'') => Some(3),
            _ => None,
        };
        self.blank(literal.unwrap_or(1), Inside::Code);
    }

    fn is_in_word(&self) -> bool {
        self.at
            .checked_sub(1)
            .and_then(|before| self.characters.get(before))
            .is_some_and(|c| c.is_alphanumeric() || *c == '_')
    }

    fn hashes_from(&self, ahead: usize) -> usize {
        (0..).take_while(|&index| self.peek(ahead + index) == '#').count()
    }

    fn keep_code(&mut self) {
        let c = self.peek(0);
        self.code.push(c);
        self.comments.push(if c == '\n' { '\n' } else { ' ' });
        self.at += 1;
    }

    fn keep_comment(&mut self) {
        let c = self.peek(0);
        self.code.push(if c == '\n' { '\n' } else { ' ' });
        self.comments.push(c);
        self.at += 1;
    }

    fn blank(&mut self, count: usize, next: Inside) -> Inside {
        for _ in 0..count {
            let c = if self.peek(0) == '\n' { '\n' } else { ' ' };
            self.code.push(c);
            self.comments.push(c);
            self.at += 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_words() {
        check("fn a() {}", "fn a");
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a "b \" c" d"#, "a d");
        check("a r##\"b \"# c\"## d", "a d");
        check("a br#\"b\"# d", "a d");
        check(r#"a b"bytes" d"#, "a b d");
        check("a 'b' '\\'' '\\u{1F600}' &'c d", "a c d");
        check("for r in bar {}", "for r in bar");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = Source::read("a\n\"b\nc\" /* d\ne */ f\n");
        let last = source.words().last().unwrap();
        assert_eq!(last, Word { text: "f", line: 4 });
        assert_eq!(source.comments.lines().nth(2).unwrap().trim(), "d");
    }

    #[test]
    fn an_inline_test_module_is_not_counted() {
        let source = Source::read("a\n#[cfg(test)]\nmod tests {\n  fn b() {\n  }\n}\nc\n");
        assert_eq!(source.lines_without_tests(), 3);
    }

    #[track_caller]
    fn check(text: &str, words: &str) {
        let source = Source::read(text);
        let found: Vec<&str> = source.words().map(|word| word.text).collect();
        assert_eq!(found.join(" "), words, "in {text:?}");
    }
}
