//! What a key may import, for whoever types a source: places that begin with a text. It opens nothing that a job of the
//! key could not read.

use std::path::PathBuf;

use pinport_model::{
    SourceLocation,
    view::{SourcePlace, SourcePlaces},
};
use tokio::sync::Semaphore;

use super::{
    Jobs, Resolver,
    grants::{Grant, Reach},
    sources::SourcesConfig,
};
use crate::{
    limits::{PLACES_ASKED_AT_ONCE, PLACES_SHOWN, PLACES_TIMEOUT},
    source::{SourceError, SourceOptions, places_below},
};

/// Stores that are asked at a time, by all callers together.
static ASKED: Semaphore = Semaphore::const_new(PLACES_ASKED_AT_ONCE);

impl Jobs {
    /// Places that a key may import from and whose URLs begin with this text. `role`: as in an import.
    ///
    /// # Errors
    /// Why there are none, in a sentence for the caller.
    pub async fn places(
        &self,
        text: &str,
        role: Option<&str>,
        principal: Option<&str>,
    ) -> Result<SourcePlaces, String> {
        let resolver = self.inner.resolver();
        let grant = resolver.grant(principal).map_err(|error| error.0)?;
        let mut known = resolver.known_places(text, role, &grant);
        let refused = match resolver.opened(text, role, &grant) {
            None => None,
            Some(Err(refused)) => Some(refused),
            Some(Ok((location, options))) => match ask(location, options).await {
                Ok((places, more)) => {
                    known.extend(places);
                    return Ok(shown(known, more));
                }
                Err(error) => Some(error),
            },
        };
        match refused {
            // What is known fits, though it cannot be listed.
            Some(refused) if known.is_empty() => Err(refused),
            _ => Ok(shown(known, false)),
        }
    }
}

/// Asks a store or a folder, for a while.
async fn ask(location: SourceLocation, options: SourceOptions) -> Result<(Vec<SourcePlace>, bool), String> {
    let Ok(_asked) = ASKED.try_acquire() else {
        return Err("too many sources are being listed: try again in a moment".into());
    };
    match tokio::time::timeout(PLACES_TIMEOUT, places_below(location, options)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(SourceError::NotFound { .. })) => Ok((Vec::new(), false)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the store does not answer within {} s", PLACES_TIMEOUT.as_secs())),
    }
}

/// In order, each once, and not too many.
fn shown(mut places: Vec<SourcePlace>, more: bool) -> SourcePlaces {
    places.sort_by(|one, other| one.url.cmp(&other.url));
    places.dedup_by(|one, other| one.url == other.url);
    let more = more || places.len() > PLACES_SHOWN;
    places.truncate(PLACES_SHOWN);
    SourcePlaces { places, more }
}

impl Resolver {
    /// The bucket and prefix, or the folder, that a text reaches into, if it names one; how it is read, or why not.
    fn opened(
        &self,
        text: &str,
        role: Option<&str>,
        grant: &Grant,
    ) -> Option<Result<(SourceLocation, SourceOptions), String>> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme == "file" {
            // A name that is not whole yet is looked for in its folder.
            let folder = &text[..=text.rfind('/')?];
            let opened =
                self.location(folder).and_then(|location| self.resolve(&location, role, None, grant));
            return Some(
                opened.map(|options| (SourceLocation::Path(rest.into()), options)).map_err(|error| error.0),
            );
        }
        // Until the bucket's name is whole nothing can be asked, and wildcards stand for what is there.
        let (_, key) = rest.split_once('/')?;
        if key.contains(['*', '?']) {
            return None;
        }
        let opened = self.location(text).and_then(|location| {
            let options = self.resolve(&location, role, None, grant)?;
            Ok((location, options))
        });
        Some(opened.map_err(|error| error.0))
    }

    /// What the configuration names and the key may read.
    fn known_places(&self, text: &str, role: Option<&str>, grant: &Grant) -> Vec<SourcePlace> {
        let config = self.config();
        let mut urls = allowed(config, role, grant);
        if let (Some(root), Some(folder)) = (&config.local_root, &grant.local_root) {
            let folder: PathBuf = root.join(folder).components().collect();
            urls.push(format!("file://{}/", folder.display()));
        }
        let fits = |url: &String| {
            url.len() > text.len()
                && url.starts_with(text)
                && self.location(url).is_ok_and(|location| self.resolve(&location, role, None, grant).is_ok())
        };
        urls.into_iter().filter(fits).map(|url| SourcePlace { url, size: None }).collect()
    }
}

/// The entries of all lists that say what may be read, as URLs.
fn allowed(config: &SourcesConfig, role: Option<&str>, grant: &Grant) -> Vec<String> {
    let own = match &grant.sources {
        Reach::All => None,
        Reach::Only(entries) => Some(entries),
    };
    let role = role.and_then(|role| config.roles.get(role)).and_then(|role| role.allow.as_ref());
    let entries = [own, role, config.default.allow.as_ref()].into_iter().flatten().flatten();
    let url = |entry: &String| match entry {
        entry if !entry.contains("://") => format!("s3://{entry}"),
        entry => entry.clone(),
    };
    // A bucket alone is one that can be looked into.
    let whole = |url: String| {
        let has_key = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        if has_key { url } else { format!("{url}/") }
    };
    entries.map(url).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::RoleConfig;

    fn resolver(config: SourcesConfig) -> Resolver {
        let default = RoleConfig { unsigned: true, ..config.default };
        Resolver::new(SourcesConfig { default, ..config }, SourceOptions::default()).unwrap()
    }

    fn found(resolver: &Resolver, text: &str, grant: &Grant) -> Vec<String> {
        resolver.known_places(text, None, grant).into_iter().map(|place| place.url).collect()
    }

    #[test]
    fn what_lists_name_is_known_as_far_as_the_key_may_read_it() {
        let allow = Some(vec!["crm/exports/".into(), "gs://events".into(), "other/x/".into()]);
        let default = RoleConfig { allow, ..RoleConfig::default() };
        let resolver = resolver(SourcesConfig { default, ..SourcesConfig::default() });
        let all = Grant::everything();
        assert_eq!(found(&resolver, "", &all), ["s3://crm/exports/", "gs://events/", "s3://other/x/"]);
        assert_eq!(found(&resolver, "s3://cr", &all), ["s3://crm/exports/"]);
        assert_eq!(found(&resolver, "s3://crm/exports/", &all), [""; 0]);
        let only = Grant { sources: Reach::of(vec!["crm/exports/2026/".into(), "secret".into()]), ..all };
        assert_eq!(found(&resolver, "s3://", &only), ["s3://crm/exports/2026/"], "both lists must have it");
    }

    #[test]
    fn a_text_opens_only_what_a_job_could_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("tenant")).unwrap();
        let config = SourcesConfig { local_root: Some(root.path().into()), ..SourcesConfig::default() };
        let resolver = resolver(config);
        let root = root.path().canonicalize().unwrap();
        let own = Grant { local_root: Some("tenant".into()), ..Grant::everything() };
        let tenant = format!("file://{}/tenant/", root.display());
        assert_eq!(found(&resolver, "file://", &own).concat(), tenant);
        let opens =
            |text: &str, grant: &Grant| resolver.opened(text, None, grant).map(|opened| opened.is_ok());
        assert_eq!(opens(&format!("{tenant}x"), &own), Some(true));
        assert_eq!(opens(&format!("file://{}/", root.display()), &own), Some(false));
        assert_eq!(opens(&format!("{tenant}../"), &own), Some(false));
        assert_eq!(opens("file:///etc/pass", &Grant::everything()), Some(false));
        assert_eq!(opens("s3://bucket", &own), None, "the name may go on");
        assert_eq!(opens("s3://bucket/a*", &own), None);
        assert_eq!(opens("s3://bucket/a", &Grant { sources: Reach::nothing(), ..own }), Some(false));
        assert_eq!(opens("ftp://bucket/a", &Grant::everything()), Some(false));
    }
}
