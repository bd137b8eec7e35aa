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
