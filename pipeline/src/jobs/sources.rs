//! What a job of a server may read, and with whose credentials: by configuration alone, never by the request.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path, PathBuf},
};

use pinport_model::{ImportJob, SourceLocation};
use serde::Deserialize;

use super::grants::{Grant, Grants, NotAllowed, Reach, is_allowed};
use crate::source::{Settings, SourceOptions};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who asks an object store, and for what: what `[sources]` and each role may say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleConfig {
    /// The address of the S3 service; the default source's, else Amazon's.
    pub endpoint: Option<String>,
    /// Its region; the default source's, else us-east-1.
    pub region: Option<String>,
    /// Static keys.
    pub access_key_id: Option<String>,
    /// Static keys.
    pub secret_access_key: Option<Hidden>,
    /// Static keys.
    pub session_token: Option<Hidden>,
    /// A profile of AWS's files.
    pub profile: Option<String>,
    /// The environment's and the machine's own credentials.
    pub environment: bool,
    /// No credentials: public buckets.
    pub unsigned: bool,
    /// Ask AWS STS for this role, with these credentials or else the default source's.
    pub assume_role: bool,
    /// The address of STS; Amazon's if absent.
    pub sts_endpoint: Option<String>,
    /// What may be read: buckets, or buckets with a prefix of keys, as in `bucket/exports/`. Everything if absent.
    pub allow: Option<Vec<String>>,
    /// Allow http:// to other machines.
    pub allow_http: Option<bool>,
    /// More settings of object stores, by the names of their environment variables.
    pub settings: BTreeMap<String, Hidden>,
}

/// `[sources]` of the configuration, and `[roles]` with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourcesConfig {
    /// The default source.
    pub default: RoleConfig,
    /// Roles by `RoleArn`.
    pub roles: BTreeMap<String, RoleConfig>,
    /// Whether a `RoleArn` that is not among the roles is refused.
    pub strict_roles: bool,
    /// The folder that `file://` may read; none if absent.
    pub local_root: Option<PathBuf>,
    /// Whether the environment's credentials serve when none are configured.
    pub ambient: bool,
    /// What each key may read; without keys everybody may read everything.
    pub grants: Grants,
}

/// Resolves sources by the configuration.
#[derive(Debug, Clone)]
pub struct Resolver {
    config: SourcesConfig,
    options: SourceOptions,
}

impl Resolver {
    /// Checks the configuration. `options` has the bounds on reading; its settings are not used.
    pub fn new(mut config: SourcesConfig, options: SourceOptions) -> Result<Self, NotAllowed> {
        for (name, role) in std::iter::once(("sources", &config.default))
            .chain(config.roles.iter().map(|(arn, role)| (&**arn, role)))
        {
            let ways =
                [role.access_key_id.is_some(), role.profile.is_some(), role.environment, role.unsigned];
            if ways.iter().filter(|way| **way).count() > 1 {
                return Err(NotAllowed(format!(
                    "{name}: one of access_key_id, profile, environment and unsigned is expected, not several"
                )));
            }
            if role.access_key_id.is_some() != role.secret_access_key.is_some() {
                return Err(NotAllowed(format!(
                    "{name}: access_key_id and secret_access_key belong together"
                )));
            }
        }
        if let Some(root) = &mut config.local_root {
            *root = root
                .canonicalize()
                .map_err(|error| NotAllowed(format!("local_root {}: {error}", root.display())))?;
            if !root.is_dir() {
                return Err(NotAllowed(format!("local_root {} is no folder", root.display())));
            }
        }
        Ok(Self { config, options })
    }

    /// Opens nothing: for jobs whose sources are given.
    pub(super) fn closed() -> Self {
        Self { config: SourcesConfig::default(), options: SourceOptions::default() }
    }

    /// The location that an `S3Url` names.
    pub fn location(&self, url: &str) -> Result<SourceLocation, NotAllowed> {
        if !url.contains("://") {
            return Err(NotAllowed(format!(
                "S3Url {} is no URL: s3://bucket/prefix is expected",
                pinport_model::failure::quoted(url)
            )));
        }
        url.parse().map_err(|error| NotAllowed(format!("S3Url: {error}")))
    }

    /// The location that an `S3UrlPrefix` names.
    pub fn target(&self, url: &str) -> Result<SourceLocation, NotAllowed> {
        if !url.contains("://") {
            return Err(NotAllowed(format!(
                "S3UrlPrefix {} is no URL: s3://bucket/prefix/ is expected",
                pinport_model::failure::quoted(url)
            )));
        }
        url.parse().map_err(|error| NotAllowed(format!("S3UrlPrefix: {error}")))
    }

    /// What a key may read that makes an import now.
    pub(super) fn grant(&self, principal: Option<&str>) -> Result<Grant, NotAllowed> {
        self.config.grants.for_key(principal)
    }

    pub(super) fn config(&self) -> &SourcesConfig {
        &self.config
    }

    /// How many jobs of a key may run at a time, if that is bounded.
    pub(super) fn most_running(&self, key: &str) -> Option<usize> {
        self.config.grants.of_key(key)?.max_running
    }

    /// Bytes of uploads that a key may hold, if its configuration says.
    pub(super) fn uploads(&self, key: &str) -> Option<u64> {
        self.config.grants.of_key(key)?.uploads
    }

    /// How the source of a job is read on behalf of the key that made the job.
    pub fn resolve_job(&self, job: &ImportJob) -> Result<SourceOptions, NotAllowed> {
        let definition = &job.definition;
        let grant = self.config.grants.for_job(job.principal.as_deref(), &definition.application)?;
        let (role, external) = (definition.role_arn.as_deref(), definition.external_id.as_deref());
        match (&definition.export, &definition.source) {
            (None, source) => self.resolve(source, role, external, &grant),
            (Some(_), SourceLocation::Path(path)) => self.folder_within_root(path, &grant),
            (Some(export), SourceLocation::Bucket { service, bucket, key }) => {
                // What is written must lie where the key may read: so below the prefix, not beside it.
                let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
                let (service, bucket, key) =
                    (*service, bucket.clone(), format!("{key}{slash}{}/", export.folder));
                self.resolve(&SourceLocation::Bucket { service, bucket, key }, role, external, &grant)
            }
            (Some(_), SourceLocation::Stdin) => {
                Err(NotAllowed("a server does not write to its standard output".into()))
            }
        }
    }

    /// How a location is read on behalf of a role, by a key with this grant.
    pub fn resolve(
        &self,
        location: &SourceLocation,
        role_arn: Option<&str>,
        external_id: Option<&str>,
        grant: &Grant,
    ) -> Result<SourceOptions, NotAllowed> {
        match location {
            SourceLocation::Stdin => Err(NotAllowed("a server does not read standard input".into())),
            SourceLocation::Path(path) => self.within_root(path, grant),
            SourceLocation::Bucket { service, bucket, key } => {
                let role = self.role(role_arn, grant)?;
                if role.is_none() && !grant.has_source(service.scheme(), bucket, key) {
                    return Err(NotAllowed(format!(
                        "{location} is not among the sources of this key: list it in the key's sources in pinport.toml"
                    )));
                }
                let allow =
                    role.and_then(|(_, role)| role.allow.as_ref()).or(self.config.default.allow.as_ref());
                if !allow.is_none_or(|allow| {
                    allow.iter().any(|entry| is_allowed(entry, service.scheme(), bucket, key))
                }) {
                    return Err(NotAllowed(format!(
                        "{location} is not among the buckets and prefixes that are open to imports"
                    )));
                }
                let settings = self.settings(role, external_id)?;
                Ok(SourceOptions { settings, ..self.options.clone() })
            }
        }
    }

    /// How an account is asked for its buckets; not at all where lists name what this role or key may read.
    pub(super) fn account_options(
        &self,
        role_arn: Option<&str>,
        grant: &Grant,
    ) -> Result<Option<SourceOptions>, NotAllowed> {
        let role = self.role(role_arn, grant)?;
        let allow = role.and_then(|(_, role)| role.allow.as_ref()).or(self.config.default.allow.as_ref());
        if allow.is_some() || role.is_none() && grant.sources != Reach::All {
            return Ok(None);
        }
        let settings = self.settings(role, None)?;
        Ok(Some(SourceOptions { settings, ..self.options.clone() }))
    }

    /// Whether the configuration says which credentials serve: else it is the machine that has some, or not.
    pub(super) fn has_credentials(&self, role_arn: Option<&str>) -> bool {
        let role = role_arn.and_then(|arn| self.config.roles.get(arn));
        let mut roles = role.into_iter().chain([&self.config.default]);
        roles.any(|role| credentials(role).is_some() || names_credentials(role))
    }

    /// How the files of an upload are read: they lie in a folder of the server's own.
    pub fn own_folder(&self, folder: &Path, shown_as: &str) -> SourceOptions {
        let within = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        SourceOptions {
            settings: Settings::empty(),
            within: Some(within),
            shown_as: Some(shown_as.to_owned()),
            ..self.options.clone()
        }
    }

    /// The configured role that a `RoleArn` names; none if the default source serves.
    fn role<'a>(
        &'a self,
        role_arn: Option<&'a str>,
        grant: &Grant,
    ) -> Result<Option<(&'a str, &'a RoleConfig)>, NotAllowed> {
        let role = role_arn.and_then(|arn| self.config.roles.get(arn).map(|role| (arn, role)));
        let arn = pinport_model::failure::quoted(role_arn.unwrap_or(""));
        match role {
            Some((arn, _)) if grant.has_role(arn) => Ok(role),
            None if !self.config.strict_roles => Ok(None),
            None if grant.has_every_role() => Err(NotAllowed(format!(
                "RoleArn {arn} is not configured here: add it to [roles] of pinport.toml, or set strict_roles = false in [sources]"
            ))),
            // The same sentence whether it is another's or no one's.
            _ => Err(NotAllowed(format!(
                "RoleArn {arn} is not open to this key: list it in the key's roles in pinport.toml, and describe it in [roles]"
            ))),
        }
    }

    /// The same for a folder that is written to: it need not be there yet.
    fn folder_within_root(&self, path: &Path, grant: &Grant) -> Result<SourceOptions, NotAllowed> {
        let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        let existing = path.ancestors().find(|above| above.is_dir());
        match existing {
            Some(existing) if path.components().all(is_plain) && !path.is_file() => {
                self.within_root(existing, grant)
            }
            _ => Err(NotAllowed(format!(
                "file://{} is not below the folder that is open to imports and exports",
                path.display()
            ))),
        }
    }

    fn within_root(&self, path: &Path, grant: &Grant) -> Result<SourceOptions, NotAllowed> {
        let Some(root) = &self.config.local_root else {
            return Err(NotAllowed(
                "file:// is not open to imports: set local_root in [sources] of pinport.toml, or upload the file".into(),
            ));
        };
        let Some(folder) = &grant.local_root else {
            return Err(NotAllowed(
                "file:// is not open to this key: set the key's local_root in pinport.toml, or upload the file".into(),
            ));
        };
        // A folder that is a link out of the root is none of it: then nothing is found below.
        let folder = root.join(folder);
        let root = &folder.canonicalize().ok().filter(|found| found.starts_with(root)).unwrap_or(folder);
        // The same sentence for what is outside and for what is not there: no one learns what else the machine has.
        let missing = || {
            NotAllowed(format!("file://{} is not below the folder that is open to imports", path.display()))
        };
        let found = path.canonicalize().map_err(|_| missing())?;
        let metadata = std::fs::metadata(&found).map_err(|_| missing())?;
        if !found.starts_with(root) || !(metadata.is_dir() || metadata.is_file()) {
            return Err(missing());
        }
        let within = Some(root.clone());
        Ok(SourceOptions { settings: Settings::empty(), within, ..self.options.clone() })
    }

    fn settings(
        &self,
        role: Option<(&str, &RoleConfig)>,
        external_id: Option<&str>,
    ) -> Result<Settings, NotAllowed> {
        let default = &self.config.default;
        let own = role.map_or(default, |(_, role)| role);
        let mut settings = match credentials(own) {
            Some(settings) => settings,
            None => match credentials(default) {
                Some(settings) => settings,
                None if self.config.ambient => Settings::from_environment(),
                None if names_credentials(own) || names_credentials(default) => Settings::empty(),
                None => {
                    return Err(NotAllowed(
                        "no credentials are configured for object stores: set them in [sources] of pinport.toml".into(),
                    ));
                }
            },
        };
        let mut set = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                settings = std::mem::take(&mut settings).with(name, value);
            }
        };
        let endpoint = own.endpoint.as_deref().or(default.endpoint.as_deref());
        set("AWS_ENDPOINT_URL_S3", endpoint);
        set("AWS_REGION", own.region.as_deref().or(default.region.as_deref()));
        let http = own.allow_http.or(default.allow_http);
        set("AWS_ALLOW_HTTP", http.map(|allow| if allow { "true" } else { "false" }));
        // A role with credentials of its own gets none of the default source's.
        let alone = credentials(own).is_some() || names_credentials(own);
        let inherited = default.settings.iter().filter(|(name, _)| !alone || !is_credential(name));
        for (name, Hidden(value)) in inherited.chain(&own.settings) {
            set(name, Some(value));
        }
        if let Some((arn, RoleConfig { assume_role: true, sts_endpoint, .. })) = role {
            set("PINPORT_ASSUME_ROLE_ARN", Some(arn));
            set("PINPORT_ASSUME_ROLE_EXTERNAL_ID", external_id);
            set("AWS_ENDPOINT_URL_STS", sts_endpoint.as_deref().or(default.sts_endpoint.as_deref()));
        }
        Ok(settings)
    }
}

/// The settings of the credentials that a role names, if it names any.
fn credentials(role: &RoleConfig) -> Option<Settings> {
    if let (Some(id), Some(Hidden(secret))) = (&role.access_key_id, &role.secret_access_key) {
        let settings = Settings::empty().with("AWS_ACCESS_KEY_ID", id).with("AWS_SECRET_ACCESS_KEY", secret);
        return Some(match &role.session_token {
            Some(Hidden(token)) => settings.with("AWS_SESSION_TOKEN", token),
            None => settings,
        });
    }
    if let Some(profile) = &role.profile {
        return Some(Settings::of_profile(profile));
    }
    if role.environment {
        return Some(Settings::from_environment());
    }
    role.unsigned.then(|| {
        let skip = ["AWS_SKIP_SIGNATURE", "GOOGLE_SKIP_SIGNATURE", "AZURE_SKIP_SIGNATURE"];
        skip.iter().fold(Settings::empty(), |settings, name| settings.with(name, "true"))
    })
}

/// Whether the settings of a source or a role name credentials of a store.
fn names_credentials(role: &RoleConfig) -> bool {
    role.settings.keys().any(|name| is_credential(name))
}

/// Whether a setting of object stores is a credential, or says where to get one.
fn is_credential(name: &str) -> bool {
    const WORDS: [&str; 13] = [
        "KEY",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "PASSWORD",
        "SAS",
        "SERVICE_ACCOUNT",
        "CLIENT_ID",
        "TENANT",
        "AUTHORITY_ID",
        "AWS_ROLE",
        "IDENTITY",
        "MSI",
    ];
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(config: SourcesConfig) -> Resolver {
        Resolver::new(config, SourceOptions::default()).unwrap()
    }

    fn keys(id: &str) -> RoleConfig {
        RoleConfig {
            access_key_id: Some(id.into()),
            secret_access_key: Some(Hidden::new("secret")),
            ..RoleConfig::default()
        }
    }

    #[test]
    fn each_role_has_its_own_keys_and_the_default_endpoint() {
        let default = RoleConfig { endpoint: Some("http://127.0.0.1:9".into()), ..keys("DEFAULT") };
        let roles = [("arn:a".to_owned(), RoleConfig { allow: Some(vec!["b/x/".into()]), ..keys("A") })];
        let config = SourcesConfig { default, roles: roles.into(), ..SourcesConfig::default() };
        let resolver = resolver(config.clone());
        let all = Grant::everything();
        let location = |text: &str| resolver.location(text).unwrap();
        let options = resolver.resolve(&location("s3://b/x/1"), Some("arn:a"), None, &all).unwrap();
        assert_eq!(options.settings.get("AWS_ACCESS_KEY_ID"), Some("A"));
        assert_eq!(options.settings.get("AWS_ENDPOINT_URL_S3"), Some("http://127.0.0.1:9"));
        let options = resolver.resolve(&location("s3://b/y"), Some("another"), None, &all).unwrap();
        assert_eq!(options.settings.get("AWS_ACCESS_KEY_ID"), Some("DEFAULT"));
        for url in ["s3://b/y", "s3://b/x", "s3://c/x/", "gs://c/x/"] {
            assert!(resolver.resolve(&location(url), Some("arn:a"), None, &all).is_err(), "{url}");
        }
        let strict = Resolver::new(SourcesConfig { strict_roles: true, ..config }, SourceOptions::default());
        let error = strict.unwrap().resolve(&location("s3://b/y"), Some("another"), None, &all).unwrap_err();
        assert!(error.0.contains("\"another\" is not configured"), "{error}");
    }

    #[test]
    fn a_server_without_configuration_has_no_credentials_of_its_own() {
        let location = "s3://b/k".parse().unwrap();
        assert!(
            resolver(SourcesConfig::default()).resolve(&location, None, None, &Grant::everything()).is_err()
        );
        let ambient = SourcesConfig { ambient: true, ..SourcesConfig::default() };
        assert!(resolver(ambient).resolve(&location, None, None, &Grant::everything()).is_ok());
    }

    /// What the default source has for other stores is not for a role with credentials of its own.
    #[test]
    fn a_role_with_credentials_gets_none_of_the_default_sources() {
        let settings =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Hidden::new("x"))).collect();
        let default = RoleConfig {
            settings: settings(&[
                "AZURE_STORAGE_ACCOUNT_NAME",
                "AZURE_STORAGE_ACCOUNT_KEY",
                "GOOGLE_SERVICE_ACCOUNT",
            ]),
            ..RoleConfig::default()
        };
        let own = RoleConfig { settings: settings(&["AZURE_STORAGE_SAS_TOKEN"]), ..RoleConfig::default() };
        let roles = [("keys", keys("A")), ("sas", own), ("none", RoleConfig::default())];
        let roles = roles.map(|(arn, role)| (arn.to_owned(), role)).into();
        let resolver = resolver(SourcesConfig { default, roles, ..SourcesConfig::default() });
        let location = resolver.location("az://container/x").unwrap();
        for (arn, expected) in [("keys", [false, false]), ("sas", [false, true]), ("none", [true, false])] {
            let options = resolver.resolve(&location, Some(arn), None, &Grant::everything()).unwrap();
            let has = |name: &str| options.settings.get(name).is_some();
            assert_eq!([has("AZURE_STORAGE_ACCOUNT_KEY"), has("AZURE_STORAGE_SAS_TOKEN")], expected, "{arn}");
            assert!(has("AZURE_STORAGE_ACCOUNT_NAME"), "{arn}");
        }
    }

    #[test]
    fn files_are_read_below_the_root_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::write(root.join("in/a.json"), "{}").unwrap();
        std::fs::write(folder.path().join("secret.json"), "{}").unwrap();
        std::os::unix::fs::symlink(folder.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret.json"), root.join("in/link.json")).unwrap();
        let config = SourcesConfig { local_root: Some(root.clone()), ..SourcesConfig::default() };
        let resolver = resolver(config);
        let resolve = |path: PathBuf| {
            let location = resolver.location(&format!("file://{}", path.display())).unwrap();
            resolver.resolve(&location, None, None, &Grant::everything())
        };
        assert!(resolve(root.join("in")).is_ok());
        assert!(resolve(root.join("in/a.json")).is_ok());
        for path in
            ["out", "out/secret.json", "in/link.json", "../secret.json", "in/../../secret.json", "none"]
        {
            assert!(resolve(root.join(path)).is_err(), "{path}");
        }
        assert!(resolver.location("secret.json").is_err());
        assert!(resolver.location("-").is_err());
    }

    #[test]
    fn links_out_of_the_root_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("a.json"), "{}").unwrap();
        std::fs::write(folder.path().join("secret.json"), "{}").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret.json"), root.join("b.json")).unwrap();
        let location = SourceLocation::Path(root.clone());
        let resolver = resolver(SourcesConfig { local_root: Some(root), ..SourcesConfig::default() });
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = resolver.resolve(&location, None, None, &Grant::everything()).unwrap();
        let source = crate::source::Source::open(&location, options, io.handle().clone()).unwrap();
        let mut listed = Vec::new();
        source
            .list(pinport_model::Format::Json, &mut |object| {
                listed.push((object.key, object.skipped.is_some()));
                Ok(())
            })
            .unwrap();
        assert_eq!(listed, [("a.json".to_owned(), false), ("b.json".to_owned(), true)]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = SourcesConfig { default: keys("ID"), ..SourcesConfig::default() };
        assert!(!format!("{config:?}").contains("secret\""));
        assert!(format!("{config:?}").contains("***"));
    }
}
