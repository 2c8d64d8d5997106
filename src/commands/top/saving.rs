//! Failures and rejects of a job that are saved to new files.

use std::{
    io,
    path::{Path, PathBuf},
};

use pinport_model::JobId;
use reqwest::{Method, Response};
use tokio::{
    fs::File,
    io::{AsyncWriteExt as _, BufWriter},
};

use crate::client::Client;

/// Writes the failures of a job to a new file; says so.
pub(super) async fn save_failures(client: &Client, job: JobId, path: &Path) -> Result<String, String> {
    let from = format!("/pinport/v1/jobs/{job}/failures");
    let response = client.send(Method::GET, &from, None).await.map_err(|error| error.to_string())?;
    let bytes = save(client, response, path).await?;
    Ok(format!("{bytes} bytes of failures are in {}", path.display()))
}

/// CSV objects with another header have their rejects in another part, which becomes another file.
pub(super) async fn save_rejects(client: &Client, job: JobId, path: &Path) -> Result<String, String> {
    let (mut part, mut bytes) = (1, 0);
    loop {
        let from = format!("/pinport/v1/jobs/{job}/rejects?part={part}");
        let response = client.send(Method::GET, &from, None).await.map_err(|error| error.to_string())?;
        let parts = response.headers().get("x-pinport-parts").and_then(|parts| parts.to_str().ok());
        let parts: u32 = parts.and_then(|parts| parts.parse().ok()).unwrap_or(1);
        if parts == 0 {
            return Err(format!("job {job} has no rejects"));
        }
        bytes += save(client, response, &part_path(path, part)).await?;
        if part >= parts {
            let more = if parts > 1 { format!(", in {parts} files") } else { String::new() };
            return Ok(format!("{bytes} bytes of rejects are in {}{more}", path.display()));
        }
        part += 1;
    }
}

/// `mend.csv`, `mend.2.csv`, …
pub(super) fn part_path(path: &Path, part: u32) -> PathBuf {
    match path.extension() {
        _ if part == 1 => path.to_owned(),
        Some(extension) => path.with_extension(format!("{part}.{}", extension.to_string_lossy())),
        None => path.with_extension(part.to_string()),
    }
}

/// A new file that goes away again unless it was written whole.
struct NewFile<'a> {
    path: &'a Path,
    whole: bool,
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.whole {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Why a file was not written.
pub(super) fn not_written(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already: choose another name", path.display())
        }
        _ => format!("failed to write {}: {error}", path.display()),
    }
}

/// Writes an answer to a new file; gives its length.
async fn save(client: &Client, mut response: Response, path: &Path) -> Result<u64, String> {
    let failed = |error: io::Error| not_written(path, &error);
    let file = File::create_new(path).await.map_err(failed)?;
    let mut new = NewFile { path, whole: false };
    let mut file = BufWriter::with_capacity(256 << 10, file);
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| client.broken(&error).to_string())? {
        file.write_all(&chunk).await.map_err(failed)?;
        bytes += chunk.len() as u64;
    }
    file.flush().await.map_err(failed)?;
    new.whole = true;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_of_their_own() {
        assert_eq!(part_path(Path::new("a/mend.csv"), 1), Path::new("a/mend.csv"));
        assert_eq!(part_path(Path::new("a/mend.csv"), 2), Path::new("a/mend.2.csv"));
        assert_eq!(part_path(Path::new("mend"), 3), Path::new("mend.3"));
    }
}
