//! People of a tenant: who has which roles and attributes, and the teams that they are in.

use serde_json::Value;

use super::change::{OverlayRefusal, OverlayWrite, parsed};
use super::edit::attributes;
use super::roles::{check_label, find};
use crate::Data;
use crate::definition::TeamDefinition;
use crate::limits::{
    MEMBER_ATTRIBUTES_MAX_BYTES, MEMBER_MAX_ATTRIBUTES, MEMBER_MAX_ROLES, MODEL_MAX_MEMBERS,
    MODEL_MAX_TEAMS, TEAM_MAX_MEMBERS,
};
use crate::model::ModelSource;
use crate::names::{FieldKey, TeamSlug, UserId};
use crate::roles::Member;
use crate::validate::merge_patch;

/// What rules for records see as `user.…` without anybody saying it.
const KNOWN_ATTRIBUTES: [&str; 3] = ["id", "roles", "teams"];

pub(super) fn member_put(
    source: &mut ModelSource,
    user: UserId,
    member: Member,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let roles = &member.roles;
    if roles.len() > MEMBER_MAX_ROLES || (roles.is_empty() && member.attributes.is_empty()) {
        let message = format!("a member has 1 to {MEMBER_MAX_ROLES} roles, or attributes alone");
        return Err(OverlayRefusal::invalid("/roles", "length", message));
    }
    for (index, role) in roles.iter().enumerate() {
        if find(source, role).is_err() {
            let message = format!("there is no role “{role}”");
            let pointer = format!("/roles/{index}");
            return Err(OverlayRefusal::invalid(&pointer, "unknown_role", message));
        }
    }
    check_attributes(&member.attributes)?;
    let known = source.members.get(&user);
    if known == Some(&member) {
        return Ok(Vec::new());
    }
    if known.is_none() && source.members.len() >= MODEL_MAX_MEMBERS {
        let message = format!("a tenant has at most {MODEL_MAX_MEMBERS} members with roles");
        return Err(OverlayRefusal::Conflict(message));
    }
    source.members.insert(user.clone(), member.clone());
    Ok(vec![OverlayWrite::Member(user, member)])
}

/// Texts, numbers, truth values, and lists of those.
fn check_attributes(attributes: &Data) -> Result<(), OverlayRefusal> {
    let bytes = Value::Object(attributes.clone()).to_string().len();
    if attributes.len() > MEMBER_MAX_ATTRIBUTES || bytes > MEMBER_ATTRIBUTES_MAX_BYTES {
        let message = format!(
            "a member has at most {MEMBER_MAX_ATTRIBUTES} attributes, and they have at most \
             {MEMBER_ATTRIBUTES_MAX_BYTES} bytes"
        );
        return Err(OverlayRefusal::invalid("/attributes", "length", message));
    }
    let is_plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    for (name, value) in attributes {
        let refused = |code: &str, message: &str| {
            let name = crate::violation::pointer_segment(name);
            let pointer = format!("/attributes/{name}");
            Err(OverlayRefusal::invalid(&pointer, code, message))
        };
        if name.parse::<FieldKey>().is_err() {
            return refused(
                "name",
                "the names of attributes are written as those of fields",
            );
        }
        if KNOWN_ATTRIBUTES.contains(&name.as_str()) {
            return refused("name", "is known without being said");
        }
        let fits = match value {
            Value::Array(items) => items.iter().all(is_plain),
            value => is_plain(value),
        };
        if !fits {
            return refused(
                "type",
                "is a text, a number, a truth value, or a list of those",
            );
        }
    }
    Ok(())
}

pub(super) fn member_remove(
    source: &mut ModelSource,
    user: UserId,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    match source.members.remove(&user) {
        Some(_) => Ok(vec![OverlayWrite::MemberGone(user)]),
        None => Err(OverlayRefusal::NotFound("member")),
    }
}

pub(super) fn team_add(
    source: &mut ModelSource,
    team: TeamDefinition,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    if source.teams.contains_key(&team.slug) {
        let message = format!("the team “{}” exists already", team.slug);
        return Err(OverlayRefusal::Conflict(message));
    }
    if source.teams.len() >= MODEL_MAX_TEAMS {
        let message = format!("a tenant has at most {MODEL_MAX_TEAMS} teams");
        return Err(OverlayRefusal::Conflict(message));
    }
    team_put(source, team)
}

pub(super) fn team_edit(
    source: &mut ModelSource,
    slug: TeamSlug,
    patch: Data,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let before = source.teams.get(&slug);
    let before = before.ok_or(OverlayRefusal::NotFound("team"))?;
    let mut wanted = attributes(before);
    merge_patch(&mut wanted, &patch);
    let wanted: TeamDefinition = parsed(wanted)?;
    if wanted.slug != slug {
        let message = "a team keeps its name: add another team";
        return Err(OverlayRefusal::invalid("/slug", "immutable", message));
    }
    if wanted == *before {
        return Ok(Vec::new());
    }
    team_put(source, wanted)
}

fn team_put(
    source: &mut ModelSource,
    team: TeamDefinition,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    check_label(&team.label)?;
    if team.members.len() > TEAM_MAX_MEMBERS {
        let message = format!("a team has at most {TEAM_MAX_MEMBERS} members");
        return Err(OverlayRefusal::invalid("/members", "length", message));
    }
    source.teams.insert(team.slug.clone(), team.clone());
    Ok(vec![OverlayWrite::Team(team)])
}

pub(super) fn team_remove(
    source: &mut ModelSource,
    slug: TeamSlug,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    match source.teams.remove(&slug) {
        Some(_) => Ok(vec![OverlayWrite::TeamGone(slug)]),
        None => Err(OverlayRefusal::NotFound("team")),
    }
}
