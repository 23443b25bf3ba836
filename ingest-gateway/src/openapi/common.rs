//! What all operations of the document have in common: keys, problems, and headers.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr};

use crate::problem::Kind;

/// Adds what every operation has.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let key = ApiKeyValue::with_description("X-API-Key", "The key as a header of its own.");
    components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The key as a bearer token."));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    let none: [&str; 0] = [];
    document.security = Some(vec![SecurityRequirement::new("apiKey", none), SecurityRequirement::new("bearer", none)]);
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (HttpMethod::Get, item.get.as_mut()),
            (HttpMethod::Put, item.put.as_mut()),
            (HttpMethod::Post, item.post.as_mut()),
            (HttpMethod::Delete, item.delete.as_mut()),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                add_to(operation, path, &method);
            }
        }
    }
}

fn add_to(operation: &mut Operation, path: &str, method: &HttpMethod) {
    let is_write = *method != HttpMethod::Get;
    let is_key = path.starts_with("/api/v1/keys");
    let has_id = path.contains("{id}");
    if is_write && !is_key {
        operation.parameters.get_or_insert_default().push(idempotency_key().into());
        if path != "/api/v1/events" {
            operation.parameters.get_or_insert_default().push(prefer().into());
        }
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            add_headers(response, is_write && !is_key);
        }
    }
    let problems: &[(&[Kind], bool)] = &[
        (&[Kind::InvalidJson, Kind::InvalidBody], operation.request_body.is_some()),
        (&[Kind::InvalidQuery, Kind::InvalidCursor], !is_write),
        (&[Kind::InvalidPath], has_id),
        (&[Kind::InvalidHeader], is_write),
        (&[Kind::Unauthorized], true),
        (&[Kind::Forbidden], true),
        (&[Kind::UnknownScheduler], has_id && !is_key),
        (&[Kind::NotFound], has_id && is_key),
        // `register` is no id: that address takes a POST only.
        (&[Kind::MethodNotAllowed], has_id && path.ends_with("{id}") && !is_key),
        (&[Kind::RequestTimeout, Kind::BodyTooLarge], is_write),
        (&[Kind::UnsupportedMediaType], operation.request_body.is_some()),
        (&[Kind::IdempotencyInProgress, Kind::IdempotencyMismatch], is_write && !is_key),
        (&[Kind::AlertOver], path.ends_with("/acknowledge")),
        (&[Kind::RateLimited], true),
        (&[Kind::QueueUnavailable, Kind::Overloaded, Kind::ShuttingDown], is_write && !is_key),
        (&[Kind::StoreUnavailable], true),
    ];
    let kinds = problems.iter().filter(|(_, applies)| *applies).flat_map(|(kinds, _)| *kinds);
    let mut by_status: std::collections::BTreeMap<u16, Vec<Kind>> = std::collections::BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status().as_u16()).or_default().push(*kind);
    }
    for (status, kinds) in by_status {
        operation.responses.responses.insert(status.to_string(), problem(&kinds).into());
    }
}

fn problem(kinds: &[Kind]) -> Response {
    let words: Vec<String> = kinds.iter().map(|kind| format!("{} (`{}`)", kind.title(), kind.code())).collect();
    let builder = ResponseBuilder::new().description(format!("{}.", words.join(", or "))).content(
        "application/problem+json",
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
    );
    let again = [Kind::RateLimited, Kind::QueueUnavailable, Kind::StoreUnavailable, Kind::IdempotencyInProgress];
    let mut response = builder.build();
    if kinds.iter().any(|kind| again.contains(kind)) {
        response.headers.insert("Retry-After".to_owned(), number_header("When to try again, in seconds."));
    }
    add_headers(&mut response, false);
    response
}

fn add_headers(response: &mut Response, may_wait: bool) {
    response
        .headers
        .insert("X-Request-Id".to_owned(), text_header("The request's id: the client's own, or one made for it."));
    response
        .headers
        .insert("RateLimit-Policy".to_owned(), text_header("The key's limit, such as `\"default\";q=100;w=60`."));
    response.headers.insert("RateLimit".to_owned(), text_header("What is left of it, such as `\"default\";r=99;t=1`."));
    if may_wait {
        let applied = text_header("`wait=N` when `Prefer: wait=N` was granted.");
        response.headers.insert("Preference-Applied".to_owned(), applied);
    }
}

fn text_header(description: &str) -> RefOr<Header> {
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build().into()
}

fn number_header(description: &str) -> RefOr<Header> {
    let number = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
    HeaderBuilder::new().schema(Some(number)).description(Some(description)).build().into()
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(255))
        // Spaces around it are not part of a header's value.
        .pattern(Some("^[ -~]*[!-~][ -~]*$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "The same key with the same request gets the same answer, and reports take effect once. After a 503, and after a bulk answer \
             with items of status 503, the same key carries the request out again: reports that had arrived are not counted twice; \
             registering, deleting, pausing and resuming take effect as of then; acknowledging, muting and unmuting, too, if they had not arrived.",
        ))
        .schema(Some(text))
        .build()
}

fn prefer() -> Parameter {
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).examples(["wait=5"]);
    ParameterBuilder::new()
        .name("Prefer")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "`wait=N`: wait up to so many seconds until it is applied, and answer the result (RFC 7240).",
        ))
        .schema(Some(text))
        .build()
}
