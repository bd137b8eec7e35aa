//! Numbers as people write them, exactly: with a point or a comma, with groups of three digits.
//! Where a text can mean two numbers, it is refused rather than guessed at.

use super::cell::CellError;

/// A number's text in the form of JSON: `-1234.50`.
pub(super) fn number(text: &str) -> Result<String, CellError> {
    let refused = || CellError::new("type", "is not a number");
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let digits: String = digits
        .trim_start()
        .chars()
        .map(|character| match character {
            '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’' => ' ',
            other => other,
        })
        .collect();
    let is_number = |character: char| character.is_ascii_digit() || " ,.".contains(character);
    if !digits.contains(|character: char| character.is_ascii_digit())
        || !digits.chars().all(is_number)
    {
        return Err(refused());
    }
    let (whole, fraction) = split(&digits)?;
    let whole = ungrouped(whole).ok_or_else(refused)?;
    if !fraction.chars().all(|character| character.is_ascii_digit()) {
        return Err(refused());
    }
    Ok(canonical(negative, &whole, fraction))
}

/// Where the fraction begins. The last separator is the decimal one unless it can only be a
/// group's, and one comma before three digits can be both.
fn split(digits: &str) -> Result<(&str, &str), CellError> {
    let (commas, points) = (digits.matches(',').count(), digits.matches('.').count());
    let decimal = match (commas, points) {
        (0, 0) => None,
        (0, 1) => Some('.'),
        (1, 0) => {
            if digits.split_once(',').is_some_and(|(whole, rest)| {
                rest.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0')
            }) {
                let message = format!(
                    "“{digits}” can mean two numbers; write decimals with a point, thousands \
                     without a comma"
                );
                return Err(CellError::new("ambiguous", message));
            }
            Some(',')
        }
        (0, _) | (_, 0) => None,
        (_, 1) if digits.rfind('.') > digits.rfind(',') => Some('.'),
        (1, _) if digits.rfind(',') > digits.rfind('.') => Some(','),
        _ => return Err(CellError::new("type", "is not a number")),
    };
    Ok(decimal
        .and_then(|decimal| digits.rsplit_once(decimal))
        .unwrap_or((digits, "")))
}

/// Digits without their separators, where those stand before every third digit and are the same.
fn ungrouped(whole: &str) -> Option<String> {
    let Some(separator) = whole.chars().find(|character| !character.is_ascii_digit()) else {
        return Some(whole.to_owned());
    };
    let mut groups = whole.split(separator);
    let first = groups.next()?;
    let well_formed = (1..=3).contains(&first.len())
        && groups.all(|group| group.len() == 3)
        && whole
            .chars()
            .all(|character| character.is_ascii_digit() || character == separator);
    well_formed.then(|| whole.replace(separator, ""))
}

fn canonical(negative: bool, whole: &str, fraction: &str) -> String {
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let sign = if negative { "-" } else { "" };
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// A whole number.
pub(super) fn integer(text: &str) -> Result<i64, CellError> {
    let number = number(text)?;
    let whole = match number.split_once('.') {
        Some((whole, fraction)) if fraction.chars().all(|digit| digit == '0') => whole,
        Some(_) => return Err(CellError::new("type", "is not a whole number")),
        None => number.as_str(),
    };
    whole
        .parse()
        .map_err(|_| CellError::new("max", "has more digits than a whole number may have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_exact() {
        for (text, expected) in [
            ("0.1", "0.1"),
            ("12.50", "12.50"),
            ("-3", "-3"),
            ("+3", "3"),
            ("007", "7"),
            (".5", "0.5"),
            ("12,5", "12.5"),
            ("0,123", "0.123"),
            ("1,234.50", "1234.50"),
            ("1.234,50", "1234.50"),
            ("1,234,567", "1234567"),
            ("1.234.567", "1234567"),
            ("1 234.5", "1234.5"),
            ("1'234.5", "1234.5"),
            (
                "79228162514264337593543950335.123",
                "79228162514264337593543950335.123",
            ),
        ] {
            assert_eq!(number(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_two_is_refused() {
        for text in [
            "", "x", "1e5", "1,23,4.5", "12 34", "1..2", "--1", "1,2.3,4", ",", "0x10",
        ] {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(number("1,234").unwrap_err().code, "ambiguous");
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(integer("1 000"), Ok(1000));
        assert_eq!(integer("3.00"), Ok(3));
        assert!(integer("3.01").is_err());
        assert!(integer("99999999999999999999").is_err());
    }
}
