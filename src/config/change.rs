//! What a configuration that is read again changes, and what of that needs a restart.

use super::Config;

/// The options that have another value than before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those in force now.
    pub(crate) applied: Vec<&'static str>,
    /// Those that wait for a restart.
    pub(crate) waiting: Vec<&'static str>,
}

impl Config {
    /// What `new` changes.
    pub(crate) fn changes(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        macro_rules! compare {
            ($list:ident: $($field:ident = $name:literal,)*) => {
                $(if format!("{:?}", self.$field) != format!("{:?}", new.$field) {
                    changes.$list.push($name);
                })*
            };
        }
        compare! { applied:
            max_running = "jobs.max_running",
            piece_bytes = "jobs.piece_kib",
            look = "jobs.look_seconds",
            max_failures = "jobs.max_failures",
            kept_failure_bytes = "jobs.kept_failures_mib",
            disk_reserve = "jobs.disk_reserve_mib",
            uploads = "jobs.uploads_mib",
            uploads_of_key = "jobs.uploads_of_key_mib",
            retention = "retention",
            throttle = "jobs.rows_per_second and jobs.bytes_per_second",
            cors = "http.cors_origins",
            log_filter = "log.filter",
        }
        if (&self.webhooks.url, &self.webhooks.allow, self.webhooks.stall, &self.webhooks.ca)
            != (&new.webhooks.url, &new.webhooks.allow, new.webhooks.stall, &new.webhooks.ca)
        {
            changes.applied.push("webhooks");
        }
        // It has secrets, which do not show.
        if self.sources != new.sources {
            changes.applied.push("sources, roles and what keys may read");
        }
        compare! { waiting:
            listen = "listen",
            data = "data",
            insecure_listen = "insecure_listen",
            region = "region",
            account = "account",
            auto_create_apps = "auto_create_apps",
            segment_update = "segment_update",
            tls = "tls.certificate and tls.key (their names; what the files hold is in force)",
            part_bytes = "jobs.part_kib",
            drain = "jobs.drain_seconds",
            exit_when_stopped = "jobs.exit_when_stopped",
            threads = "engine.threads",
            memory = "engine.memory_mib",
            limits = "limits",
            http = "http",
            log_format = "log.format",
            metrics_listen = "metrics.listen",
            otlp = "otlp",
        }
        if self.store_url != new.store_url {
            changes.waiting.push("store.url");
        }
        changes
    }

    /// Takes from `new` what is in force now. What waits for a restart is named again the next time.
    pub(crate) fn take_live(&mut self, new: Self) {
        macro_rules! take {
            ($($field:ident),*) => { $(self.$field = new.$field;)* };
        }
        take!(
            max_running,
            piece_bytes,
            look,
            max_failures,
            kept_failure_bytes,
            disk_reserve,
            uploads,
            uploads_of_key
        );
        take!(webhooks, retention, throttle, cors, log_filter, metrics_token, sources, keys, text);
    }
}
