//! What can be found out about a server without starting it: folders, ports, certificates, modes, limits. Each check is a
//! finding in words, whether it is good or not; nothing is changed.

mod machine;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::SystemTime,
};

use pinport_pipeline::disk::{self, Disk};
use pinport_server::tls;

pub(crate) use self::machine::doctor;
use crate::{config::Config, data, descriptors};

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Fine,
    /// It works, and somebody should know.
    Note,
    /// It does not work.
    Wrong,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) what: &'static str,
    pub(crate) said: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = match self.level {
            Level::Fine => "ok",
            Level::Note => "note",
            Level::Wrong => "WRONG",
        };
        write!(f, "{level:<6} {:<12} {}", self.what, pinport_model::escape_controls(&self.said))
    }
}

pub(crate) fn fine(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { level: Level::Fine, what, said: said.into() }
}

pub(crate) fn note(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { level: Level::Note, what, said: said.into() }
}

pub(crate) fn wrong(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { level: Level::Wrong, what, said: said.into() }
}

/// Everything that a server with this configuration needs of its machine. What it says itself has been judged already.
pub(crate) fn configuration(config: &Config) -> Vec<Finding> {
    let mut found = vec![data_folder(&config.data), port("listen", config.listen, &config.data)];
    if config.store_url.is_some() {
        found.push(database(config));
    }
    found.extend(config.metrics_listen.map(|address| port("metrics", address, &config.data)));
    if let Some(files) = &config.tls {
        found.push(certificate(&files.certificate));
        found.push(mode("tls key", &files.key, "its owner"));
    }
    found.extend(config.text.path().map(|path| mode("file", path, "its owner")));
    found.extend(config.keys_file.as_deref().map(|path| mode("keys file", path, "its owner")));
    found.push(match config.keys.len() {
        0 => note("keys", "there are none: everybody on this machine may do everything"),
        keys => fine("keys", format!("{keys}")),
    });
    if let Some(root) = &config.sources.local_root {
        found.push(match fs::read_dir(root) {
            Ok(_) => fine("local root", format!("{} can be read", root.display())),
            Err(error) => wrong("local root", format!("{}: {error}", root.display())),
        });
    }
    found.push(open_files(config));
    found.push(disk_room(config));
    found
}

/// Whether the database of the store can be used.
fn database(config: &Config) -> Finding {
    match data::try_database(config.place()) {
        Ok(server) => fine("store", format!("{server} can be used")),
        Err(error) => wrong("store", format!("{error:#}")),
    }
}

/// Whether the data folder, or the one in which it would be made, can be written to.
fn data_folder(folder: &Path) -> Finding {
    let shown = folder.display();
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        return wrong("data", format!("{} is no folder", there.display()));
    }
    if let Err(error) = tempfile::tempfile_in(there) {
        return wrong("data", format!("{} cannot be written to: {error}", there.display()));
    }
    if there != folder {
        return fine("data", format!("{shown} is not there yet and will be made in {}", there.display()));
    }
    let open = ["store", "jobs"].map(|part| folder.join(part)).into_iter().find(|part| is_open(part));
    match open {
        Some(part) => note(
            "data",
            format!("other users may look into {}: a start closes it (chmod 700)", part.display()),
        ),
        None => fine("data", format!("{shown} can be written to")),
    }
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

/// Whether a file is closed to others. What must be closed has been refused before.
fn mode(what: &'static str, path: &Path, whose: &str) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => wrong(what, format!("{shown}: {error}")),
        Ok(_) if is_open(path) => note(what, format!("{shown} is open to others than {whose}")),
        Ok(_) => fine(what, format!("{shown} is for its owner alone")),
    }
}

fn port(what: &'static str, address: SocketAddr, data: &Path) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => fine(what, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match data::server_of(data) {
            Some(server) => {
                note(what, format!("{address} is in use, and so is the data folder: by {server}"))
            }
            None => wrong(what, format!("{address} is in use by another program")),
        },
        Err(error) => wrong(what, format!("{address}: {error}")),
    }
}

/// Days before its end from which a certificate is spoken of.
const SOON: i64 = 21;

fn certificate(path: &Path) -> Finding {
    let shown = path.display();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = now.as_secs().cast_signed();
    match tls::validity(path) {
        Err(error) => wrong("certificate", pinport_model::with_causes(&error)),
        Ok(valid) if now < valid.start => {
            wrong("certificate", format!("{shown} is not valid yet: check the clock"))
        }
        Ok(valid) if now >= valid.end => {
            wrong("certificate", format!("{shown} ended {} days ago", (now - valid.end) / 86_400))
        }
        Ok(valid) => {
            let days = (valid.end - now) / 86_400;
            let said = format!("{shown} ends in {days} days");
            if days < SOON { note("certificate", said) } else { fine("certificate", said) }
        }
    }
}

fn open_files(config: &Config) -> Finding {
    let limit = descriptors::raise();
    let connections = config.http.clone().within(limit).connections;
    if connections < config.http.connections {
        let said = format!(
            "{limit} may be open, so {connections} connections instead of {}: raise LimitNOFILE or ulimit -n to {}",
            config.http.connections,
            4 * config.http.connections
        );
        return note("open files", said);
    }
    fine("open files", format!("{limit} may be open"))
}

fn disk_room(config: &Config) -> Finding {
    match Disk::of(&config.data) {
        Err(error) => note("disk", format!("the system does not tell its room: {error}")),
        Ok(disk) => {
            let reserve = config.disk_reserve.unwrap_or_else(|| disk::reserve(disk.total));
            let mib = |bytes: u64| bytes >> 20;
            let said = format!(
                "{} MiB of {} MiB are free, the reserve is {} MiB",
                mib(disk.free),
                mib(disk.total),
                mib(reserve)
            );
            match disk.free < reserve {
                true => wrong("disk", format!("{said}: no job would run")),
                false => fine("disk", said),
            }
        }
    }
}
