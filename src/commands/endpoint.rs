//! `pinport endpoint`: reads endpoints.

use std::io;

use pinport_model::Endpoint;
use reqwest::Method;

use super::{asked::Asked, write_line};
use crate::{
    cli::{AppArgs, EndpointCommand},
    client::{Client, encoded, not_there},
    follow::block_on,
};

pub(super) fn run(command: EndpointCommand) -> anyhow::Result<()> {
    let EndpointCommand::Get { id, app: AppArgs { app, data, remote } } = command;
    let data = match Asked::of(&remote, data.place())? {
        Asked::Data(data) => data,
        Asked::Server(server) => {
            let client = Client::new(&server)?;
            let endpoint: Endpoint = block_on(async {
                let application = client.application(&app).await?.id;
                let path = format!("/v1/apps/{application}/endpoints/{}", encoded(&id));
                client.call(Method::GET, &path, None).await.map_err(not_there)
            })?;
            return write_line(&mut io::stdout().lock(), &endpoint);
        }
    };
    let application = data.application(&app)?;
    match data.store.endpoint(application.id, &id)? {
        Some(endpoint) => write_line(&mut io::stdout().lock(), &endpoint),
        None => anyhow::bail!("application \"{app}\" has no endpoint \"{id}\""),
    }
}
