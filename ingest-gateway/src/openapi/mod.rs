//! The OpenAPI document and its viewer, and the AsyncAPI document of direct publishing; reachable without a key. Everything is inside the binary.

mod common;
mod paths;
mod problem_page;
mod types;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderName, header};
use ronda_schemas::describe::asyncapi;
use utoipa::OpenApi as _;
use utoipa_swagger_ui::Config;

use crate::AppState;
use crate::problem::Problem;

const DOCUMENT_PATH: &str = "/api/openapi.json";
const ASYNCAPI_PATH: &str = "/api/asyncapi.json";
/// Pages run their own scripts only; the viewer writes styles into elements.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document_json().into());
static ASYNCAPI: LazyLock<Bytes> = LazyLock::new(|| asyncapi::document_json().into());
static VIEWER: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from(DOCUMENT_PATH).persist_authorization(true).try_it_out_enabled(true)));

/// The documentation routes, with their full paths.
pub fn router() -> Router<AppState> {
    Router::new()
        .route(DOCUMENT_PATH, get(|| async { json(DOCUMENT.clone()) }))
        .route(ASYNCAPI_PATH, get(|| async { json(ASYNCAPI.clone()) }))
        // Where somebody begins who has the address only.
        .route("/", get(|| async { Redirect::temporary("/api/docs/") }))
        .route("/api", get(|| async { Redirect::temporary("/api/docs/") }))
        // The viewer's files are found relative to its address.
        .route("/api/docs", get(|| async { Redirect::permanent("/api/docs/") }))
        .route("/api/docs/", get(|| async { file("index.html") }))
        .route("/api/docs/problems", get(|| async { html(problem_page::HTML.clone()) }))
        .route("/api/docs/{*file}", get(|Path(path): Path<String>| async move { file(&path) }))
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = paths::Paths::openapi();
    common::complete(&mut document);
    document
}

/// The document as JSON, indented: what docs/api/openapi.json holds.
#[must_use]
pub fn document_json() -> String {
    // The document has only texts, numbers and maps by text: it can always be written.
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn json(document: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

fn html(page: Bytes) -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, page).into_response()
}

fn file(path: &str) -> Response {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(path, Arc::clone(&VIEWER)) else {
        return Problem::not_found().into_response();
    };
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, &file.content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = (headers, file.bytes.into_owned()).into_response();
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run with `RONDA_BLESS=1` to write the file anew.
    #[test]
    fn the_committed_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api/openapi.json");
        let document = document_json();
        if std::env::var_os("RONDA_BLESS").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == document,
            "docs/api/openapi.json is not what the code says; run this test with RONDA_BLESS=1"
        );
    }

    #[test]
    fn the_document_is_openapi_3_1_with_keys_and_problems() {
        let document: serde_json::Value = serde_json::from_str(&document_json()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert!(document["components"]["schemas"]["Problem"].is_object());
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for status in ["401", "403", "429", "503"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path} has no {status}");
                }
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = document_json();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let references = text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next());
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_viewer_is_inside_the_binary_and_asks_nobody_else() {
        for name in ["index.html", "swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
            assert!(file(name).status().is_success(), "{name}");
        }
        assert_eq!(file("nothing.js").status(), http::StatusCode::NOT_FOUND);
        assert_eq!(file("../Cargo.toml").status(), http::StatusCode::NOT_FOUND);
    }
}
