//! The step's configuration: in which currency the thresholds are and where each band ends.
//! Everything has a default, so `{}` is a configuration.

use rust_decimal::Decimal;
use serde::Deserialize;

/// Where the bands end.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// ISO 4217 code of the thresholds.
    pub(crate) currency: String,
    /// Decimal places of the currency.
    pub(crate) decimals: u32,
    /// From the lowest; a price per carat belongs to the first that it is below.
    bands: Vec<Band>,
    /// The band of what is below none of them.
    top_band: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Band {
    name: String,
    #[serde(with = "rust_decimal::serde::str")]
    below: Decimal,
}

impl Default for Config {
    fn default() -> Self {
        let band = |name: &str, below: u32| Band {
            name: name.to_owned(),
            below: below.into(),
        };
        Self {
            currency: "USD".to_owned(),
            decimals: 2,
            bands: vec![
                band("entry", 2000),
                band("classic", 4000),
                band("fine", 8000),
            ],
            top_band: "exceptional".to_owned(),
        }
    }
}

impl Config {
    /// The band of a price per carat.
    pub(crate) fn band(&self, per_carat: Decimal) -> &str {
        self.bands
            .iter()
            .find(|band| per_carat < band.below)
            .map_or(self.top_band.as_str(), |band| band.name.as_str())
    }
}
