//! For tests: tables of raw messages, one a row.
//!
//! A row is `message => outcome`. In the message `\r`, `\n`, `\t`, `\0` and `\xHH` stand for
//! bytes; `{…*N}` repeats what is before the `*` so many times.

/// Reads the rows of a table, without empty lines and lines that begin with `#`.
pub(crate) fn rows(table: &str) -> impl Iterator<Item = (Vec<u8>, &str)> {
    table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')).map(|row| {
        let (message, outcome) = row.rsplit_once(" => ").expect("message => outcome");
        (unescape(message), outcome.trim())
    })
}

pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'{' && text.contains('*') {
            let end = rest.iter().position(|&byte| byte == b'}').expect("a closing brace");
            let inner = str::from_utf8(&rest[..end]).unwrap();
            let (part, times) = inner.rsplit_once('*').expect("{part*times}");
            bytes.extend(unescape(part).repeat(times.parse().unwrap()));
            rest = &rest[end + 1..];
        } else if byte == b'\\' {
            let (&kind, after) = rest.split_first().expect("an escape");
            rest = after;
            bytes.push(match kind {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'x' => {
                    let digits = str::from_utf8(&rest[..2]).unwrap();
                    rest = &rest[2..];
                    u8::from_str_radix(digits, 16).unwrap()
                }
                other => other,
            });
        } else {
            bytes.push(byte);
        }
    }
    bytes
}
