//! The document that describes the API, made from the routes.
//!
//! Promises: the checked-in `openapi.json` is this document, letter by letter; a test says so. What every route of a kind
//! refuses stands with each of them, and is said once, here.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::assets;
use crate::routes::Api;

/// The document, in JSON.
pub fn document() -> String {
    let mut text = Api::openapi().to_pretty_json().expect("a document of texts and numbers is JSON");
    text.push('\n');
    text
}

/// Adds the way by which a caller shows who it is.
pub(crate) struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = api.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Adds what is refused whatever a route is for: by who asks, by how, and by a host that cannot answer.
pub(crate) struct Refusals;

impl Modify for Refusals {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for path in api.paths.paths.values_mut() {
            let verbs = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch];
            for operation in verbs.into_iter().flatten() {
                add_refusals(operation);
            }
        }
    }
}

fn add_refusals(operation: &mut Operation) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        // One that may be `null` must be there all the same.
        body.required = Some(Required::True);
    }
    let has_body = operation.request_body.is_some();
    let has_parameters = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
    let is_guarded = operation.security.is_some();
    for (is_here, status, description) in [
        (
            true,
            "403",
            "The request was made for a page of another origin, or under a name that is not this host's.",
        ),
        (is_guarded, "401", "The token is missing or wrong."),
        (
            is_guarded,
            "429",
            "Too many wrong tokens came from this address, or the host has too much to answer.",
        ),
        (is_guarded, "503", "The host refuses, says why, and what to do; or it does not answer."),
        (has_body || has_parameters, "400", "The path, the query or the body is malformed."),
        (has_body, "413", "The body is too long."),
        (has_body, "415", "The body is no JSON."),
        (has_body, "422", "The body has another form than the one asked for, or a value that cannot be."),
    ] {
        if is_here {
            let known = &mut operation.responses.responses;
            known.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(description)));
        }
    }
}

fn problem(description: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

/// The document as it is served, and its name by its content: made once, for whoever has no token may ask for it.
static SERVED: LazyLock<(String, String)> = LazyLock::new(|| {
    let text = document();
    let tag = assets::tag(text.as_bytes());
    (text, tag)
});

pub(crate) async fn serve(headers: HeaderMap) -> Response {
    let (text, tag) = &*SERVED;
    assets::answer("application/json", text.as_bytes(), tag, &headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_the_tree_is_what_the_code_says() {
        let kept = include_str!("../openapi.json");
        assert!(
            kept == document(),
            "run `cargo run -p punktfunk-manage --example openapi > manage/openapi.json`"
        );
    }
}
