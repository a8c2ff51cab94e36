//! Hexadecimal digits as people keep them: with spaces, colons, line breaks, and comments behind `#`.

use std::fmt;

/// Why a text is not a row of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotDigits {
    /// No digit at all.
    Nothing,
    /// A character that is none, and the number of its line.
    Other(char, usize),
    /// Half a byte is left over.
    Odd,
}

impl fmt::Display for NotDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is no digit"),
            Self::Other(found, line) => write!(f, "{found:?} on line {line} is none"),
            Self::Odd => f.write_str("an odd number of digits, two make a byte"),
        }
    }
}

/// The bytes that a text spells, two digits each.
pub(super) fn bytes(text: &[u8]) -> Result<Vec<u8>, NotDigits> {
    let text = String::from_utf8_lossy(text);
    let mut halves = Vec::with_capacity(text.len());
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default();
        for c in line.chars().filter(|c| !c.is_whitespace() && *c != ':') {
            let half = c.to_digit(16).ok_or(NotDigits::Other(c, number))?;
            halves.push(half as u8);
        }
    }
    match halves.as_chunks::<2>() {
        ([], []) => Err(NotDigits::Nothing),
        (pairs, []) => Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect()),
        _ => Err(NotDigits::Odd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_with_all_that_people_put_between_them() {
        let text = b"01 02:03  # three, and ff is a comment\n\n0aFF\r\n# nothing here\n";
        assert_eq!(bytes(text), Ok(vec![1, 2, 3, 0x0a, 0xff]));
    }

    #[test]
    fn what_is_no_row_of_bytes() {
        assert_eq!(bytes(b""), Err(NotDigits::Nothing));
        assert_eq!(bytes(b" # 01\n"), Err(NotDigits::Nothing));
        assert_eq!(bytes(b"01 2"), Err(NotDigits::Odd));
        assert_eq!(bytes(b"01\n0x02"), Err(NotDigits::Other('x', 2)));
        assert_eq!(bytes(b"\x7fELF"), Err(NotDigits::Other('\x7f', 1)));
        assert_eq!(NotDigits::Other('\x1b', 3).to_string(), "'\\u{1b}' on line 3 is none");
    }
}
