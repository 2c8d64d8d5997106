//! PutEvents: the endpoints in it are updated as by UpdateEndpoint, each by itself; its events are counted and dropped.

use std::collections::BTreeMap;

use http::StatusCode;
use pinport_model::Timestamp;
use pinport_pipeline::parse::with_endpoint;
use pinport_store::{EndpointUpdate, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Api, Routes,
    endpoints::{endpoint_update, refused_text},
    stored,
};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::MAX_EVENTS,
};

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("POST", "/v1/apps/{application-id}/events", "PutEvents"), put);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventsRequest {
    batch_item: BTreeMap<String, EventsBatch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventsBatch {
    endpoint: Map<String, Value>,
    events: BTreeMap<String, Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventsResponse {
    results: BTreeMap<String, ItemResponse>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ItemResponse {
    endpoint_item_response: Outcome,
    events_item_response: BTreeMap<String, Outcome>,
}

/// What became of an endpoint or an event.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    message: String,
    status_code: u16,
}

impl Outcome {
    fn accepted() -> Self {
        Self { message: "Accepted".into(), status_code: 202 }
    }

    fn refused(message: String) -> Self {
        Self { message, status_code: 400 }
    }
}

fn put(api: &Api, request: &Request) -> Result<Response, ApiError> {
    request.principal().writable(request.param("application-id"))?;
    let EventsRequest { batch_item } = request.json()?;
    let events: usize = batch_item.values().map(|batch| batch.events.len()).sum();
    let found = events.max(batch_item.len());
    if found > MAX_EVENTS {
        return Err(ApiError::bad_request(format!(
            "BatchItem has {found} events, the limit is {MAX_EVENTS}."
        )));
    }
    let now = Timestamp::now();
    let mut updates = Vec::new();
    let mut results = BTreeMap::new();
    for (id, EventsBatch { endpoint, events }) in batch_item {
        let body = serde_json::to_vec(&endpoint).map_err(ApiError::internal)?;
        let limits = &api.options.limits;
        let update = with_endpoint(&body, &id, limits, |draft| endpoint_update(request, &id, draft, now));
        let endpoint_item_response = match update {
            Ok(update) => {
                updates.push(update);
                Outcome::accepted()
            }
            Err(reason) => Outcome::refused(refused_text("", &reason)),
        };
        let events = events.into_iter().map(|(name, event)| (name, judged(&event)));
        results.insert(id, ItemResponse { endpoint_item_response, events_item_response: events.collect() });
    }
    let application = api.writable_or_new(request)?.id;
    let mut refuse = |id: &str, message: String| {
        if let Some(result) = results.get_mut(id) {
            result.endpoint_item_response = Outcome::refused(message);
        }
    };
    put_each(
        &mut updates,
        |updates| api.store().put_endpoints(application, updates, &api.options.limits),
        &mut refuse,
    )?;
    let taken = results.values().flat_map(|result| result.events_item_response.values());
    api.metrics.count_events(taken.filter(|event| event.status_code == 202).count() as u64);
    Response::json(StatusCode::ACCEPTED, &EventsResponse { results })
}

/// What becomes of an event: it is dropped, if it is one.
fn judged(event: &Map<String, Value>) -> Outcome {
    for member in ["EventType", "Timestamp"] {
        let has = event.get(member).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if !has {
            return Outcome::refused(format!("{member} is missing or empty."));
        }
    }
    Outcome::accepted()
}

/// Stores updates in one write; one that is refused is left out, and the others are tried again.
fn put_each(
    updates: &mut Vec<EndpointUpdate>,
    put: impl Fn(&[EndpointUpdate]) -> Result<(), StoreError>,
    refuse: &mut impl FnMut(&str, String),
) -> Result<(), ApiError> {
    while !updates.is_empty() {
        match put(updates) {
            Ok(()) => return Ok(()),
            Err(StoreError::TooLarge { id, reason }) => {
                let before = updates.len();
                updates.retain(|update| update.id() != id);
                refuse(&id, refused_text("", &reason));
                if updates.len() == before {
                    return Err(ApiError::internal(StoreError::TooLarge { id, reason }));
                }
            }
            Err(error) => return Err(stored(error)),
        }
    }
    Ok(())
}
