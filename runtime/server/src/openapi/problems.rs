//! The problems that every operation may answer with, added to what its handler says of itself,
//! so that no handler repeats them. Never touches an answer that is no problem.

use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};

use crate::problem::Kind;

/// Below it, everything belongs to a tenant.
const TENANT_PATHS: &str = "/api/crm/";
const PROBLEM: &str = "application/problem+json";
/// Of answers to people, which are pages also where something is wrong.
const PAGE: &str = "text/html";

/// What a request of any operation of a tenant may run into.
const ANYWHERE: [Kind; 6] = [
    Kind::MalformedRequest,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::Invalid,
    Kind::TooMany,
    Kind::Unavailable,
];
const WITH_BODY: [Kind; 2] = [Kind::TooLarge, Kind::UnsupportedMediaType];

/// Completes a document: each operation has all the problems that it can answer with, each as
/// [`PROBLEM`] and with a description.
pub(super) fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let of_tenant = path.starts_with(TENANT_PATHS);
        let names_something = path.contains('{');
        let PathItem {
            get,
            put,
            post,
            delete,
            patch,
            ..
        } = item;
        let reads = get.iter_mut().map(|operation| (operation, false));
        let writes = [put, post, delete, patch];
        let writes = writes.into_iter().flatten().map(|write| (write, true));
        for (operation, writes) in reads.chain(writes) {
            if of_tenant {
                add(operation, &ANYWHERE);
            }
            if names_something {
                add(operation, &[Kind::MalformedRequest, Kind::NotFound]);
            }
            if writes {
                add(operation, &[Kind::Conflict]);
            }
            if operation.request_body.is_some() || has_header(operation, "Idempotency-Key") {
                add(operation, &WITH_BODY);
            }
            describe(operation);
        }
    }
}

fn has_header(operation: &Operation, name: &str) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| match parameter {
        RefOr::T(Parameter {
            name: given,
            parameter_in: ParameterIn::Header,
            ..
        }) => given == name,
        _ => false,
    })
}

fn add(operation: &mut Operation, kinds: &[Kind]) {
    for kind in kinds {
        let (_, status, _, _) = kind.facts();
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.as_str().to_owned())
            .or_insert_with(|| RefOr::T(Response::new("")));
    }
}

/// Problems have a media type of their own, and a status says at least what it always means.
fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let Some(title) = title(status) else { continue };
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            response.description = title.to_owned();
        }
        if response.content.contains_key(PAGE) {
            continue;
        }
        let body = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.clear();
        response.content.insert(PROBLEM.to_owned(), RefOr::T(body));
    }
}

/// What the first problem of this status is called; none for a status that is no problem.
fn title(status: &str) -> Option<&'static str> {
    let status: StatusCode = status.parse().ok()?;
    let mut facts = Kind::ALL.into_iter().map(Kind::facts);
    facts
        .find(|facts| facts.1 == status)
        .map(|(_, _, title, _)| title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::path::{HttpMethod, OperationBuilder};
    use utoipa::openapi::request_body::RequestBody;
    use utoipa::openapi::{InfoBuilder, PathsBuilder};

    fn completed(path: &str, method: HttpMethod, operation: OperationBuilder) -> Operation {
        let paths = PathsBuilder::new().path(path, PathItem::new(method, operation));
        let mut document = OpenApi::new(InfoBuilder::new().build(), paths);
        complete(&mut document);
        let item = document.paths.paths.remove(path).unwrap();
        [item.get, item.post].into_iter().flatten().next().unwrap()
    }

    fn statuses(operation: &Operation) -> Vec<&str> {
        let responses = operation.responses.responses.keys();
        responses.map(String::as_str).collect()
    }

    #[test]
    fn a_body_can_be_too_large_and_of_another_kind() {
        let operation = OperationBuilder::new().request_body(Some(RequestBody::new()));
        let operation = completed("/api/crm/modules", HttpMethod::Post, operation);
        assert_eq!(
            statuses(&operation),
            [
                "400", "401", "403", "409", "413", "415", "422", "429", "503"
            ]
        );
    }

    #[test]
    fn what_a_path_names_may_not_be_there() {
        let operation = completed(
            "/api/crm/tasks/{id}",
            HttpMethod::Get,
            OperationBuilder::new(),
        );
        assert_eq!(
            statuses(&operation),
            ["400", "401", "403", "404", "422", "429", "503"]
        );
        assert!(
            statuses(&completed(
                "/healthz",
                HttpMethod::Get,
                OperationBuilder::new()
            ))
            .is_empty()
        );
    }

    #[test]
    fn problems_have_their_own_media_type_and_keep_what_was_said_of_them() {
        let said = OperationBuilder::new()
            .response("200", Response::new(""))
            .response("409", Response::new("One is chosen already"));
        let operation = completed("/api/crm/tasks", HttpMethod::Post, said);
        let response = |status: &str| match &operation.responses.responses[status] {
            RefOr::T(response) => response.clone(),
            RefOr::Ref(_) => panic!("a reference"),
        };
        assert!(response("200").content.is_empty());
        assert_eq!(response("409").description, "One is chosen already");
        assert!(response("409").content.contains_key(PROBLEM));
        assert!(!response("503").description.is_empty());
    }
}
