//! `pinport endpoint`: reads endpoints.

use std::io;

use super::write_line;
use crate::{
    cli::{AppArgs, EndpointCommand},
    data::Data,
    explain::Usage,
};

pub(super) fn run(command: EndpointCommand) -> anyhow::Result<()> {
    let EndpointCommand::Get { id, app: AppArgs { app, data } } = command;
    let data = Data::open_existing(&data.data)?;
    let application = data.application(&app)?;
    match data.store.endpoint(application.id, &id)? {
        Some(endpoint) => write_line(&mut io::stdout().lock(), &endpoint),
        None => Err(Usage(format!("application \"{app}\" has no endpoint \"{id}\"")).into()),
    }
}
