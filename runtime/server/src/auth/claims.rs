//! From the claims of a verified token to a caller. Issuers name and nest things differently;
//! where each is comes from the settings. What cannot be read is refused, never guessed.

use crm_model::{Actor, RoleSlug, TenantId, UserId};
use serde_json::Value;

use super::settings::IssuerSettings;
use super::{Caller, Profile, TOKEN_MAX_ROLES};

/// A person's name or address that is longer is left out.
const PROFILE_MAX_CHARACTERS: usize = 200;

/// How ids begin that this server gives itself: no issuer's user passes for one of those.
const RESERVED: [&str; 2] = ["local:", "api-key:"];

/// Who a token is about.
///
/// # Errors
/// What the token lacks.
pub(super) fn identify(settings: &IssuerSettings, claims: &Value) -> Result<Caller, &'static str> {
    let paths = &settings.claims;
    let user = find(claims, &paths.user).and_then(Value::as_str);
    let user = user
        .filter(|user| !user.is_empty())
        .ok_or("the token names no user")?;
    let user = format!("{}{user}", settings.user_prefix);
    if RESERVED.iter().any(|start| user.starts_with(start)) {
        return Err("the token's user is one of this server's own");
    }
    let user_id = UserId::try_from(user).map_err(|_| "the token's user is not a user id")?;
    let roles = roles(settings, find(claims, &paths.roles))?;
    Ok(Caller {
        tenant: tenant(settings, find(claims, &paths.tenant))?,
        actor: Actor::person(user_id, roles),
        profile: Profile {
            name: short(find(claims, &paths.name)),
            email: short(find(claims, &paths.email)),
        },
        may_enter: settings.names_super_admins(),
        is_acting: false,
    })
}

fn tenant(settings: &IssuerSettings, claim: Option<&Value>) -> Result<TenantId, &'static str> {
    if let Some(tenant) = settings.tenant {
        return Ok(tenant);
    }
    let name = claim
        .and_then(Value::as_str)
        .ok_or("the token names no tenant")?;
    match &settings.tenants {
        Some(tenants) => tenants.get(name).copied(),
        None => name.parse().ok(),
    }
    .ok_or("the token's tenant is not one of this server's")
}

/// Issuers put many things among the roles; what is no role of a model's is passed over.
fn roles(settings: &IssuerSettings, claim: Option<&Value>) -> Result<Vec<RoleSlug>, &'static str> {
    let names: Vec<&str> = match claim {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(names)) => names.split([' ', ',']).collect(),
        _ => Vec::new(),
    };
    let named = |name: &str| match &settings.roles {
        Some(roles) => roles.get(name).cloned(),
        None => name.parse().ok(),
    };
    let mut roles: Vec<RoleSlug> = names.into_iter().filter_map(named).collect();
    roles.sort();
    roles.dedup();
    if roles.len() > TOKEN_MAX_ROLES {
        return Err("the token carries too many roles");
    }
    Ok(roles)
}

fn short(claim: Option<&Value>) -> Option<String> {
    let text = claim.and_then(Value::as_str)?;
    (text.chars().count() <= PROFILE_MAX_CHARACTERS).then(|| text.to_owned())
}

/// What is at a path. A claim of exactly that name comes first: names may be URLs, with dots.
fn find<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    if path.starts_with('/') {
        return claims.pointer(path);
    }
    claims.get(path).or_else(|| {
        path.split('.')
            .try_fold(claims, |claims, name| claims.get(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_found_by_name_by_path_and_by_pointer() {
        let claims = json!({
            "realm_access": {"roles": ["a"]},
            "https://crm.example.com/tenant": "t",
            "resource_access": {"crm.api": {"roles": ["b"]}},
        });
        assert_eq!(find(&claims, "realm_access.roles"), Some(&json!(["a"])));
        assert_eq!(
            find(&claims, "https://crm.example.com/tenant"),
            Some(&json!("t"))
        );
        assert_eq!(
            find(&claims, "/resource_access/crm.api/roles/0"),
            Some(&json!("b"))
        );
        assert_eq!(find(&claims, "realm_access.nothing"), None);
        assert_eq!(find(&claims, "/realm_access/roles/7"), None);
    }

    #[test]
    fn only_mapped_roles_count_and_not_too_many() {
        let settings = |extra: Value| {
            let mut issuer = json!({"issuer": "https://id.example.com", "audience": "crm"});
            let members = issuer.as_object_mut().unwrap();
            members.extend(extra.as_object().unwrap().clone());
            serde_json::from_value::<IssuerSettings>(issuer).unwrap()
        };
        let mapped = settings(json!({"roles": {"CRM Admins": "owner"}}));
        let claim = json!(["CRM Admins", "owner", "viewer", 7]);
        let found = roles(&mapped, Some(&claim)).unwrap();
        assert_eq!(found, ["owner".parse().unwrap()]);

        let plain = settings(json!({}));
        let many: Vec<String> = (0..=TOKEN_MAX_ROLES).map(|n| format!("role_{n}")).collect();
        assert!(roles(&plain, Some(&json!(many[1..]))).is_ok());
        assert!(roles(&plain, Some(&json!(many))).is_err());
        let spaced = roles(&plain, Some(&json!("owner staff"))).unwrap();
        assert_eq!(spaced.len(), 2);
        assert!(roles(&plain, None).unwrap().is_empty());
    }
}
