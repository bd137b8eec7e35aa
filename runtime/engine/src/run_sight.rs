//! The log of a run as one reader may see it: without values of fields that their roles hide,
//! masks in the place of those that they mask. What guests wrote as text stays.

use crm_model::{Actor, Data, Model, ModuleSlug};
use crm_store::runs::{Attempt, Run};
use serde_json::Value;

/// Takes out of an attempt what is not there for the reader.
pub(crate) fn show_attempt(model: &Model, reader: &Actor, run: &Run, attempt: &mut Attempt) {
    let shown = |module: &str, data: &mut Value| {
        let module = module.parse::<ModuleSlug>().ok();
        let module = module.and_then(|slug| model.module(&slug));
        if let (Some(module), Value::Object(data)) = (module, data) {
            let sight = model.sight(module, Some(reader));
            if sight.is_limited() {
                let whole: Data = std::mem::take(data);
                *data = sight.show(&whole).into_owned();
            }
        }
    };
    if let Value::Object(input) = &mut attempt.input.0 {
        // What a replay needs holds everything that the guest was told: only the bundle has it.
        input.remove("record");
    }
    if let Some(event) = attempt.input.0.get_mut("event") {
        // Within a loop it is of another module than what started the run.
        let named = event.get("module").and_then(Value::as_str);
        let named = named.and_then(|name| name.parse::<ModuleSlug>().ok());
        let of = named.unwrap_or_else(|| run.module_slug.clone());
        for side in ["before", "after"] {
            if let Some(data) = event.get_mut(side) {
                shown(of.as_str(), data);
            }
        }
        if let Some(Value::Array(changed)) = event.get_mut("changed_fields") {
            let module = model.module(&of);
            let sight = module.map(|module| model.sight(module, Some(reader)));
            changed.retain(|name| {
                let key = name.as_str().and_then(|name| name.parse().ok());
                !key.is_some_and(|key| sight.as_ref().is_some_and(|sight| sight.hides(&key)))
            });
        }
    }
    for mutation in attempt.mutations.0.as_array_mut().into_iter().flatten() {
        let module = mutation.get("module").and_then(Value::as_str);
        let Some(module) = module.map(str::to_owned) else {
            continue;
        };
        for part in ["data", "patch"] {
            if let Some(data) = mutation.get_mut(part) {
                shown(&module, data);
            }
        }
    }
}
