//! `text` (one line) and `long_text` (many). Stored as given. Example: `"Ada Lovelace"`.

use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::{LONG_TEXT_MAX_CHARACTERS, TEXT_MAX_CHARACTERS};
use crate::schema;

pub(crate) struct Text {
    name: &'static str,
    max_characters: u64,
    lines: bool,
}

pub(crate) static TEXT: Text = Text {
    name: "text",
    max_characters: TEXT_MAX_CHARACTERS,
    lines: false,
};
pub(crate) static LONG_TEXT: Text = Text {
    name: "long_text",
    max_characters: LONG_TEXT_MAX_CHARACTERS,
    lines: true,
};

impl FieldType for Text {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        if self.lines {
            "Text of many lines."
        } else {
            "Text of one line."
        }
    }

    fn storage(&self) -> &'static str {
        "A JSON string, as given."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min_length", "max_length", "pattern"]
    }

    fn example(&self) -> Value {
        json!("Ada Lovelace")
    }

    fn rendering(&self) -> &'static str {
        if self.lines { "textarea" } else { "text" }
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Text)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        let max_length = field.max_length.unwrap_or(self.max_characters);
        if max_length > self.max_characters {
            return Err(format!(
                "max_length of {} is at most {} characters",
                self.name, self.max_characters
            ));
        }
        if field.min_length.is_some_and(|min| min > max_length) {
            return Err("min_length is more than max_length".to_owned());
        }
        match &field.pattern {
            Some(_) => schema::compile(&self.schema(field))
                .map(|_| ())
                .map_err(|message| format!("pattern cannot be used: {message}")),
            None => Ok(()),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let mut schema = json!({
            "type": "string",
            "maxLength": field.max_length.unwrap_or(self.max_characters),
        });
        if let Value::Object(schema) = &mut schema {
            // An empty text is no answer to a required question.
            let min_length = field.min_length.unwrap_or(u64::from(field.required));
            if min_length > 0 {
                schema.insert("minLength".to_owned(), json!(min_length));
            }
            if let Some(pattern) = &field.pattern {
                schema.insert("pattern".to_owned(), json!(pattern));
            }
        }
        schema
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let text = value.as_str().unwrap_or_default();
        if field.required && text.trim().is_empty() {
            return Err(Problem::new("required", "is blank"));
        }
        if !self.lines && text.contains(['\n', '\r']) {
            return Err(Problem::new("format", "is one line: no line breaks"));
        }
        Ok(())
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let line = "[^\\x00\n\r]{0,60}";
        let lines = "[^\\x00]{0,60}";
        let text = if self.lines { lines } else { line };
        text.prop_map(|text| json!(text)).boxed()
    }
}
