//! What `/openapi.json` says beside what the handlers say of themselves.

mod problems;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "CRM Pro",
        description = "The CRM that every industry can make its own. Every call is a tenant's: \
                       the tenant comes from the token. A super admin acts for another tenant \
                       with the header `X-Tenant-Id`; everybody else gets 403 for it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(crate::problem::ProblemBody)),
    security(("bearer" = []), ("session" = [])),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let session = ApiKeyValue::with_description(
            "crm_session",
            "Of somebody who logged in with a browser, on `/auth/login`; `__Host-crm_session` \
             where the server is reached over HTTPS. What changes something needs the header \
             `X-CSRF-Token` too, and comes from a page of the same origin.",
        );
        let session = SecurityScheme::ApiKey(ApiKey::Cookie(session));
        components.add_security_scheme("session", session);
    }
}

pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document of a router, with what holds for all operations.
pub(crate) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    problems::complete(&mut document);
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Of two schemas of one name the document has one, and says of the other what is not so.
    #[test]
    fn no_two_schemas_have_one_name() {
        let mut files = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut files,
        );
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for file in files {
            let source = fs::read_to_string(file).unwrap();
            for part in source.split("#[schema(as = ").skip(1) {
                let name = part.split(')').next().unwrap_or_default();
                *names.entry(name.to_owned()).or_default() += 1;
            }
        }
        let twice: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
        assert!(names.len() > 20, "{names:?}");
        assert_eq!(twice, []);
    }
}
