//! What lies directly below a prefix of a bucket, or in a folder, and which buckets there are: for whoever types a source.
//! One page of a store's listing, or one folder; no object is opened.

use std::{fs, path::Path};

use pinport_model::{SourceLocation, location::Service, view::SourcePlace};

use super::{
    SourceError, SourceOptions,
    remote::{Bucket, buckets},
};
use crate::limits::{PLACES_LOOKED_AT, PLACES_SHOWN};

/// Where it is looked for places.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What lies in a bucket or a folder and has a URL that begins with this one's.
    Below(SourceLocation),
    /// The buckets of an account whose names begin with this.
    Buckets(Service, String),
}

/// The places that are found, at most [`PLACES_SHOWN`] in order of their names; and whether there are more.
pub(crate) async fn places(
    look: Look,
    options: SourceOptions,
) -> Result<(Vec<SourcePlace>, bool), SourceError> {
    let (mut places, more) = match look {
        Look::Buckets(service, stem) => {
            let (names, more) = buckets(service, &options).await?;
            let names = names.iter().filter(|name| name.starts_with(&stem));
            let url = |name| format!("{}://{name}/", service.scheme());
            (names.map(|name| SourcePlace { url: url(name), size: None }).collect(), more)
        }
        Look::Below(SourceLocation::Bucket { service, bucket, key }) => {
            Bucket::open(service, &bucket, &options)?.below(&key).await?
        }
        Look::Below(SourceLocation::Path(path)) => {
            let read = tokio::task::spawn_blocking(move || in_folder(&path, options.within.as_deref()));
            read.await.unwrap_or_default()
        }
        Look::Below(SourceLocation::Stdin) => (Vec::new(), false),
    };
    places.sort_by(|one, other| one.url.cmp(&other.url));
    places.dedup();
    let more = more || places.len() > PLACES_SHOWN;
    places.truncate(PLACES_SHOWN);
    Ok((places, more))
}

/// Files and folders whose paths begin with `path`; none that lies outside of `within`, and none that is hidden.
fn in_folder(path: &Path, within: Option<&Path>) -> (Vec<SourcePlace>, bool) {
    let text = path.to_string_lossy();
    let (folder, stem) = text.rsplit_once('/').map_or((".", &*text), |(folder, stem)| (folder, stem));
    let folder = Path::new(if folder.is_empty() { "/" } else { folder });
    let Ok(entries) = fs::read_dir(folder) else { return (Vec::new(), false) };
    let (mut places, mut looked) = (Vec::new(), 0);
    for entry in entries.flatten() {
        looked += 1;
        if looked > PLACES_LOOKED_AT {
            return (places, true);
        }
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with(stem) || name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        // A link may lead out of what is open.
        let is_inside = |found: &Path| within.is_none_or(|within| found.starts_with(within));
        let Some(metadata) =
            path.canonicalize().ok().filter(|found| is_inside(found)).and_then(|found| found.metadata().ok())
        else {
            continue;
        };
        let url = format!("file://{}", path.display());
        if metadata.is_dir() {
            places.push(SourcePlace { url: format!("{url}/"), size: None });
        } else if metadata.is_file() {
            places.push(SourcePlace { url, size: Some(metadata.len()) });
        }
    }
    (places, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_shows_what_begins_like_it_and_no_way_out() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let (root, outside) = (home.join("root"), home.join("outside"));
        for folder in [root.join("exports"), outside.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        for file in ["a.csv", "ab.json", ".hidden", "b.csv"] {
            fs::write(root.join(file), "12345").unwrap();
        }
        std::os::unix::fs::symlink(&outside, root.join("away")).unwrap();
        let found = |text: &str| -> Vec<(String, Option<u64>)> {
            let (mut places, more) = in_folder(Path::new(&format!("{}/{text}", root.display())), Some(&root));
            assert!(!more);
            places.sort_by(|one, other| one.url.cmp(&other.url));
            let name =
                |url: &str| url.strip_prefix(&format!("file://{}/", root.display())).unwrap().to_owned();
            places.iter().map(|place| (name(&place.url), place.size)).collect()
        };
        let all = ["a.csv", "ab.json", "b.csv", "exports/"];
        assert_eq!(found("").iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), all);
        assert_eq!(found("a"), [("a.csv".to_owned(), Some(5)), ("ab.json".to_owned(), Some(5))]);
        assert_eq!(found("none/x"), []);
    }
}
