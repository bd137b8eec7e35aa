//! Guests without JavaScript. Some crates take `wasm32-unknown-unknown` for a browser and import
//! JavaScript through wasm-bindgen: `chrono`, for one, for its clock and its time zone, and with
//! its default features on, which a dependency of ours (`zen-expression`) asks for. The contract
//! has neither, and guests that are built here never get to those calls; but an import has to be
//! there for the module to be linked. So each becomes a function that traps, and what
//! wasm-bindgen exports for its own tool, a tenth of such a guest, goes away with all that only
//! it uses. Imports of anything else stay, and are refused by name.

use std::collections::BTreeMap;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ExportSection, Function, FunctionSection, ImportSection, Instruction, Module,
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, ExportSectionReader, FunctionBody,
    FunctionSectionReader, ImportSectionReader, Parser, Payload, TypeRef,
};

use crate::component::CONTRACT;
use crate::error::BuildError;
use crate::reach::Reach;

/// Where wasm-bindgen's imports come from before its own tool has run.
const JAVASCRIPT: [&str; 2] = ["__wbindgen_placeholder__", "__wbindgen_externref_xform__"];
/// What the names of wasm-bindgen's exports start with.
const TOOL_EXPORTS: [&str; 3] = ["__wbindgen_", "__wbg_", "__externref_"];

/// The module without its JavaScript.
pub(crate) fn without_javascript(package: &str, module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let failed = |reason: String| BuildError::NotAComponent {
        package: package.to_owned(),
        reason,
    };
    let imports = Imports::of(package, module).map_err(|error| failed(error.to_string()))??;
    if imports.trap_types.is_empty() {
        return Ok(module.to_vec());
    }
    let reach = Reach::of(module, |export| !is_tool_export(export))
        .map_err(|error| failed(error.to_string()))?;
    let mut rewrite = Rewrite {
        next_body: imports.count,
        imports,
        reach,
    };
    let mut rewritten = Module::new();
    rewrite
        .parse_core_module(&mut rewritten, Parser::new(0), module)
        .map_err(|error| failed(error.to_string()))?;
    Ok(rewritten.finish())
}

fn is_tool_export(name: &str) -> bool {
    TOOL_EXPORTS.iter().any(|prefix| name.starts_with(prefix))
}

/// Which imports become functions. Imported functions come first among a module's functions, so
/// the new ones take the places right behind the imports that stay, and no other index changes.
struct Imports {
    count: u32,
    /// Types of the functions that trap.
    trap_types: Vec<u32>,
    /// Index of an imported function before → after.
    indices: BTreeMap<u32, u32>,
}

impl Imports {
    fn of(package: &str, module: &[u8]) -> wasmparser::Result<Result<Self, BuildError>> {
        let mut kept = Vec::new();
        let mut trapped = Vec::new();
        let mut trap_types = Vec::new();
        let mut count = 0_u32;
        for payload in Parser::new(0).parse_all(module) {
            let Payload::ImportSection(section) = payload? else {
                continue;
            };
            for import in section.into_imports() {
                let import = import?;
                let javascript = JAVASCRIPT.contains(&import.module);
                match import.ty {
                    TypeRef::Func(function) if javascript => {
                        trapped.push(count);
                        trap_types.push(function);
                    }
                    TypeRef::Func(_) if import.module.starts_with(CONTRACT) => kept.push(count),
                    _ => {
                        return Ok(Err(BuildError::ForeignImport {
                            package: package.to_owned(),
                            module: import.module.to_owned(),
                            name: import.name.to_owned(),
                        }));
                    }
                }
                count += 1;
            }
        }
        let indices = kept.into_iter().chain(trapped).zip(0..).collect();
        Ok(Ok(Self {
            count,
            trap_types,
            indices,
        }))
    }
}

struct Rewrite {
    imports: Imports,
    reach: Reach,
    /// Index of the next function body.
    next_body: u32,
}

fn trap() -> Function {
    let mut body = Function::new([]);
    body.instruction(&Instruction::Unreachable)
        .instruction(&Instruction::End);
    body
}

impl Reencode for Rewrite {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(self
            .imports
            .indices
            .get(&function)
            .copied()
            .unwrap_or(function))
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Error> {
        for import in section.into_imports() {
            let import = import?;
            if !JAVASCRIPT.contains(&import.module) {
                self.parse_import(imports, import)?;
            }
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        for function in &self.imports.trap_types {
            functions.function(*function);
        }
        utils::parse_function_section(self, functions, section)
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        for export in section {
            let export = export?;
            if !is_tool_export(export.name) {
                self.parse_export(exports, export)?;
            }
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        for _ in &self.imports.trap_types {
            code.function(&trap());
        }
        utils::parse_code_section(self, code, section)
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error> {
        let function = self.next_body;
        self.next_body += 1;
        if self.reach.reaches(function) {
            return utils::parse_function_body(self, code, body);
        }
        // An empty place keeps the indices of those behind it.
        code.function(&trap());
        Ok(())
    }

    /// Only the description of the component is needed further on; wasm-bindgen leaves sections
    /// for its own tool.
    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader<'_>,
    ) -> Result<(), Error> {
        if section.name().starts_with("component-type") {
            utils::parse_custom_section(self, module, section)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
