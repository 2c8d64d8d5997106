//! Credentials that a program prints: `credential_process` of a profile, by the rules of AWS's tools.
//!
//! The program is run when keys are needed, without a shell, and its keys are kept until shortly before they expire.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use object_store::{CredentialProvider, aws::AwsCredential};
use parking_lot::Mutex;
use pinport_model::Timestamp;
use serde::Deserialize;

use crate::limits::{PROCESS_OUTPUT, PROCESS_TIMEOUT};

/// How long before they expire keys are fetched again.
const EARLY: Duration = Duration::from_secs(300);

/// A program that prints keys.
#[derive(Debug)]
pub(super) struct Program {
    words: Vec<String>,
    patience: Duration,
    /// Keys without an end are kept as long as this.
    kept: tokio::sync::Mutex<Option<(Option<Instant>, Arc<AwsCredential>)>>,
}

/// What it prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl Program {
    /// The program of this command line; the error is a reason.
    pub(super) fn new(line: &str) -> Result<Self, String> {
        let words = shlex::split(line).filter(|words| !words.is_empty());
        let words =
            words.ok_or("credential_process of the profile is no command line: is a quote missing?")?;
        Ok(Self { words, patience: PROCESS_TIMEOUT, kept: tokio::sync::Mutex::default() })
    }

    async fn ask(&self) -> Result<(Option<Instant>, Arc<AwsCredential>), String> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        // What it says to a person goes where ours goes.
        let mut child = command.stderr(Stdio::inherit()).spawn().map_err(|error| error.to_string())?;
        let mut output = child.stdout.take().ok_or("it has no output")?;
        let child = Arc::new(Mutex::new(child));
        let running = Arc::clone(&child);
        let reading = tokio::task::spawn_blocking(move || {
            let mut printed = Vec::new();
            output
                .by_ref()
                .take(PROCESS_OUTPUT + 1)
                .read_to_end(&mut printed)
                .map_err(|error| error.to_string())?;
            drop(output);
            let status = Child::wait(&mut running.lock()).map_err(|error| error.to_string())?;
            // One that is cut off ends with the signal of a broken pipe.
            if status.success() || printed.len() as u64 > PROCESS_OUTPUT {
                Ok(printed)
            } else {
                Err(format!("it ended with {status}"))
            }
        });
        let Ok(read) = tokio::time::timeout(self.patience, reading).await else {
            if let Some(mut child) = child.try_lock() {
                // Whatever comes of it, no one waits for it any more.
                let _ = child.kill();
            }
            return Err(format!("it did not end within {:?}", self.patience));
        };
        let printed = read.map_err(|error| error.to_string())??;
        if printed.len() as u64 > PROCESS_OUTPUT {
            return Err(format!("it printed more than {PROCESS_OUTPUT} bytes"));
        }
        read_printed(&printed)
    }
}

/// The keys that were printed, and until when they are used. The error is a reason without any of it.
fn read_printed(printed: &[u8]) -> Result<(Option<Instant>, Arc<AwsCredential>), String> {
    let printed: Printed = serde_json::from_slice(printed).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it did not print the JSON of credentials (line {line}, column {column})")
    })?;
    if printed.version != 1 {
        return Err(format!("it printed Version {}, 1 is expected", printed.version));
    }
    let until = match &printed.expiration {
        None => None,
        Some(end) => {
            let end: Timestamp = end.parse().map_err(|_| "its Expiration is no time")?;
            let left = u64::try_from(end.as_millis() - Timestamp::now().as_millis()).unwrap_or(0);
            if left == 0 {
                return Err("it printed keys that have expired".into());
            }
            Some(Instant::now() + Duration::from_millis(left).saturating_sub(EARLY))
        }
    };
    let credential = AwsCredential {
        key_id: printed.access_key_id,
        secret_key: printed.secret_access_key,
        token: printed.session_token.filter(|token| !token.is_empty()),
    };
    Ok((until, Arc::new(credential)))
}

#[async_trait::async_trait]
impl CredentialProvider for Program {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some((until, credential)) = &*kept
            && until.is_none_or(|until| until > Instant::now())
        {
            return Ok(Arc::clone(credential));
        }
        let asked = self.ask().await.map_err(|reason| object_store::Error::Generic {
            store: "the profile",
            source: format!("credential_process {} gives no keys: {reason}", self.words[0]).into(),
        })?;
        Ok(Arc::clone(&kept.insert(asked).1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Arc<AwsCredential>, String> {
        let program = Program { patience: Duration::from_millis(300), ..Program::new(line)? };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = runtime.block_on(program.get_credential());
        // A program that is still running is not waited for.
        runtime.shutdown_background();
        asked.map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_read_from_what_a_program_prints() {
        let end = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
        let json = format!(
            r#"{{"Version":1,"AccessKeyId":"AK","SecretAccessKey":"s/+","SessionToken":"t","Expiration":"{end}"}}"#
        );
        let keys = ask(&format!("printf %s '{json}'")).unwrap();
        assert_eq!((&*keys.key_id, &*keys.secret_key, keys.token.as_deref()), ("AK", "s/+", Some("t")));
        let (until, _) = read_printed(json.as_bytes()).unwrap();
        let left = until.unwrap() - Instant::now();
        assert!(left > Duration::from_secs(3200) && left <= Duration::from_secs(3300), "{left:?}");
        let (until, _) = read_printed(br#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}"#).unwrap();
        assert_eq!(until, None);
    }

    #[test]
    fn what_is_wrong_with_a_program_is_said_without_its_secrets() {
        for (line, words) in [
            ("false", "it ended with exit status: 1"),
            ("printf canary", "did not print the JSON"),
            (r#"printf '{"Version":2,"AccessKeyId":"A","SecretAccessKey":"canary"}'"#, "Version 2"),
            (
                r#"printf '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"canary","Expiration":"2020-01-01T00:00:00Z"}'"#,
                "have expired",
            ),
            ("/nowhere/at/all x", "/nowhere/at/all gives no keys"),
            ("sleep 100", "did not end within"),
            ("head -c 100000 /dev/zero", "printed more than"),
            ("echo 'x", "is a quote missing"),
        ] {
            let error = ask(line).unwrap_err();
            assert!(error.contains(words) && !error.contains("canary"), "{line}: {error}");
        }
    }
}
