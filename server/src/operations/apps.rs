//! Applications.

use std::collections::BTreeMap;

use http::StatusCode;
use pinport_model::{Application, ApplicationId, Timestamp, looks_like_id};
use serde::{Deserialize, Serialize};

use super::{Api, Routes, page::Page, stored, token};
use crate::{
    ApiError,
    access::Applications,
    http::{Request, Response, Route},
};

/// Characters of a name, as in the service.
const MAX_NAME: usize = 64;
/// Jobs that are read at a time when an application is deleted.
const JOBS: usize = 1000;

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("POST", "/v1/apps", "CreateApp"), create);
    routes.blocking(Route::new("GET", "/v1/apps", "GetApps").reading(), list);
    routes.blocking(Route::new("GET", "/v1/apps/{application-id}", "GetApp"), |api, request| {
        Response::ok(&response(api, api.application(request)?))
    });
    routes.blocking(Route::new("DELETE", "/v1/apps/{application-id}", "DeleteApp"), delete);
}

#[derive(Deserialize)]
struct CreateApplicationRequest {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ApplicationResponse {
    arn: String,
    creation_date: String,
    id: String,
    name: String,
    #[serde(rename = "tags")]
    tags: BTreeMap<String, String>,
}

fn response(api: &Api, application: Application) -> ApplicationResponse {
    ApplicationResponse {
        arn: api.application_arn(application.id),
        creation_date: application.created.to_string(),
        id: application.id.to_string(),
        name: application.name,
        tags: application.tags,
    }
}

impl Api {
    pub(super) fn application_arn(&self, id: ApplicationId) -> String {
        format!("arn:aws:mobiletargeting:{}:{}:apps/{id}", self.options.region, self.options.account)
    }
}

/// An error unless an application may have this name.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.chars().count() > MAX_NAME {
        return Err(ApiError::bad_request(format!("Name must have 1 to {MAX_NAME} characters.")));
    }
    // It would catch what is meant for the application with this id.
    if looks_like_id(name) {
        return Err(ApiError::bad_request(
            "Name has the form of an application's id, 32 hexadecimal digits. Choose another name.",
        ));
    }
    Ok(())
}

fn create(api: &Api, request: &Request) -> Result<Response, ApiError> {
    request.principal().check_create()?;
    let CreateApplicationRequest { name, tags } = request.json()?;
    check_name(&name)?;
    let tags = tags.unwrap_or_default();
    super::tags::check(&tags)?;
    let application = Application { id: ApplicationId::generate(), name, created: Timestamp::now(), tags };
    api.store().create_application(&application).map_err(stored)?;
    Response::json(StatusCode::CREATED, &response(api, application))
}

fn list(api: &Api, request: &Request) -> Result<Response, ApiError> {
    const LIST: &str = "apps";
    let mut page = Page::new("Item", request.query().page_size()? as usize);
    let after = match request.query().token()? {
        Some(text) => Some(ApplicationId::from_bytes(token::read(LIST, b"", text)?)),
        None => None,
    };
    let read = |after: Option<ApplicationId>, step: usize| match request.principal().applications() {
        Applications::All => api.store().applications(after, step),
        Applications::Only(only) => {
            let behind = only.iter().filter(|id| after.is_none_or(|after| **id > after));
            behind.filter_map(|id| api.store().application(*id).transpose()).take(step).collect()
        }
    };
    let id = |application: &Application| application.id;
    page.fill(after, id, read, |application| Ok(Some(response(api, application))))?;
    page.of_service(|last| token::write(LIST, b"", last.as_bytes()))
}

fn delete(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?;
    let mut jobs = Vec::new();
    loop {
        let page = api.store().jobs(Some(application.id), jobs.last().copied(), JOBS).map_err(stored)?;
        jobs.extend(page.iter().map(|job| job.id));
        if page.len() < JOBS {
            break;
        }
    }
    api.store().delete_application(application.id).map_err(stored)?;
    api.jobs.forget_application(application.id, &jobs);
    Response::ok(&response(api, application))
}
