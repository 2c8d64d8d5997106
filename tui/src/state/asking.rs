//! What the dashboard asks before it does something, and what becomes of the answers.

use pinport_model::{JobId, view::JobView};

use super::{Dashboard, Overlay, Prompt, input::Input};
use crate::{
    look::Symbols,
    message::{Effect, FailuresQuery},
    text::harmless,
    words::short_id,
};

impl Dashboard {
    pub(super) fn prompt(&mut self, prompt: Prompt, text: String) {
        self.overlay = Some(Overlay::Prompt { prompt, input: Input::new(text) });
    }

    pub(super) fn ask_to_cancel(&mut self) {
        let Some(job) = self.job() else { return };
        if job.progress.status.is_terminal() {
            return self.tell(format!("job {} has ended", short_id(job.id)), false);
        }
        let (effect, name) = (Effect::Cancel(job.id), name(job));
        let question = if self.options.one_import {
            format!("Stop {name}? What has been committed stays; the same command goes on behind it.")
        } else {
            format!("Cancel {name}? What has been committed stays; the job cannot go on afterwards.")
        };
        self.overlay = Some(Overlay::Confirm { effect, question });
    }

    pub(super) fn ask_to_pause(&mut self) {
        let Some(job) = self.job() else { return };
        if job.progress.status.is_terminal() {
            return self.tell(format!("job {} has ended", short_id(job.id)), false);
        }
        let name = name(job);
        let (effect, question) = if job.paused {
            (Effect::Resume(job.id), format!("Let {name} go on?"))
        } else {
            (
                Effect::Pause(job.id),
                format!("Pause {name}? It goes on behind its last committed piece when it is resumed."),
            )
        };
        self.overlay = Some(Overlay::Confirm { effect, question });
    }

    pub(super) fn ask_for_rate(&mut self) {
        let Some(job) = self.job() else { return };
        let id = job.id;
        if job.progress.status.is_terminal() {
            return self.tell(format!("job {} has ended", short_id(id)), false);
        }
        self.prompt(Prompt::Throttle(id), String::new());
    }

    pub(super) fn ask_where_to_save(&mut self, rejects: bool) {
        let Some(job) = self.job() else { return };
        let (id, format) = (job.id, job.format);
        if job.progress.failed == 0 {
            return self.tell(format!("no record of job {} failed", short_id(id)), false);
        }
        if rejects {
            self.prompt(Prompt::SaveRejects(id), format!("rejects-{}.{}", short_id(id), format.suffix()));
        } else {
            self.prompt(Prompt::SaveFailures(id), format!("failures-{}.ndjson", short_id(id)));
        }
    }

    pub(super) fn submit(&mut self) {
        match self.overlay.take() {
            Some(Overlay::Form(mut form)) => match form.submit() {
                Some(request) => {
                    self.tell(format!("creating the import of {}", request.source_text), true);
                    self.effects.push(Effect::CreateImport(request));
                }
                None => self.overlay = Some(Overlay::Form(form)),
            },
            Some(Overlay::Prompt { prompt, input }) => match prompt {
                Prompt::Filter => {}
                Prompt::Search => self.search(input.text().to_owned()),
                Prompt::OpenById => self.open_by_id(input.text().trim()),
                Prompt::Throttle(job) => match input.text().parse() {
                    Ok(rate) => self.effects.push(Effect::Throttle(job, rate)),
                    Err(text) => self.tell(text, false),
                },
                Prompt::SaveFailures(_) | Prompt::SaveRejects(_) if input.text().trim().is_empty() => {
                    self.tell("no file was named".into(), false);
                }
                Prompt::SaveFailures(_) | Prompt::SaveRejects(_) => self.save(prompt, input.text()),
            },
            Some(Overlay::Help { scroll, search, .. }) => {
                self.overlay = Some(Overlay::Help { scroll, search, typing: false });
            }
            other => self.overlay = other,
        }
    }

    pub(super) fn search(&mut self, search: String) {
        if let Some(failures) = &self.failures {
            let query = FailuresQuery { search, ..failures.query.clone() };
            self.ask_failures(query);
        }
    }

    pub(super) fn open_by_id(&mut self, text: &str) {
        let text = text.to_ascii_lowercase();
        if let Ok(id) = text.parse::<JobId>() {
            self.jobs.select(id, &self.meters);
            return self.open_job(id);
        }
        match JobId::find(self.jobs.all().iter().map(|job| job.id), &text) {
            Ok(Some(id)) => {
                self.jobs.select(id, &self.meters);
                self.open_job(id);
            }
            Ok(None) => {
                let text = format!(
                    "no job in the list has an id with \"{text}\": type all 32 digits to look further"
                );
                self.tell(text, false);
            }
            Err(_) => self.tell(format!("several jobs have ids with \"{text}\": type more of it"), false),
        }
    }
}

fn name(job: &JobView) -> String {
    format!("job {} of {}", short_id(job.id), harmless(&job.source, Symbols::Unicode))
}
