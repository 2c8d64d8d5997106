//! What can be imported: the places that begin with a text, for whoever types a source.

use super::{Api, Routes};
use crate::{
    ApiError,
    http::{Response, Route},
    limits::{MAX_ROLE_ARN, MAX_S3_URL},
};

pub(super) fn add(routes: &mut Routes) {
    let route = Route::new("GET", "/pinport/v1/sources", "ListSources");
    routes.waiting(route, |api, request| async move {
        // Whoever makes no imports learns nothing of what could be imported.
        if request.principal().is_read_only() {
            return Err(ApiError::forbidden("This key may only read."));
        }
        let query = request.query();
        let (text, role) = (query.get("prefix")?.unwrap_or(""), query.get("role")?);
        super::imports::bounded("prefix", text, MAX_S3_URL)?;
        super::imports::bounded("role", role.unwrap_or(""), MAX_ROLE_ARN)?;
        let api: &Api = &api;
        let found = api.jobs.places(text, role, request.principal().key_id()).await;
        Response::ok(&found.map_err(|reason| ApiError::bad_request(super::sentence(&reason)))?)
    });
}
