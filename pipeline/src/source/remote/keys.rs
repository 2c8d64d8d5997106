//! The static keys that the settings or a profile name, and the region.

use std::fmt;

use super::profile::Profile;
use crate::source::Settings;

/// An access key.
#[derive(Clone)]
pub struct AwsKeys {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// The token of keys that are lent for a time.
    pub token: Option<String>,
}

impl AwsKeys {
    /// The keys and the region that the settings and their profile name; the error is a reason.
    pub fn find(settings: &Settings) -> Result<(Option<Self>, String), String> {
        let profile = Profile::load(settings)?;
        Ok((Self::of(settings, &profile)?, region(settings, &profile)))
    }

    pub(super) fn of(settings: &Settings, profile: &Profile) -> Result<Option<Self>, String> {
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            let keys = Self { id: id.into(), secret: secret.into(), token: token.map(str::to_owned) };
            keys.check().map(|()| Some(keys))
        };
        match (settings.get("AWS_ACCESS_KEY_ID"), settings.get("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => keys(id, secret, settings.get("AWS_SESSION_TOKEN")),
            (Some(_), None) => Err("AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not".into()),
            (None, Some(_)) => Err("AWS_SECRET_ACCESS_KEY is set but AWS_ACCESS_KEY_ID is not".into()),
            (None, None) => {
                let found = profile.get("aws_access_key_id").zip(profile.get("aws_secret_access_key"));
                found.map_or(Ok(None), |(id, secret)| keys(id, secret, profile.get("aws_session_token")))
            }
        }
    }

    /// Names the one that holds what no key holds: it cannot be sent. The error is a reason and shows no key.
    fn check(&self) -> Result<(), String> {
        sendable("the access key id (AWS_ACCESS_KEY_ID)", &self.id)?;
        sendable("the secret access key (AWS_SECRET_ACCESS_KEY)", &self.secret)?;
        self.token.as_deref().map_or(Ok(()), |token| sendable("the session token (AWS_SESSION_TOKEN)", token))
    }
}

/// That a credential has only characters that fit into a header; the error is a reason.
pub(super) fn sendable(name: &str, value: &str) -> Result<(), String> {
    let Some((at, char)) = value.chars().enumerate().find(|(_, char)| !char.is_ascii_graphic()) else {
        return Ok(());
    };
    let (at, code) = (at + 1, u32::from(char));
    Err(format!("{name} has the character U+{code:04X} at place {at}, which no key has: set it anew"))
}

/// The secret and the token are not shown.
impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The region that the settings or the profile name.
pub(super) fn region(settings: &Settings, profile: &Profile) -> String {
    let set = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| settings.get(name));
    set.or_else(|| profile.get("region")).unwrap_or("us-east-1").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(
            &file,
            "[default]\naws_access_key_id=FILE\naws_secret_access_key=hidden\nregion=eu-west-1\n",
        )
        .unwrap();
        // Not of this environment, which may have keys.
        let settings = Settings::of_profile("default")
            .with("AWS_CONFIG_FILE", folder.path().join("none").to_str().unwrap())
            .with("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
        let (keys, region) = AwsKeys::find(&settings).unwrap();
        assert_eq!((keys.as_ref().unwrap().id.as_str(), region.as_str()), ("FILE", "eu-west-1"));
        assert!(!format!("{keys:?}").contains("hidden"));

        let settings = settings.with("AWS_ACCESS_KEY_ID", "SET").with("AWS_REGION", "eu-north-1");
        assert!(AwsKeys::find(&settings).unwrap_err().contains("AWS_SECRET_ACCESS_KEY is not"));
        let settings = settings.with("AWS_SECRET_ACCESS_KEY", "s").with("AWS_SESSION_TOKEN", "t");
        let (keys, region) = AwsKeys::find(&settings).unwrap();
        let keys = keys.unwrap();
        assert_eq!(
            (keys.id.as_str(), keys.token.as_deref(), region.as_str()),
            ("SET", Some("t"), "eu-north-1")
        );

        let broken = settings.with("AWS_SECRET_ACCESS_KEY", "can\nary");
        let reason = AwsKeys::find(&broken).unwrap_err();
        assert!(reason.contains("AWS_SECRET_ACCESS_KEY) has the character U+000A at place 4"), "{reason}");
        assert!(!reason.contains("can\n") && !reason.contains("ary"), "{reason}");

        let (keys, region) = AwsKeys::find(&Settings::empty()).unwrap();
        assert!(keys.is_none());
        assert_eq!(region, "us-east-1");
    }
}
