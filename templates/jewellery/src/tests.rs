use crm_plugin_sdk::testing::template_problems;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeSet;

/// Column of the sample → field of `items`.
const COLUMNS: [(&str, &str); 10] = [
    ("carat", "carat"),
    ("cut", "cut"),
    ("color", "color"),
    ("clarity", "clarity"),
    ("depth", "depth"),
    ("table", "table"),
    ("price", "price"),
    ("x", "length_mm"),
    ("y", "width_mm"),
    ("z", "depth_mm"),
];

fn model() -> Value {
    serde_json::from_str(&crate::model()).unwrap()
}

fn field<'a>(model: &'a Value, key: &str) -> &'a Value {
    let items = model["modules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["slug"] == "items");
    let fields = items.unwrap()["fields"].as_array().unwrap();
    fields.iter().find(|field| field["key"] == key).unwrap()
}

fn accepts(field: &Value, cell: &str) -> bool {
    let options: BTreeSet<&str> = field["options"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|option| option["value"].as_str().unwrap())
        .collect();
    if !options.is_empty() {
        return options.contains(cell);
    }
    let number: Decimal = cell.parse().unwrap();
    let bound = |key: &str| {
        field[key]
            .as_str()
            .map(|text| text.parse::<Decimal>().unwrap())
    };
    let scale = field["scale"].as_u64().unwrap_or(2);
    u64::from(number.scale()) <= scale
        && bound("min").is_none_or(|min| min <= number)
        && bound("max").is_none_or(|max| number <= max)
}

#[test]
fn the_files_fit_together() {
    assert_eq!(template_problems(&crate::model()), Vec::<String>::new());
}

#[test]
fn every_row_of_the_sample_is_a_valid_item() {
    let model = model();
    let mut reader = csv::Reader::from_reader(include_str!("../sample/diamonds.csv").as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>(),
        COLUMNS.map(|(column, _)| column)
    );
    let mut rows = 0;
    for row in reader.records() {
        let row = row.unwrap();
        for (cell, (column, key)) in row.iter().zip(COLUMNS) {
            assert!(accepts(field(&model, key), cell), "{column} {cell}");
        }
        rows += 1;
    }
    assert_eq!(rows, 1000);
}

#[test]
fn the_extremes_of_the_whole_data_set_are_valid() {
    let model = model();
    for (key, least, most) in [
        ("carat", "0.2", "5.01"),
        ("depth", "43", "79"),
        ("table", "43", "95"),
        ("price", "326", "18823"),
        ("length_mm", "0", "10.74"),
        ("width_mm", "0", "58.9"),
        ("depth_mm", "0", "31.8"),
    ] {
        assert!(
            accepts(field(&model, key), least) && accepts(field(&model, key), most),
            "{key}"
        );
    }
}

#[test]
fn the_valuation_runs_for_new_items_and_changed_prices_only() {
    let model = model();
    let workflows = model["workflows"].as_array().unwrap();
    let written = model["installs"][0]["grant"]["writes"]["items"]["fields"]
        .as_array()
        .unwrap();
    for workflow in workflows {
        let fields = workflow["trigger"]["fields"].as_array();
        // What the valuation writes must not start it again.
        assert!(
            fields
                .into_iter()
                .flatten()
                .all(|key| !written.contains(key))
        );
        let created = workflow["trigger"]["on"] == "record_created";
        assert_eq!(created, fields.is_none());
    }
    let bands: Vec<&str> = field(&model, "value_band")["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|option| option["value"].as_str().unwrap())
        .collect();
    assert_eq!(bands, ["entry", "classic", "fine", "exceptional"]);
}
