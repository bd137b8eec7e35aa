//! Types whose values the host gives, and users: as much of them as the rules need. Each gets a
//! file of its own.

use serde_json::{Value, json};

use super::FieldType;
use crate::definition::{FieldDefinition, RollupOperation};
use crate::form::{Form, Part};

pub(crate) struct HostType {
    name: &'static str,
    form: Form,
    computed: bool,
}

const fn computed(name: &'static str, form: Form) -> HostType {
    HostType {
        name,
        form,
        computed: true,
    }
}

pub(crate) static AUTO_NUMBER: HostType = computed(super::AUTO_NUMBER, Form::Exact);
pub(crate) static FORMULA: HostType = computed(super::FORMULA, Form::Text);
pub(crate) static ROLLUP: HostType = computed(super::ROLLUP, Form::Number);
pub(crate) static CREATED_AT: HostType = computed(super::CREATED_AT, Form::Moment);
pub(crate) static CREATED_BY: HostType = computed(super::CREATED_BY, Form::Exact);
pub(crate) static UPDATED_AT: HostType = computed(super::UPDATED_AT, Form::Moment);
pub(crate) static UPDATED_BY: HostType = computed(super::UPDATED_BY, Form::Exact);
pub(crate) static USER: HostType = HostType {
    name: "user",
    form: Form::Exact,
    computed: false,
};

impl FieldType for HostType {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        "A value of the host."
    }

    fn example(&self) -> Value {
        json!("1")
    }

    fn rendering(&self) -> &'static str {
        "text"
    }

    fn parts(&self, field: &FieldDefinition) -> &'static [Part] {
        let form = match field.result.as_deref() {
            Some("decimal" | "integer") => Form::Number,
            Some("boolean") => Form::Boolean,
            Some("date") => Form::Exact,
            Some("datetime") => Form::Moment,
            _ => self.form,
        };
        match form {
            Form::Number => const { &[Part::whole(Form::Number)] },
            Form::Boolean => const { &[Part::whole(Form::Boolean)] },
            Form::Moment => const { &[Part::whole(Form::Moment)] },
            Form::Text => const { &[Part::whole(Form::Text)] },
            _ => const { &[Part::whole(Form::Exact)] },
        }
    }

    fn is_computed(&self) -> bool {
        self.computed
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let operation = field.rollup.as_ref().map(|rollup| rollup.operation);
        match (field.result.as_deref(), operation) {
            (Some("integer"), _) | (_, Some(RollupOperation::Count)) => json!({"type": "integer"}),
            (Some("boolean"), _) => json!({"type": "boolean"}),
            _ => json!({"type": "string"}),
        }
    }
}
