//! Which character stands between the cells.

/// The characters that are looked for.
pub const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows that are looked at.
const ROWS: usize = 20;

/// The delimiter that cuts the first rows of a file into most columns, the same number in each;
/// a comma where none does.
pub fn sniff_delimiter(head: &str) -> u8 {
    let score = |delimiter: u8| -> usize {
        let counts = counts(head, delimiter);
        let Some(first) = counts.first().copied() else {
            return 0;
        };
        let same = counts.iter().filter(|count| **count == first).count();
        // A delimiter of the header that other rows do not share is text.
        if same * 2 > counts.len() { first } else { 0 }
    };
    let mut best = (b',', score(b','));
    for delimiter in DELIMITERS {
        let found = score(delimiter);
        if found > best.1 {
            best = (delimiter, found);
        }
    }
    best.0
}

/// How often it stands outside quotes in each of the first rows.
fn counts(head: &str, delimiter: u8) -> Vec<usize> {
    let mut counts = Vec::new();
    let (mut count, mut quoted, mut empty) = (0, false, true);
    for byte in head.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => {
                if !empty {
                    counts.push(count);
                }
                (count, empty) = (0, true);
                if counts.len() == ROWS {
                    return counts;
                }
                continue;
            }
            _ if byte == delimiter && !quoted => count += 1,
            _ => {}
        }
        empty = false;
    }
    if !empty && counts.is_empty() {
        counts.push(count);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::sniff_delimiter;

    #[test]
    fn the_delimiter_that_cuts_evenly_is_the_one() {
        for (head, expected) in [
            ("a,b,c\n1,2,3\n", b','),
            ("a;b;c\n1,5;2,5;3\n", b';'),
            ("a\tb\n1, 2\t3\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("\"x;y;z\",b\n1,2\n", b','),
            ("name\nAda\n", b','),
            ("", b','),
        ] {
            assert_eq!(sniff_delimiter(head), expected, "{head:?}");
        }
    }
}
