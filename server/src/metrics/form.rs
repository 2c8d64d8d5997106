//! The two forms of the metrics: OpenMetrics, as the library writes it, and the older text of Prometheus, made of it.
//! Which one a scraper gets is for its `Accept` header to say. Nothing here counts.

/// A form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4: what people and old scrapers read, and what `promtool check metrics` checks.
    Text,
}

impl Form {
    /// The form that an `Accept` header asks for. OpenMetrics has to be named, for `*/*` is what tools send that know
    /// nothing of it.
    pub fn accepted(header: Option<&str>) -> Self {
        let (mut open, mut text) = (0.0, 0.0);
        for range in header.unwrap_or("").split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or("").to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            let weight: f32 = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
            match name.as_str() {
                "application/openmetrics-text" => open = weight.max(open),
                "text/plain" | "text/*" | "*/*" => text = weight.max(text),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Prometheus' text of an OpenMetrics text. There a counter is called as its samples are, with `_total`, and infos,
/// units and the mark of the end are unknown.
pub(super) fn to_text(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (end, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some(help) = help.take() {
                text.push_str(&format!("# HELP {name}{end} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{end} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_form_that_it_asks_for() {
        for (header, form) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some("application/json"), Form::Text),
            (Some("application/openmetrics-text"), Form::OpenMetrics),
            (Some("text/plain, Application/OpenMetrics-Text;version=1.0.0"), Form::OpenMetrics),
            // Prometheus 2.42.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                Form::OpenMetrics,
            ),
            (Some("application/openmetrics-text; q=0.2, text/plain; q=0.9"), Form::Text),
            (Some("application/openmetrics-text;q=0"), Form::Text),
            (Some("application/openmetrics-text;q=7"), Form::Text),
        ] {
            assert_eq!(Form::accepted(header), form, "{header:?}");
        }
    }

    #[test]
    fn counters_and_infos_are_called_as_their_samples_are() {
        let open = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{x=\"1\"} 2.0\n\
                    # HELP b Build.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP g G.\n# TYPE g gauge\ng 3\n# EOF\n";
        let text = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\na_seconds_total{x=\"1\"} 2.0\n\
                    # HELP b_info Build.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP g G.\n# TYPE g gauge\ng 3\n";
        assert_eq!(to_text(open), text);
    }
}
