//! A plan for this module's own tests.

use uuid::Uuid;

use super::{ImportOptions, ImportPlan, OnError, PlannedColumn};
use crate::ids::ImportId;
use crate::testing::actor;

/// Columns as name and target; an empty target leaves the column out.
pub(super) fn plan(columns: &[(&str, &str)]) -> ImportPlan {
    let column = |(name, target): &(&str, &str)| PlannedColumn {
        name: (*name).to_owned(),
        target: (!target.is_empty()).then(|| target.parse().unwrap()),
    };
    ImportPlan {
        import: ImportId::new(Uuid::from_u128(1)),
        module: "items".parse().unwrap(),
        actor: actor("owner"),
        delimiter: b',',
        columns: columns.iter().map(column).collect(),
        options: ImportOptions {
            dry_run: false,
            upsert_key: None,
            run_workflows: true,
            on_error: OnError::Skip,
            default_currency: Some("EUR".to_owned()),
            date_order: None,
        },
    }
}
