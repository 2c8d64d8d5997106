//! The settings of an application, kept and given back, and lists of what pinport does not have, which are empty:
//! channels, campaigns, journeys, templates, recommender configurations. An event stream is one thing, and not found.

use pinport_model::{Settings, Timestamp, criteria::object};
use serde::{Deserialize, Serialize};

use super::{Api, Routes, imports::bounded, page::Page, stored, token};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::MAX_SETTING,
};

pub(super) fn add(routes: &mut Routes) {
    const SETTINGS: &str = "/v1/apps/{application-id}/settings";
    routes.blocking(Route::new("GET", SETTINGS, "GetApplicationSettings"), |api, request| {
        let application = api.application(request)?;
        let settings = api.store().settings(application.id).map_err(stored)?;
        let last_modified_date = Some(application.created);
        let settings = settings.unwrap_or_else(|| Settings { last_modified_date, ..Settings::default() });
        Response::ok(&Resource { application_id: application.id.to_string(), settings })
    });
    routes.blocking(Route::new("PUT", SETTINGS, "UpdateApplicationSettings"), update);
    routes.blocking(
        Route::new("GET", "/v1/apps/{application-id}/channels", "GetChannels"),
        |api, request| {
            api.application(request)?;
            Response::ok(&serde_json::json!({ "Channels": {} }))
        },
    );
    for (path, operation, list) in [
        ("/v1/apps/{application-id}/campaigns", "GetCampaigns", "campaigns"),
        ("/v1/apps/{application-id}/journeys", "ListJourneys", "journeys"),
    ] {
        routes.blocking(Route::new("GET", path, operation), move |api, request| {
            let application = api.application(request)?.id;
            empty(list, application.as_bytes(), request)
        });
    }
    routes.blocking(Route::new("GET", "/v1/templates", "ListTemplates"), |_, request| {
        if let Some(text) = request.query().get("next-token")?.filter(|text| !text.is_empty()) {
            token::read::<0>("templates", b"", text)?;
        }
        empty("templates", b"", request)
    });
    routes.blocking(Route::new("GET", "/v1/recommenders", "GetRecommenderConfigurations"), |_, request| {
        empty("recommender configurations", b"", request)
    });
    routes.blocking(
        Route::new("GET", "/v1/apps/{application-id}/eventstream", "GetEventStream"),
        |api, request| {
            let id = api.application(request)?.id;
            Err(ApiError::not_found(format!(
                "Application \"{id}\" has no event stream: pinport drops events (docs/compat.md)."
            )))
        },
    );
}

/// A list of which nothing is here.
fn empty(list: &str, owner: &[u8], request: &Request) -> Result<Response, ApiError> {
    request.query().page_size()?;
    if let Some(text) = request.query().token()? {
        // There is no second page, so no token of it was given out.
        token::read::<0>(list, owner, text)?;
    }
    Page::new("Item", 0).of_service(|()| String::new())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    application_id: String,
    #[serde(flatten)]
    settings: Settings,
}

fn update(api: &Api, request: &Request) -> Result<Response, ApiError> {
    let application = api.writable(request)?.id;
    /// `WriteApplicationSettingsRequest`; members that it does not have are ignored, and so is a date.
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Body(#[serde(deserialize_with = "object::required")] Settings);
    let Body(given) = request.json()?;
    for (member, text) in given.texts() {
        bounded(member, text, MAX_SETTING)?;
    }
    let _turn = api.tagging.lock();
    let mut settings = api.store().settings(application).map_err(stored)?.unwrap_or_default();
    settings.update(given, Timestamp::now());
    api.store().save_settings(application, &settings).map_err(stored)?;
    Response::ok(&Resource { application_id: application.to_string(), settings })
}
