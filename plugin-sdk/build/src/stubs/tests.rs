use super::*;
use wasm_encoder::{
    ConstExpr, CustomSection, ElementSection, Elements, EntityType, ExportKind, RefType,
    TableSection, TableType, TypeSection,
};
use wasmparser::{Operator, Validator};

const LOG: (&str, &str) = ("crm:plugin/log@1.0.0", "write");
const CLOCK: (&str, &str) = ("__wbindgen_placeholder__", "now");

/// A module that imports these functions and has four of its own: `run` calls all imports and the
/// second, the third is only exported for wasm-bindgen, and the fourth is in a table.
fn module(imports: &[(&str, &str)]) -> Vec<u8> {
    let count = u32::try_from(imports.len()).unwrap();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut import_section = ImportSection::new();
    for (module, name) in imports {
        import_section.import(module, name, EntityType::Function(0));
    }
    let mut functions = FunctionSection::new();
    (0..4).for_each(|_| {
        functions.function(0);
    });
    let mut tables = TableSection::new();
    let size = 1;
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: size,
        maximum: None,
        shared: false,
    });
    let mut exports = ExportSection::new();
    exports.export("run", ExportKind::Func, count);
    exports.export("__wbindgen_describe_now", ExportKind::Func, count + 2);
    let mut elements = ElementSection::new();
    let in_table = [count + 3];
    elements.active(
        None,
        &ConstExpr::i32_const(0),
        Elements::Functions((&in_table).into()),
    );
    let mut code = CodeSection::new();
    let mut run = Function::new([]);
    (0..count).for_each(|import| {
        run.instruction(&Instruction::Call(import));
    });
    run.instruction(&Instruction::Call(count + 1))
        .instruction(&Instruction::End);
    code.function(&run);
    (0..3).for_each(|_| {
        let mut body = Function::new([]);
        body.instruction(&Instruction::Nop)
            .instruction(&Instruction::End);
        code.function(&body);
    });
    let mut module = Module::new();
    module
        .section(&types)
        .section(&import_section)
        .section(&functions)
        .section(&tables)
        .section(&exports)
        .section(&elements)
        .section(&code);
    for name in ["component-type:x", "__wasm_bindgen_unstable"] {
        module.section(&CustomSection {
            name: name.into(),
            data: (&[][..]).into(),
        });
    }
    module.finish()
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    imports: Vec<String>,
    exports: Vec<(String, u32)>,
    sections: Vec<String>,
    /// For each function body, the functions that it calls; none where it only traps.
    bodies: Vec<Option<Vec<u32>>>,
    table: Vec<u32>,
}

fn seen(module: &[u8]) -> Seen {
    Validator::new().validate_all(module).unwrap();
    let mut seen = Seen::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                let names = section
                    .into_imports()
                    .map(|import| import.unwrap().name.to_owned());
                seen.imports = names.collect();
            }
            Payload::ExportSection(section) => {
                let exports = section.into_iter().map(Result::unwrap);
                seen.exports = exports
                    .map(|export| (export.name.to_owned(), export.index))
                    .collect();
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let wasmparser::ElementItems::Functions(items) = element.unwrap().items else {
                        panic!("a list of functions");
                    };
                    seen.table.extend(items.into_iter().map(Result::unwrap));
                }
            }
            Payload::CustomSection(section) => seen.sections.push(section.name().to_owned()),
            Payload::CodeSectionEntry(body) => {
                let operators: Vec<Operator<'_>> = body
                    .get_operators_reader()
                    .unwrap()
                    .into_iter()
                    .map(Result::unwrap)
                    .collect();
                let calls = operators.iter().filter_map(|operator| match operator {
                    Operator::Call { function_index } => Some(*function_index),
                    _ => None,
                });
                let traps = matches!(operators.first(), Some(Operator::Unreachable));
                seen.bodies.push((!traps).then(|| calls.collect()));
            }
            _ => {}
        }
    }
    seen
}

#[test]
fn a_module_without_javascript_stays_as_it_is() {
    let module = module(&[LOG]);
    assert_eq!(without_javascript("guest", &module).unwrap(), module);
}

#[test]
fn javascript_becomes_traps_and_everything_else_keeps_its_place() {
    let second_log = ("crm:plugin/log@1.0.0", "write-twice");
    let module = module(&[CLOCK, LOG, CLOCK, second_log]);
    let rewritten = without_javascript("guest", &module).unwrap();
    assert_eq!(
        seen(&rewritten),
        Seen {
            imports: vec!["write".to_owned(), "write-twice".to_owned()],
            exports: vec![("run".to_owned(), 4)],
            sections: vec!["component-type:x".to_owned()],
            // Two traps; `run` with its imports in the old order; what it calls; what only
            // wasm-bindgen would have called; what is in the table.
            bodies: vec![
                None,
                None,
                Some(vec![2, 0, 3, 1, 5]),
                Some(vec![]),
                None,
                Some(vec![]),
            ],
            table: vec![7],
        }
    );
}

#[test]
fn any_other_import_is_refused_by_name() {
    let module = module(&[LOG, ("wasi_snapshot_preview1", "random_get")]);
    let error = without_javascript("guest", &module).unwrap_err();
    assert_eq!(
        error.to_string(),
        "guest imports `random_get` from `wasi_snapshot_preview1`, which the contract does not have"
    );
}

#[test]
fn what_is_not_a_module_is_refused() {
    let error = without_javascript("guest", b"\0asm\x01\0\0\0\xff").unwrap_err();
    assert!(matches!(error, BuildError::NotAComponent { .. }), "{error}");
}
