//! Snapshots of the data folder, for backups: the operator copies one, and gives it back. Where it lies is told
//! to keys that see every application and may change them.

use pinport_pipeline::backup::{self, SNAPSHOTS, SnapshotError};
use serde::Serialize;

use super::{Api, Routes, shown, stored};
use crate::{
    ApiError,
    http::{Request, Response, Route},
};

/// Snapshots that are there at a time: each keeps what is compacted and deleted meanwhile.
const MOST: usize = 2;

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("POST", "/pinport/v1/snapshots", "CreateSnapshot"), create);
    routes.blocking(Route::new("DELETE", "/pinport/v1/snapshots/{snapshot-id}", "DeleteSnapshot"), delete);
}

#[derive(Serialize)]
struct Snapshot {
    id: String,
    folder: String,
}

fn check(request: &Request) -> Result<(), ApiError> {
    request.principal().check_all("Snapshots are")?;
    request.principal().check_create()
}

fn create(api: &Api, request: &Request) -> Result<Response, ApiError> {
    check(request)?;
    let data = api.jobs.data_folder();
    let folder = data.join(SNAPSHOTS);
    // One at a time looks how many there are.
    let _one = api.snapshots.lock();
    backup::sweep(&data, false);
    if std::fs::read_dir(&folder).is_ok_and(|entries| entries.count() >= MOST) {
        return Err(ApiError::conflict(format!(
            "There are {MOST} snapshots already. Delete one, or wait until the backup that made it has ended."
        )));
    }
    let id = uuid::Uuid::now_v7().simple().to_string();
    let into = folder.join(&id);
    if let Err(error) = backup::snapshot(&**api.store(), &data, &into) {
        let _ = std::fs::remove_dir_all(&into);
        return Err(match error {
            SnapshotError::Store(error) => stored(error),
            error => ApiError::internal(error),
        });
    }
    Response::json(http::StatusCode::CREATED, &Snapshot { id, folder: into.display().to_string() })
}

fn delete(api: &Api, request: &Request) -> Result<Response, ApiError> {
    check(request)?;
    let id = request.param("snapshot-id");
    // It becomes a part of a path.
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let folder = api.jobs.data_folder().join(SNAPSHOTS).join(id);
    if !is_id || !folder.is_dir() {
        return Err(ApiError::not_found(format!("There is no snapshot \"{}\".", shown(id))));
    }
    std::fs::remove_dir_all(&folder).map_err(ApiError::internal)?;
    Ok(Response::empty(http::StatusCode::NO_CONTENT))
}
