//! The profile files of AWS: static keys, region and endpoint of one profile.

use std::{collections::BTreeMap, path::PathBuf};

use crate::source::Settings;

/// What the files say of the profile in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    values: BTreeMap<String, String>,
}

impl Profile {
    /// The profile that the settings name (or `default`); an error if it is named and does not exist.
    pub(super) fn load(settings: &Settings) -> Result<Self, String> {
        if !settings.reads_files() {
            return Ok(Self::default());
        }
        let named = settings.get("AWS_PROFILE").or_else(|| settings.get("AWS_DEFAULT_PROFILE"));
        let name = named.unwrap_or("default");
        let file = |variable: &str, default: &str| {
            let home = settings.get("HOME").map(|home| PathBuf::from(home).join(".aws").join(default));
            settings.get(variable).map(PathBuf::from).or(home)
        };
        let mut profile = Self::default();
        let (mut found, mut texts) = (false, Vec::new());
        for (variable, default) in
            [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")]
        {
            let Some(path) = file(variable, default) else { continue };
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
            };
            found |= profile.add(&text, name);
            texts.push(text);
        }
        if let Some(services) = profile.get("services").map(str::to_owned) {
            let known =
                texts.iter().map(|text| profile.add_services(text, &services)).fold(false, |a, b| a | b);
            if !known {
                return Err(format!("the profile names services {services}, of which there is no section"));
            }
        }
        if named.is_some() && !found {
            return Err(format!("there is no profile {name} in the AWS configuration files"));
        }
        Ok(profile)
    }

    /// Adds the members of a profile's section; whether there was one.
    fn add(&mut self, text: &str, name: &str) -> bool {
        let (mut inside, mut found) = (false, false);
        for line in text.lines() {
            let line = line.split_once(" #").map_or(line, |(line, _)| line);
            if let Some(section) = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let section = section.trim();
                inside = section.strip_prefix("profile ").unwrap_or(section).trim() == name;
                found |= inside;
            } else if inside
                && !line.starts_with([' ', '\t', '#', ';'])
                && let Some((key, value)) = line.split_once('=')
            {
                self.values.insert(key.trim().to_ascii_lowercase(), value.trim().into());
            }
        }
        found
    }

    /// Takes the endpoint of S3, and of all services, from a `[services NAME]` section; whether there was one.
    fn add_services(&mut self, text: &str, name: &str) -> bool {
        let (mut inside, mut found, mut service) = (false, false, String::new());
        for line in text.lines() {
            let line = line.split_once(" #").map_or(line, |(line, _)| line);
            if let Some(section) = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let section = section.trim().strip_prefix("services").map(str::trim);
                inside = section == Some(name);
                found |= inside;
                service.clear();
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if !line.starts_with([' ', '\t']) {
                service = key;
            } else if key == "endpoint_url" && ["s3", "sts"].contains(&&*service) {
                self.values.insert(format!("{service}.endpoint_url"), value.into());
            }
        }
        found
    }

    /// A member of the profile.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where S3 is.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.get("s3.endpoint_url").or_else(|| self.get("endpoint_url"))
    }

    /// The first member that asks for a way of signing in that is not supported.
    pub(super) fn unsupported(&self) -> Option<&str> {
        ["sso_session", "sso_start_url", "role_arn", "login_session"]
            .into_iter()
            .find(|key| self.get(key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_from_both_files() {
        let mut profile = Profile::default();
        assert!(profile.add(
            "[default]\nregion=x\n[profile work]\nregion = eu-west-1 # home\ns3 =\n  region = no\n",
            "work"
        ));
        assert!(profile.add(
            "[work]\naws_access_key_id=AK\nAWS_SECRET_ACCESS_KEY = a=b/c+\n[other]\nregion=y\n",
            "work"
        ));
        assert_eq!(profile.get("region"), Some("eu-west-1"));
        assert_eq!(profile.get("aws_access_key_id"), Some("AK"));
        assert_eq!(profile.get("aws_secret_access_key"), Some("a=b/c+"));
        assert!(!profile.add("[default]\nregion=z", "work"));
    }

    #[test]
    fn a_profile_may_name_services() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let settings = Settings::of_profile("work")
            .with("AWS_CONFIG_FILE", file.to_str().unwrap())
            .with("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none").to_str().unwrap());
        let section = "[services local]\ns3 =\n  endpoint_url = http://127.0.0.1:9000 # here\ndynamodb =\n\
            \x20 endpoint_url = http://127.0.0.1:8000\n";
        let profile = "[profile work]\nservices = local\nendpoint_url = https://all.example\n";
        std::fs::write(&file, format!("{section}{profile}")).unwrap();
        let profile = Profile::load(&settings).unwrap();
        assert_eq!(profile.endpoint(), Some("http://127.0.0.1:9000"));
        std::fs::write(&file, "[profile work]\nservices = other\n").unwrap();
        assert!(Profile::load(&settings).unwrap_err().contains("services other"));
    }

    #[test]
    fn a_named_profile_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::from_environment()
            .with("HOME", folder.path().to_str().unwrap())
            .with("AWS_CONFIG_FILE", folder.path().join("none").to_str().unwrap())
            .with("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none").to_str().unwrap())
            .with("AWS_PROFILE", "nobody");
        assert!(Profile::load(&settings).unwrap_err().contains("nobody"));
    }
}
