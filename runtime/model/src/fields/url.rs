//! `url`: an address on the web, http or https, in its canonical form. Example:
//! `"https://example.com/about"`.

use serde_json::{Value, json};
use url::Url as Parsed;

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::URL_MAX_CHARACTERS;

pub(crate) struct Url;

impl FieldType for Url {
    fn name(&self) -> &'static str {
        "url"
    }

    fn summary(&self) -> &'static str {
        "An address on the web, http or https."
    }

    fn storage(&self) -> &'static str {
        "A JSON string in the canonical form of the URL standard: https://example.com/."
    }

    fn example(&self) -> Value {
        json!("https://example.com/about")
    }

    fn rendering(&self) -> &'static str {
        "url"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Text)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "format": "uri", "maxLength": URL_MAX_CHARACTERS })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match value.as_str().and_then(web_address) {
            Some(url) => Value::String(url.into()),
            None => value,
        }
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        match value.as_str().and_then(web_address) {
            Some(_) => Ok(()),
            None => Err(Problem::new(
                "format",
                "is not an http or https address, such as https://example.com/about",
            )),
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        " ?[hH]ttps?://[a-zA-Z0-9äö]{1,10}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9. %äÖ]{0,5}){0,3}(\\?[a-z=&]{0,5})?"
            .prop_map(|text| json!(text))
            .boxed()
    }
}

/// Other schemes run code (`javascript:`) or read files where people click.
fn web_address(text: &str) -> Option<Parsed> {
    let url = Parsed::parse(text.trim()).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::web_address;

    #[test]
    fn only_web_addresses_are() {
        for bad in [
            "example.com",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "ftp://example.com/",
            "https://",
            "",
            "http://a b",
        ] {
            assert!(web_address(bad).is_none(), "{bad}");
        }
        let canonical = web_address(" HTTPS://EXAMPLE.com").unwrap();
        assert_eq!(canonical.as_str(), "https://example.com/");
    }
}
