//! Whom a command asks: a data folder, or the server that has it open.

use pinport_store::StoreError;

use crate::{
    cli::{RemoteArgs, ServerArgs},
    data::{self, Data, Place},
};

/// Whom a command asks.
pub(super) enum Asked {
    Server(ServerArgs),
    Data(Data),
}

impl Asked {
    /// The server that is named, else the data folder, else the server that has the folder open.
    pub(super) fn of(remote: &RemoteArgs, place: Place<'_>) -> anyhow::Result<Self> {
        if let Some(server) = remote.server() {
            return Ok(Self::Server(server));
        }
        match Data::open_existing(place) {
            Ok(data) => Ok(Self::Data(data)),
            Err(error) => match error.downcast_ref() {
                Some(StoreError::InUse { holder, .. }) => {
                    let url = data::served_at(place.folder, holder);
                    url.map(|url| Self::Server(remote.at(url))).ok_or(error)
                }
                _ => Err(error),
            },
        }
    }
}
