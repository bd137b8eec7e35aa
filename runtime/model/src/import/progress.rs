//! How far a run of an import came: kept by its task after every step.

use serde::{Deserialize, Serialize};

use crate::limits::{IMPORT_ERROR_MAX_CHARACTERS, IMPORT_MAX_ERRORS};

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportState {
    /// Bytes of the file that are done.
    pub offset: u64,
    /// Rows of data that are done.
    pub rows: u64,
    /// Rows of data in all.
    pub total: u64,
    pub created: u64,
    pub updated: u64,
    /// Rows that were refused.
    pub failed: u64,
    /// Errors in all; a row can have several.
    pub error_count: u64,
    /// The first of them.
    pub errors: Vec<RowError>,
    /// The header is not data, and was passed.
    #[serde(default)]
    pub header_read: bool,
}

/// Why a row was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// Counts rows of data from 1; the header is none.
    pub row: u64,
    /// The column's name; none where the row has no such column.
    pub column: Option<String>,
    /// The field, where it is about one.
    pub field: Option<String>,
    /// Stable.
    pub code: String,
    pub message: String,
}

impl ImportState {
    /// Counts a refused row with its errors, and keeps them while there is room.
    pub fn refuse(&mut self, errors: Vec<RowError>) {
        self.failed += 1;
        self.error_count += errors.len() as u64;
        let room = IMPORT_MAX_ERRORS.saturating_sub(self.errors.len());
        self.errors
            .extend(errors.into_iter().take(room).map(shortened));
    }

    /// Records that were written.
    pub fn written(&self) -> u64 {
        self.created + self.updated
    }
}

/// Messages quote cells, which can be long.
fn shortened(mut error: RowError) -> RowError {
    let end = error
        .message
        .char_indices()
        .nth(IMPORT_ERROR_MAX_CHARACTERS);
    if let Some((end, _)) = end {
        error.message.truncate(end);
        error.message.push('…');
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(row: u64, message: &str) -> RowError {
        RowError {
            row,
            column: None,
            field: None,
            code: "type".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn long_messages_are_shortened() {
        let mut state = ImportState::default();
        let fits = "ü".repeat(IMPORT_ERROR_MAX_CHARACTERS);
        state.refuse(vec![error(1, &fits), error(1, &format!("{fits}ü"))]);
        let messages: Vec<&str> = state.errors.iter().map(|error| &*error.message).collect();
        assert_eq!(messages, [fits.clone(), format!("{fits}…")]);
    }

    #[test]
    fn errors_beyond_the_limit_are_counted_only() {
        let mut state = ImportState::default();
        for row in 0..=IMPORT_MAX_ERRORS as u64 {
            state.refuse(vec![error(row, "is wrong")]);
        }
        assert_eq!(state.errors.len(), IMPORT_MAX_ERRORS);
        assert_eq!(state.error_count, IMPORT_MAX_ERRORS as u64 + 1);
        assert_eq!(state.failed, state.error_count);
    }
}
