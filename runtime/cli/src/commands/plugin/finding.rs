//! What is wrong with a plugin, at which place of which file.

use console::Term;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The plugin is refused, or cannot work.
    Error,
    /// It works, and somebody should look at it.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// A stable name.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Place {
    file: String,
    /// From 1.
    line: usize,
    /// In bytes, from 1.
    column: usize,
    #[serde(skip)]
    span: Range<usize>,
    #[serde(skip)]
    text: Arc<str>,
}

/// A file's text, to find places in.
#[derive(Clone, Debug)]
pub(crate) struct JsonText {
    file: String,
    pub(crate) text: Arc<str>,
}

impl Finding {
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            help: None,
            place: None,
        }
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As the one reason why a command ends: `file:line:column: message`.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self.place {
            None => anyhow::Error::msg(self.message),
            Some(Place {
                file, line, column, ..
            }) => anyhow::anyhow!("{file}:{line}:{column}: {}", self.message),
        }
    }

    /// For people: with the lines around the place, in colour on a terminal.
    pub(crate) fn render(&self) -> String {
        let mut diagnostic = MietteDiagnostic::new(self.message.clone())
            .with_code(self.code)
            .with_severity(match self.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            });
        if let Some(help) = &self.help {
            diagnostic = diagnostic.with_help(help.clone());
        }
        let report = match &self.place {
            None => miette::Report::from(diagnostic),
            Some(place) => {
                let span = LabeledSpan::new_with_span(None, place.span.clone());
                let source = NamedSource::new(&place.file, Arc::clone(&place.text));
                miette::Report::from(diagnostic.with_label(span)).with_source_code(source)
            }
        };
        let theme = match Term::stdout().features().colors_supported() {
            true => GraphicalTheme::unicode(),
            false => GraphicalTheme::unicode_nocolor(),
        };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
        if handler.render_report(&mut text, report.as_ref()).is_err() {
            text.clone_from(&self.message);
        }
        text
    }
}

impl JsonText {
    pub(crate) fn new(file: impl Into<String>, text: &str) -> Self {
        Self {
            file: file.into(),
            text: text.into(),
        }
    }

    /// Where the value under these keys stands.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<Place> {
        let mut value: &RawValue = serde_json::from_str(&self.text).ok()?;
        for key in keys {
            value = match key.parse::<usize>() {
                Ok(position) => {
                    let members: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                    members.get(position).copied()?
                }
                Err(_) => {
                    let members: BTreeMap<String, &RawValue> =
                        serde_json::from_str(value.get()).ok()?;
                    members.get(*key).copied()?
                }
            };
        }
        // The value is a piece of the text, so the distance of their beginnings is its place.
        let start = (value.get().as_ptr().addr()).checked_sub(self.text.as_ptr().addr())?;
        Some(self.place(start..start + value.get().len()))
    }

    /// What is wrong with the JSON, where reading it stopped.
    pub(crate) fn broken(&self, code: &'static str, error: &serde_json::Error) -> Finding {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        Finding::error(code, message).at(Some(self.error_at(error)))
    }

    fn error_at(&self, error: &serde_json::Error) -> Place {
        let before = self.text.split_inclusive('\n');
        let lines: usize = before
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .sum();
        let end = (lines + error.column()).min(self.text.len());
        let start = self.text.floor_char_boundary(end.saturating_sub(1));
        self.place(start..end)
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: span.start - line_start + 1,
            span,
            text: Arc::clone(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n  \"a\": [1, {\"b\": \"ä\"}],\n  \"c\": true\n}\n";

    #[test]
    fn a_value_is_found_by_its_keys() {
        let text = JsonText::new("plugin.json", TEXT);
        let of = |keys: &[&str]| {
            let place = text.at(keys)?;
            Some((place.line, place.column, TEXT[place.span].to_owned()))
        };
        assert_eq!(of(&["a", "1", "b"]), Some((2, 18, "\"ä\"".to_owned())));
        assert_eq!(of(&["c"]), Some((3, 8, "true".to_owned())));
        assert_eq!(of(&["a", "2"]), None);
        assert_eq!(of(&["d"]), None);
    }

    #[test]
    fn an_error_stands_where_reading_stopped() {
        let broken = "{\n  \"a\": tru\n}";
        let error = serde_json::from_str::<serde_json::Value>(broken).unwrap_err();
        let finding = JsonText::new("plugin.json", broken).broken("manifest", &error);
        assert_eq!(finding.message, "expected ident");
        let shown = finding.render();
        assert!(shown.contains("plugin.json:2:"), "{shown}");
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(
            (&json["line"], &json["file"]),
            (&2.into(), &"plugin.json".into())
        );
    }
}
