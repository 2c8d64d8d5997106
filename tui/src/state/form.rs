//! The form of a new import. Fields are checked during input; it submits only if all are valid.

use pinport_model::{
    Format, SourceLocation,
    job::FailureBudget,
    view::{SourcePlace, SourcePlaces},
};

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
    /// What the server says may follow, and for which text.
    places: Option<(String, Result<SourcePlaces, String>)>,
    /// The text that it was asked for last.
    asked: Option<String>,
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
            places: None,
            asked: None,
            tried: false,
        }
    }

    /// The text to request places for, unless they were requested: the folder of the source, or the whole source if the
    /// folder has too many.
    pub(crate) fn want_places(&mut self) -> Option<String> {
        let text = self.source.text();
        let mut wanted = &text[..text.rfind('/').map_or(0, |at| at + 1)];
        if let Some((prefix, Ok(SourcePlaces { more: true, .. }))) = &self.places
            && text.starts_with(prefix.as_str())
            && prefix.len() >= wanted.len()
            && self.fitting().is_empty()
        {
            wanted = text;
        }
        if self.asked.as_deref() == Some(wanted) {
            return None;
        }
        self.asked = Some(wanted.to_owned());
        self.asked.clone()
    }

    /// Takes an answer if it belongs to the last request.
    pub(crate) fn take_places(&mut self, prefix: String, found: Result<SourcePlaces, String>) -> bool {
        let is_wanted = self.asked.as_deref() == Some(&prefix);
        if is_wanted {
            self.places = Some((prefix, found));
        }
        is_wanted
    }

    /// The places whose URLs begin with the source.
    pub(crate) fn fitting(&self) -> Vec<&SourcePlace> {
        let text = self.source.text();
        match &self.places {
            Some((prefix, Ok(found))) if text.starts_with(prefix.as_str()) => {
                found.places.iter().filter(|place| place.url.starts_with(text)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Why no places are known, or that there are more.
    pub(crate) fn about_places(&self) -> Option<&str> {
        match &self.places {
            Some((prefix, Err(reason))) if self.asked.as_ref() == Some(prefix) => Some(reason),
            Some((_, Ok(SourcePlaces { more: true, .. }))) => Some("more fit: type on"),
            _ => None,
        }
    }

    /// Completes the source as far as all places that fit agree; if none fits or the source is complete, moves to the next
    /// field.
    pub(crate) fn complete(&mut self) {
        let text = self.source.text();
        let fitting = self.fitting();
        let is_whole = |place: &&SourcePlace| place.url == text && !text.ends_with('/');
        if self.field != Field::Source || fitting.is_empty() || fitting.iter().any(is_whole) {
            return self.step(true);
        }
        let mut common = fitting[0].url.as_str();
        for place in &fitting {
            let same = common.chars().zip(place.url.chars()).take_while(|(one, other)| one == other);
            common = &common[..same.map(|(one, _)| one.len_utf8()).sum()];
        }
        if common.len() > text.len() {
            self.source = Input::new(common);
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

    fn places(urls: &[&str], more: bool) -> Result<SourcePlaces, String> {
        let places = urls.iter().map(|url| SourcePlace { url: (*url).into(), size: None }).collect();
        Ok(SourcePlaces { places, more })
    }

    fn typed(form: &mut Form, text: &str) -> Option<String> {
        form.source = Input::new(text);
        form.want_places()
    }

    #[test]
    fn a_source_is_completed_as_far_as_it_is_clear() {
        let mut form = Form::new("shop");
        assert_eq!(form.want_places().as_deref(), Some(""));
        assert_eq!(typed(&mut form, "s3:"), None, "asked once for each folder");
        assert_eq!(typed(&mut form, "s3://b/ex").as_deref(), Some("s3://b/"));
        assert!(
            !form.take_places(String::new(), places(&["s3://b/"], false)),
            "an answer that comes too late"
        );
        assert!(form.take_places(
            "s3://b/".into(),
            places(&["s3://b/exports/", "s3://b/exp.csv", "s3://b/x"], false)
        ));
        form.complete();
        assert_eq!((form.source.text(), form.field), ("s3://b/exp", Field::Source));
        form.complete();
        assert_eq!(form.source.text(), "s3://b/exp", "it may go on in two ways");
        assert_eq!(form.fitting().len(), 2);
        form.source.insert("o");
        form.complete();
        assert_eq!(form.source.text(), "s3://b/exports/");
        assert_eq!(form.want_places().as_deref(), Some("s3://b/exports/"));
        typed(&mut form, "s3://b/exp.csv");
        form.take_places("s3://b/".into(), places(&["s3://b/exp.csv", "s3://b/exp.csv.gz"], false));
        form.complete();
        assert_eq!((form.source.text(), form.field), ("s3://b/exp.csv", Field::Format), "it is whole");
    }

    #[test]
    fn of_a_folder_with_too_much_what_is_typed_is_asked_for() {
        let mut form = Form::new("");
        typed(&mut form, "s3://b/");
        form.take_places("s3://b/".into(), places(&["s3://b/a"], true));
        assert_eq!(form.about_places(), Some("more fit: type on"));
        assert_eq!(typed(&mut form, "s3://b/z").as_deref(), Some("s3://b/z"));
        form.take_places("s3://b/z".into(), places(&["s3://b/zebra"], false));
        form.complete();
        assert_eq!(form.source.text(), "s3://b/zebra");
        typed(&mut form, "s3://c/");
        form.take_places("s3://c/".into(), Err("not open to this key".into()));
        assert_eq!(form.about_places(), Some("not open to this key"));
        form.complete();
        assert_eq!(form.field, Field::Format);
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
