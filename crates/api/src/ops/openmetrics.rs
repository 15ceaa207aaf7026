//! The metrics as `OpenMetrics` text, which has exemplars: a trace id for a bucket of a histogram.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
use std::fmt::{self, Write as _};

use deed_trace::Exemplars;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The media type of the response.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The suffix of a counter's samples, which the name of its family does not have.
const TOTAL: &str = "_total";

/// Whether an `Accept` header includes this format.
pub(super) fn is_wanted(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it =
            parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let refused = |part: &str| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
        };
        is_it && !parts.any(refused)
    })
}

/// All metric families, with exemplars where there are any.
pub(super) fn text(families: &[MetricFamily], exemplars: &Exemplars) -> String {
    let mut out = String::new();
    for family in families {
        // Writing to a string cannot fail.
        let _ = write_family(&mut out, family, exemplars);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(out: &mut String, family: &MetricFamily, exemplars: &Exemplars) -> fmt::Result {
    let kind = family.get_field_type();
    let (name, word) = match kind {
        // The name of a counter's sample must end in `_total`.
        MetricType::COUNTER => match family.name().strip_suffix(TOTAL) {
            Some(name) => (name, "counter"),
            None => (family.name(), "unknown"),
        },
        MetricType::GAUGE => (family.name(), "gauge"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        MetricType::SUMMARY | MetricType::UNTYPED => (family.name(), "unknown"),
    };
    writeln!(out, "# TYPE {name} {word}")?;
    writeln!(out, "# HELP {name} {}", escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            MetricType::COUNTER => sample(out, family.name(), labels, metric.get_counter().get_value())?,
            MetricType::GAUGE => sample(out, name, labels, metric.get_gauge().get_value())?,
            MetricType::HISTOGRAM => write_histogram(out, name, metric, exemplars)?,
            // This project registers none.
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
    Ok(())
}

fn write_histogram(out: &mut String, name: &str, metric: &Metric, exemplars: &Exemplars) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let only = labels.first().map_or("", LabelPair::value);
    let bounds = histogram.get_bucket().iter().map(|b| (b.upper_bound(), b.cumulative_count()));
    let bounds = bounds.filter(|(bound, _)| bound.is_finite());
    let mut above = f64::NEG_INFINITY;
    for (bound, count) in bounds.chain([(f64::INFINITY, histogram.get_sample_count())]) {
        write!(out, "{name}_bucket")?;
        write_labels(out, labels, Some(("le", &number(bound))))?;
        write!(out, " {count}")?;
        if let Some(example) = exemplars.latest_in_bucket(name, only, above, bound) {
            let (seconds, millis) = (example.at.div_euclid(1000), example.at.rem_euclid(1000));
            let value = number(example.value);
            write!(out, " # {{trace_id=\"{}\"}} {value} {seconds}.{millis:03}", example.trace_id)?;
        }
        out.push('\n');
        above = bound;
    }
    sample(out, &format!("{name}_count"), labels, histogram.get_sample_count())?;
    sample(out, &format!("{name}_sum"), labels, number(histogram.get_sample_sum()))
}

fn sample(out: &mut String, name: &str, labels: &[LabelPair], value: impl fmt::Display) -> fmt::Result {
    out.push_str(name);
    write_labels(out, labels, None)?;
    writeln!(out, " {value}")
}

fn write_labels(out: &mut String, labels: &[LabelPair], more: Option<(&str, &str)>) -> fmt::Result {
    let pairs = labels.iter().map(|label| (label.name(), label.value())).chain(more);
    let mut before = '{';
    for (name, value) in pairs {
        write!(out, "{before}{name}=\"{}\"", escaped(value))?;
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    Ok(())
}

/// A number as the standard writes it: whole numbers with a decimal point.
fn number(value: f64) -> String {
    if value.is_infinite() { "+Inf".to_owned() } else { format!("{value:?}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

    use super::*;

    fn registry() -> Registry {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("deed_x_total", "A \"count\"\nof x"), &["kind"]).unwrap();
        counter.with_label_values(&["a\\b\""]).inc();
        let gauge = IntGauge::new("deed_g", "A gauge").unwrap();
        gauge.set(-3);
        let options = HistogramOpts::new("deed_h_seconds", "A histogram").buckets(vec![0.5, 1.0]);
        let histogram = HistogramVec::new(options, &["operation"]).unwrap();
        for value in [0.25, 0.75, 2.0] {
            histogram.with_label_values(&["Get"]).observe(value);
        }
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(gauge)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        registry
    }

    #[test]
    fn writes_each_metric_kind_in_openmetrics_format() {
        let text = text(&registry().gather(), &Exemplars::default());
        let wanted = [
            "# TYPE deed_g gauge",
            "# HELP deed_g A gauge",
            "deed_g -3",
            "# TYPE deed_h_seconds histogram",
            "# HELP deed_h_seconds A histogram",
            r#"deed_h_seconds_bucket{operation="Get",le="0.5"} 1"#,
            r#"deed_h_seconds_bucket{operation="Get",le="1.0"} 2"#,
            r#"deed_h_seconds_bucket{operation="Get",le="+Inf"} 3"#,
            r#"deed_h_seconds_count{operation="Get"} 3"#,
            r#"deed_h_seconds_sum{operation="Get"} 3.0"#,
            "# TYPE deed_x counter",
            r#"# HELP deed_x A \"count\"\nof x"#,
            r#"deed_x_total{kind="a\\b\""} 1"#,
            "# EOF",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn openmetrics_is_served_when_accepted() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert!(is_wanted(prometheus));
        assert!(is_wanted("text/plain, Application/OpenMetrics-Text ; q=0.3"));
        for other in ["", "*/*", "text/plain;version=0.0.4", "application/openmetrics-text;q=0"] {
            assert!(!is_wanted(other), "{other}");
        }
    }
}
