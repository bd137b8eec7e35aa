//! Whether a file is UTF-8, as it comes in piece by piece.

/// Why a file's text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// It begins with UTF-16's mark.
    #[error("the file is UTF-16; save it as “CSV UTF-8” and upload it again")]
    Utf16,
    /// These bytes are no UTF-8.
    #[error(
        "the file is not UTF-8 (byte {position} is none); save it as “CSV UTF-8” and upload it \
         again"
    )]
    NotUtf8 {
        /// Counts from 0.
        position: u64,
    },
    /// PostgreSQL's text holds any character but this.
    #[error("byte {position} of the file is NUL: is it a CSV file?")]
    Nul {
        /// Counts from 0.
        position: u64,
    },
}

/// Checks a file as it comes in; characters may be cut between pieces.
#[derive(Clone, Debug, Default)]
pub struct Utf8Check {
    seen: u64,
    /// The begin of a character that the last piece cut.
    pending: Vec<u8>,
}

impl Utf8Check {
    /// Takes the next piece.
    ///
    /// # Errors
    /// See [`EncodingError`].
    pub fn push(&mut self, piece: &[u8]) -> Result<(), EncodingError> {
        let begins = self.seen == 0 && self.pending.is_empty();
        if begins && (piece.starts_with(&[0xff, 0xfe]) || piece.starts_with(&[0xfe, 0xff])) {
            return Err(EncodingError::Utf16);
        }
        if let Some(at) = piece.iter().position(|byte| *byte == 0) {
            let position = self.seen + (self.pending.len() + at) as u64;
            return Err(EncodingError::Nul { position });
        }
        self.pending.extend_from_slice(piece);
        let valid = match std::str::from_utf8(&self.pending) {
            Ok(_) => self.pending.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => {
                let position = self.seen + error.valid_up_to() as u64;
                return Err(EncodingError::NotUtf8 { position });
            }
        };
        self.seen += valid as u64;
        self.pending.drain(..valid);
        Ok(())
    }

    /// The file is at its end.
    ///
    /// # Errors
    /// [`EncodingError::NotUtf8`] where it ends in the middle of a character.
    pub fn finish(&self) -> Result<(), EncodingError> {
        match self.pending.is_empty() {
            true => Ok(()),
            false => Err(EncodingError::NotUtf8 {
                position: self.seen,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), EncodingError> {
        let mut check = Utf8Check::default();
        for piece in pieces {
            check.push(piece)?;
        }
        check.finish()
    }

    #[test]
    fn characters_may_be_cut_between_pieces() {
        assert_eq!(check(&[b"J\xc3", b"\xbcrgen"]), Ok(()));
        assert_eq!(check(&[b"a\xe2", b"\x82", b"\xac"]), Ok(()));
    }

    #[test]
    fn other_encodings_are_named() {
        assert_eq!(check(&[b"\xff\xfea\0"]), Err(EncodingError::Utf16));
        let latin1 = EncodingError::NotUtf8 { position: 5 };
        assert_eq!(check(&[b"ab,", b"cJ\xfcrgen"]), Err(latin1));
        let cut = EncodingError::NotUtf8 { position: 1 };
        assert_eq!(check(&[b"a\xc3"]), Err(cut));
        assert_eq!(
            check(&[b"a", b"b\0"]),
            Err(EncodingError::Nul { position: 2 })
        );
    }
}
