//! `crm:plugin/log`: lines for the run log. Keeps the first bytes of a run and drops the rest;
//! never fails a guest for writing too much, and never copies what it drops.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use crate::contract::LOG;
use crate::contract::bindings::v1_0::log::Level;
use crate::report::{LogLevel, LogLine};
use crate::store::GuestState;
use crate::text::{beginning, storable};

/// One run's log.
pub(crate) struct RunLog {
    lines: Vec<LogLine>,
    remaining_bytes: usize,
    truncated: bool,
}

impl RunLog {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            lines: Vec::new(),
            remaining_bytes: max_bytes,
            truncated: false,
        }
    }

    /// The lines, oldest first, and whether some were dropped.
    pub(crate) fn take(&mut self) -> (Vec<LogLine>, bool) {
        (std::mem::take(&mut self.lines), self.truncated)
    }

    pub(crate) fn remaining_bytes(&self) -> usize {
        self.remaining_bytes
    }

    /// What of a message is kept, and whether that is less than all of it. `None` when nothing
    /// fits. A line costs one byte for its end, so that empty lines come to an end too.
    fn fit(&self, message: &str) -> Option<(String, bool)> {
        let room = self.remaining_bytes.checked_sub(1)?;
        let kept = beginning(message, room);
        let clean = storable(kept);
        // What stands for a control character is longer than that.
        let line = beginning(&clean, room);
        let cut = kept.len() < message.len() || line.len() < clean.len();
        Some((line.to_owned(), cut))
    }

    /// Takes in what a guest printed, line by line.
    pub(crate) fn print(&mut self, text: &str) {
        for line in text.lines() {
            if self.truncated {
                return;
            }
            let fitting = self.fit(line);
            self.push(LogLevel::Info, fitting);
        }
    }

    fn push(&mut self, level: LogLevel, fitting: Option<(String, bool)>) {
        let Some((message, cut)) = fitting else {
            self.truncated = true;
            return;
        };
        self.remaining_bytes = self.remaining_bytes.saturating_sub(message.len() + 1);
        self.truncated = cut;
        self.lines.push(LogLine { level, message });
    }
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}

/// Offers the interface to guests.
pub(crate) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.instance(LOG)?.func_wrap("write", write)
}

fn write(
    mut store: StoreContextMut<'_, GuestState>,
    (level, message): (Level, WasmStr),
) -> wasmtime::Result<()> {
    store.data_mut().take_printed();
    // Once a run's log is full, its messages are not even looked at.
    if store.data().log.truncated {
        return Ok(());
    }
    let fitting = store.data().log.fit(&message.to_str(&store)?);
    store.data_mut().log.push(level_of(level), fitting);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(max_bytes: usize, messages: &[&str]) -> (Vec<String>, bool) {
        let mut log = RunLog::new(max_bytes);
        for message in messages {
            let fitting = log.fit(message);
            log.push(LogLevel::Info, fitting);
        }
        let (lines, truncated) = log.take();
        (
            lines.into_iter().map(|line| line.message).collect(),
            truncated,
        )
    }

    #[test]
    fn a_log_at_its_limit_is_whole_and_one_past_it_is_cut() {
        assert_eq!(
            written(8, &["abc", "def"]),
            (vec!["abc".into(), "def".into()], false)
        );
        assert_eq!(
            written(8, &["abc", "defg"]),
            (vec!["abc".into(), "def".into()], true)
        );
        assert_eq!(
            written(8, &["abc", "def", ""]),
            (vec!["abc".into(), "def".into()], true)
        );
    }

    #[test]
    fn empty_lines_come_to_an_end() {
        let (lines, truncated) = written(3, &["", "", "", ""]);
        assert_eq!((lines.len(), truncated), (3, true));
    }

    #[test]
    fn replaced_characters_do_not_grow_past_the_limit() {
        assert_eq!(
            written(8, &["\0\0\0\0"]),
            (vec!["\u{fffd}\u{fffd}".into()], true)
        );
    }
}
