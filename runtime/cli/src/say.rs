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
