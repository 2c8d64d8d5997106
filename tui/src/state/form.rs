//! The form of a new import. Fields are checked during input; it submits only if all are valid.

use pinport_model::{Format, SourceLocation, job::FailureBudget};

use super::input::Input;
use crate::message::ImportRequest;

/// A field of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Source,
    Format,
    Application,
    Segment,
    Register,
    MaxFailures,
}

impl Field {
    pub(crate) const ALL: [Self; 6] =
        [Self::Source, Self::Format, Self::Application, Self::Segment, Self::Register, Self::MaxFailures];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Format => "format",
            Self::Application => "application",
            Self::Segment => "segment",
            Self::Register => "register",
            Self::MaxFailures => "max failures",
        }
    }

    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Source => "s3://bucket/prefix, gs://, az:// or file:///folder",
            Self::Format => "space changes it",
            Self::Application => "its name",
            Self::Segment => "a name, or empty for no segment",
            Self::Register => "space changes it: whether endpoints are registered",
            Self::MaxFailures => "a number or a share as 5%, or empty for no limit",
        }
    }
}

/// The content of the form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    pub(crate) field: Field,
    pub(crate) source: Input,
    /// None: derived from the name of the source.
    pub(crate) format: Option<Format>,
    pub(crate) application: Input,
    pub(crate) segment: Input,
    pub(crate) register: bool,
    pub(crate) max_failures: Input,
    /// Whether the operator tried to submit. Empty fields are errors only after that.
    pub(crate) tried: bool,
}

impl Form {
    pub(crate) fn new(application: &str) -> Self {
        Self {
            field: Field::Source,
            source: Input::default(),
            format: None,
            application: Input::new(application),
            segment: Input::default(),
            register: true,
            max_failures: Input::default(),
            tried: false,
        }
    }

    /// The text input of the field, if it has one.
    pub(crate) fn input(&mut self) -> Option<&mut Input> {
        match self.field {
            Field::Source => Some(&mut self.source),
            Field::Application => Some(&mut self.application),
            Field::Segment => Some(&mut self.segment),
            Field::MaxFailures => Some(&mut self.max_failures),
            Field::Format | Field::Register => None,
        }
    }

    /// Moves to another field by this many steps.
    pub(crate) fn step(&mut self, forward: bool) {
        let at = Field::ALL.iter().position(|field| *field == self.field).unwrap_or(0);
        let fields = Field::ALL.len();
        self.field = Field::ALL[(at + if forward { 1 } else { fields - 1 }) % fields];
    }

    /// Changes a field that is not a text input.
    pub(crate) fn toggle(&mut self) {
        match self.field {
            Field::Format => {
                self.format = Some(match self.effective_format() {
                    Some(Format::Csv) => Format::Json,
                    _ => Format::Csv,
                });
            }
            Field::Register => self.register = !self.register,
            _ => {}
        }
    }

    /// The chosen format, or the one of the source's suffix.
    pub(crate) fn effective_format(&self) -> Option<Format> {
        self.format.or_else(|| {
            let name = self.source.text().to_ascii_lowercase();
            let name =
                [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            match name.rsplit_once('.')?.1 {
                "csv" => Some(Format::Csv),
                "json" | "jsonl" | "ndjson" => Some(Format::Json),
                _ => None,
            }
        })
    }

    /// The error of a field, or an empty text.
    pub(crate) fn fault(&self, field: Field) -> Option<String> {
        match field {
            Field::Source => self.source_location().err(),
            Field::Format if self.effective_format().is_none() => {
                Some("the source's name does not tell it: press space to choose".into())
            }
            Field::Application if self.application.text().trim().is_empty() => Some("it is empty".into()),
            Field::Register if !self.register && self.segment.text().trim().is_empty() => {
                Some("without a segment there would be nothing to import into".into())
            }
            Field::MaxFailures => budget(self.max_failures.text()).err(),
            _ => None,
        }
    }

    /// The error to show. Empty fields have one only after an attempt to submit.
    pub(crate) fn shown_fault(&self, field: Field) -> Option<String> {
        let untouched = match field {
            Field::Source => self.source.text().is_empty(),
            Field::Format => self.source.text().is_empty(),
            Field::Application => self.application.text().is_empty(),
            _ => false,
        };
        if untouched && !self.tried { None } else { self.fault(field) }
    }

    fn source_location(&self) -> Result<SourceLocation, String> {
        match self.source.text().trim().parse() {
            Ok(SourceLocation::Stdin) => Err("the server cannot read this terminal's standard input".into()),
            Ok(location) => Ok(location),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The import if every field is valid. Otherwise the cursor moves to the first invalid field.
    pub(crate) fn submit(&mut self) -> Option<ImportRequest> {
        self.tried = true;
        if let Some(field) = Field::ALL.into_iter().find(|field| self.fault(*field).is_some()) {
            self.field = field;
            return None;
        }
        let segment = self.segment.text().trim();
        Some(ImportRequest {
            source: self.source_location().ok()?,
            source_text: self.source.text().trim().to_owned(),
            format: self.effective_format()?,
            application: self.application.text().trim().to_owned(),
            segment_name: (!segment.is_empty()).then(|| segment.to_owned()),
            register_endpoints: self.register,
            max_failures: budget(self.max_failures.text()).ok()?,
        })
    }
}

fn budget(text: &str) -> Result<Option<FailureBudget>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let fault = || "a number or a share of 0% to 100% is expected".to_owned();
    match text.strip_suffix('%') {
        Some(share) => {
            let share: f64 = share.trim().parse().map_err(|_| fault())?;
            if (0.0..=100.0).contains(&share) {
                Ok(Some(FailureBudget::Percent(share)))
            } else {
                Err(fault())
            }
        }
        None => {
            text.replace(',', "").parse().map(|count| Some(FailureBudget::Count(count))).map_err(|_| fault())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(source: &str, application: &str) -> Form {
        let mut form = Form::new(application);
        form.source = Input::new(source);
        form
    }

    #[test]
    fn the_first_wrong_field_gets_the_cursor() {
        let mut form = form("s3://b/contacts.csv.gz", " ");
        assert_eq!(form.shown_fault(Field::Source), None);
        assert_eq!(form.submit(), None);
        assert_eq!(form.field, Field::Application);
        form.input().unwrap().insert("shop");
        form.max_failures = Input::new("5 %");
        form.segment = Input::new("spring");
        let request = form.submit().unwrap();
        assert_eq!(request.format, Format::Csv);
        assert_eq!(request.application, "shop");
        assert_eq!(request.segment_name.as_deref(), Some("spring"));
        assert_eq!(request.max_failures, Some(FailureBudget::Percent(5.0)));
    }

    #[test]
    fn faults_name_what_is_wrong() {
        let source = |text| form(text, "a").fault(Field::Source).unwrap_or_default();
        assert!(source("http://x/y").contains("scheme"));
        assert!(source("s3://").contains("bucket"));
        assert!(source("-").contains("standard input"));
        assert_eq!(source("gs://bucket/key"), "");
        let budget = |text| {
            let mut form = form("x.csv", "a");
            form.max_failures = Input::new(text);
            form.fault(Field::MaxFailures).is_none()
        };
        assert!(budget("") && budget("0") && budget("1,000") && budget("0.5%") && budget("100%"));
        assert!(!budget("x") && !budget("-1") && !budget("101%") && !budget("NaN%") && !budget("%"));
    }

    #[test]
    fn an_import_into_nothing_is_refused() {
        let mut form = form("x.json", "a");
        form.field = Field::Register;
        form.toggle();
        assert!(form.fault(Field::Register).is_some());
        form.segment = Input::new("s");
        assert!(!form.submit().unwrap().register_endpoints);
    }

    #[test]
    fn fields_follow_each_other_round() {
        let mut form = Form::new("");
        form.step(false);
        assert_eq!(form.field, Field::MaxFailures);
        form.step(true);
        assert_eq!(form.field, Field::Source);
    }
}
