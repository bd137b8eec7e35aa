//! `geo_point`: a place on the earth in degrees (WGS 84), exact. Example:
//! `{"latitude": "52.5163", "longitude": "13.3777"}`.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{FieldType, Problem, decimal};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::GEO_POINT_MAX_DECIMAL_PLACES;

/// Each member, and how far it goes either way.
const MEMBERS: [(&str, u32); 2] = [("latitude", 90), ("longitude", 180)];

pub(crate) struct GeoPoint;

impl FieldType for GeoPoint {
    fn name(&self) -> &'static str {
        "geo_point"
    }

    fn summary(&self) -> &'static str {
        "A place on the earth, in degrees (WGS 84). The bare name of the field means the latitude."
    }

    fn storage(&self) -> &'static str {
        "A JSON object: latitude and longitude as exact decimals in strings."
    }

    fn example(&self) -> Value {
        json!({"latitude": "52.5163", "longitude": "13.3777"})
    }

    fn rendering(&self) -> &'static str {
        "map"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const {
            &[
                Part::member("latitude", Form::Number),
                Part::member("longitude", Form::Number),
            ]
        }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({
            "type": "object",
            "properties": { "latitude": decimal::schema(), "longitude": decimal::schema() },
            "required": ["latitude", "longitude"],
            "additionalProperties": false,
        })
    }

    fn normalize(&self, _field: &FieldDefinition, mut value: Value) -> Value {
        for (name, _) in MEMBERS {
            if let Some(member) = value.get_mut(name) {
                *member = decimal::normalize(member.take());
            }
        }
        value
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        for (name, most) in MEMBERS {
            let degrees = decimal::parse(value.get(name).unwrap_or(&Value::Null))?;
            if degrees.abs() > Decimal::from(most) {
                let message = format!("{name} is -{most} to {most} degrees");
                return Err(Problem::new("range", message));
            }
            if degrees.normalize().scale() > GEO_POINT_MAX_DECIMAL_PLACES {
                let message =
                    format!("{name} has at most {GEO_POINT_MAX_DECIMAL_PLACES} decimal places");
                return Err(Problem::new("scale", message));
            }
        }
        Ok(())
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (-900_000i64..=900_000, -180i32..=180)
            .prop_map(|(latitude, longitude)| {
                json!({"latitude": Decimal::new(latitude, 4).to_string(), "longitude": longitude})
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_have_a_range() {
        let field = super::super::tests::sample_of("geo_point");
        let check = |latitude: &str, longitude: &str| {
            let point = json!({"latitude": latitude, "longitude": longitude});
            GeoPoint
                .check(&field, &point)
                .map_err(|problem| problem.code)
        };
        assert_eq!(check("-90", "180.0"), Ok(()));
        assert_eq!(check("90.0001", "0"), Err("range"));
        assert_eq!(check("0", "-180.1"), Err("range"));
        assert_eq!(check("0.1234567890", "0"), Ok(()));
        assert_eq!(check("0.12345678901", "0"), Err("scale"));
    }
}
