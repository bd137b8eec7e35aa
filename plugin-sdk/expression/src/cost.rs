//! What an evaluation may take, estimated before it starts. The evaluator has no budget of its
//! own, and a loop over a loop over long texts is short to write; so the sizes of the values that
//! an expression names are known first, and what could grow past the limit is not started.
//!
//! The estimate is an upper bound as long as no function gives more than its arguments together.

use zen_expression::Variable;
use zen_expression::functions::{ClosureFunction, FunctionKind};
use zen_expression::parser::Node;

use crate::calls::range_items;
use crate::error::ExpressionError;
use crate::limits::EVALUATION_MAX_WORK_BYTES;

/// What any value takes, however short.
const VALUE_BYTES: u64 = 16;

/// An expression as far as sizes go.
#[derive(Clone, Debug)]
pub(crate) enum Cost {
    /// A value written in the source.
    Bytes(u64),
    /// Numbers of a range.
    Range(u64),
    /// A member of the context.
    Member(Vec<Box<str>>),
    /// The element of a loop, counted from the innermost.
    Element(usize),
    /// No more than its parts together.
    Parts(Vec<Cost>),
    /// `body` for each element of `list`.
    Loop {
        list: Box<Cost>,
        body: Box<Cost>,
        flat: bool,
    },
}

/// How large a value may be.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    items: u64,
    largest_item_bytes: u64,
}

impl Size {
    /// Of something that may be any list of that size, or text that may become one.
    fn any(bytes: u64) -> Self {
        Self {
            bytes,
            items: bytes,
            largest_item_bytes: bytes,
        }
    }
}

impl Cost {
    /// Reads the tree as it was written, before any rewriting.
    pub(crate) fn of(node: &Node<'_>) -> Self {
        cost(node, &mut Vec::new())
    }

    /// Adds the members of the context that the expression names, as paths.
    pub(crate) fn members<'a>(&'a self, found: &mut Vec<Vec<&'a str>>) {
        match self {
            Self::Bytes(_) | Self::Range(_) | Self::Element(_) => {}
            Self::Member(path) => found.push(path.iter().map(AsRef::as_ref).collect()),
            Self::Parts(parts) => parts.iter().for_each(|part| part.members(found)),
            Self::Loop { list, body, .. } => {
                list.members(found);
                body.members(found);
            }
        }
    }

    /// Refuses to evaluate what could take too much.
    pub(crate) fn check(&self, context: &Variable) -> Result<(), ExpressionError> {
        let mut work = 0;
        self.size(context, &mut Vec::new(), &mut work);
        if work > EVALUATION_MAX_WORK_BYTES {
            return Err(ExpressionError::limit(format!(
                "with these values the expression could take {work} bytes of work, at most \
                 {EVALUATION_MAX_WORK_BYTES} are allowed"
            )));
        }
        Ok(())
    }

    fn size(&self, context: &Variable, elements: &mut Vec<u64>, work: &mut u64) -> Size {
        let size = match self {
            Self::Bytes(bytes) => Size::any(VALUE_BYTES.saturating_add(*bytes)),
            Self::Range(items) => Size {
                bytes: items.saturating_mul(VALUE_BYTES),
                items: *items,
                largest_item_bytes: VALUE_BYTES,
            },
            Self::Member(path) => member_size(context, path),
            Self::Element(from_innermost) => Size::any(
                elements
                    .iter()
                    .rev()
                    .nth(*from_innermost)
                    .copied()
                    .unwrap_or(0),
            ),
            Self::Parts(parts) => Size::any(parts.iter().fold(VALUE_BYTES, |sum, part| {
                sum.saturating_add(part.size(context, elements, work).bytes)
            })),
            Self::Loop { list, body, flat } => {
                let list = list.size(context, elements, work);
                let mut once = 0;
                elements.push(list.largest_item_bytes);
                let body = body.size(context, elements, &mut once);
                elements.pop();
                *work = work.saturating_add(once.saturating_mul(list.items));
                // `filter` gives elements, `map` gives bodies.
                let largest_item_bytes = body.bytes.max(list.largest_item_bytes);
                let bytes = largest_item_bytes.saturating_mul(list.items);
                let items = if *flat { bytes } else { list.items };
                Size {
                    bytes,
                    items,
                    largest_item_bytes,
                }
            }
        };
        *work = work.saturating_add(size.bytes);
        size
    }
}

fn cost<'a>(node: &Node<'a>, aliases: &mut Vec<Option<&'a str>>) -> Cost {
    let mut parts = |nodes: &[&Node<'a>]| -> Cost {
        Cost::Parts(nodes.iter().map(|node| cost(node, aliases)).collect())
    };
    match node {
        Node::Null | Node::Bool(_) | Node::Number(_) => Cost::Bytes(0),
        Node::String(text) => Cost::Bytes(text.len() as u64),
        Node::Pointer => Cost::Element(0),
        Node::Root => Cost::Member(Vec::new()),
        Node::Identifier(name) => match aliases.iter().rev().position(|alias| *alias == Some(name))
        {
            Some(from_innermost) => Cost::Element(from_innermost),
            None => Cost::Member(vec![Box::from(*name)]),
        },
        Node::Member {
            node,
            property: Node::String(name),
        } => match cost(node, aliases) {
            Cost::Member(mut path) => {
                path.push(Box::from(*name));
                Cost::Member(path)
            }
            whole => Cost::Parts(vec![whole]),
        },
        Node::Member { node, property } => parts(&[node, property]),
        Node::Interval { left, right, .. } => match range_items(node) {
            Some(items) => Cost::Range(items),
            None => parts(&[left, right]),
        },
        Node::TemplateString(nodes) | Node::Array(nodes) => parts(nodes),
        Node::Object(members) => {
            let nodes: Vec<_> = members
                .iter()
                .flat_map(|(key, value)| [*key, *value])
                .collect();
            parts(&nodes)
        }
        Node::Closure { body, alias } => {
            aliases.push(*alias);
            let body = cost(body, aliases);
            aliases.pop();
            body
        }
        Node::Parenthesized(inner) | Node::Unary { node: inner, .. } => parts(&[inner]),
        Node::Slice { node, from, to } => {
            let nodes: Vec<_> = [Some(*node), *from, *to].into_iter().flatten().collect();
            parts(&nodes)
        }
        Node::Conditional {
            condition,
            on_true,
            on_false,
        } => parts(&[condition, on_true, on_false]),
        // Whether a number lies in a range is seen without looping over it.
        Node::Binary {
            left,
            right:
                Node::Interval {
                    left: low,
                    right: high,
                    ..
                },
            ..
        } => parts(&[left, low, high]),
        Node::Binary { left, right, .. } => parts(&[left, right]),
        Node::FunctionCall {
            kind: FunctionKind::Closure(function),
            arguments: [list, body],
        } => Cost::Loop {
            list: Box::new(cost(list, aliases)),
            body: Box::new(cost(body, aliases)),
            flat: *function == ClosureFunction::FlatMap,
        },
        Node::FunctionCall { arguments, .. } => parts(arguments),
        Node::MethodCall {
            this, arguments, ..
        } => {
            let nodes: Vec<_> = [*this]
                .into_iter()
                .chain(arguments.iter().copied())
                .collect();
            parts(&nodes)
        }
        // Neither passes the walk.
        Node::Assignments { .. } | Node::Error { .. } => Cost::Bytes(0),
    }
}

fn member_size(context: &Variable, path: &[Box<str>]) -> Size {
    let found = path
        .iter()
        .try_fold(context.shallow_clone(), |value, name| match value {
            Variable::Object(members) => {
                let members = members.borrow();
                members.get_str(name).map(Variable::shallow_clone)
            }
            _ => None,
        });
    match found {
        Some(Variable::Array(items)) => {
            let items = items.borrow();
            let sizes = || items.iter().map(value_bytes);
            Size {
                bytes: sizes().sum::<u64>() + VALUE_BYTES,
                items: items.len() as u64,
                largest_item_bytes: sizes().max().unwrap_or(0),
            }
        }
        Some(value) => Size::any(value_bytes(&value)),
        None => Size::any(VALUE_BYTES),
    }
}

fn value_bytes(value: &Variable) -> u64 {
    let inside = match value {
        Variable::Null | Variable::Bool(_) | Variable::Number(_) | Variable::Dynamic(_) => 0,
        Variable::String(text) => text.len() as u64,
        Variable::Array(items) => items.borrow().iter().map(value_bytes).sum(),
        Variable::Object(members) => members
            .borrow()
            .iter()
            .map(|(key, value)| key.len() as u64 + value_bytes(value))
            .sum(),
    };
    VALUE_BYTES + inside
}
