//! Keys: texts whose order, byte by byte, is the order of the values that they stand for. The
//! typed index holds nothing else, so one table of plain text serves every type: its operators
//! are leakproof, and decimals of any size keep their exactness, which no plain number type of
//! PostgreSQL offers together.

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;

use crate::limits::KEY_MAX_CHARACTERS;

/// The key of no value; before all others.
pub const ABSENT: &str = "";

/// Added to exponents, so that they have two digits and no sign; a decimal's are within ±28.
const EXPONENT_BIAS: i64 = 50;

/// Text in the order of people: without regard to case. Long texts share a key when they begin
/// alike, so whoever finds one by its key looks at the value too.
pub fn text(value: &str) -> String {
    cut(&fold(value))
}

/// How texts are compared where case does not count.
pub fn fold(value: &str) -> String {
    value.to_lowercase()
}

/// Text in the order of its bytes: options, ids, days.
pub fn exact(value: &str) -> String {
    cut(value)
}

/// A moment, to the microsecond, which is what PostgreSQL keeps.
pub fn moment(value: DateTime<Utc>) -> String {
    value.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A truth value; false comes first.
pub fn boolean(value: bool) -> String {
    value.to_string()
}

/// An exact number: its sign, its exponent, its digits; all turned round for negative ones.
pub fn number(value: Decimal) -> String {
    let value = value.normalize();
    if value.is_zero() {
        return "1".to_owned();
    }
    let digits = value.mantissa().unsigned_abs().to_string();
    let exponent = i64::try_from(digits.len()).unwrap_or(0) - i64::from(value.scale());
    let digits = digits.trim_end_matches('0');
    if value.is_sign_positive() {
        return format!("2{:02}{digits}", exponent + EXPONENT_BIAS);
    }
    let turned: String = digits
        .chars()
        .filter_map(|digit| char::from_digit(9 - digit.to_digit(10)?, 10))
        .collect();
    // What is longer is smaller here, so the end sorts behind every digit.
    format!("0{:02}{turned}~", 99 - (exponent + EXPONENT_BIAS))
}

fn cut(text: &str) -> String {
    text.chars().take(KEY_MAX_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_of_numbers_are_in_the_order_of_the_numbers(
            a in any::<i64>(), b in any::<i64>(), scale_a in 0u32..28, scale_b in 0u32..28,
        ) {
            let (a, b) = (Decimal::new(a, scale_a), Decimal::new(b, scale_b));
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }

        #[test]
        fn keys_of_near_numbers_too(a in -1000i64..1000, b in -1000i64..1000) {
            let (a, b) = (Decimal::new(a, 1), Decimal::new(b, 2));
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }

        #[test]
        fn keys_of_moments_are_in_the_order_of_time(a in 0i64..4_000_000_000_000_000, b in 0i64..4_000_000_000_000_000) {
            let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(moment(at(a)).cmp(&moment(at(b))), a.cmp(&b));
        }
    }

    #[test]
    fn a_value_comes_after_none() {
        for key in [
            number(Decimal::MIN),
            exact("0"),
            boolean(false),
            text("\u{1}"),
        ] {
            assert!(key.as_str() > ABSENT, "{key}");
        }
    }
}
