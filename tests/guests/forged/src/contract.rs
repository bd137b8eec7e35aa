//! What the contract says of the exports: their core signatures, and where in memory the parts of
//! an answer lie (the canonical ABI).

use std::path::Path;
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function, Int, PackageId, Resolve, SizeAlign, Type, TypeDefKind, WorldId, WorldItem, WorldKey,
};

use crate::guest::ANSWER;

/// The way to the text of a guest that gives up.
const FAIL: &[&str] = &["err", "fail", "message"];

/// One world of the contract.
pub(crate) struct World {
    pub(crate) resolve: Resolve,
    pub(crate) id: WorldId,
    sizes: SizeAlign,
}

impl World {
    pub(crate) fn read(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugin-sdk/wit");
        let mut resolve = Resolve::default();
        let (package, _): (PackageId, _) = resolve.push_dir(&directory).unwrap();
        let id = resolve.select_world(&[package], Some(name)).unwrap();
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Self { resolve, id, sizes }
    }

    fn function(&self, export: &str) -> &Function {
        let key = WorldKey::Name(export.to_owned());
        match &self.resolve.worlds[self.id].exports[&key] {
            WorldItem::Function(function) => function,
            other => panic!("{export} is {other:?}"),
        }
    }

    /// Parameters and results of an export's core function, as WebAssembly text.
    pub(crate) fn signature(&self, export: &str) -> String {
        let function = self.function(export);
        let signature = self
            .resolve
            .wasm_signature(AbiVariant::GuestExport, function);
        let list = |what: &str, types: &[WasmType]| match types {
            [] => String::new(),
            types => {
                let names: Vec<_> = types.iter().map(|ty| name_of(*ty)).collect();
                format!("({what} {})", names.join(" "))
            }
        };
        format!(
            "{} {}",
            list("param", &signature.params),
            list("result", &signature.results)
        )
    }

    fn result_of(&self, export: &str) -> Type {
        self.function(export).result.unwrap()
    }

    /// Through the names that only stand for another type.
    fn kind(&self, ty: Type) -> Option<&TypeDefKind> {
        match ty {
            Type::Id(id) => match &self.resolve.types[id].kind {
                TypeDefKind::Type(ty) => self.kind(*ty),
                kind => Some(kind),
            },
            _ => None,
        }
    }
}

fn name_of(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// The memory of what `run` answers. Everything that is not written is zero.
pub struct Answer {
    world: World,
    bytes: Vec<u8>,
}

impl Answer {
    /// Of the world `action`.
    pub fn new() -> Self {
        let world = World::read("action");
        let bytes = vec![0; world.sizes.size(&world.result_of("run")).size_wasm32()];
        Self { world, bytes }
    }

    /// The answer's whole memory is made of this byte: no tag of it exists.
    pub fn filled(byte: u8) -> Vec<u8> {
        let mut answer = Self::new();
        answer.bytes.fill(byte);
        answer.bytes
    }

    /// A success with a list of mutations at that address.
    pub fn mutations(address: u32, count: u32) -> Vec<u8> {
        Self::new().with(&["ok", "mutations"], address, count)
    }

    /// The guest gives up with the text at that address.
    pub fn fail(address: u32, bytes: u32) -> Vec<u8> {
        Self::new().with(FAIL, address, bytes)
    }

    /// Where in memory a guest that gives up has the address of its text, and the length behind.
    pub fn message_at() -> usize {
        let (_, at) = Self::new().along(FAIL);
        ANSWER + at
    }

    /// Writes the address and length of a list or text, and the tags on the way to it. A part of
    /// the path that the contract does not have is passed over.
    fn with(self, path: &[&str], address: u32, length: u32) -> Vec<u8> {
        let (mut answer, at) = self.along(path);
        answer.bytes[at..at + 4].copy_from_slice(&address.to_le_bytes());
        answer.bytes[at + 4..at + 8].copy_from_slice(&length.to_le_bytes());
        answer.bytes
    }

    /// Writes the tags on the way to a part, and says where it is.
    fn along(mut self, path: &[&str]) -> (Self, usize) {
        let (mut at, mut ty) = (0, self.world.result_of("run"));
        for step in path {
            if let Some((tag, offset, inner)) = self.step(ty, step) {
                if let Some(tag) = tag {
                    self.bytes[at] = tag;
                }
                at += offset;
                ty = inner;
            }
        }
        (self, at)
    }

    /// The tag, the offset and the type of a part.
    fn step(&self, ty: Type, name: &str) -> Option<(Option<u8>, usize, Type)> {
        let sizes = &self.world.sizes;
        let cases = |tag: Int, cases: Vec<(&str, Option<Type>)>| {
            let offset = sizes.payload_offset(tag, cases.iter().map(|(_, ty)| ty.as_ref()));
            let index = cases.iter().position(|(case, _)| *case == name)?;
            Some((
                Some(u8::try_from(index).unwrap()),
                offset.size_wasm32(),
                cases[index].1?,
            ))
        };
        match self.world.kind(ty)? {
            TypeDefKind::Result(result) => {
                cases(Int::U8, vec![("ok", result.ok), ("err", result.err)])
            }
            TypeDefKind::Variant(variant) => cases(
                variant.tag(),
                variant
                    .cases
                    .iter()
                    .map(|case| (case.name.as_str(), case.ty))
                    .collect(),
            ),
            TypeDefKind::Record(record) => {
                let offsets = sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
                let index = record.fields.iter().position(|field| field.name == name)?;
                let (offset, ty) = &offsets[index];
                Some((None, offset.size_wasm32(), **ty))
            }
            _ => None,
        }
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}
