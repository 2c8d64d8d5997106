//! Which failed records an editor gets.

use pinport_model::JobId;

use super::{Dashboard, Screen};
use crate::{
    message::{Effect, FailuresQuery, RejectsQuery},
    words::short_id,
};

impl Dashboard {
    pub(super) fn mark(&mut self) {
        let marked = self.failures.as_mut().is_some_and(|failures| failures.mark());
        match marked {
            true => self.step(1),
            false => self.tell("its original bytes are not kept: it cannot be mended here".into(), false),
        }
    }

    /// The failures of the selected reason.
    pub(super) fn selected_class(&self, job: JobId) -> FailuresQuery {
        let class = self.detail.as_ref().and_then(|detail| {
            let class = detail.class_row.checked_sub(1).and_then(|row| detail.classes().get(row).copied());
            class.map(|class| (class.code, class.member.clone()))
        });
        FailuresQuery { job, class, search: String::new() }
    }

    /// Gets the marked records for an editor, or else those that the screen lists.
    pub(super) fn mend(&mut self) {
        let Some(view) = self.job() else { return };
        let (job, failed, has_ended) = (view.id, view.progress.failed, view.progress.status.is_terminal());
        if failed == 0 {
            return self.tell(format!("no record of job {} failed", short_id(job)), false);
        }
        if !has_ended {
            let text = format!("job {} has not ended: more of its records may fail", short_id(job));
            return self.tell(text, false);
        }
        let (failures, places, part) = match (self.screen(), &self.failures) {
            (Screen::Entries(_), Some(list)) => {
                let marked = Some(list.marked.clone()).filter(|marked| !marked.is_empty());
                (list.query.clone(), marked, list.part())
            }
            (Screen::Classes(_), _) => (self.selected_class(job), None, None),
            _ => (FailuresQuery { job, class: None, search: String::new() }, None, None),
        };
        self.tell("getting the records for the editor".into(), true);
        let query = RejectsQuery { failures, places, part: part.unwrap_or(1) };
        self.effects.push(Effect::FetchRejects(query));
    }
}
