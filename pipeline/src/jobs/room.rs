//! Whether the store and its disk let jobs run: a stopped store stops them, and below the reserve of the disk they rest
//! until there is room. Nothing here frees any.

use tokio_util::sync::CancellationToken;

use super::{
    Inner, Jobs,
    ledger::UploadLimits,
    queue::{SHORT, STOPPED, Settling},
};
use crate::disk::{self, Disk};

impl Jobs {
    /// Why nothing that takes room may begin now, if so: the disk has less than its reserve.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub fn room(&self) -> Result<(), String> {
        match self.inner.short_by(false) {
            Some(_) => Err("the server's disk has too little room for new jobs and uploads".into()),
            None => Ok(()),
        }
    }

    /// The disk that jobs are on, and its reserve; nothing if the system does not say.
    pub fn disk(&self) -> Option<(Disk, u64)> {
        self.inner.disk()
    }

    /// Bytes of uploads whose jobs have not ended.
    pub fn uploaded(&self) -> u64 {
        self.inner.ledger.in_all()
    }

    /// How the settling of the store goes.
    pub fn settling(&self) -> Settling {
        let state = self.inner.state.lock();
        Settling { now: state.settling, ..state.settled }
    }

    /// Cancelled when the store stops: then nothing can be stored until the process begins again.
    pub fn store_stopped(&self) -> CancellationToken {
        self.inner.stopped.clone()
    }

    /// What every caller may read about why no job runs, if none does.
    pub fn trouble(&self) -> Option<&'static str> {
        let state = self.inner.state.lock();
        if state.halted.is_some() { Some(STOPPED) } else { state.short.as_ref().map(|_| SHORT) }
    }
}

impl Inner {
    /// The bytes of uploads that a key may hold, and all.
    pub(super) fn upload_limits(&self, key: Option<&str>) -> UploadLimits {
        let options = self.options();
        let own = key.and_then(|key| self.resolver().uploads(key));
        // Without keys there is one caller, and no one to be kept from.
        let of_key = own.or(options.uploads_of_key).or(key.is_none().then_some(u64::MAX));
        UploadLimits::new(options.uploads, of_key, self.disk().map(|(disk, _)| disk.total))
    }

    pub(super) fn disk(&self) -> Option<(Disk, u64)> {
        let disk = (self.options().disk)(&self.options().folder).ok()?;
        Some((disk, self.options().disk_reserve.unwrap_or_else(|| disk::reserve(disk.total))))
    }

    /// How much room the disk has if that is less than its reserve. Waiting jobs begin again only when there is a
    /// quarter more: else jobs would begin and rest with every few bytes.
    fn short_by(&self, waits: bool) -> Option<(Disk, u64)> {
        let (disk, reserve) = self.disk()?;
        let wanted = if waits { reserve.saturating_add(reserve / 4) } else { reserve };
        (disk.free < wanted).then_some((disk, reserve))
    }

    /// Looks at the store and its disk, and lets jobs rest or go on as they allow.
    pub(super) fn watch(&self) {
        // A store that lacked descriptors is opened again.
        if let Err(error) = self.store.check()
            && !error.lacks_descriptors()
        {
            self.halt(&error.into());
        }
        let waits = self.state.lock().short.is_some();
        let short = self.short_by(waits).map(|(disk, reserve)| {
            let mib = |bytes: u64| bytes >> 20;
            let (free, reserve) = (mib(disk.free), mib(reserve));
            format!(
                "the disk has {free} MiB free, its reserve is {reserve} MiB: jobs go on when there is room"
            )
        });
        let mut state = self.state.lock();
        if state.short == short {
            return;
        }
        let (was, is) = (state.short.is_some(), short.is_some());
        state.short.clone_from(&short);
        state.changes += 1;
        match (was, short) {
            (false, Some(reason)) => {
                tracing::warn!(target: "pinport::job", "{reason}");
                state.note(None, reason);
                state.let_running_rest();
            }
            (true, None) => {
                tracing::info!(target: "pinport::job", "the disk has room again");
                state.note(None, "the disk has room again: jobs go on".into());
            }
            _ => {}
        }
        drop(state);
        if was && !is {
            self.dispatch();
        }
    }
}
