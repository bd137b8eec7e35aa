//! One condition: which operators its value takes, and what they compare with.

use serde_json::Value;

use super::filter::{Bound, Condition, Filter, Test};
use super::operand::{Wrong, bound, folded, operand};
use super::relative::{self, Stretch};
use super::scope::Scope;
use super::target::{Kind, Named, Target};
use crate::form::{Comparable, Form};
use crate::limits::FILTER_LIST_MAX_VALUES;
use crate::operator::Operator;
use crate::violation::Violations;

/// A condition as it was sent.
pub(crate) struct Ask<'a, 'n> {
    pub(crate) scope: Scope<'a>,
    pub(crate) named: &'n Named<'a>,
    pub(crate) name: &'n str,
    pub(crate) operator: Operator,
    pub(crate) value: Option<&'n Value>,
    pub(crate) pointer: &'n str,
}

/// The condition as a filter; none where something is wrong, which is then among the violations.
pub(crate) fn conditions(ask: &Ask<'_, '_>, violations: &mut Violations) -> Option<Filter> {
    let target = ask.named.target(ask.name);
    let mut refuse = |below: &str, (code, message): Wrong| {
        violations.add(format!("{}{below}", ask.pointer), code, message);
        None
    };
    if matches!(ask.operator, Operator::IsEmpty | Operator::IsNotEmpty) {
        if ask.value.is_some_and(|value| !value.is_null()) {
            let message = format!("“{}” takes no value", ask.operator.name());
            return refuse("/value", ("shape", message));
        }
        let present = Filter::Test(Condition {
            target: ask.named.whole(target),
            test: Test::Present,
        });
        return Some(negate(present, ask.operator == Operator::IsEmpty));
    }
    let allowed = operators(&target);
    if !allowed.contains(&ask.operator) {
        let names: Vec<&str> = allowed.iter().map(|operator| operator.name()).collect();
        let message = format!(
            "“{}” does not take “{}”; it takes {}",
            ask.name,
            ask.operator.name(),
            names.join(", ")
        );
        return refuse("/op", ("operator", message));
    }
    match test(ask, &target) {
        Ok(test) => {
            let negated = matches!(
                ask.operator,
                Operator::Ne | Operator::NotIn | Operator::None
            );
            Some(negate(Filter::Test(Condition { target, test }), negated))
        }
        Err(_) if ask.value.is_none() && ask.operator != Operator::IsMe => {
            let message = format!("“{}” takes a value", ask.operator.name());
            refuse("", ("required", message))
        }
        Err(wrong) => refuse("/value", wrong),
    }
}

/// What may be asked of a target: what its form allows, less what its kind makes no sense of.
fn operators(target: &Target) -> Vec<Operator> {
    let allowed = target.form.operators().iter().copied();
    allowed
        .filter(|operator| match operator {
            Operator::Within => target.form == Form::Moment || target.kind == Kind::Day,
            Operator::IsMe => target.kind == Kind::User,
            _ => true,
        })
        .collect()
}

fn test(ask: &Ask<'_, '_>, target: &Target) -> Result<Test, Wrong> {
    let value = ask.value.unwrap_or(&Value::Null);
    let range = |from: Option<(Comparable, bool)>, to: Option<(Comparable, bool)>| {
        let end = |(value, inclusive)| Bound { value, inclusive };
        Test::Range {
            from: from.map(end),
            to: to.map(end),
        }
    };
    Ok(match ask.operator {
        Operator::Eq | Operator::Ne => Test::OneOf(vec![operand(target, value)?]),
        Operator::Lt => range(None, Some((bound(target, value)?, false))),
        Operator::Lte => range(None, Some((bound(target, value)?, true))),
        Operator::Gt => range(Some((bound(target, value)?, false)), None),
        Operator::Gte => range(Some((bound(target, value)?, true)), None),
        Operator::Between => {
            let (from, to) = pair(target, value)?;
            range(Some((from, true)), Some((to, true)))
        }
        Operator::Contains if target.form == Form::List => Test::Holds(texts(target, value)?),
        Operator::In | Operator::NotIn | Operator::Any | Operator::None
            if target.form == Form::List =>
        {
            Test::Holds(texts(target, value)?)
        }
        Operator::In | Operator::NotIn | Operator::Any | Operator::None => Test::OneOf(
            list(value)?
                .iter()
                .map(|one| operand(target, one))
                .collect::<Result<_, _>>()?,
        ),
        Operator::Contains => Test::Contains(folded(target, value)?),
        Operator::StartsWith => Test::StartsWith(folded(target, value)?),
        Operator::EndsWith => Test::EndsWith(folded(target, value)?),
        Operator::Within => within(ask, target, value)?,
        Operator::IsMe => me(ask)?,
        Operator::IsEmpty | Operator::IsNotEmpty => Test::Present,
    })
}

fn within(ask: &Ask<'_, '_>, target: &Target, value: &Value) -> Result<Test, Wrong> {
    let unknown = || ("value", format!("“within” takes {}", relative::NAMES));
    let name = value.as_str().ok_or_else(unknown)?;
    let zone = ask.scope.time_zone();
    let stretch = relative::stretch(name, ask.scope.now(), zone).ok_or_else(unknown)?;
    let (from, to) = match (target.kind, stretch) {
        (Kind::Day, Stretch::Days(from, to)) => {
            let day = |day: chrono::NaiveDate| Comparable::Text(day.to_string());
            (day(from), day(to))
        }
        (Kind::Day, Stretch::Moments(..)) => {
            return Err(("value", "a date takes no hours".to_owned()));
        }
        (_, Stretch::Days(from, to)) => {
            let begin = |day| Comparable::Moment(relative::day_begins(day, zone));
            (begin(from), begin(to))
        }
        (_, Stretch::Moments(from, to)) => (Comparable::Moment(from), Comparable::Moment(to)),
    };
    Ok(Test::Range {
        from: Some(Bound {
            value: from,
            inclusive: true,
        }),
        to: Some(Bound {
            value: to,
            inclusive: false,
        }),
    })
}

fn me(ask: &Ask<'_, '_>) -> Result<Test, Wrong> {
    if ask.value.is_some_and(|value| !value.is_null()) {
        return Err(("shape", "“is_me” takes no value".to_owned()));
    }
    let nobody = || ("value", "there is no “me” here".to_owned());
    let actor = ask.scope.actor().ok_or_else(nobody)?;
    let id = Comparable::Text(actor.user_id.to_string());
    Ok(Test::OneOf(vec![id]))
}

fn list(value: &Value) -> Result<&[Value], Wrong> {
    let Value::Array(values) = value else {
        return Err(("type", "takes a list of values".to_owned()));
    };
    if values.len() > FILTER_LIST_MAX_VALUES {
        let message = format!("a list of values has at most {FILTER_LIST_MAX_VALUES}");
        return Err(("too_many", message));
    }
    Ok(values)
}

fn pair(target: &Target, value: &Value) -> Result<(Comparable, Comparable), Wrong> {
    match list(value)? {
        [from, to] => Ok((bound(target, from)?, bound(target, to)?)),
        _ => Err(("shape", "“between” takes two values: [from, to]".to_owned())),
    }
}

fn texts(target: &Target, value: &Value) -> Result<Vec<String>, Wrong> {
    let values = match value {
        Value::String(_) => std::slice::from_ref(value),
        other => list(other)?,
    };
    values
        .iter()
        .map(|one| match operand(target, one)? {
            Comparable::Text(text) => Ok(text),
            _ => Err(("type", format!("“{}” takes texts", target.name))),
        })
        .collect()
}

fn negate(filter: Filter, negated: bool) -> Filter {
    if negated {
        Filter::Not(Box::new(filter))
    } else {
        filter
    }
}
