//! Which functions of a core module can be called at all: from its exports, its start function
//! and its tables.

use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{
    ConstExpr, ElementItems, ExternalKind, FunctionBody, Operator, Parser, Payload, Result, TypeRef,
};

/// Indices of the functions that can be called.
pub(crate) struct Reach(BTreeSet<u32>);

impl Reach {
    /// Follows the exports that `keeps` says yes to.
    pub(crate) fn of(module: &[u8], keeps: impl Fn(&str) -> bool) -> Result<Self> {
        let mut roots = Vec::new();
        let mut calls = BTreeMap::new();
        let mut functions = 0_u32;
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        roots.extend(references(&global?.init_expr)?);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func && keeps(export.name) {
                            roots.push(export.index);
                        }
                    }
                }
                Payload::StartSection { func, .. } => roots.push(func),
                Payload::ElementSection(section) => {
                    for element in section {
                        roots.extend(members(element?.items)?);
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    calls.insert(functions, called(&body)?);
                    functions += 1;
                }
                _ => {}
            }
        }
        let mut reached = BTreeSet::new();
        while let Some(function) = roots.pop() {
            if reached.insert(function) {
                roots.extend(calls.get(&function).into_iter().flatten());
            }
        }
        Ok(Self(reached))
    }

    pub(crate) fn reaches(&self, function: u32) -> bool {
        self.0.contains(&function)
    }
}

fn members(items: ElementItems<'_>) -> Result<Vec<u32>> {
    match items {
        ElementItems::Functions(functions) => functions.into_iter().collect(),
        ElementItems::Expressions(_, expressions) => {
            let mut all = Vec::new();
            for expression in expressions {
                all.extend(references(&expression?)?);
            }
            Ok(all)
        }
    }
}

fn references(expression: &ConstExpr<'_>) -> Result<Vec<u32>> {
    let mut operators = expression.get_operators_reader();
    let mut all = Vec::new();
    while !operators.eof() {
        all.extend(referenced(&operators.read()?));
    }
    Ok(all)
}

fn called(body: &FunctionBody<'_>) -> Result<Vec<u32>> {
    let mut operators = body.get_operators_reader()?;
    let mut all = Vec::new();
    while !operators.eof() {
        all.extend(referenced(&operators.read()?));
    }
    Ok(all)
}

fn referenced(operator: &Operator<'_>) -> Option<u32> {
    match operator {
        Operator::Call { function_index }
        | Operator::ReturnCall { function_index }
        | Operator::RefFunc { function_index } => Some(*function_index),
        _ => None,
    }
}
