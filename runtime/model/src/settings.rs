//! What holds for all of a tenant: its time zone, its language, its business hours, how long it
//! keeps its runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Data;
use crate::business_hours::BusinessHours;
use crate::limits::RUN_LOG_MAX_DAYS;
use crate::violation::{Violations, pointer_segment};

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

/// How like a known name a text is, from 0 to 1, to be taken for a misspelling of it.
const SIMILAR_ENOUGH: f64 = 0.8;

/// A tenant's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// In which days begin and end.
    pub time_zone: chrono_tz::Tz,
    /// One of [`LANGUAGES`].
    pub language: String,
    /// What workflows wait for where they wait for business hours.
    #[serde(default)]
    pub business_hours: BusinessHours,
    /// How many days runs and their logs are kept; none: as long as the operator does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_log_days: Option<u32>,
}

impl Settings {
    /// The language as BCP 47 names it; `und` where the tenant named none.
    pub fn locale(&self) -> &'static str {
        match self.language.as_str() {
            "arabic" => "ar",
            "armenian" => "hy",
            "basque" => "eu",
            "catalan" => "ca",
            "danish" => "da",
            "dutch" => "nl",
            "english" => "en",
            "finnish" => "fi",
            "french" => "fr",
            "german" => "de",
            "greek" => "el",
            "hindi" => "hi",
            "hungarian" => "hu",
            "indonesian" => "id",
            "irish" => "ga",
            "italian" => "it",
            "lithuanian" => "lt",
            "nepali" => "ne",
            "norwegian" => "no",
            "portuguese" => "pt",
            "romanian" => "ro",
            "russian" => "ru",
            "serbian" => "sr",
            "spanish" => "es",
            "swedish" => "sv",
            "tamil" => "ta",
            "turkish" => "tr",
            "yiddish" => "yi",
            _ => "und",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: chrono_tz::Tz::UTC,
            language: "simple".to_owned(),
            business_hours: BusinessHours::default(),
            run_log_days: None,
        }
    }
}

impl Settings {
    /// These settings with a merge patch over them; null puts a default back.
    ///
    /// # Errors
    /// Every member that is unknown or has no such value, with the nearest one that there is.
    pub fn patched(&self, patch: &Data) -> Result<Self, Violations> {
        let mut settings = self.clone();
        let mut violations = Violations::default();
        for (name, value) in patch {
            let outcome = match name.as_str() {
                "time_zone" => zone(value).map(|zone| settings.time_zone = zone),
                "language" => language(value).map(|language| settings.language = language),
                "business_hours" => {
                    business_hours(value).map(|hours| settings.business_hours = hours)
                }
                "run_log_days" => days(value).map(|days| settings.run_log_days = days),
                _ => {
                    let message = "settings are time_zone, language, business_hours and \
                         run_log_days";
                    let pointer = format!("/{}", pointer_segment(name));
                    violations.add(pointer, "unknown_field", message);
                    continue;
                }
            };
            if let Err(message) = outcome {
                violations.add(format!("/{name}"), "unknown", message);
            }
        }
        violations.into_result()?;
        Ok(settings)
    }

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

fn zone(value: &Value) -> Result<chrono_tz::Tz, String> {
    if value.is_null() {
        return Ok(Settings::default().time_zone);
    }
    let name = value.as_str().unwrap_or_default();
    name.parse().map_err(|_| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        format!(
            "is not a name of the IANA time zone database, such as Europe/Berlin{}",
            nearest(name, names)
        )
    })
}

fn business_hours(value: &Value) -> Result<BusinessHours, String> {
    if value.is_null() {
        return Ok(BusinessHours::default());
    }
    let hours: BusinessHours =
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    hours.check()?;
    Ok(hours)
}

fn days(value: &Value) -> Result<Option<u32>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let days = value.as_u64().and_then(|days| u32::try_from(days).ok());
    days.filter(|days| (1..=RUN_LOG_MAX_DAYS).contains(days))
        .map(Some)
        .ok_or_else(|| format!("is a whole number of days, from 1 to {RUN_LOG_MAX_DAYS}"))
}

fn language(value: &Value) -> Result<String, String> {
    if value.is_null() {
        return Ok(Settings::default().language);
    }
    let name = value.as_str().unwrap_or_default();
    if LANGUAGES.contains(&name) {
        return Ok(name.to_owned());
    }
    let nearest = nearest(name, LANGUAGES.into_iter());
    Err(format!("is one of {}{nearest}", LANGUAGES.join(", ")))
}

/// A question that names the most similar of the names, where one is similar.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let name = name.to_lowercase();
    let rated = names.map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match best {
        Some((similarity, known)) if similarity >= SIMILAR_ENOUGH => {
            format!(". Did you mean {known}?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(patch: Value) -> Result<Settings, Violations> {
        Settings::default().patched(patch.as_object().unwrap())
    }

    #[test]
    fn a_patch_sets_what_it_names_and_null_puts_the_default_back() {
        let settings = patched(json!({"time_zone": "Asia/Kolkata"})).unwrap();
        assert_eq!(settings.time_zone, chrono_tz::Tz::Asia__Kolkata);
        assert_eq!(settings.language, "simple");
        let back = settings.patched(json!({"time_zone": null}).as_object().unwrap());
        assert_eq!(back.unwrap(), Settings::default());
    }

    #[test]
    fn every_wrong_member_is_named_with_what_is_near() {
        let wrong = json!({"time_zone": "Europe/Berln", "language": "germn", "currency": "EUR"});
        let violations = patched(wrong).unwrap_err();
        let text = violations.to_string();
        assert_eq!(violations.as_slice().len(), 3, "{text}");
        assert!(text.contains("Did you mean Europe/Berlin?"), "{text}");
        assert!(text.contains("Did you mean german?"), "{text}");
        assert!(text.contains("/currency"), "{text}");
        let days = |days: Value| patched(json!({ "run_log_days": days }));
        assert_eq!(days(json!(1)).unwrap().run_log_days, Some(1));
        assert_eq!(
            days(json!(RUN_LOG_MAX_DAYS)).unwrap().run_log_days,
            Some(RUN_LOG_MAX_DAYS)
        );
        for wrong in [
            json!(0),
            json!(RUN_LOG_MAX_DAYS + 1),
            json!(-1),
            json!(1.5),
            json!("9"),
        ] {
            assert!(days(wrong.clone()).is_err(), "{wrong}");
        }
        let strange = patched(json!({"language": 7})).unwrap_err().to_string();
        assert!(!strange.contains("Did you mean"), "{strange}");
    }
}
