//! The buckets of an account: for whoever types a source.

use http::{HeaderMap, Method, StatusCode};
use pinport_model::location::Service;

use super::{
    Bucket,
    retry::{Asked, Backoff, Failure},
    xml,
};
use crate::source::{SourceError, SourceOptions};

/// The names of the buckets (of Azure: the containers) that the credentials may list, and whether there are more. Google
/// lists them by project, which a source does not name.
pub(in crate::source) async fn buckets(
    service: Service,
    options: &SourceOptions,
) -> Result<(Vec<String>, bool), SourceError> {
    let account = Bucket::open(service, "", options)?;
    let url = format!("{}://", service.scheme());
    let asked = Asked { url: url.clone(), bucket: url, object: false, byte: 0 };
    let mut backoff = Backoff::new(options);
    loop {
        match try_buckets(&account, &asked).await {
            Ok(found) => return Ok(found),
            Err(failure) => tokio::time::sleep(backoff.next(failure)?).await,
        }
    }
}

async fn try_buckets(account: &Bucket, asked: &Asked) -> Result<(Vec<String>, bool), Failure> {
    let query: &[_] = if account.service == Service::Azure { &[("comp", "list")] } else { &[] };
    let connector = &account.connector;
    let mut response = connector.ask(asked, Method::GET, None, query, HeaderMap::new()).await?;
    let body = connector.document(asked, &mut response).await?;
    if response.status() != StatusCode::OK {
        return Err(Failure::of_answer(asked, response.status(), response.headers(), &body));
    }
    xml::buckets(&body).map_err(|reason| Failure::passing(asked, reason))
}
