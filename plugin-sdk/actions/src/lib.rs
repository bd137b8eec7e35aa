//! What the first-party actions share, so that a configuration reads the same in all of them: an
//! event as expressions and texts see it ([`context`]), values from expressions ([`Formula`]),
//! short texts with expressions in them ([`Text`]), messages ([`Message`]), times that are
//! relative to the event ([`Due`]) and related records ([`Related`]). Whatever an action does not
//! use, its component does not carry. Expressions bring the world's time zones, messages an
//! engine of templates: a component with both would be larger than components may be.

mod context;
mod due;
mod formula;
mod message;
mod related;
mod text;

pub use context::{Record, context, current, not_gone, owner, put};
pub use due::Due;
pub use formula::{Formula, Formulas};
pub use message::{Message, messages};
pub use related::{Related, Relation};
pub use text::{Text, texts};
