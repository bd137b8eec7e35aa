//! Counts a file's rows as it comes in, and finds what no reader could read: rows without end.
//! Rows end where the reader of the import ends them (RFC 4180; a quote that is not the first
//! character of a cell is text).

use crate::limits::IMPORT_ROW_MAX_BYTES;

/// Why a file's rows cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Longer than [`IMPORT_ROW_MAX_BYTES`].
    #[error("row {row} is longer than {IMPORT_ROW_MAX_BYTES} bytes: is a quote left open in it?")]
    RowTooLong {
        /// Counts from 0, the header.
        row: u64,
    },
    /// The file ends inside quotes.
    #[error("a quote that is opened in row {row} is never closed")]
    OpenQuote {
        /// Counts from 0, the header.
        row: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    /// After a quote inside quotes: the end of the cell, or half of a doubled quote.
    QuoteInQuotes,
}

/// Counts rows.
#[derive(Clone, Debug)]
pub struct Scanner {
    delimiter: u8,
    at: At,
    rows: u64,
    row_bytes: usize,
}

impl Scanner {
    /// At the begin of a file with this delimiter.
    pub fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            at: At::CellStart,
            rows: 0,
            row_bytes: 0,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`ScanError::RowTooLong`].
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        for byte in piece {
            self.step(*byte)?;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.at != At::Quoted && (byte == b'\n' || byte == b'\r') {
            self.end_row();
            return Ok(());
        }
        self.row_bytes += 1;
        if self.row_bytes > IMPORT_ROW_MAX_BYTES {
            return Err(ScanError::RowTooLong { row: self.rows });
        }
        self.at = match (self.at, byte) {
            (At::CellStart | At::QuoteInQuotes, b'"') => At::Quoted,
            (At::Quoted, b'"') => At::QuoteInQuotes,
            (At::Quoted, _) => At::Quoted,
            (_, byte) if byte == self.delimiter => At::CellStart,
            _ => At::Cell,
        };
        Ok(())
    }

    /// Empty lines are no rows.
    fn end_row(&mut self) {
        if self.row_bytes > 0 {
            self.rows += 1;
        }
        self.row_bytes = 0;
        self.at = At::CellStart;
    }

    /// The file is at its end: how many rows it has, with the header.
    ///
    /// # Errors
    /// [`ScanError::OpenQuote`].
    pub fn finish(mut self) -> Result<u64, ScanError> {
        if self.at == At::Quoted {
            return Err(ScanError::OpenQuote { row: self.rows });
        }
        self.end_row();
        Ok(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<u64, ScanError> {
        let mut scanner = Scanner::new(b',');
        for byte in text.as_bytes() {
            scanner.push(std::slice::from_ref(byte))?;
        }
        scanner.finish()
    }

    #[test]
    fn line_breaks_in_quotes_end_no_row() {
        for (text, expected) in [
            ("a,b\n1,2\n", 2),
            ("a,b\r\n1,2", 2),
            ("a,b\n\"x\ny\",2\n", 2),
            ("a\n\"say \"\"hi\"\"\n\"\n", 2),
            ("a\n12\" pipe\n13\" pipe\n", 3),
            ("\n\na\n\n1\n", 2),
            ("", 0),
        ] {
            assert_eq!(rows(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn a_row_without_end_is_named() {
        assert_eq!(rows("a\n1\n\"x\n"), Err(ScanError::OpenQuote { row: 2 }));
        let fits = "x".repeat(IMPORT_ROW_MAX_BYTES);
        assert_eq!(rows(&fits), Ok(1));
        let long = format!("a\n{fits}y");
        assert_eq!(rows(&long), Err(ScanError::RowTooLong { row: 1 }));
    }
}
