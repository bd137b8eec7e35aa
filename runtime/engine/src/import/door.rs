//! Rows of an import on their way through the door: as the person who asked, under the model's
//! rules, with the import as their cause.

use crm_model::limits::WRITE_MAX_RETRIES;
use crm_model::permission::{Authority, permit};
use crm_model::validate::{Surroundings, Validated, action_of, validate};
use crm_model::{
    Actor, Cause, Data, EventId, FieldKey, ImportId, Model, ModuleSlug, Mutation, RecordId,
    Refusal, TenantId, ValidChange, Violations,
};
use crm_store::commit::Commit;
use crm_store::imports::Found;
use crm_store::{StoreError, TenantTx};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::tasks::Held;
use crate::write::Proposal;
use crate::{Engine, EngineError, fresh};

/// A row as the door takes it.
#[derive(Clone, Debug)]
pub(crate) struct RowChange {
    pub(crate) row: u64,
    /// The record that has this value is updated.
    pub(crate) key: Option<(FieldKey, Value)>,
    pub(crate) data: Data,
}

/// What became of a row.
#[derive(Clone, Debug)]
pub(crate) struct RowOutcome {
    pub(crate) row: u64,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Created,
    /// Also where the record was so already.
    Updated,
    Refused(Violations),
}

/// Rows of one import, no two of one record.
pub(crate) struct WriteRows<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) actor: &'a Actor,
    pub(crate) import: ImportId,
    pub(crate) module: &'a ModuleSlug,
    pub(crate) rows: Vec<RowChange>,
    pub(crate) run_workflows: bool,
    /// Judged, not written.
    pub(crate) dry_run: bool,
}

/// The task's place after the rows, which depends on what becomes of them.
pub(crate) struct TaskStep<'a> {
    pub(crate) held: &'a Held,
    pub(crate) state: &'a (dyn Fn(&[RowOutcome]) -> Value + Sync),
}

/// Writes the rows that keep the rules, and the task's place; gives back the task's state.
///
/// # Errors
/// [`StoreError::LeaseLost`] as [`EngineError::Store`]; [`EngineError::Refused`] where the person
/// may not write any more.
pub(crate) async fn write_rows(
    engine: &Engine,
    request: WriteRows<'_>,
    step: TaskStep<'_>,
) -> Result<Value, EngineError> {
    for _ in 0..=WRITE_MAX_RETRIES {
        let (model, judged) = judge(engine, &request).await?;
        let (outcomes, changes) = split(judged);
        if !request.dry_run && !changes.is_empty() {
            match commit(engine, &request, &model, changes).await {
                Err(EngineError::Store(StoreError::StaleModel | StoreError::StaleRecord)) => {
                    engine.model_forget(request.tenant);
                    continue;
                }
                other => other?,
            }
        }
        let state = (step.state)(&outcomes);
        let mut tx = TenantTx::begin(engine.store(), request.tenant).await?;
        step.held.keep_place(&mut tx, &state).await?;
        tx.commit().await?;
        return Ok(state);
    }
    Err(EngineError::Contended)
}

/// What would become of the rows; writes nothing.
pub(crate) async fn check_rows(
    engine: &Engine,
    request: &WriteRows<'_>,
) -> Result<Vec<RowOutcome>, EngineError> {
    let (_, judged) = judge(engine, request).await?;
    Ok(split(judged).0)
}

struct Judged {
    row: u64,
    mutation: Mutation,
    verdict: Result<Option<ValidChange>, Violations>,
}

type Changes = Vec<(Mutation, ValidChange)>;

fn split(judged: Vec<Judged>) -> (Vec<RowOutcome>, Changes) {
    let (mut outcomes, mut changes) = (Vec::new(), Vec::new());
    for Judged {
        row,
        mutation,
        verdict,
    } in judged
    {
        let outcome = match (verdict, &mutation) {
            (Err(violations), _) => Outcome::Refused(violations),
            (Ok(change), Mutation::Create { .. }) => {
                changes.extend(change.map(|change| (mutation, change)));
                Outcome::Created
            }
            (Ok(change), _) => {
                changes.extend(change.map(|change| (mutation, change)));
                Outcome::Updated
            }
        };
        outcomes.push(RowOutcome { row, outcome });
    }
    (outcomes, changes)
}

async fn judge(
    engine: &Engine,
    request: &WriteRows<'_>,
) -> Result<(Arc<Model>, Vec<Judged>), EngineError> {
    let mut tx = TenantTx::begin(engine.store(), request.tenant).await?;
    let model = engine.model_at(request.tenant, tx.model_version()).await?;
    let model = model.ok_or_else(|| EngineError::no_module(request.module))?;
    let found = find(&mut tx, request).await?;
    let mut judged = Vec::with_capacity(request.rows.len());
    for row in &request.rows {
        let base = row
            .key
            .as_ref()
            .and_then(|(_, value)| found.iter().find(|found| found.value == *value));
        let module = request.module.clone();
        let mutation = match base {
            None => Mutation::Create {
                module,
                data: row.data.clone(),
            },
            Some(found) => Mutation::Update {
                module,
                record_id: found.record,
                expected_version: None,
                patch: row.data.clone(),
            },
        };
        let verdict = verdict(&model, request, &mutation, base)?;
        judged.push(Judged {
            row: row.row,
            mutation,
            verdict,
        });
    }
    check_references(&mut tx, &model, request, &mut judged).await?;
    Ok((model, judged))
}

async fn find(tx: &mut TenantTx, request: &WriteRows<'_>) -> Result<Vec<Found>, EngineError> {
    let keys = request.rows.iter().filter_map(|row| row.key.as_ref());
    let Some((field, _)) = keys.clone().next() else {
        return Ok(Vec::new());
    };
    let values: Vec<Value> = keys.map(|(_, value)| value.clone()).collect();
    let found = crm_store::imports::records_by_value(tx, request.module, field, &values).await?;
    Ok(found)
}

fn verdict(
    model: &Model,
    request: &WriteRows<'_>,
    mutation: &Mutation,
    found: Option<&Found>,
) -> Result<Result<Option<ValidChange>, Violations>, EngineError> {
    let authority = Authority::User(request.actor);
    let permit = permit(model, authority, action_of(mutation), request.module)?;
    let id = found.map_or_else(|| RecordId::new(fresh::id()), |found| found.record);
    let surroundings = Surroundings {
        at: fresh::now(),
        related: &BTreeMap::new(),
        numbers: &BTreeMap::new(),
        rollups: &BTreeMap::new(),
    };
    let base = found.map(|found| &found.base);
    match validate(model, &permit, mutation, id, base, &surroundings) {
        Ok(Validated::Change(change)) => Ok(Ok(Some(change))),
        Ok(_) => Ok(Ok(None)),
        Err(Refusal::Invalid(violations)) => Ok(Err(violations)),
        Err(other) => Err(other.into()),
    }
}

async fn check_references(
    tx: &mut TenantTx,
    model: &Model,
    request: &WriteRows<'_>,
    judged: &mut [Judged],
) -> Result<(), EngineError> {
    let Some(module) = model.module(request.module) else {
        return Ok(());
    };
    let references = |judged: &Judged| -> Vec<(FieldKey, ModuleSlug, RecordId)> {
        let change = judged.verdict.as_ref().ok().and_then(Option::as_ref);
        let found = change
            .into_iter()
            .flat_map(|change| change.new_references(module));
        found
            .map(|(field, target, id)| (field.clone(), target.clone(), id))
            .collect()
    };
    let ids: Vec<RecordId> = judged
        .iter()
        .flat_map(references)
        .map(|(_, _, id)| id)
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let present = crm_store::records::records_present(tx, &ids).await?;
    for row in judged {
        let mut violations = Violations::default();
        for (field, target, id) in references(row) {
            if !present.contains(&(target.clone(), id)) {
                let message = format!("there is no such record in “{target}”");
                violations.add(format!("/data/{field}"), "relation", message);
            }
        }
        if !violations.is_empty() {
            row.verdict = Err(violations);
        }
    }
    Ok(())
}

/// All of these changes in one commit.
async fn commit(
    engine: &Engine,
    request: &WriteRows<'_>,
    model: &Model,
    changes: Changes,
) -> Result<(), EngineError> {
    let cause = Cause::Import {
        import: request.import.uuid(),
    };
    let (mutations, changes): (Vec<Mutation>, Vec<ValidChange>) = changes.into_iter().unzip();
    if request.run_workflows {
        let proposal = Proposal {
            tenant: request.tenant,
            authority: Authority::User(request.actor),
            cause: &cause,
            depth: 0,
            mutations: &mutations,
            known: HashMap::new(),
            completion: None,
        };
        engine.propose(proposal).await?;
        return Ok(());
    }
    let changes = changes.iter();
    let commit = Commit {
        tenant: request.tenant,
        model_version: model.version(),
        at: fresh::now(),
        actor: request.actor,
        cause: &cause,
        depth: 0,
        changes: changes
            .map(|change| (EventId::new(fresh::id()), change))
            .collect(),
        jobs: Vec::new(),
        activities: Vec::new(),
        completion: None,
    };
    Ok(crm_store::commit::commit(engine.store(), commit).await?)
}
