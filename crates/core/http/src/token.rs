//! The bytes that the grammar of HTTP is made of (RFC 9110, 5.5 and 5.6.2), and lists of them.

/// Which bytes may be in a token.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256")]
        {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
                );
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// Whether `byte` may be in a token: a field name, a method, an option.
#[inline]
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256")]
    TOKEN[byte as usize]
}

/// Whether `text` is a token: not empty, and of token bytes only.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `byte` may be in a field value: no control character but the tab.
#[inline]
pub(crate) const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// The elements of a comma-separated list, without the optional whitespace around them.
/// Empty ones are kept: whether they matter is the caller's to say.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(trim)
}

/// Without spaces and tabs at either end.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_the_grammar_says() {
        let special = b"!#$%&'*+-.^_`|~";
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || special.contains(&byte);
            assert_eq!(is_token_byte(byte), expected, "byte {byte:#04x}");
        }
        assert!(!is_token(b""));
        assert!(!is_token(b"a b"));
    }

    #[test]
    fn elements_lose_the_space_around_them() {
        let read: Vec<_> = elements(b" a,\tb c ,, d").collect();
        assert_eq!(read, [&b"a"[..], b"b c", b"", b"d"]);
    }
}
