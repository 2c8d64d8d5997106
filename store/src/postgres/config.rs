//! Which database a store is in: from its URL, the variables that PostgreSQL's own programs take (`PGHOST`, `PGUSER`, …),
//! and the file of passwords. A password is in no message and no `Debug`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use postgres::config::{Host, SslMode};

use crate::{Result, StoreError};

/// The schema that the tables are in, unless the URL says another with `?schema=`.
const SCHEMA: &str = "pinport";
/// Connections at most, unless the URL says another number with `?connections=`.
const CONNECTIONS: usize = 24;
/// How long a job stays with a process that is not heard of, unless the URL says another number of seconds with `?lease=`.
const LEASE: Duration = Duration::from_secs(30);
/// To find out that a server is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A connection that is cut without a word is noticed after about three times as long.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Data that nobody acknowledges ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How a connection is encrypted, and what is asked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is not encrypted, or nothing is asked: PostgreSQL's `disable`, `prefer` and `require`.
    Any,
    /// It must come from a known authority: `verify-ca`.
    Authority,
    /// And it must be for the host: `verify-full`.
    Host,
}

/// Where a store is, and how to get there.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) config: postgres::Config,
    pub(super) schema: String,
    pub(super) connections: usize,
    /// How long a job stays with a process that is not heard of.
    pub(super) lease: Duration,
    pub(super) trust: Trust,
    pub(super) authorities: Option<PathBuf>,
    /// Where files are that no other process can read.
    pub(super) place: String,
    server: String,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Whether a text names a store on PostgreSQL.
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn wrong(why: impl fmt::Display) -> StoreError {
    StoreError::Unfit(format!("the URL of the store is not valid: {why}"))
}

impl PostgresOptions {
    /// From a URL such as `postgres://user@host:5432/database?sslmode=verify-full`. What it does not say, `variable` may: a
    /// function that knows the variables of the environment.
    pub fn new(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (url, own) = split(url)?;
        let mut config =
            postgres::Config::from_str(&url).map_err(|error| wrong(super::error::words(&error)))?;
        if config.get_hosts().is_empty() {
            match variable("PGHOST") {
                None => _ = config.host("localhost"),
                Some(hosts) => {
                    for host in hosts.split(',') {
                        config.host(host.trim());
                    }
                }
            }
        }
        if config.get_ports().is_empty()
            && let Some(ports) = variable("PGPORT")
        {
            for port in ports.split(',') {
                config.port(port.trim().parse().map_err(|_| wrong(format!("PGPORT is no number: {port}")))?);
            }
        }
        if config.get_user().is_none() {
            let user = variable("PGUSER").or_else(|| variable("USER"));
            config.user(&user.ok_or_else(|| wrong("it names no user, and PGUSER is not set"))?);
        }
        if config.get_dbname().is_none() {
            let user = config.get_user().unwrap_or_default().to_owned();
            config.dbname(&variable("PGDATABASE").unwrap_or(user));
        }
        if config.get_application_name().is_none() {
            config.application_name(variable("PGAPPNAME").as_deref().unwrap_or("pinport"));
        }
        if config.get_connect_timeout().is_none() {
            let seconds = variable("PGCONNECT_TIMEOUT").and_then(|seconds| seconds.parse().ok());
            config.connect_timeout(
                seconds.filter(|seconds| *seconds > 0).map_or(CONNECT_WITHIN, Duration::from_secs),
            );
        }
        config.keepalives_idle(KEEPALIVE).tcp_user_timeout(UNACKNOWLEDGED);
        let mode = own.sslmode.or_else(|| variable("PGSSLMODE"));
        let authorities = own.sslrootcert.or_else(|| variable("PGSSLROOTCERT"));
        let authorities = authorities.filter(|file| file != "system").map(PathBuf::from);
        let (mode, trust) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Trust::Any),
            None | Some("prefer" | "allow") => (SslMode::Prefer, Trust::Any),
            // As PostgreSQL's own programs take it: whoever gives authorities wants them asked.
            Some("require") if authorities.is_some() => (SslMode::Require, Trust::Authority),
            Some("require") => (SslMode::Require, Trust::Any),
            Some("verify-ca") => (SslMode::Require, Trust::Authority),
            Some("verify-full") => (SslMode::Require, Trust::Host),
            Some(other) => {
                return Err(wrong(format!(
                    "sslmode is {other:?}, and not one of disable, prefer, require, verify-ca, verify-full"
                )));
            }
        };
        config.ssl_mode(mode);
        let mut options = Self {
            server: server(&config),
            config,
            schema: own.schema.unwrap_or_else(|| SCHEMA.into()),
            connections: own.connections.unwrap_or(CONNECTIONS),
            lease: own.lease.unwrap_or(LEASE),
            trust,
            authorities,
            place: String::new(),
        };
        if options.config.get_password().is_none() {
            options.find_password(&variable)?;
        }
        Ok(options)
    }

    /// With the name of the place whose files only this process can read, across restarts: jobs that read them stay here.
    pub fn at(self, place: String) -> Self {
        Self { place, ..self }
    }

    /// What the store is in, for messages: without a password.
    pub fn server(&self) -> &str {
        &self.server
    }

    fn find_password(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        if let Some(password) = variable("PGPASSWORD") {
            self.config.password(password);
            return Ok(());
        }
        let file = match variable("PGPASSFILE") {
            Some(file) => PathBuf::from(file),
            None => match variable("HOME") {
                Some(home) => Path::new(&home).join(".pgpass"),
                None => return Ok(()),
            },
        };
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        check_mode(&file)?;
        let port = self.config.get_ports().first().copied().unwrap_or(5432).to_string();
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => "localhost".into(),
        };
        let wanted = [
            &host,
            &port,
            self.config.get_dbname().unwrap_or_default(),
            self.config.get_user().unwrap_or_default(),
        ];
        if let Some(password) = text.lines().find_map(|line| password_of(line, wanted)) {
            self.config.password(password);
        }
        Ok(())
    }
}

/// PostgreSQL's own programs do not look at a file of passwords that others can read.
#[cfg(unix)]
fn check_mode(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(file).map_or(0, |data| data.permissions().mode());
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let file = file.display();
    Err(StoreError::Unfit(format!("others can read the passwords in {file}: chmod 600 {file}")))
}

/// The password in a line `host:port:database:user:password`, if it is for this server. `*` is any, `\` escapes.
fn password_of(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut()?.extend(letters.next()),
            letter => fields.last_mut()?.push(letter),
        }
    }
    let password = if fields.len() == 5 { fields.pop()? } else { return None };
    fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted).then_some(password)
}

/// Options that are ours, or that the client crate does not know.
#[derive(Default)]
struct Own {
    schema: Option<String>,
    connections: Option<usize>,
    lease: Option<Duration>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

/// Takes our options out of a URL.
fn split(url: &str) -> Result<(String, Own)> {
    if !is_postgres(url) {
        return Err(wrong("it does not begin with postgres://"));
    }
    let mut own = Own::default();
    let Some((before, query)) = url.split_once('?') else { return Ok((url.into(), own)) };
    let mut others = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decoded(value)?;
        match name {
            "schema" if value.is_empty() || value.contains('\0') => return Err(wrong("schema is empty")),
            "schema" => own.schema = Some(value),
            "connections" => {
                let number = value.parse().ok().filter(|number| *number >= 4);
                own.connections = Some(number.ok_or_else(|| wrong("connections is no number from 4 on"))?);
            }
            "lease" => {
                let seconds = value.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
                let seconds = seconds.ok_or_else(|| wrong("lease is no number of seconds from 1 to 3600"))?;
                own.lease = Some(Duration::from_secs(seconds));
            }
            "sslmode" => own.sslmode = Some(value),
            "sslrootcert" => own.sslrootcert = Some(value),
            _ => others.push(option),
        }
    }
    let url = if others.is_empty() { before.into() } else { format!("{before}?{}", others.join("&")) };
    Ok((url, own))
}

fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digits = [*high, *low];
                let number =
                    str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(
                    number.ok_or_else(|| wrong("a % in it is not followed by two hexadecimal digits"))?,
                );
                rest = behind;
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is no UTF-8"))
}

/// What a configuration leads to.
fn server(config: &postgres::Config) -> String {
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let port = config.get_ports().get(index).or(config.get_ports().first()).unwrap_or(&5432);
            match host {
                Host::Tcp(host) => format!("{host}:{port}"),
                #[cfg(unix)]
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        })
        .collect();
    let user = config.get_user().unwrap_or_default();
    format!("postgres://{user}@{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, variables: &[(&str, &str)]) -> Result<PostgresOptions> {
        PostgresOptions::new(url, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_url_says_where_the_store_is() {
        let found =
            options("postgres://me:secret@db.example:6000/shop?sslmode=verify-full&schema=a%20b", &[])
                .unwrap();
        assert_eq!(found.server(), "postgres://me@db.example:6000/shop");
        assert_eq!((found.schema.as_str(), found.trust), ("a b", Trust::Host));
        assert_eq!(found.config.get_password(), Some(&b"secret"[..]));
        assert_eq!(found.config.get_ssl_mode(), SslMode::Require);
        let said = format!("{found:?}");
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn variables_say_what_the_url_does_not() {
        let variables = [
            ("PGHOST", "/run/pg"),
            ("PGPORT", "7000"),
            ("PGUSER", "u"),
            ("PGDATABASE", "d"),
            ("PGPASSWORD", "p"),
        ];
        let found = options("postgres://", &variables).unwrap();
        assert_eq!(found.server(), "postgres://u@/run/pg:7000/d");
        assert_eq!(found.config.get_password(), Some(&b"p"[..]));
        let found = options("postgres://h/x", &[("USER", "someone"), ("PGSSLMODE", "require")]).unwrap();
        assert_eq!((found.server(), found.trust), ("postgres://someone@h:5432/x", Trust::Any));
        assert!(options("postgres://h/x", &[]).is_err(), "there is no user");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, why) in [
            ("mysql://h", "does not begin"),
            ("postgres://u:secret@h/x?sslmode=maybe", "sslmode"),
            ("postgres://u:secret@h/x?connections=2", "connections"),
            ("postgres://u:secret@h/x?lease=0", "lease"),
            ("postgres://u:secret@h/x?unheard_of=2", "unheard_of"),
            ("postgres://u:secret@h:port/x", "port"),
            ("postgres://u:secret@h/x?schema=%zz", "hexadecimal"),
        ] {
            let error = options(url, &[]).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_file_of_passwords_is_read_as_libpq_reads_it() {
        let line = |line| password_of(line, ["h", "5432", "d", "u"]);
        assert_eq!(line("h:5432:d:u:a\\:b\\\\c:d").as_deref(), Some("a:b\\c:d"));
        assert_eq!(line("*:*:*:u:p").as_deref(), Some("p"));
        for other in ["#h:5432:d:u:p", "h:5433:d:u:p", "h:5432:d:u", ""] {
            assert_eq!(line(other), None, "{other}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        fs::write(&file, "# ours\nother:*:*:*:no\nh:*:x:u:yes\n").unwrap();
        let variables = [("PGPASSFILE", file.to_str().unwrap())];
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = options("postgres://u@h/x", &variables).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let found = options("postgres://u@h/x", &variables).unwrap();
        assert_eq!(found.config.get_password(), Some(&b"yes"[..]));
        let found = options("postgres://u@h/y", &variables).unwrap();
        assert_eq!(found.config.get_password(), None);
    }
}
