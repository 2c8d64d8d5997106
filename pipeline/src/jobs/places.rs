//! What a key may import, for whoever types a source: places that begin with a text. It opens nothing that a job of the
//! key could not read.

use std::path::PathBuf;

use pinport_model::{
    SourceLocation,
    location::Service,
    view::{SourcePlace, SourcePlaces},
};
use tokio::sync::Semaphore;

use super::{
    Jobs, Resolver,
    grants::{Grant, NotAllowed, Reach},
    sources::SourcesConfig,
};
use crate::{
    limits::{PLACES_ASKED_AT_ONCE, PLACES_SHOWN, PLACES_TIMEOUT},
    source::{Look, SourceError, SourceOptions, places},
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
            Some(Ok((look, options))) => match ask(look, options).await {
                Ok((places, more)) => {
                    known.extend(places);
                    return Ok(shown(known, more));
                }
                Err(error) => Some(error),
            },
        };
        match refused {
            // What is known fits, though it cannot be listed. Who has typed nothing asked for no store.
            Some(refused) if known.is_empty() && !text.is_empty() => Err(refused),
            _ => Ok(shown(known, false)),
        }
    }
}

/// Asks a store or a folder, for a while.
async fn ask(look: Look, options: SourceOptions) -> Result<(Vec<SourcePlace>, bool), String> {
    let Ok(_asked) = ASKED.try_acquire() else {
        return Err("too many sources are being listed: try again in a moment".into());
    };
    let remedy = match look {
        Look::Buckets(service, _) => format!("; type {}://bucket/ to look into one", service.scheme()),
        Look::Below(_) => String::new(),
    };
    match tokio::time::timeout(PLACES_TIMEOUT, places(look, options)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(SourceError::NotFound { .. })) => Ok((Vec::new(), false)),
        Ok(Err(error)) => Err(format!("{error}{remedy}")),
        Err(_) => Err(format!("the store does not answer within {} s{remedy}", PLACES_TIMEOUT.as_secs())),
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
    /// The account, the bucket and prefix, or the folder that a text reaches into, if it names one; how it is read, or why
    /// not.
    fn opened(
        &self,
        text: &str,
        role: Option<&str>,
        grant: &Grant,
    ) -> Option<Result<(Look, SourceOptions), String>> {
        if text.is_empty() {
            // The machine's own credentials are looked for when a store is named, and not before.
            return self.has_credentials(role).then(|| self.account(Service::S3, "", role, grant)).flatten();
        }
        let (scheme, rest) = text.split_once("://")?;
        if scheme == "file" {
            // A name that is not whole yet is looked for in its folder.
            let folder = &text[..=text.rfind('/')?];
            let opened =
                self.location(folder).and_then(|location| self.resolve(&location, role, None, grant));
            return Some(
                opened
                    .map(|options| (Look::Below(SourceLocation::Path(rest.into())), options))
                    .map_err(|error| error.0),
            );
        }
        // Wildcards stand for what is there.
        if rest.contains(['*', '?']) {
            return None;
        }
        if !rest.contains('/') {
            // The bucket's name may go on.
            let mut services = [Service::S3, Service::Gcs, Service::Azure].into_iter();
            let service = services.find(|service| service.scheme() == scheme)?;
            return self.account(service, rest, role, grant);
        }
        let opened = self.location(text).and_then(|location| {
            let options = self.resolve(&location, role, None, grant)?;
            Ok((Look::Below(location), options))
        });
        Some(opened.map_err(|error| error.0))
    }

    /// An account whose buckets are looked for, if the key may read every one of them. What lists name is known without
    /// asking, and others are none of the key's.
    fn account(
        &self,
        service: Service,
        stem: &str,
        role: Option<&str>,
        grant: &Grant,
    ) -> Option<Result<(Look, SourceOptions), String>> {
        let opened = self.account_options(role, grant).transpose()?;
        let opened = opened.and_then(|options| match service {
            Service::Gcs => Err(NotAllowed(
                "Google lists buckets by project, which a source does not name: type gs://bucket/".into(),
            )),
            Service::S3 | Service::Azure => Ok((Look::Buckets(service, stem.into()), options)),
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
        assert_eq!(opens("s3://bucket/a*", &own), None);
        assert_eq!(opens("s3://buck*", &own), None);
        assert_eq!(opens("s3://bucket/a", &Grant { sources: Reach::nothing(), ..own }), Some(false));
        assert_eq!(opens("ftp://bucket/a", &Grant::everything()), Some(false));
    }

    #[test]
    fn accounts_are_asked_for_buckets_where_no_list_bounds_what_is_read() {
        let looks = |config: SourcesConfig, text: &str, role: Option<&str>, grant: &Grant| {
            resolver(config).opened(text, role, grant).map(|opened| opened.map(|(look, _)| look))
        };
        let buckets = |service, stem: &str| Some(Ok(Look::Buckets(service, stem.into())));
        let all = Grant::everything();
        let open = SourcesConfig::default;
        assert_eq!(looks(open(), "s3://buck", None, &all), buckets(Service::S3, "buck"));
        assert_eq!(looks(open(), "az://", None, &all), buckets(Service::Azure, ""));
        assert_eq!(looks(open(), "", None, &all), buckets(Service::S3, ""));
        assert_eq!(looks(open(), "s3", None, &all), None);
        let google = looks(open(), "gs://", None, &all).unwrap().unwrap_err();
        assert!(google.contains("type gs://bucket/"), "{google}");
        let only = Grant { sources: Reach::of(vec!["own".into()]), ..all.clone() };
        let listed = RoleConfig { allow: Some(vec!["own".into()]), ..RoleConfig::default() };
        let roles = [("open".to_owned(), RoleConfig::default()), ("listed".to_owned(), listed.clone())];
        let config = SourcesConfig { roles: roles.into(), strict_roles: true, ..open() };
        for text in ["", "s3://"] {
            assert_eq!(looks(open(), text, None, &only), None, "its own are known");
            assert_eq!(looks(SourcesConfig { default: listed.clone(), ..open() }, text, None, &all), None);
            assert_eq!(looks(config.clone(), text, Some("listed"), &all), None);
            // A role's lists count, not the key's.
            assert_eq!(looks(config.clone(), text, Some("open"), &only), buckets(Service::S3, ""));
            assert!(looks(config.clone(), text, Some("another"), &all).unwrap().is_err());
        }
        // Credentials of the machine are not looked for before a store is named.
        let ambient = SourcesConfig { ambient: true, ..open() };
        let ambient = Resolver::new(ambient, SourceOptions::default()).unwrap();
        assert!(ambient.opened("", None, &all).is_none() && ambient.opened("s3://", None, &all).is_some());
    }
}
