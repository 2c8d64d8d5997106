//! Endpoints and the endpoints of users.

use std::sync::Arc;

use http::StatusCode;
use pinport_model::{ApplicationId, Draft, TextMember, Timestamp, failure::FailureReason};
use pinport_pipeline::parse::with_endpoint;
use pinport_store::{EndpointUpdate, StoreError};
use serde::{Deserialize, Serialize};

use super::{
    Api, Routes, blocking,
    page::{Page, STEP},
    parts::{BlockingParts, stream_blocking},
    shown, stored,
};
use crate::{
    ApiError,
    access::no_such_application,
    http::{BodyMode, Request, Response, Route},
    limits::{BATCH_BODY, PART_BYTES},
};

/// Endpoints in one batch, as in the service.
const MAX_BATCH: usize = 100;

pub(super) fn add(routes: &mut Routes) {
    const ENDPOINT: &str = "/v1/apps/{application-id}/endpoints/{endpoint-id}";
    const USER: &str = "/v1/apps/{application-id}/users/{user-id}";
    routes.blocking(Route::new("GET", ENDPOINT, "GetEndpoint"), |api, request| {
        let application = api.application(request)?.id;
        let id = request.param("endpoint-id");
        let found = api.store().endpoint(application, id).map_err(stored)?;
        Response::ok(&found.ok_or_else(|| no_such_endpoint(id))?)
    });
    routes.blocking(Route::new("PUT", ENDPOINT, "UpdateEndpoint"), update);
    routes.blocking(Route::new("DELETE", ENDPOINT, "DeleteEndpoint"), |api, request| {
        let application = api.writable(request)?.id;
        let id = request.param("endpoint-id");
        let found = api.store().endpoint(application, id).map_err(stored)?;
        let found = found.ok_or_else(|| no_such_endpoint(id))?;
        api.store().delete_endpoint(application, id).map_err(stored)?;
        Response::json(StatusCode::ACCEPTED, &found)
    });
    routes.blocking(
        Route::new("PUT", "/v1/apps/{application-id}/endpoints", "UpdateEndpointsBatch")
            .body(BodyMode::WholeUpTo(BATCH_BODY)),
        update_batch,
    );
    routes.waiting(Route::new("GET", USER, "GetUserEndpoints"), |api, request| async move {
        let purse = request.purse().clone();
        let parts = blocking(move || {
            let application = api.application(&request)?.id;
            let user = request.param("user-id").to_owned();
            Ok(OfUser { api, application, user, after: None, written: 0, step: FEWEST, ended: false })
        });
        Ok(Response::stream("application/json", stream_blocking(purse, parts.await?).await?))
    });
    routes.blocking(Route::new("DELETE", USER, "DeleteUserEndpoints").reading(), delete_of_user);
}

#[derive(Serialize)]
struct MessageBody {
    #[serde(rename = "RequestID")]
    request_id: String,
    #[serde(rename = "Message")]
    message: &'static str,
}

#[derive(Deserialize)]
struct EndpointBatchRequest {
    #[serde(rename = "Item", default)]
    item: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
}

fn no_such_endpoint(id: &str) -> ApiError {
    ApiError::not_found(format!("There is no endpoint \"{}\".", shown(id)))
}

fn no_such_user(user: &str) -> ApiError {
    ApiError::not_found(format!("There is no user \"{}\" with an endpoint.", shown(user)))
}

/// Endpoints of a user that are read at a time, if they are large.
const FEWEST: usize = 4;

/// The endpoints of a user as an answer of the service, however many.
struct OfUser {
    api: Arc<Api>,
    application: ApplicationId,
    user: String,
    after: Option<String>,
    written: usize,
    /// Endpoints that are read next.
    step: usize,
    ended: bool,
}

impl BlockingParts for OfUser {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if self.ended {
            return Ok(None);
        }
        let (store, first) = (self.api.store(), self.after.is_none());
        let found = store.user_endpoints(self.application, &self.user, self.after.as_deref(), self.step);
        let found = found.map_err(stored)?;
        if first && found.is_empty() {
            return Err(no_such_user(&self.user));
        }
        if store.application(self.application).map_err(stored)?.is_none() {
            return Err(no_such_application(&self.application.to_string()));
        }
        let mut part = Vec::new();
        if first {
            part.extend_from_slice(b"{\"Item\":[");
        }
        for endpoint in &found {
            if self.written > 0 {
                part.push(b',');
            }
            serde_json::to_writer(&mut part, endpoint).map_err(ApiError::internal)?;
            self.written += 1;
        }
        match found.last() {
            Some(last) if found.len() == self.step => {
                self.after = Some(last.id.clone());
                // The next part has as many as would make one of these.
                let fitting = found.len() * PART_BYTES / part.len();
                self.step = fitting.clamp(FEWEST, STEP);
            }
            _ => {
                self.ended = true;
                part.extend_from_slice(b"]}");
            }
        }
        Ok(Some(part))
    }
}

/// Deletes all endpoints of a user, and answers with as many of them as fit into a page.
fn delete_of_user(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?.id;
    let user = request.param("user-id");
    let mut page = Page::new("Item", usize::MAX);
    let mut after: Option<String> = None;
    'pages: loop {
        let found = api.store().user_endpoints(application, user, after.as_deref(), STEP).map_err(stored)?;
        let Some(last) = found.last() else { break };
        after = Some(last.id.clone());
        for endpoint in found {
            if !page.push((), || Ok(endpoint))? {
                break 'pages;
            }
        }
    }
    if after.is_none() {
        return Err(no_such_user(user));
    }
    api.store().delete_user_endpoints(application, user).map_err(stored)?;
    page.whole(StatusCode::ACCEPTED)
}

fn accepted(request: &Request) -> Result<Response, ApiError> {
    let body = MessageBody { request_id: request.id().to_string(), message: "Accepted" };
    Response::json(StatusCode::ACCEPTED, &body)
}

/// The sentence for a record that fails; `which` says which one.
fn refused(which: &str, reason: &FailureReason) -> ApiError {
    ApiError::bad_request(refused_text(which, reason))
}

pub(super) fn refused_text(which: &str, reason: &FailureReason) -> String {
    let member = reason.member.as_deref().filter(|member| !member.is_empty());
    let member = member.map(|member| format!("{member}: ")).unwrap_or_default();
    let text = format!("{which}{member}{}", reason.message);
    let text = pinport_model::escape_controls(&text).into_owned();
    if text.ends_with('.') { text } else { format!("{text}.") }
}

/// An update as it is stored. The endpoint's RequestId is that of its last update, so it is this request's unless the
/// body has one.
pub(super) fn endpoint_update(
    request: &Request,
    id: &str,
    draft: &mut Draft<'_>,
    now: Timestamp,
) -> EndpointUpdate {
    let own = request.id().to_string();
    let mut draft: Draft<'_> = std::mem::take(draft);
    if draft.text(TextMember::RequestId).is_none() {
        draft.set_text(TextMember::RequestId, Some(&own));
    }
    EndpointUpdate::new(id, &mut draft, now)
}

/// Stores updates, all of them or none.
fn put_all(api: &Api, request: &Request, updates: &[EndpointUpdate], which: &str) -> Result<(), ApiError> {
    let application = api.writable_or_new(request)?.id;
    api.store().put_endpoints(application, updates, &api.options.limits).map_err(|error| match error {
        StoreError::TooLarge { id, reason } => {
            let which =
                if which.is_empty() { String::new() } else { format!("{which} \"{}\": ", shown(&id)) };
            refused(&which, &reason)
        }
        other => stored(other),
    })
}

fn update(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let (id, limits) = (request.param("endpoint-id"), &api.options.limits);
    if request.bytes().is_empty() {
        return Err(ApiError::bad_request("The request has no body; a JSON object is expected."));
    }
    // What is wrong with the request is answered before an application is made for it.
    request.principal().writable(request.param("application-id"))?;
    let now = Timestamp::now();
    let update = with_endpoint(request.bytes(), id, limits, |draft| endpoint_update(request, id, draft, now))
        .map_err(|reason| refused("", &reason))?;
    put_all(api, request, &[update], "")?;
    accepted(request)
}

/// Stores all items in one write: one that fails refuses the batch.
fn update_batch(api: &Api, request: &Request) -> Result<Response, ApiError> {
    request.principal().writable(request.param("application-id"))?;
    let EndpointBatchRequest { item } = request.json()?;
    let items = item.ok_or_else(|| ApiError::bad_request("Item is missing."))?;
    if items.len() > MAX_BATCH {
        return Err(ApiError::bad_request(format!(
            "Item has {} endpoints, the limit is {MAX_BATCH}.",
            items.len()
        )));
    }
    let now = Timestamp::now();
    let mut updates = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let which = format!("Item[{index}]: ");
        let id = match item.get("Id") {
            Some(serde_json::Value::String(id)) if !id.is_empty() => id.clone(),
            _ => return Err(ApiError::bad_request(format!("{which}Id is missing or empty."))),
        };
        let body = serde_json::to_vec(&item).map_err(ApiError::internal)?;
        let update =
            with_endpoint(&body, &id, &api.options.limits, |draft| endpoint_update(request, &id, draft, now));
        updates.push(update.map_err(|reason| refused(&which, &reason))?);
    }
    put_all(api, request, &updates, "endpoint")?;
    accepted(request)
}
