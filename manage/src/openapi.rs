//! The document that describes the API, made from the routes.
//!
//! Promises: the checked-in `openapi.json` is this document, letter by letter; a test says so.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

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

pub(crate) async fn serve() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
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
