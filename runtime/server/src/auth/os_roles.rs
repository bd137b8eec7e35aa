//! The roles of the host OS, as tokens name them, and what they are in the CRM. Tokens of a host's
//! issuer tell everybody's; nothing is read from the host's tables.

use crm_model::RoleSlug;
use std::collections::BTreeMap;

use super::TOKEN_MAX_ROLES;

/// Roles of the OS that one server knows.
const MAX_OS_ROLES: usize = 50;
/// What the OS's roles are unless somebody says otherwise. A super admin is nothing in a tenant
/// of their own accord: they enter one, and are an owner there then.
const DEFAULTS: [(&str, &[&str]); 4] = [
    ("super_admin", &["super_admin"]),
    ("staff", &["manager"]),
    ("tenant_admin", &["admin"]),
    ("user", &["agent"]),
];

/// From a role of the OS to roles of the model. A name that is none of the OS's is one of the
/// model's already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsRoles(BTreeMap<RoleSlug, Vec<RoleSlug>>);

impl Default for OsRoles {
    fn default() -> Self {
        let slug = |name: &str| name.parse::<RoleSlug>().ok();
        let entry = |(name, roles): (&str, &[&str])| {
            Some((
                slug(name)?,
                roles.iter().filter_map(|role| slug(role)).collect(),
            ))
        };
        Self(DEFAULTS.into_iter().filter_map(entry).collect())
    }
}

impl OsRoles {
    /// Reads a JSON object of names and lists of names. What it does not name stays as it is by
    /// default; an empty list takes a role's rights away.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let given: BTreeMap<RoleSlug, Vec<RoleSlug>> = serde_json::from_str(json)
            .map_err(|error| format!("not an object of roles and lists of roles: {error}"))?;
        let mut roles = Self::default();
        roles.0.extend(given);
        if roles.0.len() > MAX_OS_ROLES {
            return Err(format!("there are at most {MAX_OS_ROLES} roles of the OS"));
        }
        match roles.0.iter().find(|(_, to)| to.len() > TOKEN_MAX_ROLES) {
            Some((name, _)) => Err(format!(
                "“{name}” stands for more than {TOKEN_MAX_ROLES} roles"
            )),
            None => Ok(roles),
        }
    }

    /// Puts the model's roles in the place of the OS's.
    pub(crate) fn apply(&self, roles: &mut Vec<RoleSlug>) {
        if !roles.iter().any(|role| self.0.contains_key(role)) {
            return;
        }
        let mut mapped: Vec<RoleSlug> = Vec::with_capacity(roles.len());
        for role in roles.drain(..) {
            match self.0.get(&role) {
                Some(to) => mapped.extend(to.iter().cloned()),
                None => mapped.push(role),
            }
        }
        mapped.sort();
        mapped.dedup();
        *roles = mapped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(roles: &OsRoles, names: &[&str]) -> Vec<String> {
        let mut slugs = names.iter().map(|name| name.parse().unwrap()).collect();
        roles.apply(&mut slugs);
        slugs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn roles_of_the_os_become_the_models() {
        let roles = OsRoles::default();
        assert_eq!(applied(&roles, &["staff"]), ["manager"]);
        assert_eq!(applied(&roles, &["tenant_admin"]), ["admin"]);
        assert_eq!(applied(&roles, &["user"]), ["agent"]);
        assert_eq!(applied(&roles, &["super_admin"]), ["super_admin"]);
        assert_eq!(applied(&roles, &["owner", "nurse"]), ["owner", "nurse"]);
        assert_eq!(applied(&roles, &["user", "agent"]), ["agent"]);
    }

    #[test]
    fn what_is_given_takes_the_place_of_a_default() {
        let given = r#"{"staff": ["manager", "auditor"], "user": [], "partner": ["viewer"]}"#;
        let roles = OsRoles::parse(given).unwrap();
        assert_eq!(applied(&roles, &["staff"]), ["auditor", "manager"]);
        assert_eq!(applied(&roles, &["user"]), [""; 0]);
        assert_eq!(applied(&roles, &["partner"]), ["viewer"]);
        assert_eq!(applied(&roles, &["tenant_admin"]), ["admin"]);
        for bad in ["", "[]", r#"{"staff": "manager"}"#, r#"{"Not A Role": []}"#] {
            assert!(OsRoles::parse(bad).is_err(), "{bad}");
        }
    }
}
