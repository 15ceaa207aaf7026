//! Decodes values that were copied from a notation with escape codes: `%3D`, `&#61;`, `=3D`, `\061`.

/// A notation with escape codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Percent-encoding (RFC 3986 §2.1).
    Url,
    /// Character references of HTML.
    Html,
    /// Quoted-printable (RFC 2045 §6.7).
    Mail,
    /// Decimal escapes of zone files (RFC 1035 §5.1).
    ZoneFile,
}

impl Notation {
    const ALL: [Self; 4] = [Self::Url, Self::Html, Self::Mail, Self::ZoneFile];

    /// The bytes of the escape code at the start of a text, and the length of the code.
    fn code(self, text: &[u8]) -> Option<(Vec<u8>, usize)> {
        match self {
            Self::Url => hexadecimal(text.strip_prefix(b"%")?).map(|byte| (vec![byte], 3)),
            Self::Mail => {
                let behind = text.strip_prefix(b"=")?;
                // A soft line break.
                for line_end in [b"\r\n".as_slice(), b"\n"] {
                    if behind.starts_with(line_end) {
                        return Some((vec![], 1 + line_end.len()));
                    }
                }
                hexadecimal(behind).map(|byte| (vec![byte], 3))
            }
            Self::ZoneFile => {
                let digits = text.strip_prefix(b"\\")?.first_chunk::<3>()?;
                let byte = std::str::from_utf8(digits).ok()?.parse().ok()?;
                Some((vec![byte], 4))
            }
            Self::Html => reference(text),
        }
    }

    /// The decoded value and its first escape code; none where the value has no code.
    fn decoded(self, value: &[u8]) -> Option<(Vec<u8>, String)> {
        let code_at = |at: &usize| self.code(&value[*at..]);
        let from = (0..value.len()).find(|at| code_at(at).is_some())?;
        let (mut plain, mut at) = (value[..from].to_vec(), from);
        while at < value.len() {
            if let Some((bytes, length)) = code_at(&at) {
                plain.extend(bytes);
                at += length;
            } else {
                plain.push(value[at]);
                at += 1;
            }
        }
        let (_, length) = code_at(&from)?;
        Some((plain, String::from_utf8_lossy(&value[from..from + length]).into_owned()))
    }
}

fn hexadecimal(text: &[u8]) -> Option<u8> {
    let digits = text.first_chunk::<2>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Named character references of HTML for characters that occur in values or around them.
const NAMED: [(&str, &str); 12] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("equals", "="),
    ("nbsp", "\u{a0}"),
    ("hyphen", "-"),
    ("dash", "-"),
    ("lowbar", "_"),
    ("period", "."),
    ("colon", ":"),
];

/// The character reference of HTML at the start of a text, and its length.
fn reference(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let behind = text.strip_prefix(b"&")?;
    let end = behind.iter().take(10).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&behind[..end]).ok()?;
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let point = match number.strip_prefix(['x', 'X']) {
                Some(number) => u32::from_str_radix(number, 16),
                None => number.parse(),
            };
            char::from_u32(point.ok()?)?.to_string()
        }
        None => NAMED.iter().find(|(of, _)| *of == name)?.1.to_owned(),
    };
    Some((character.into_bytes(), end + 2))
}

/// The decodings of a value: for each notation that applies, its first escape code and the plain value. A value may
/// have been encoded more than once.
pub(super) fn decodings(value: &[u8]) -> impl Iterator<Item = (Notation, String, Vec<u8>)> {
    /// Layers of encoding that are undone; more do not happen by mistake.
    const LAYERS: usize = 3;
    Notation::ALL.into_iter().filter_map(|notation| {
        let (mut plain, first) = notation.decoded(value)?;
        for _ in 1..LAYERS {
            let Some((plainer, _)) = notation.decoded(&plain).filter(|_| notation != Notation::Mail) else {
                break;
            };
            plain = plainer;
        }
        Some((notation, first, plain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_each_notation() {
        let read = |value: &str| {
            decodings(value.as_bytes())
                .map(|(notation, first, plain)| {
                    (notation, first, String::from_utf8_lossy(&plain).into_owned())
                })
                .collect::<Vec<_>>()
        };
        let one = |notation, first: &str, plain: &str| vec![(notation, first.to_owned(), plain.to_owned())];
        assert_eq!(read("a%3Db%2"), one(Notation::Url, "%3D", "a=b%2"));
        assert_eq!(read("%253D"), one(Notation::Url, "%25", "="));
        assert_eq!(read("&lt;a&#61;b&#x3d;&quot;&gt;&none;"), one(Notation::Html, "&lt;", "<a=b=\">&none;"));
        assert_eq!(read("&amp;#61;"), one(Notation::Html, "&amp;", "="));
        assert_eq!(read("a=3Daeaq=\r\nb"), one(Notation::Mail, "=3D", "a=aeaqb"));
        assert_eq!(read("a\\061b"), one(Notation::ZoneFile, "\\061", "a=b"));
        for plain in ["", "a=b", "100%", "&", "\\999", "&#xd800;"] {
            assert_eq!(read(plain), [], "{plain}");
        }
    }
}
