//! Every maximum of the language, with its unit in its name. What exceeds one is refused with a
//! message that names it; nothing is silently cut.

/// Source text of one expression.
pub const SOURCE_MAX_BYTES: usize = 4096;
/// Words, numbers, strings, brackets and operators of one expression. Each makes at most one node
/// of the parsed tree, so this bounds its nodes too, and how deep the parser can recurse on
/// operators, which nest without brackets.
pub const SOURCE_MAX_TOKENS: usize = 512;
/// Brackets open at the same time.
pub const BRACKETS_MAX_DEPTH: usize = 32;
/// Brackets open at the same time where the expression has a range (`..`): the parser tries each
/// bracket as a range first and starts again, so its time triples with each one.
pub const BRACKETS_WITH_RANGE_MAX_DEPTH: usize = 6;
/// Levels of the parsed tree.
pub const TREE_MAX_DEPTH: usize = 32;
/// Numbers of a range that is looped over: `map([1..100], …)`.
pub const RANGE_MAX_ITEMS: u64 = 1000;
/// A regular expression in `matches` and `extract`, compiled.
pub const PATTERN_COMPILED_MAX_BYTES: usize = 16 << 10;
/// What one evaluation may copy or look at, estimated before it starts from the sizes of the
/// values that the expression names.
pub const EVALUATION_MAX_WORK_BYTES: u64 = 16 << 20;
