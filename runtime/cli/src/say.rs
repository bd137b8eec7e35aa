//! What the command says while it works: progress on standard error, results on standard output.

/// A step that begins.
pub(crate) fn step(text: &str) {
    eprintln!("· {text}");
}

/// Something that went wrong, with its causes, as one sentence.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Many errors repeat their cause; once is enough.
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    eprintln!("crm: {text}");
}

/// A number of bytes, for people.
pub(crate) fn bytes(count: usize) -> String {
    indicatif::BinaryBytes(count as u64).to_string()
}

/// A part of a limit, for people: at two digits after the point, and never 0 where there is some.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    match (hundredths, part) {
        (0, 1..) => "less than 0.01 %".to_owned(),
        _ => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_said_in_percent() {
        assert_eq!(percent(1, 8), "12.50 %");
        assert_eq!(percent(20_036, 200_000_000), "0.01 %");
        assert_eq!(percent(1, 200_000_000), "less than 0.01 %");
        assert_eq!(percent(0, 0), "0.00 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.00 %");
    }
}
