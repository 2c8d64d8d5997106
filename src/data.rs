//! The data folder: the store and, beside it, a folder of files for each job.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use pinport_model::{
    Application, ApplicationId, ImportJob, JobId, RecordLimits, Segment, Timestamp, looks_like_id,
};
use pinport_pipeline::engine::files;
use pinport_store::{
    Store,
    embedded::{Embedded, EmbeddedOptions},
    postgres::{Postgres, PostgresOptions},
};

use crate::{descriptors, exit::Usage, machine, private};

/// Where a store is: in a data folder, or in a database, with the jobs' files in a folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) url: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// A URL that is empty is as good as none.
    pub(crate) fn new(folder: &'a Path, url: Option<&'a str>) -> Self {
        Self { folder, url: url.filter(|url| !url.is_empty()) }
    }

    /// What holds the store, in words: without a password.
    pub(crate) fn shown(&self) -> anyhow::Result<String> {
        match self.url {
            Some(url) => Ok(database(url)?.server().to_owned()),
            None => Ok(self.folder.display().to_string()),
        }
    }
}

/// The database at a URL. What that does not say, PostgreSQL's own variables may.
pub(crate) fn database(url: &str) -> anyhow::Result<PostgresOptions> {
    PostgresOptions::new(url, |name| std::env::var(name).ok())
        .map_err(|error| Usage(error.to_string()).into())
}

/// Looks whether the database of a store can be used, and changes nothing; what it is in words.
pub(crate) fn try_database(place: Place<'_>) -> anyhow::Result<String> {
    if let Some(url) = place.url {
        Postgres::open(database(url)?, &command(), &RecordLimits::default())?;
    }
    place.shown()
}

/// Who a process is among those that share a database: its name, and what no other process has been.
fn owner(name: &str) -> String {
    format!("{name}/{}", JobId::generate())
}

/// A command, which has a process and no port.
pub(crate) fn command() -> String {
    owner(&format!("{}/{}", machine::name(), std::process::id()))
}

/// The file in a data folder that tells it from all others.
const PLACE: &str = "place";

/// What a data folder is called in the jobs whose files lie there. Machines may have one name, and folders one path.
fn place_of(folder: &Path) -> String {
    let file = folder.join(PLACE);
    if let Err(error) = std::fs::create_dir_all(folder) {
        tracing::debug!(%error, folder = %folder.display(), "the data folder cannot be made");
    }
    let read = || std::fs::read_to_string(&file).ok().filter(|place| !place.is_empty());
    let name = || -> std::io::Result<()> {
        // Of two processes that are the first, one names it. The name is whole when the file is there.
        let mut named = tempfile::NamedTempFile::new_in(folder)?;
        write!(named, "{}:{} {}", machine::name(), folder.display(), JobId::generate())?;
        named.persist_noclobber(&file).map_err(|error| error.error).map(drop)
    };
    if read().is_none()
        && let Err(error) = name()
    {
        // Whoever may not write there has no files of jobs there either.
        tracing::debug!(%error, file = %file.display(), "the data folder has no name of its own");
    }
    read().unwrap_or_else(|| format!("{}:{}", machine::name(), folder.display()))
}

/// A data folder whose store is open.
pub(crate) struct Data {
    folder: PathBuf,
    pub(crate) store: Arc<dyn Store>,
}

impl Data {
    /// Opens the folder, which is made on first use, to import records within limits.
    pub(crate) fn open(place: Place<'_>, limits: RecordLimits) -> anyhow::Result<Self> {
        Self::open_with(place, EmbeddedOptions { limits, ..EmbeddedOptions::default() })
    }

    /// The same for a server, which reads all the time.
    pub(crate) fn open_to_serve(place: Place<'_>, limits: RecordLimits, port: u16) -> anyhow::Result<Self> {
        let options = EmbeddedOptions { limits, ..EmbeddedOptions::serving() };
        Self::open_as(place, options, || owner(&format!("{}:{port}", machine::name())))
    }

    fn open_with(place: Place<'_>, options: EmbeddedOptions) -> anyhow::Result<Self> {
        Self::open_as(place, options, command)
    }

    /// Opens it as one of the processes that share a database.
    fn open_as(
        place: Place<'_>,
        options: EmbeddedOptions,
        owner: impl FnOnce() -> String,
    ) -> anyhow::Result<Self> {
        let folder = place.folder;
        let options = options.within(descriptors::raise());
        let parts = ["jobs", "checks", "store"];
        for part in &parts[..if place.url.is_some() { 2 } else { 3 }] {
            if let Err(error) = private::keep_folder(&folder.join(part)) {
                // It is another user's, or the disk is read-only: its use fails with a reason if that matters.
                tracing::warn!(%error, folder = %folder.join(part).display(), "other users may look into the folder");
            }
        }
        let store: Arc<dyn Store> = match place.url {
            None => Arc::new(Embedded::open(folder.join("store"), options)?),
            Some(url) => {
                // The files in the folder are what other processes cannot read.
                let place = place_of(&std::path::absolute(folder)?);
                let options_of = database(url)?.at(place);
                Arc::new(Postgres::open(options_of, &owner(), &options.limits)?)
            }
        };
        Ok(Self { folder: folder.to_owned(), store })
    }

    /// Opens a folder that must be there: a command that only reads should not make one by a typing error.
    pub(crate) fn open_existing(place: Place<'_>) -> anyhow::Result<Self> {
        if place.url.is_none() && !place.folder.join("store").is_dir() {
            let folder = place.folder.display();
            return Err(
                Usage(format!("there is no pinport data in {folder}; --data names another folder")).into()
            );
        }
        Self::open_with(place, EmbeddedOptions::reading())
    }

    /// The folder that holds the jobs' folders, as an absolute path: a job may outlive the working directory.
    pub(crate) fn jobs_folder(&self) -> std::io::Result<PathBuf> {
        std::path::absolute(self.folder.join("jobs"))
    }

    /// The folder of a job's files.
    pub(crate) fn job_folder(&self, job: JobId) -> PathBuf {
        self.folder.join("jobs").join(job.to_string())
    }

    /// The application with this name, made if there is none.
    pub(crate) fn application_or_new(&self, name: &str) -> anyhow::Result<Application> {
        if let Some(application) = self.find_application(name)? {
            return Ok(application);
        }
        let id = match name.parse() {
            Ok(id) => id,
            Err(_) if looks_like_id(name) => {
                let reason = format!("\"{name}\" is no name for an application: it has the form of an id");
                return Err(Usage(reason).into());
            }
            Err(_) => ApplicationId::generate(),
        };
        let application =
            Application { id, name: name.to_owned(), created: Timestamp::now(), tags: Default::default() };
        self.store.create_application(&application)?;
        Ok(application)
    }

    /// The application with this name or id.
    pub(crate) fn application(&self, name: &str) -> anyhow::Result<Application> {
        self.find_application(name)?.with_context(|| format!("there is no application \"{name}\""))
    }

    fn find_application(&self, name: &str) -> anyhow::Result<Option<Application>> {
        // What has the form of an id is one, and no name.
        if let Ok(id) = name.parse() {
            return Ok(self.store.application(id)?);
        }
        let mut named = self.store.applications_by_name(name)?;
        if named.len() > 1 {
            return Err(Usage(Application::ambiguous(name, &named)).into());
        }
        Ok(named.pop())
    }

    /// The segment with this name (the newest, if several have it) or id.
    pub(crate) fn find_segment(
        &self,
        application: ApplicationId,
        name: &str,
    ) -> anyhow::Result<Option<Segment>> {
        if let Ok(id) = name.parse()
            && let Some(segment) = self.store.segment(application, id)?
        {
            return Ok(Some(segment));
        }
        Ok(self.segments(application)?.into_iter().find(|segment| segment.name == name))
    }

    /// The segments of an application, newest first.
    pub(crate) fn segments(&self, application: ApplicationId) -> anyhow::Result<Vec<Segment>> {
        const PAGE: usize = 500;
        let mut segments = Vec::new();
        loop {
            let before = segments.last().map(|segment: &Segment| segment.id);
            let page = self.store.segments(application, before, PAGE)?;
            let whole = page.len() == PAGE;
            segments.extend(page);
            if !whole {
                return Ok(segments);
            }
        }
    }

    /// The job that `text` names: by its id, a part of it, or `last`.
    pub(crate) fn job(&self, text: &str) -> anyhow::Result<ImportJob> {
        let id = if text == "last" {
            self.store.jobs(None, None, 1)?.pop().map(|job| job.id)
        } else {
            self.job_id(text)?
        };
        let job = id.map(|id| self.store.job(id)).transpose()?.flatten();
        let mut job =
            job.with_context(|| format!("there is no job \"{text}\"; `pinport jobs ls` lists them"))?;
        if !job.status.is_terminal()
            && let Some(last) = self.store.last_piece(job.id)?
        {
            last.count_into(&mut job);
        }
        Ok(job)
    }

    fn job_id(&self, text: &str) -> anyhow::Result<Option<JobId>> {
        const PAGE: usize = 500;
        if let Ok(id) = text.parse() {
            return Ok(Some(id));
        }
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let page = self.store.jobs(None, before, PAGE)?;
            found.extend(page.iter().map(|job| job.id));
            match page.last() {
                Some(last) if page.len() == PAGE => before = Some(last.id),
                _ => break,
            }
        }
        JobId::find(found, text).map_err(|jobs| {
            Usage(format!("{jobs} jobs have ids with \"{text}\"; give more of the id")).into()
        })
    }

    /// The first `limit` failures of a job, as lines of text.
    pub(crate) fn first_failures(&self, job: JobId, limit: usize) -> anyhow::Result<Vec<String>> {
        first_failures(&self.job_folder(job), limit)
    }
}

/// The file in a data folder that says where its server listens.
const ADDRESS: &str = "address";

/// Says in a data folder where its server listens, until it is dropped.
#[derive(Debug)]
pub(crate) struct Address(PathBuf);

impl Address {
    /// The server of the folder listens at `url`. Without the file, commands only need the server's address.
    pub(crate) fn tell(folder: &Path, url: &str) -> Self {
        let path = folder.join(ADDRESS);
        if let Err(error) = std::fs::write(&path, format!("process {} {url}", std::process::id())) {
            tracing::warn!(%error, path = %path.display(), "commands will not find the server by its data folder");
        }
        Self(path)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        // No one reads it while no server has the folder open.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where the server listens that holds the lock of a data folder, if it is one. A server that was killed leaves its
/// address after, so its process is compared.
pub(crate) fn served_at(folder: &Path, holder: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(ADDRESS)).ok()?;
    let (process, url) = text.trim().rsplit_once(' ')?;
    holder.strip_prefix(process)?.starts_with(' ').then(|| url.to_owned())
}

/// The server that says it has a data folder open, for those who ask the folder while it does.
pub(crate) fn server_of(folder: &Path) -> Option<String> {
    Some(std::fs::read_to_string(folder.join(ADDRESS)).ok()?.trim().to_owned())
}

/// The first `limit` failures in a job's folder, as lines of text.
pub(crate) fn first_failures(folder: &Path, limit: usize) -> anyhow::Result<Vec<String>> {
    let failures = files::first_failures(folder, u64::MAX, limit)?;
    Ok(failures.iter().map(ToString::to_string).collect())
}
