//! One step of an import: the next rows of the file to the door, and the task's place with what
//! came of them.

use crm_model::import::{ImportPlan, ImportState, OnError, RowError, RowReader, column_of};
use crm_model::{Data, Violations};
use crm_store::TenantTx;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

use crate::import::door::{self, Outcome, RowChange, RowOutcome, TaskStep, WriteRows};
use crate::import::file::{Rows, rows_read};
use crate::tasks::{Held, StepEnd};
use crate::{Engine, EngineError};

/// Rows of one step, read under the model.
#[derive(Default)]
struct Read {
    good: Vec<RowChange>,
    /// Rows with cells that are no values, and what is wrong with those.
    broken: Vec<(RowChange, Vec<RowError>)>,
    /// Where the last of them ends.
    end: u64,
    rows: u64,
}

impl Engine {
    pub(crate) async fn import_step(
        &self,
        held: &Held,
        plan: &ImportPlan,
        state: Value,
    ) -> Result<StepEnd, EngineError> {
        if plan.options.run_workflows && !plan.options.dry_run {
            // A file starts more runs than a person could: it waits until they have been done.
            let room = self.jobs_room(held.tenant).await?;
            if let Some(room) = room.filter(|room| room.left <= 0) {
                let pause = Duration::from_secs(room.spent.retry_after_seconds);
                return Ok(StepEnd::Wait(pause));
            }
        }
        let mut state: ImportState = serde_json::from_value(state).unwrap_or_default();
        let (rows, total) = self.import_rows(held, plan, &state).await?;
        state.total = total;
        if rows.is_empty() {
            return self.import_end(held, plan, &state).await;
        }
        let read = self.import_read_rows(held, plan, &mut state, rows).await?;
        let request = |rows: Vec<RowChange>| WriteRows {
            tenant: held.tenant,
            actor: &plan.actor,
            import: plan.import,
            module: &plan.module,
            rows,
            run_workflows: plan.options.run_workflows,
            dry_run: plan.options.dry_run,
        };
        // What is wrong with the other cells of a broken row should be known at once too.
        let (broken, cells): (Vec<RowChange>, Vec<Vec<RowError>>) = read.broken.into_iter().unzip();
        let judged = door::check_rows(self, &request(broken)).await?;
        let refused = merge(plan, judged, cells);
        let stops = plan.options.on_error == OnError::Abort && !plan.options.dry_run;
        if stops {
            let judged = door::check_rows(self, &request(read.good.clone())).await?;
            let refused = advance(&state, plan, &judged, &refused, None);
            if refused.error_count > state.error_count {
                return self.import_abort(held, &state, refused).await;
            }
        }
        let place = Some((read.end, read.rows));
        let next =
            |outcomes: &[RowOutcome]| json!(advance(&state, plan, outcomes, &refused, place));
        let step = TaskStep { held, state: &next };
        let next = door::write_rows(self, request(read.good), step).await?;
        Ok(StepEnd::More(next))
    }

    async fn import_rows(
        &self,
        held: &Held,
        plan: &ImportPlan,
        state: &ImportState,
    ) -> Result<(Rows, u64), EngineError> {
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        let import = crm_store::imports::import_read(&mut tx, plan.import, false).await?;
        let import = import.ok_or(EngineError::NotFound("import"))?;
        let (delimiter, bytes) = (plan.delimiter, import.byte_count);
        let rows = rows_read(&mut tx, plan.import, delimiter, state.offset, bytes).await?;
        Ok((rows, import.row_count))
    }

    async fn import_read_rows(
        &self,
        held: &Held,
        plan: &ImportPlan,
        state: &mut ImportState,
        rows: Rows,
    ) -> Result<Read, EngineError> {
        let model = self.model(held.tenant).await?;
        let module = model.as_ref().and_then(|model| model.module(&plan.module));
        let (Some(model), Some(module)) = (&model, module) else {
            return Err(EngineError::no_module(&plan.module));
        };
        let reader = RowReader::new(plan, model, module).map_err(EngineError::Conflict)?;
        let mut read = Read {
            end: state.offset,
            ..Read::default()
        };
        let mut keys = BTreeSet::new();
        for (cells, end) in rows {
            if !state.header_read {
                (state.header_read, read.end) = (true, end);
                continue;
            }
            let row = state.rows + read.rows + 1;
            let cells: Vec<&str> = cells.iter().collect();
            let (data, errors) = reader.read(row, &cells);
            let (change, errors) = keyed(plan, row, data, errors);
            // Two rows of one record go in two steps, so that the second finds the first's.
            if let Some((_, key)) = &change.key
                && !keys.insert(key.to_string())
            {
                break;
            }
            match errors.is_empty() {
                true => read.good.push(change),
                false => read.broken.push((change, errors)),
            }
            (read.end, read.rows) = (end, read.rows + 1);
        }
        Ok(read)
    }

    /// The file is done; the rows of a real run are records now, and the file goes.
    async fn import_end(
        &self,
        held: &Held,
        plan: &ImportPlan,
        state: &ImportState,
    ) -> Result<StepEnd, EngineError> {
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        if !plan.options.dry_run && state.failed == 0 {
            crm_store::imports::file_delete(&mut tx, plan.import).await?;
        }
        held.keep_place(&mut tx, &json!(state)).await?;
        tx.commit().await?;
        Ok(StepEnd::Done)
    }

    async fn import_abort(
        &self,
        held: &Held,
        state: &ImportState,
        refused: ImportState,
    ) -> Result<StepEnd, EngineError> {
        let first = refused.errors.get(state.errors.len());
        let message = first.map_or_else(String::new, |error| {
            let column = error.column.as_deref().or(error.field.as_deref());
            let place = column.map_or_else(String::new, |column| format!(", “{column}”"));
            format!("row {}{place}: {}", error.row, error.message)
        });
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        held.keep_place(&mut tx, &json!(refused)).await?;
        tx.commit().await?;
        Ok(StepEnd::Failed(format!("stopped at {message}")))
    }
}

/// The row with the value that finds its record. A row without one could only be written twice.
fn keyed(
    plan: &ImportPlan,
    row: u64,
    data: Data,
    mut errors: Vec<RowError>,
) -> (RowChange, Vec<RowError>) {
    let field = plan.options.upsert_key.as_ref();
    let key = field.and_then(|field| Some((field.clone(), data.get(field.as_str())?.clone())));
    if let (Some(field), None) = (field, &key) {
        let pointer = format!("/data/{field}");
        let (column, field) = column_of(&plan.columns, &pointer);
        let is_known = errors.iter().any(|error| error.field == field);
        if !is_known {
            errors.push(RowError {
                row,
                column: column.map(str::to_owned),
                field,
                code: "required".to_owned(),
                message: "is blank, but says which record the row is".to_owned(),
            });
        }
    }
    (RowChange { row, key, data }, errors)
}

/// What is wrong with broken rows: their cells, and what the door says of the others.
fn merge(
    plan: &ImportPlan,
    judged: Vec<RowOutcome>,
    cells: Vec<Vec<RowError>>,
) -> Vec<(u64, Vec<RowError>)> {
    let rows = judged.into_iter().zip(cells);
    rows.map(|(judged, mut errors)| {
        if let Outcome::Refused(violations) = &judged.outcome {
            let others = row_errors(plan, judged.row, violations);
            let known: Vec<_> = errors.iter().map(|error| error.field.clone()).collect();
            errors.extend(
                others
                    .into_iter()
                    .filter(|other| !known.contains(&other.field)),
            );
        }
        (judged.row, errors)
    })
    .collect()
}

fn row_errors(plan: &ImportPlan, row: u64, violations: &Violations) -> Vec<RowError> {
    let violations = violations.as_slice().iter();
    violations
        .map(|violation| {
            let (column, field) = column_of(&plan.columns, &violation.pointer);
            RowError {
                row,
                column: column.map(str::to_owned),
                field,
                code: violation.code.clone(),
                message: violation.message.clone(),
            }
        })
        .collect()
}

/// The state after a step; `place` is where the rows end and how many they were.
fn advance(
    state: &ImportState,
    plan: &ImportPlan,
    outcomes: &[RowOutcome],
    broken: &[(u64, Vec<RowError>)],
    place: Option<(u64, u64)>,
) -> ImportState {
    let mut next = state.clone();
    let mut refused = broken.to_vec();
    for outcome in outcomes {
        match &outcome.outcome {
            Outcome::Created => next.created += 1,
            Outcome::Updated => next.updated += 1,
            Outcome::Refused(violations) => {
                refused.push((outcome.row, row_errors(plan, outcome.row, violations)));
            }
        }
    }
    refused.sort_by_key(|(row, _)| *row);
    for (_, errors) in refused {
        next.refuse(errors);
    }
    match place {
        Some((end, rows)) => {
            next.offset = end;
            next.rows += rows;
        }
        // Nothing of the step was written.
        None => (next.created, next.updated) = (state.created, state.updated),
    }
    next
}
