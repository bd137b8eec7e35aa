//! What a run asks for, held against its grant, as a server's door does it.

use crm_model::capability::WriteOperation;
use crm_model::{Data, Grant, Mutation};
use crm_sandbox::Outcome;

/// A sentence for each thing that is not granted.
pub(super) fn refused(grant: &Grant, outcome: &Outcome) -> Vec<String> {
    let mut refused = Vec::new();
    for mutation in &outcome.mutations {
        mutation_check(grant, mutation, &mut refused);
    }
    for effect in &outcome.effects {
        if !grant.may_ask_for(effect) {
            let kind = effect.kind();
            refused.push(format!("the plugin may not ask for this effect: {kind}"));
        }
    }
    refused.dedup();
    refused
}

fn mutation_check(grant: &Grant, mutation: &Mutation, refused: &mut Vec<String>) {
    let module = mutation.module().as_str();
    let mut write = |operation, fields: &mut dyn Iterator<Item = &str>| {
        let name = WriteOperation::name(operation);
        if !grant.may_write(module, operation) {
            refused.push(format!("the plugin may not {name} records of “{module}”"));
            return;
        }
        for field in fields {
            if !grant.may_write_field(module, operation, field) {
                refused.push(format!("the plugin may not set {module}.{field}"));
            }
        }
    };
    let none = || std::iter::empty::<&str>();
    match mutation {
        Mutation::Create { data, .. } => write(WriteOperation::Create, &mut keys(data)),
        Mutation::Update { patch: data, .. } | Mutation::Replace { data, .. } => {
            write(WriteOperation::Update, &mut keys(data));
        }
        Mutation::Link { field, .. } | Mutation::Unlink { field, .. } => {
            write(WriteOperation::Update, &mut std::iter::once(field.as_str()));
        }
        Mutation::Delete { .. } => write(WriteOperation::Delete, &mut none()),
        Mutation::Assign { .. } => write(WriteOperation::Assign, &mut none()),
        Mutation::Activity { .. } if grant.may_add_activity(module) => {}
        Mutation::Activity { .. } => {
            refused.push(format!("the plugin may not add to timelines of “{module}”"));
        }
        Mutation::Restore { .. } | Mutation::Purge { .. } => {
            refused.push(format!("no plugin may do this to records of “{module}”"));
        }
    }
}

fn keys(data: &Data) -> impl Iterator<Item = &str> {
    data.keys().map(String::as_str)
}
