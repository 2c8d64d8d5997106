//! Webhooks: a POST when a job ends or stands still, signed, and tried again until it is taken. What is to be sent lies in
//! `webhooks/` of the data folder, so that a restart forgets none; it may come twice, with the same id.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::{Mutex, RwLock};
use pinport_model::{Timestamp, hex, view::JobView};
use pinport_pipeline::{
    engine::files::write_file,
    jobs::{JobNotice, Occasion},
};
use pinport_server::access::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{runtime::Handle, sync::Semaphore};

/// The folder of what is to be sent.
const OUTBOX: &str = "webhooks";
/// What may wait there: more is dropped, and the log says so.
const MOST: usize = 10_000;
/// Requests that are under way at a time.
const AT_A_TIME: usize = 8;
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first wait before another try; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// After which time one that no one took is given up.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// Who is called, and how it knows the caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookConfig {
    /// Those that get all jobs.
    pub(crate) url: Option<String>,
    /// What all requests are signed with.
    pub(crate) secret: Option<Secret>,
    /// How the URLs that makers of jobs name may begin.
    pub(crate) allow: Vec<String>,
    /// After how long a job that reads nothing is reported.
    pub(crate) stall: Option<Duration>,
    /// The certificates to trust, in PEM; the system's if absent.
    pub(crate) ca: Option<PathBuf>,
}

impl WebhookConfig {
    /// Why this cannot be used, if so.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let is_used = self.url.is_some() || !self.allow.is_empty();
        match &self.secret {
            None if is_used => {
                return Err(("url", "a secret is needed: receivers know by the signature who sends".into()));
            }
            Some(secret) if secret.expose().len() < 16 => {
                return Err(("secret", "it is too short: at least 16 characters are expected".into()));
            }
            _ => {}
        }
        if let Some(url) = &self.url {
            check_url(url).map_err(|reason| ("url", reason))?;
        }
        for allowed in &self.allow {
            // Without a slash after the host, another host would begin so too.
            let host = allowed.split_once("://").map(|(_, rest)| rest);
            if !host.is_some_and(|host| host.contains('/')) {
                return Err((
                    "allow",
                    format!("\"{allowed}\" must have a slash behind its host, as in https://hooks.example/"),
                ));
            }
            check_url(allowed).map_err(|reason| ("allow", reason))?;
        }
        Ok(())
    }
}

/// Whether a URL may be posted to: by TLS, or on this machine.
fn check_url(text: &str) -> Result<(), String> {
    let shown = pinport_model::escape_controls(text);
    let url: reqwest::Url = text.parse().map_err(|error| format!("\"{shown}\" is no URL ({error})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a password would be in logs: the signature says who sends".into());
    }
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_local => Ok(()),
        _ => Err(format!("\"{shown}\" must begin with https://, but for this machine")),
    }
}

/// What waits to be sent.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    url: String,
    event: String,
    id: String,
    made: Timestamp,
    body: String,
}

/// What is sent.
#[derive(Serialize)]
struct Payload<'a> {
    event: &'a str,
    id: &'a str,
    time: Timestamp,
    job: &'a JobView,
}

/// Sends what is to be sent. Clones share it.
#[derive(Clone)]
pub(crate) struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    outbox: PathBuf,
    config: RwLock<Arc<(WebhookConfig, reqwest::Client)>>,
    io: Handle,
    sending: Semaphore,
    /// The files of those that a task tries to send.
    tried: Mutex<HashSet<PathBuf>>,
}

impl Webhooks {
    /// With what earlier processes left.
    pub(crate) fn start(data: &Path, config: WebhookConfig, io: Handle) -> anyhow::Result<Self> {
        let client = client(&config)?;
        let inner = Arc::new(Inner {
            outbox: data.join(OUTBOX),
            config: RwLock::new(Arc::new((config, client))),
            io,
            sending: Semaphore::new(AT_A_TIME),
            tried: Mutex::default(),
        });
        let webhooks = Self { inner };
        for entry in fs::read_dir(&webhooks.inner.outbox).into_iter().flatten().flatten().take(MOST) {
            let path = entry.path();
            match path.extension().is_some_and(|suffix| suffix == "json") {
                true => webhooks.send(path),
                // It was not whole when its process ended.
                false => _ = fs::remove_file(path),
            }
        }
        Ok(webhooks)
    }

    /// Another configuration, for what is sent from now on.
    pub(crate) fn reload(&self, config: WebhookConfig) -> anyhow::Result<()> {
        let client = client(&config)?;
        *self.inner.config.write() = Arc::new((config, client));
        Ok(())
    }

    /// Notes what is to be sent, durably, and begins to send it.
    pub(crate) fn deliver(&self, notice: JobNotice) {
        let config = Arc::clone(&self.inner.config.read());
        let of_all = config.0.url.clone().filter(|_| !notice.alone);
        let own = notice
            .webhook
            .clone()
            .filter(|url| config.0.allow.iter().any(|allowed| url.starts_with(allowed)));
        for url in of_all.into_iter().chain(own) {
            if let Err(error) = self.note(&notice, url) {
                tracing::error!(target: "pinport::webhook", job = %notice.job.id, error = format!("{error:#}"), "a webhook was not called");
            }
        }
    }

    fn note(&self, notice: &JobNotice, url: String) -> anyhow::Result<()> {
        let outbox = &self.inner.outbox;
        if fs::read_dir(outbox).is_ok_and(|waiting| waiting.count() >= MOST) {
            anyhow::bail!("{MOST} wait to be sent already");
        }
        let event = notice.occasion.as_str();
        // The same happening to the same receiver has the same id, however often it is noted.
        let stalled_at = match notice.occasion {
            Occasion::Ended => 0,
            Occasion::Stalled => notice.job.progress.bytes,
        };
        let sum = Sha256::digest(format!("{}\n{event}\n{stalled_at}\n{url}", notice.job.id));
        let id = hex(&sum[..16]);
        let made = Timestamp::now();
        let payload = Payload { event, id: &id, time: made, job: &notice.job };
        let body = serde_json::to_string(&payload)?;
        let waiting = Waiting { url, event: event.to_owned(), id: id.clone(), made, body };
        let name = format!("{id}.json");
        write_file(outbox, &name, &serde_json::to_vec(&waiting)?)?;
        self.send(outbox.join(name));
        Ok(())
    }

    /// Tries to send a file until it is taken or given up.
    fn send(&self, path: PathBuf) {
        if !self.inner.tried.lock().insert(path.clone()) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        self.inner.io.spawn(async move {
            inner.deliver(&path).await;
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(target: "pinport::webhook", %error, "a webhook that was sent stays, and is sent again");
            }
            inner.tried.lock().remove(&path);
        });
    }
}

impl Inner {
    async fn deliver(&self, path: &Path) {
        let read = fs::read(path).map_err(anyhow::Error::from);
        let waiting: Waiting = match read.and_then(|json| Ok(serde_json::from_slice(&json)?)) {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(target: "pinport::webhook", error = format!("{error:#}"), "a webhook cannot be read");
                return;
            }
        };
        let mut wait = FIRST_WAIT;
        loop {
            let sent = match self.sending.acquire().await {
                Ok(_turn) => self.try_once(&waiting).await,
                Err(_) => return,
            };
            let Err(error) = sent else {
                tracing::info!(target: "pinport::webhook", id = waiting.id, event = waiting.event, "webhook sent");
                return;
            };
            let age = Timestamp::now().as_millis() - waiting.made.as_millis();
            if age > GIVE_UP.as_millis() as i64 {
                tracing::error!(target: "pinport::webhook", id = waiting.id, error, "a webhook is given up");
                return;
            }
            tracing::warn!(target: "pinport::webhook", id = waiting.id, error, again_in = wait.as_secs(), "webhook not taken");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn try_once(&self, waiting: &Waiting) -> Result<(), String> {
        let current = Arc::clone(&self.config.read());
        let (config, client) = &*current;
        let Some(secret) = &config.secret else { return Err("[webhooks] has no secret any more".into()) };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = client
            .post(&waiting.url)
            .header("content-type", "application/json")
            .header("x-pinport-event", &waiting.event)
            .header("x-pinport-delivery", &waiting.id)
            .header("x-pinport-signature", signature(secret, now, &waiting.body))
            .body(waiting.body.clone());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the receiver answered {}", answer.status().as_u16())),
            // Without the URL, which may have a key of the receiver's in it.
            Err(error) => Err(pinport_model::with_causes(&error.without_url())),
        }
    }
}

/// `t=<seconds>,v1=<hex>`: the HMAC-SHA256 of `<seconds>.<body>`.
fn signature(secret: &Secret, seconds: u64, body: &str) -> String {
    let mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    let sum = mac.chain_update(format!("{seconds}.{body}")).finalize().into_bytes();
    format!("t={seconds},v1={}", hex(sum))
}

fn client(config: &WebhookConfig) -> anyhow::Result<reqwest::Client> {
    let is_plain = config.url.iter().chain(&config.allow).all(|url| url.starts_with("http://"));
    let failed = "failed to make a client for webhooks (has the machine root certificates? [webhooks] ca names others)";
    crate::client::tls::to_others(config.ca.as_deref(), is_plain, PATIENCE, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_time_and_the_body() {
        let secret = Secret::new("0123456789abcdef");
        let one = signature(&secret, 1, "{}");
        // echo -n '1.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(one.len(), "t=1,v1=".len() + 64);
        assert!(
            one.starts_with("t=1,v1=")
                && one != signature(&secret, 2, "{}")
                && one != signature(&secret, 1, "[]")
        );
    }

    #[test]
    fn urls_are_of_tls_or_of_this_machine() {
        for good in ["https://a.example/x", "http://127.0.0.1:80/", "http://[::1]/", "http://localhost/"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in ["http://a.example/", "ftp://a", "a", "https://u:p@a.example/"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        let secret = Some(Secret::new("0123456789abcdef"));
        let of = |url: Option<&str>, allow: &[&str], secret| WebhookConfig {
            url: url.map(str::to_owned),
            allow: allow.iter().map(|text| (*text).to_owned()).collect(),
            secret,
            ..WebhookConfig::default()
        };
        assert!(of(None, &[], None).check().is_ok());
        assert!(of(Some("https://a.example/"), &["https://b.example/"], secret.clone()).check().is_ok());
        assert_eq!(of(Some("https://a.example/"), &[], None).check().unwrap_err().0, "url");
        assert_eq!(of(None, &["https://b.example"], secret).check().unwrap_err().0, "allow");
        let short = Some(Secret::new("short"));
        assert_eq!(of(Some("https://a.example/"), &[], short).check().unwrap_err().0, "secret");
    }
}
