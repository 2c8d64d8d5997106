//! Reads the OpenMetrics text that the server writes of itself: families, their kinds, and samples with labels. It reads
//! what `prometheus-client` writes, and leaves out what it does not know.

/// A metric with all its samples.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct MetricFamily<'a> {
    /// Its name, without `_total` and the like.
    pub(super) name: &'a str,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub(super) kind: &'a str,
    pub(super) help: &'a str,
    /// `seconds` or `bytes`, if it has one.
    pub(super) unit: &'a str,
    pub(super) samples: Vec<Sample<'a>>,
}

/// A line with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    /// What follows the family's name, such as `_bucket`.
    pub(super) suffix: &'a str,
    pub(super) labels: Vec<(&'a str, String)>,
    pub(super) value: f64,
}

/// The families of a text, in its order.
pub(super) fn families(text: &str) -> Vec<MetricFamily<'_>> {
    let mut found: Vec<MetricFamily<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (Some(what), Some(name), Some(words)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if found.last().is_none_or(|family| family.name != name) {
                found.push(MetricFamily { name, ..MetricFamily::default() });
            }
            let Some(family) = found.last_mut() else { continue };
            match what {
                "HELP" => family.help = words.strip_suffix('.').unwrap_or(words),
                "TYPE" => family.kind = words,
                "UNIT" => family.unit = words,
                _ => {}
            }
        } else if let Some(family) = found.last_mut()
            && let Some(sample) = line.strip_prefix(family.name).and_then(sample)
        {
            family.samples.push(sample);
        }
    }
    found
}

/// `_suffix{label="value",…} 1.5`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (suffix, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    // After the value there may be a time, or an example after a #.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { suffix, labels, value })
}

/// The labels of a sample, and what follows them.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, behind) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = behind.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        found.push((name, value));
        rest = &behind[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_writes_is_read() {
        let text = "# HELP a_seconds Time it took.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total{x=\"1\",y=\"a\\\"b\\\\c\\nd, e}\"} 2.5\na_seconds_total 7\n\
                    # HELP g A gauge.\n# TYPE g gauge\ng 3\n# TYPE bad gauge\nbad one\n# EOF\n";
        let found = families(text);
        assert_eq!(found.len(), 3);
        let a = &found[0];
        assert_eq!((a.name, a.kind, a.help, a.unit), ("a_seconds", "counter", "Time it took", "seconds"));
        let labels = vec![("x", "1".to_owned()), ("y", "a\"b\\c\nd, e}".to_owned())];
        assert_eq!(a.samples[0], Sample { suffix: "_total", labels, value: 2.5 });
        assert_eq!(a.samples[1].value, 7.0);
        assert_eq!(found[1].samples, [Sample { suffix: "", labels: Vec::new(), value: 3.0 }]);
        assert!(found[2].samples.is_empty());
    }
}
