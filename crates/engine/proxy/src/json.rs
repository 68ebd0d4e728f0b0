//! Writing JSON by hand, for the one place where a line is written per request.

/// Appends to a buffer of fixed size. What does not fit is left out whole, and said.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
    overflowed: bool,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0, overflowed: false }
    }

    /// How many bytes were written; `None` if something did not fit.
    pub(crate) const fn finish(self) -> Option<usize> {
        if self.overflowed { None } else { Some(self.length) }
    }

    /// Bytes that need no escaping.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.buffer.get_mut(self.length..end) {
            Some(target) => {
                target.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.overflowed = true,
        }
    }

    /// The contents of a string, escaped as JSON wants it. What is not ASCII is written as
    /// the code point of its byte (ISO 8859-1), so that the line is valid whatever a client
    /// sends.
    pub(crate) fn text(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(special) = rest.iter().position(|&byte| needs_escape(byte)) {
            let (plain, from) = rest.split_at(special);
            self.raw(plain);
            if let Some((&byte, after)) = from.split_first() {
                self.escape(byte);
                rest = after;
            }
        }
        self.raw(rest);
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw(b"\\\""),
            b'\\' => self.raw(b"\\\\"),
            _ => {
                let digit = |nibble: u8| match nibble {
                    0..=9 => b'0' + nibble,
                    _ => b'a' + nibble - 10,
                };
                self.raw(b"\\u00");
                self.raw(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }

    /// A number in decimal.
    #[inline]
    pub(crate) fn number(&mut self, mut number: u64) {
        let mut digits = [0_u8; 20];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            used += 1;
            if number == 0 {
                break;
            }
        }
        self.raw(digits.get(digits.len() - used..).unwrap_or_default());
    }

    /// A number in decimal with leading zeroes.
    pub(crate) fn padded(&mut self, number: u64, width: u32) {
        for place in (0..width).rev() {
            let digit = number / 10_u64.pow(place) % 10;
            self.raw(&[b'0' + u8::try_from(digit).unwrap_or(0)]);
        }
    }

    /// A number in sixteen hexadecimal digits.
    #[inline]
    pub(crate) fn hex(&mut self, number: u64) {
        self.raw(&hex(number));
    }
}

/// A number in sixteen hexadecimal digits.
pub(crate) fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (digit, place) in digits.iter_mut().zip((0..16).rev()) {
        let nibble = u8::try_from(number >> (place * 4) & 15).unwrap_or(0);
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    digits
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte > 0x7e || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(act: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer);
        act(&mut writer);
        let length = writer.finish().unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn whatever_a_client_sends_the_line_is_valid() {
        assert_eq!(write(|w| w.text(b"/a\"b\\c\x01\xff")), r#"/a\"b\\c\u0001\u00ff"#);
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 7, 10, 4_294_967_296, u64::MAX] {
            assert_eq!(write(|w| w.number(number)), number.to_string());
            assert_eq!(write(|w| w.hex(number)), format!("{number:016x}"));
        }
        assert_eq!(write(|w| w.padded(7, 3)), "007");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut buffer = [0; 4];
        let mut writer = Writer::new(&mut buffer);
        writer.raw(b"12345");
        assert_eq!(writer.finish(), None);
    }
}
