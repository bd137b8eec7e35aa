//! Short texts with expressions in double braces: `Call {{ after.full_name }}`. They see what
//! other expressions do, and two things more: `owner`, the user whom the event's record belongs
//! to, and `secrets`, whose members are handles that the host fills in on the way out.

use crm_expression::Expression;
use crm_plugin_sdk::{Event, Failure, json, secrets};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::context::{Record, owner, put};

/// A text of a configuration.
#[derive(Clone, Debug)]
pub struct Text(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Written(String),
    Place(Expression),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        parse(&source).map_err(serde::de::Error::custom)
    }
}

fn parse(source: &str) -> Result<Text, String> {
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some((written, after)) = rest.split_once("{{") {
        let (place, after) = after
            .split_once("}}")
            .ok_or_else(|| format!("`{source}`: `}}}}` is missing"))?;
        let place = Expression::parse(place.trim());
        parts.push(Part::Written(written.to_owned()));
        parts.push(Part::Place(
            place.map_err(|error| format!("`{source}`: {error}"))?,
        ));
        rest = after;
    }
    parts.push(Part::Written(rest.to_owned()));
    Ok(Text(parts))
}

impl Text {
    /// The text with values in their places; what is null leaves its place empty.
    ///
    /// # Errors
    /// Fails where an expression cannot be evaluated, and where there is no such secret.
    pub fn of(&self, event: &Event<Record>, context: &Value) -> Result<String, Failure> {
        let context = self.with_what_is_asked_for(event, context)?;
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Written(written) => text.push_str(written),
                Part::Place(place) => {
                    let value = place.evaluate(&context);
                    let value = value
                        .map_err(|error| Failure::fail(format!("`{}`: {error}", place.source())))?;
                    match value {
                        Value::Null => {}
                        Value::String(value) => text.push_str(&value),
                        other => text.push_str(&other.to_string()),
                    }
                }
            }
        }
        Ok(text)
    }

    /// `owner` and `secrets` are asked of the host only where the text names them.
    fn with_what_is_asked_for(
        &self,
        event: &Event<Record>,
        context: &Value,
    ) -> Result<Value, Failure> {
        let mut context = context.clone();
        let mut handles = json!({});
        for part in &self.0 {
            let Part::Place(place) = part else { continue };
            for member in place.members() {
                match member.as_slice() {
                    ["owner", ..] => put(&mut context, "owner", owner(event)?),
                    ["secrets", name, ..] => {
                        put(&mut handles, name, json!(secrets::handle(name)?));
                    }
                    _ => {}
                }
            }
        }
        put(&mut context, "secrets", handles);
        Ok(context)
    }
}

/// What texts give, one to each, without those that give nothing.
///
/// # Errors
/// As [`Text::of`].
pub fn texts(
    texts: &[Text],
    event: &Event<Record>,
    context: &Value,
) -> Result<Vec<String>, Failure> {
    let mut written = Vec::new();
    for text in texts {
        let text = text.of(event, context)?;
        if !text.trim().is_empty() {
            written.push(text.trim().to_owned());
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::context;
    use crm_plugin_sdk::testing;

    fn of(text: &str) -> Result<String, Failure> {
        let event = testing::created("leads", json!({ "name": "Ada", "price": "0.10", "n": 3 }));
        parse(text)
            .map_err(Failure::fail)?
            .of(&event, &context(&event))
    }

    #[test]
    fn places_are_filled_in() {
        let _host = testing::host()
            .secret("stripe")
            .record("leads", testing::RECORD_ID, json!({}));
        for (text, expected) in [
            ("plain", "plain"),
            ("{{ after.name }}{{after.none}}, {{after.n}}", "Ada, 3"),
            ("{{ number(after.price) * 3 }}!", "0.30!"),
            ("{{ event.module }} of {{ owner }}", "leads of tester"),
            ("Bearer {{ secrets.stripe }}", "Bearer handle-of-stripe"),
        ] {
            assert_eq!(of(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let _host = testing::host();
        for (text, reason) in [
            ("Hello {{ after.name", "`}}` is missing"),
            ("{{ 1 + }}", "a value is missing"),
            ("{{ secrets.none }}", "there is no secret “none”"),
            ("{{ after.name * 2 }}", "`*` takes two numbers"),
        ] {
            let Err(Failure::Fail(message)) = of(text) else {
                panic!("{text}")
            };
            assert!(message.contains(reason), "{message}");
        }
    }
}
