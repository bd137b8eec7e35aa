//! What holds for all of a tenant: its time zone and its language.

use serde::{Deserialize, Serialize};

/// The languages that full-text search knows: PostgreSQL's own configurations. `simple` is for
/// all others: words as they stand.
pub const LANGUAGES: [&str; 29] = [
    "simple",
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
];

/// A tenant's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// In which days begin and end.
    pub time_zone: chrono_tz::Tz,
    /// One of [`LANGUAGES`].
    pub language: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: chrono_tz::Tz::UTC,
            language: "simple".to_owned(),
        }
    }
}

impl Settings {
    /// Checks the language.
    ///
    /// # Errors
    /// A sentence that names the languages.
    pub fn check(&self) -> Result<(), String> {
        if LANGUAGES.contains(&self.language.as_str()) {
            Ok(())
        } else {
            Err(format!("language is one of: {}", LANGUAGES.join(", ")))
        }
    }
}
