//! What a component is made of, counted before anything is compiled: few bytes can declare much.

use crm_model::limits::{COMPONENT_MAX_INSTANCES, COMPONENT_MAX_MEMORIES, COMPONENT_MAX_MODULES};
use wasmparser::{Parser, Payload};

use crate::class::ClassLimits;
use crate::error::SandboxError;

/// Bytes of a page of linear memory, unless a memory says otherwise.
const PAGE_BYTES_LOG2: u32 = 16;

/// What all modules and components in a component have together.
#[derive(Default)]
struct Shape {
    functions: u64,
    types: u64,
    imports: u64,
    modules: u64,
    instances: u64,
    memories: u64,
    memory_bytes: u64,
    table_elements: u64,
}

/// Counts what a component is made of, nested ones included.
///
/// # Errors
/// [`SandboxError::OverLimit`] with the first limit that it goes over,
/// [`SandboxError::NotAComponent`] where it cannot be read.
pub(crate) fn shape_check(bytes: &[u8], limits: &ClassLimits) -> Result<(), SandboxError> {
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let read = payload.and_then(|payload| shape.count(&payload));
        read.map_err(|error| SandboxError::NotAComponent(error.to_string()))?;
        // At once, so that the rest of a huge component is not even read.
        shape.check(limits)?;
    }
    Ok(())
}

impl Shape {
    fn count(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::TypeSection(section) => self.types += u64::from(section.count()),
            Payload::CoreTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ImportSection(section) => self.imports += u64::from(section.count()),
            Payload::ComponentImportSection(section) => self.imports += u64::from(section.count()),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.modules += 1,
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    let made = matches!(instance?, wasmparser::Instance::Instantiate { .. });
                    self.instances += u64::from(made);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let memory = memory?;
                    let page = memory.page_size_log2.unwrap_or(PAGE_BYTES_LOG2);
                    let bytes = memory.initial.checked_shl(page).unwrap_or(u64::MAX);
                    let bytes = bytes.max(memory.initial);
                    self.memories += 1;
                    self.memory_bytes = self.memory_bytes.saturating_add(bytes);
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let elements = table?.ty.initial;
                    self.table_elements = self.table_elements.saturating_add(elements);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&self, limits: &ClassLimits) -> Result<(), SandboxError> {
        for (limit, measured, most) in [
            ("max_functions", self.functions, limits.max_functions as u64),
            ("max_types", self.types, limits.max_types as u64),
            ("max_imports", self.imports, limits.max_imports as u64),
            ("max_modules", self.modules, COMPONENT_MAX_MODULES as u64),
            (
                "max_instances",
                self.instances,
                u64::from(COMPONENT_MAX_INSTANCES),
            ),
            (
                "max_memories",
                self.memories,
                u64::from(COMPONENT_MAX_MEMORIES),
            ),
            (
                "memory_max_bytes",
                self.memory_bytes,
                limits.call.memory_max_bytes as u64,
            ),
            (
                "table_max_elements",
                self.table_elements,
                limits.call.table_max_elements as u64,
            ),
        ] {
            if measured > most {
                return Err(SandboxError::OverLimit {
                    limit,
                    measured,
                    most,
                });
            }
        }
        Ok(())
    }
}
