//! Goes through a program until something has to be done outside: pure, over what it is told.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

use super::awaiting::{CompiledAwait, CompiledAwaited};
use super::place::{Place, Round, Thread, Waits};
use super::program::{Action, CompiledDelay, DelayEnd, Op, Program};
use crate::Data;
use crate::event::Event;
use crate::ids::{EventId, RecordId};
use crate::limits::{FLOW_MAX_INSTRUCTIONS, RUN_MAX_STEPS};
use crate::names::{ModuleSlug, StepName};
use crate::query::day_begins;
use crate::settings::Settings;

/// What a program is told.
pub struct Facts<'a> {
    pub event: &'a Event,
    /// The event's record as it stands now; none where it is gone.
    pub record: Option<&'a Data>,
    /// Records that loops are at; none where one is gone.
    pub items: &'a BTreeMap<RecordId, Option<Data>>,
    /// What came for those of its ways that wait for something, by the numbers of
    /// [`Place::awaited`].
    pub came: &'a BTreeMap<u64, Came>,
    pub now: DateTime<Utc>,
    /// Of the tenant.
    pub settings: &'a Settings,
}

/// What came for a way that waits.
#[derive(Clone, Debug)]
pub enum Came {
    /// What ends its waiting: an object with a `status`. `approved` and `done` are good, everything
    /// else is not.
    Result(Value),
    /// Events that may be what it waits for.
    Events(Vec<Event>),
}

/// What has to be done outside before it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Call an action, on that record where it is not the event's.
    Act {
        thread: u32,
        action: usize,
        item: Option<RecordId>,
    },
    /// Look up the next page of a loop's records.
    Page {
        thread: u32,
        each: usize,
        cursor: Option<String>,
    },
    /// Look up one record.
    Load {
        module: ModuleSlug,
        record: RecordId,
    },
    /// Say outside what a way waits for, for that record where it is not the event's, and
    /// [`Place::opened`].
    Open {
        thread: u32,
        awaits: usize,
        item: Option<RecordId>,
        until: DateTime<Utc>,
        /// When others are asked too.
        escalates: Option<DateTime<Utc>>,
    },
    /// Wait until then.
    Wait(DateTime<Utc>),
    /// The run is over, as a `stop` said, if one did.
    Done(Over),
    /// The run has failed.
    Failed(String),
}

/// What a `stop` says of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Over {
    /// Why, for whoever looks at it.
    pub message: Option<String>,
    /// What it hands to the run that called it.
    pub outputs: Option<Value>,
}

enum Moved {
    On,
    Out(Next),
}

impl Program {
    /// Where a run starts that calls one step alone, and what that calls: for what comes back to
    /// it. Without a name, the first.
    ///
    /// # Errors
    /// A sentence, where there is no such step.
    pub fn only(&self, step: Option<&StepName>) -> Result<(Place, &Action), String> {
        let mut acts = self
            .code
            .iter()
            .enumerate()
            .filter_map(|(at, op)| match op {
                Op::Act(action) => Some((at, self.action(*action)?)),
                _ => None,
            });
        let found = acts.find(|(_, action)| step.is_none_or(|step| action.step == *step));
        let (at, action) = found.ok_or_else(|| match step {
            Some(step) => format!("the workflow has no step “{step}” any more"),
            None => "the workflow calls no action any more".to_owned(),
        })?;
        Ok((Place::only(at), action))
    }

    /// Goes on from there until something has to be done outside. A run that only goes round and
    /// round fails.
    pub fn advance(&self, place: &mut Place, facts: &Facts<'_>) -> Next {
        for _ in 0..FLOW_MAX_INSTRUCTIONS {
            let Some(thread) = runnable(place, facts) else {
                let waits = place
                    .threads
                    .iter()
                    .filter_map(|thread| match thread.waits {
                        Some(Waits::Until(at) | Waits::Result(at)) => Some(at),
                        _ => None,
                    });
                if let Some(at) = waits.min() {
                    return Next::Wait(at);
                }
                let Some(reason) = &place.failing else {
                    return Next::Done(Over::default());
                };
                match place.undo.pop() {
                    Some(at) => {
                        place.threads.clear();
                        place.start(None, at);
                        continue;
                    }
                    None => return Next::Failed(reason.clone()),
                }
            };
            match self.step(place, thread, facts) {
                Ok(Moved::On) => {}
                Ok(Moved::Out(next)) => return next,
                Err(reason) => place.fail(reason),
            }
        }
        Next::Failed(format!(
            "it went through {FLOW_MAX_INSTRUCTIONS} steps without doing anything"
        ))
    }

    /// Whether a run is over once an action has ended, without looking at anything: what it changed
    /// is not there to be looked at before it is committed.
    pub fn settle(&self, place: &mut Place) -> Option<Next> {
        for _ in 0..FLOW_MAX_INSTRUCTIONS {
            let Some(thread) = place
                .threads
                .iter_mut()
                .find(|thread| thread.waits.is_none())
            else {
                return match &place.failing {
                    _ if !place.threads.is_empty() => None,
                    None => Some(Next::Done(Over::default())),
                    Some(_) if !place.undo.is_empty() => None,
                    Some(reason) => Some(Next::Failed(reason.clone())),
                };
            };
            match self.code.get(thread.at) {
                Some(Op::Go(to)) => thread.at = *to,
                None | Some(Op::End) => {
                    let id = thread.id;
                    place.end(id);
                }
                Some(_) => return None,
            }
        }
        None
    }

    fn step(&self, place: &mut Place, id: u32, facts: &Facts<'_>) -> Result<Moved, String> {
        let steps = place.steps;
        let outputs = place.outputs();
        let Some(thread) = place.thread(id) else {
            return Ok(Moved::On);
        };
        let waits = thread.waits.take();
        let op = self.code.get(thread.at);
        let item = thread.item();
        if let (Some(record), Some(round)) = (item, thread.rounds.last()) {
            let is_next = matches!(op, Some(Op::Each { .. })) && thread.at == round.start;
            match facts.items.get(&record) {
                _ if is_next => {}
                None => {
                    let module = self.each(round.each).map(|each| each.module.clone());
                    let module = module.ok_or("the workflow has another loop there by now")?;
                    return Ok(Moved::Out(Next::Load { module, record }));
                }
                // It is gone: the next one.
                Some(None) => {
                    thread.at = round.start;
                    return Ok(Moved::On);
                }
                Some(Some(_)) => {}
            }
        }
        let context = || facts.context(&outputs, item);
        match op {
            None | Some(Op::End) => place.end(id),
            Some(Op::Act(action)) => {
                if steps >= RUN_MAX_STEPS {
                    return Err(format!("a run takes at most {RUN_MAX_STEPS} steps"));
                }
                let action = *action;
                let thread = id;
                return Ok(Moved::Out(Next::Act {
                    thread,
                    action,
                    item,
                }));
            }
            Some(Op::Go(to)) => thread.at = *to,
            Some(Op::Unless {
                step,
                condition,
                to,
            }) => {
                let holds = condition.evaluate_bool(&context());
                let holds = holds.map_err(|error| format!("{step}: {error}"))?;
                thread.at = if holds { thread.at + 1 } else { *to };
            }
            Some(Op::Switch {
                step,
                on,
                cases,
                otherwise,
            }) => {
                let value = on.evaluate(&context());
                let value = value.map_err(|error| format!("{step}: {error}"))?;
                let case = cases.iter().find(|(is, _)| *is == value);
                thread.at = case.map_or(*otherwise, |(_, start)| *start);
            }
            Some(Op::Delay { step, delay }) => {
                let until = delay.end(step, facts, context)?;
                thread.at += 1;
                thread.waits = (until > facts.now).then_some(Waits::Until(until));
            }
            Some(Op::Await { awaits, otherwise }) => {
                let compiled = self.awaits(*awaits);
                let compiled = compiled.ok_or("the workflow waits for something else by now")?;
                let Some(Waits::Result(until)) = waits else {
                    let escalation = compiled.escalation.as_ref();
                    let escalates = escalation.map(|it| it.end(&compiled.step, facts, context));
                    return Ok(Moved::Out(Next::Open {
                        thread: id,
                        awaits: *awaits,
                        item,
                        until: compiled.deadline.end(&compiled.step, facts, context)?,
                        escalates: escalates.transpose()?,
                    }));
                };
                let work = thread.work();
                let Looked {
                    mut result,
                    dismissed,
                    unanswered,
                } = compiled.look(facts.came.get(&work), &context());
                thread.unanswered = unanswered.or(thread.unanswered.take());
                match &mut result {
                    None => thread.waits = Some(Waits::Result(until)),
                    Some(result) => {
                        let at = if is_good(result) {
                            thread.at + 1
                        } else {
                            *otherwise
                        };
                        if let (Some(why), "expired") = (&thread.unanswered, status(result)) {
                            let error = format!("its condition could not be answered: {why}");
                            result["error"] = json!(error);
                        }
                        thread.came(at);
                    }
                }
                place.dismiss(work, dismissed);
                if let Some(result) = result {
                    place.told(compiled.step.clone(), result);
                }
            }
            Some(Op::Fork(starts)) => {
                thread.at += 1;
                thread.waits = Some(Waits::Ways(starts.len()));
                for start in starts {
                    place.start(Some(id), *start);
                }
            }
            Some(Op::Each { each, after }) => {
                let (each, after) = (*each, *after);
                return Ok(self.take(place, id, each, after));
            }
            Some(Op::Stop {
                step,
                is_failure: false,
                message,
                outputs,
            }) => {
                let outputs = outputs.as_ref().map(|outputs| outputs.fill(&context()));
                let outputs = outputs.transpose();
                let outputs = outputs.map_err(|error| format!("{step}: outputs: {error}"))?;
                place.threads.clear();
                return Ok(Moved::Out(match &place.failing {
                    None => Next::Done(Over {
                        message: message.clone(),
                        outputs,
                    }),
                    Some(reason) => Next::Failed(reason.clone()),
                }));
            }
            Some(Op::Stop { message, .. }) => {
                return Err(message
                    .clone()
                    .unwrap_or_else(|| "it was stopped".to_owned()));
            }
        }
        Ok(Moved::On)
    }

    /// The next record of a loop.
    fn take(&self, place: &mut Place, id: u32, each: usize, after: usize) -> Moved {
        let limit = self.each(each).map_or(0, |each| each.limit);
        let Some(thread) = place.thread(id) else {
            return Moved::On;
        };
        let start = thread.at;
        let is_in = thread
            .rounds
            .last()
            .is_some_and(|round| round.start == start);
        if !is_in {
            thread.rounds.push(Round {
                each,
                start,
                rest: Vec::new(),
                cursor: None,
                is_last: false,
                taken: 0,
                item: None,
            });
        }
        let Some(round) = thread.rounds.last_mut() else {
            return Moved::On;
        };
        match round.rest.pop() {
            Some(record) if round.taken < limit => {
                round.taken += 1;
                round.item = Some(record);
                thread.at += 1;
                Moved::On
            }
            None if !round.is_last && round.taken < limit => Moved::Out(Next::Page {
                thread: id,
                each,
                cursor: round.cursor.clone(),
            }),
            _ => {
                thread.rounds.pop();
                thread.at = after;
                Moved::On
            }
        }
    }
}

impl CompiledDelay {
    /// When it ends.
    fn end(
        &self,
        step: &StepName,
        facts: &Facts<'_>,
        context: impl Fn() -> Value,
    ) -> Result<DateTime<Utc>, String> {
        let end = match &self.end {
            DelayEnd::For(duration) => after(facts.now, *duration),
            DelayEnd::Until(expression) => {
                let value = expression.evaluate(&context());
                let value = value.map_err(|error| format!("{step}: {error}"))?;
                moment(step, &value, facts.settings.time_zone)?
            }
        };
        let Settings {
            time_zone,
            business_hours,
            ..
        } = facts.settings;
        Ok(match self.business_hours {
            true => business_hours.next(end, *time_zone),
            false => end,
        })
    }
}

/// What was found where a way waits.
#[derive(Default)]
struct Looked {
    /// What ends the waiting.
    result: Option<Value>,
    /// Events that were looked at in vain.
    dismissed: Vec<EventId>,
    /// Why the condition could not be answered for the last of those of which it could not be:
    /// it does not hold there.
    unanswered: Option<String>,
}

impl CompiledAwait {
    fn look(&self, came: Option<&Came>, context: &Value) -> Looked {
        let mut looked = Looked::default();
        let (watch, events) = match (&self.what, came) {
            (_, None) => return looked,
            (_, Some(Came::Result(result))) => {
                looked.result = Some(result.clone());
                return looked;
            }
            (CompiledAwaited::Event(watch), Some(Came::Events(events))) => (watch, events),
            // The workflow waits for something else by now.
            (_, Some(Came::Events(events))) => {
                looked.dismissed.extend(events.iter().map(|event| event.id));
                return looked;
            }
        };
        for event in events {
            let mut seen = context.clone();
            if let (Value::Object(seen), Value::Object(told)) =
                (&mut seen, event.expression_context())
            {
                seen.extend(told);
            }
            match watch.is_met(event, &seen) {
                Ok(true) => {
                    looked.result = Some(json!({
                        "status": MET,
                        "module": event.module,
                        "record_id": event.record_id,
                        "by": event.actor.user_id,
                        "at": event.occurred_at,
                    }));
                    return looked;
                }
                Ok(false) => {}
                Err(why) => looked.unanswered = Some(why),
            }
            looked.dismissed.push(event.id);
        }
        looked
    }
}

const MET: &str = "met";

fn status(result: &Value) -> &str {
    let status = result.get("status").and_then(Value::as_str);
    status.unwrap_or_default()
}

fn is_good(result: &Value) -> bool {
    matches!(status(result), MET | "approved" | "done")
}

impl Facts<'_> {
    /// What expressions see: the event's members, `steps`, `record`, `item` and `now`.
    pub fn context(&self, outputs: &Value, item: Option<RecordId>) -> Value {
        let mut context = self.event.expression_context();
        if let Value::Object(members) = &mut context {
            let item = item.and_then(|item| self.items.get(&item)?.as_ref());
            members.insert("steps".to_owned(), outputs.clone());
            members.insert("record".to_owned(), json!(self.record));
            members.insert("item".to_owned(), json!(item));
            let now = self.now.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            members.insert("now".to_owned(), json!(now));
        }
        context
    }
}

/// The first way that waits for nothing any more.
fn runnable(place: &Place, facts: &Facts<'_>) -> Option<u32> {
    let has_come = |thread: &Thread| match facts.came.get(&thread.work()) {
        None => false,
        Some(Came::Result(_)) => true,
        Some(Came::Events(events)) => {
            let mut events = events.iter();
            events.any(|event| !place.has_dismissed(thread.work(), event.id))
        }
    };
    let mut threads = place.threads.iter();
    let runnable = threads.find(|thread| match &thread.waits {
        None => true,
        Some(Waits::Until(at)) => *at <= facts.now,
        Some(Waits::Result(_)) => has_come(thread),
        Some(Waits::Ways(_)) => false,
    });
    runnable.map(|thread| thread.id)
}

fn after(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(delta).unwrap_or(now)
}

/// A time, or the first moment of a date in the zone.
fn moment(step: &StepName, value: &Value, zone: Tz) -> Result<DateTime<Utc>, String> {
    let wrong = || format!("{step}: what `until` gives is neither a time (RFC 3339) nor a date");
    let text = value.as_str().ok_or_else(wrong)?;
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let date: NaiveDate = text.parse().map_err(|_| wrong())?;
    Ok(day_begins(date, zone))
}
