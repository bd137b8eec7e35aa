//! Workflows of more than one step. What authors write ([`StepDefinition`]) is compiled to a list
//! of instructions ([`Program`]); where a run stands in it is a [`Place`], which is kept with its
//! job between commits; [`Program::advance`] goes on from there until something has to be done
//! outside. Nothing here reads a clock, a database or a component.

mod advance;
mod awaiting;
mod definition;
mod place;
mod program;
mod template;
#[cfg(test)]
mod tests;

pub use advance::{Came, Facts, Next, Over};
pub use awaiting::{
    Approval, Asked, Await, Awaited, AwaitedEvent, Call, CompiledAwait, CompiledAwaited,
    Escalation, EventWatch,
};
pub use definition::{
    ActionStep, Case, Delay, ForEach, OnError, Retry, StepDefinition, StepKind, Stop, StopAs,
    all_steps,
};
pub use place::{Output, Place};
pub use program::{Action, Loop, Program, Surroundings};
pub use template::Template;
pub(crate) use template::expressions_in;
