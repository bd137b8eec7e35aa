//! A file's rows, from where the last step ended. It never holds more of the file than a step
//! needs.

use crm_model::ImportId;
use crm_model::limits::{
    IMPORT_CHUNK_BYTES, IMPORT_ROW_MAX_BYTES, IMPORT_STEP_MAX_BYTES, IMPORT_STEP_MAX_ROWS,
};
use crm_store::TenantTx;
use csv::{ByteRecord, ReaderBuilder, StringRecord};

use crate::EngineError;

/// Chunks that hold a step's bytes and one row more, wherever they begin.
const STEP_CHUNKS: usize =
    (IMPORT_STEP_MAX_BYTES + IMPORT_ROW_MAX_BYTES).div_ceil(IMPORT_CHUNK_BYTES) + 1;

/// Rows, each with the place in the file where it ends.
pub(crate) type Rows = Vec<(StringRecord, u64)>;

/// Rows of a file from this offset on, as many as one step takes; none at the end.
///
/// # Errors
/// From the store; [`EngineError::Conflict`] where the file's bytes are gone.
pub(crate) async fn rows_read(
    tx: &mut TenantTx,
    import: ImportId,
    delimiter: u8,
    offset: u64,
    file_bytes: u64,
) -> Result<Rows, EngineError> {
    if offset >= file_bytes {
        return Ok(Vec::new());
    }
    let size = IMPORT_CHUNK_BYTES as u64;
    let first = i32::try_from(offset / size).unwrap_or(i32::MAX);
    let most = i32::try_from(STEP_CHUNKS).unwrap_or(i32::MAX);
    let chunks = crm_store::imports::chunks_read(tx, import, first, most).await?;
    let bytes = chunks.concat();
    let skip = usize::try_from(offset % size).unwrap_or_default();
    let Some(rest) = bytes.get(skip..).filter(|rest| !rest.is_empty()) else {
        return Err(EngineError::Conflict(
            "the file is no longer kept; upload it again".to_owned(),
        ));
    };
    let is_end = offset + rest.len() as u64 >= file_bytes;
    let mut rows = rows_parse(rest, delimiter, is_end)?;
    for (_, end) in &mut rows {
        *end += offset;
    }
    Ok(rows)
}

/// Complete rows at the begin of these bytes, with where each ends. What follows the last
/// complete row is left for later, unless the file ends here.
pub(crate) fn rows_parse(bytes: &[u8], delimiter: u8, is_end: bool) -> Result<Rows, EngineError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        EngineError::Conflict(format!("the file cannot be read: {error}"))
    };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(bytes);
    let mut rows = Vec::new();
    let mut record = ByteRecord::new();
    while rows.len() < IMPORT_STEP_MAX_ROWS {
        let found = reader.read_byte_record(&mut record);
        if !found.map_err(|error| unreadable(&error))? {
            break;
        }
        let end = reader.position().byte();
        if !is_end && end >= bytes.len() as u64 {
            break;
        }
        let row = StringRecord::from_byte_record(record.clone());
        rows.push((row.map_err(|error| unreadable(&error))?, end));
        if end >= IMPORT_STEP_MAX_BYTES as u64 {
            break;
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, is_end: bool) -> Vec<(Vec<String>, u64)> {
        let rows = rows_parse(text.as_bytes(), b',', is_end).unwrap();
        rows.into_iter()
            .map(|(row, end)| (row.iter().map(str::to_owned).collect(), end))
            .collect()
    }

    #[test]
    fn rows_go_on_where_the_last_ended() {
        let text = "a,b\r\n\"x\ny\",\"say \"\"hi\"\"\"\r\n\r\n1,2,3\nJürgen,\n";
        let all: Vec<Vec<String>> = parsed(text, true).into_iter().map(|row| row.0).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[1], ["x\ny", "say \"hi\""]);
        for (_, end) in parsed(text, true) {
            let rest = &text[usize::try_from(end).unwrap()..];
            let rows: Vec<_> = parsed(rest, true).into_iter().map(|row| row.0).collect();
            assert_eq!(rows, all[all.len() - rows.len()..]);
        }
    }

    #[test]
    fn a_row_that_may_go_on_is_left_for_later() {
        assert_eq!(parsed("a,b\n1,\"2", false).len(), 1);
        assert_eq!(parsed("a,b\n1,2\n", false).len(), 1);
        assert_eq!(parsed("a,b\n1,2", true).len(), 2);
        // A character that is cut is no reason to refuse the rows before it.
        let cut = &"a\nü".as_bytes()[..3];
        assert_eq!(rows_parse(cut, b',', false).unwrap().len(), 1);
    }
}
