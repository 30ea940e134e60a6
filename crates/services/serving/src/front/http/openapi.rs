//! The description of the REST front, made from the registry.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::view::JobView;
use crate::front::answer::ErrorView;
use crate::registry::{Description, Registry};

/// An OpenAPI 3.1 document.
pub(super) fn document(registry: &Registry, tokens: bool) -> Value {
    let mut paths = Map::new();
    for operation in registry.descriptions() {
        let path = format!("/v1/operations/{}", operation.name);
        paths.insert(path, json!({ "post": run(operation) }));
    }
    paths.insert(
        "/v1/operations".to_owned(),
        json!({ "get": {
        "operationId": "list_operations",
        "summary": "Lists the operations with their schemas.",
        "responses": with_errors(&[401], json!({ "200": { "description": "The operations.",
            "content": json_content(json!({ "type": "object", "required": ["operations"] })) } })),
    } }),
    );
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    let job = || json!({ "description": "The job.", "content": json_content(of("Job")) });
    paths.insert(
        "/v1/jobs/{id}".to_owned(),
        json!({
            "parameters": [id],
            "get": {
                "operationId": "get_job",
                "summary": "Tells how far a job is and how it ended.",
                "responses": with_errors(&[401, 404], json!({ "200": job() })),
            },
            "delete": {
                "operationId": "cancel_job",
                "summary": "Cancels a job unless it has ended.",
                "responses": with_errors(&[401, 404], json!({ "200": job() })),
            },
        }),
    );
    paths.insert(
        "/v1/jobs/{id}/events".to_owned(),
        json!({
            "parameters": [id, last_event()],
            "get": {
                "operationId": "job_events",
                "summary": "Streams `progress` events, `part` events of an operation that tells parts, and one `end` event with the job. `Last-Event-ID` names the last part that the caller has.",
                "responses": with_errors(&[400, 401, 404, 429], json!({ "200": {
                    "description": "Server-sent events.",
                    "content": { "text/event-stream": { "schema": { "type": "string" } } },
                } })),
            },
        }),
    );
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Parallax inference server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Typed operations on video. What takes long is a job.",
        },
        "paths": paths,
        "components": { "schemas": { "Job": schema::<JobView>(), "Error": schema::<ErrorView>() } },
    });
    if tokens {
        document["components"]["securitySchemes"] =
            json!({ "bearer": { "type": "http", "scheme": "bearer" } });
        document["security"] = json!([{ "bearer": [] }]);
    }
    document
}

fn last_event() -> Value {
    json!({
        "name": "Last-Event-ID", "in": "header", "required": false,
        "description": "The id of the last `part` event that the caller has.",
        "schema": { "type": "integer", "minimum": 0 },
    })
}

fn run(operation: &Description) -> Value {
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "Names the request: asked again under the same key, it gives the same job.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" },
    });
    let mut answer = json_content(json!(operation.response));
    // Who asks for events gets those of the job at once.
    let mut events = json!({ "type": "string" });
    if let Some(part) = &operation.part {
        events["description"] = json!("`part` events hold what `x-part` says.");
        events["x-part"] = json!(part);
    }
    answer["text/event-stream"] = json!({ "schema": events });
    json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [key, last_event()],
        "requestBody": { "required": true, "content": json_content(json!(operation.request)) },
        "responses": with_errors(&[400, 401, 403, 404, 408, 409, 413, 429, 503], json!({
            "200": {
                "description": "The result, of an operation that answers at once; the events of the job, if `Accept` asks for them.",
                "content": answer,
            },
            "202": {
                "description": "The job, of an operation that takes long.",
                "headers": { "Location": { "schema": { "type": "string" } } },
                "content": json_content(of("Job")),
            },
        })),
    })
}

fn with_errors(statuses: &[u16], mut responses: Value) -> Value {
    for status in statuses {
        let meaning = match status {
            400 => "The request is wrong; `field` says where.",
            401 => "A bearer token is needed.",
            403 => "The request names something that it may not use.",
            404 => "There is no such thing.",
            408 => "The request did not arrive in time.",
            409 => "The key was used for another request.",
            413 => "The request is too large.",
            429 => "Every place, job or stream is taken; `Retry-After` says when to ask again.",
            _ => "The server cannot serve now; `Retry-After` says when to ask again.",
        };
        responses[status.to_string()] =
            json!({ "description": meaning, "content": json_content(of("Error")) });
    }
    responses
}

fn json_content(schema: Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema of what is serialised, without references: components refer to each other by other names.
fn schema<T: JsonSchema>() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    json!(settings.for_serialize().into_generator().into_root_schema_for::<T>())
}
