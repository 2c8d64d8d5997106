//! A job's counters over its life, in a fixed number of points: what throughput charts are drawn from.
//!
//! Counters are kept, not rates, so thinning the points out never loses a record: the rate between any two of
//! them is exact over the time that really passed. No clock is read here.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// When.
    pub time: Timestamp,
    /// Records parsed up to then.
    pub records: u64,
    /// Decoded bytes read up to then.
    pub bytes: u64,
    /// Records that failed up to then.
    pub failed: u64,
}

/// At most [`History::MAX_POINTS`] points, from the first to the newest, about evenly apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    points: Vec<HistoryPoint>,
    newest: Option<HistoryPoint>,
    spacing_ms: i64,
    /// From and to when nothing is known, in milliseconds.
    gaps: Vec<(i64, i64)>,
    /// Points that are older than this are dropped. Without it all of the life is kept, in fewer points.
    keep_ms: Option<i64>,
}

impl History {
    /// Points that are kept: more than the columns of a wide terminal, few enough for an event.
    pub const MAX_POINTS: usize = 256;
    /// The same, to divide times by.
    #[expect(clippy::cast_possible_wrap, reason = "it is small")]
    const PARTS: i64 = Self::MAX_POINTS as i64;
    /// Gaps that are kept; the oldest go first.
    const MAX_GAPS: usize = 32;
    /// The shortest span over which a rate is a peak: over less, it says more about the clock.
    const PEAK_MS: i64 = 1000;
    /// A clock that was set back by more than this begins a new history; by less, the point is left out.
    const MAX_BACK_MS: i64 = 60_000;

    /// An empty history of the last `keep_ms` milliseconds alone: its points stay close however long a job runs.
    pub fn of_last(keep_ms: i64) -> Self {
        // Two points lie outside: one before the span, and the newest.
        let spacing_ms = keep_ms / (Self::PARTS - 2) + 1;
        Self { keep_ms: Some(keep_ms), spacing_ms, ..Self::default() }
    }

    /// The history that ends with the last of these points.
    pub fn from_points(points: &[HistoryPoint]) -> Self {
        let mut history = Self::default();
        points.iter().for_each(|point| history.push(*point));
        history
    }

    /// Adds a point of a job. What an interrupted run had parsed and not committed is parsed again: until it is made up for,
    /// the counters stand still.
    pub fn push_on(&mut self, point: HistoryPoint) {
        let (records, bytes) = self.newest.map_or((0, 0), |newest| (newest.records, newest.bytes));
        self.push(HistoryPoint {
            records: point.records.max(records),
            bytes: point.bytes.max(bytes),
            ..point
        });
    }

    /// Adds a point after an outage: what happened since the point before is not known.
    pub fn push_after_gap(&mut self, point: HistoryPoint) {
        if let Some(newest) = self.newest
            && newest.time < point.time
        {
            if self.gaps.len() == Self::MAX_GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((newest.time.as_millis(), point.time.as_millis()));
        }
        self.push_on(point);
    }

    /// Adds a point after the others.
    pub fn push(&mut self, point: HistoryPoint) {
        let Some(newest) = self.newest else {
            self.points.push(point);
            self.newest = Some(point);
            return;
        };
        let passed = point.time.as_millis().saturating_sub(newest.time.as_millis());
        if passed < -Self::MAX_BACK_MS || point.records < newest.records || point.bytes < newest.bytes {
            *self = self.keep_ms.map(Self::of_last).unwrap_or_default();
            return self.push(point);
        }
        if passed <= 0 {
            return;
        }
        self.newest = Some(point);
        let kept = self.points.last().map_or(i64::MIN, |last| last.time.as_millis());
        if point.time.as_millis().saturating_sub(kept) < self.spacing_ms {
            return;
        }
        if let Some(keep) = self.keep_ms {
            let start = point.time.as_millis().saturating_sub(keep);
            // The last point before the span stays: the first rate begins there.
            let older = self.points.partition_point(|old| old.time.as_millis() <= start).saturating_sub(1);
            self.points.drain(..older);
        } else if self.points.len() == Self::MAX_POINTS - 1 {
            self.thin_out();
        }
        self.points.push(point);
    }

    fn thin_out(&mut self) {
        let mut index = 0;
        self.points.retain(|_| {
            index += 1;
            index % 2 == 1
        });
        let span = self.span_ms();
        self.spacing_ms = (span / (Self::PARTS / 2)).max(self.spacing_ms);
    }

    /// The points from the first to the newest.
    pub fn points(&self) -> impl Iterator<Item = &HistoryPoint> {
        let last = self.points.last().map(|point| point.time);
        self.points.iter().chain(self.newest.iter().filter(move |newest| Some(newest.time) != last))
    }

    /// The first point.
    pub fn oldest(&self) -> Option<&HistoryPoint> {
        self.points.first()
    }

    /// The newest point.
    pub fn newest(&self) -> Option<&HistoryPoint> {
        self.newest.as_ref()
    }

    /// Milliseconds from the first to the newest point.
    pub fn span_ms(&self) -> i64 {
        match (self.points.first(), self.newest) {
            (Some(first), Some(newest)) => newest.time.as_millis().saturating_sub(first.time.as_millis()),
            _ => 0,
        }
    }

    /// The highest rate (a second) of a counter over a second or more, gaps left out.
    pub fn peak(&self, counter: impl Fn(&HistoryPoint) -> u64) -> f64 {
        self.peak_since(i64::MIN, counter)
    }

    /// The highest rate (a second) of a counter over a second or more that begins at this time or later.
    pub fn peak_since(&self, start_ms: i64, counter: impl Fn(&HistoryPoint) -> u64) -> f64 {
        let points: Vec<_> = self.points().skip_while(|point| point.time.as_millis() < start_ms).collect();
        let mut first = 0;
        let mut peak: f64 = 0.0;
        for point in &points {
            let passed = |from: &HistoryPoint| point.time.as_millis() - from.time.as_millis();
            // The latest point that lies far enough before.
            while points.get(first + 1).is_some_and(|next| passed(next) >= Self::PEAK_MS) {
                first += 1;
            }
            let from = points[first];
            if passed(from) >= Self::PEAK_MS && !self.is_gap(from.time.as_millis(), point.time.as_millis()) {
                let count = counter(point).saturating_sub(counter(from));
                peak = peak.max(count as f64 * 1000.0 / passed(from) as f64);
            }
        }
        peak
    }

    /// Whether part of this time is a gap.
    fn is_gap(&self, from: i64, to: i64) -> bool {
        self.gaps.iter().any(|gap| gap.0 < to && from < gap.1)
    }

    /// The rates (a second) of a counter over the whole life, in `columns` equal spans of time; NaN in a gap. Empty while
    /// there are fewer than two points.
    pub fn rates(&self, columns: usize, counter: impl Fn(&HistoryPoint) -> u64) -> Vec<f64> {
        match (self.points.first(), self.newest) {
            (Some(first), Some(last)) => {
                self.rates_between(first.time.as_millis(), last.time.as_millis(), columns, counter)
            }
            _ => Vec::new(),
        }
    }

    /// The rates (a second) of a counter between two times, in `columns` equal spans; NaN in a gap and outside of the life.
    /// Empty while there are fewer than two points.
    pub fn rates_between(
        &self,
        from_ms: i64,
        to_ms: i64,
        columns: usize,
        counter: impl Fn(&HistoryPoint) -> u64,
    ) -> Vec<f64> {
        let points: Vec<(f64, f64)> =
            self.points().map(|point| (point.time.as_millis() as f64, counter(point) as f64)).collect();
        let (start, step) = (from_ms as f64, to_ms.saturating_sub(from_ms) as f64 / columns.max(1) as f64);
        let (&[first, .., last], true) = (points.as_slice(), step > 0.0) else { return Vec::new() };
        let mut segment = 0;
        let mut value_at = |time: f64| {
            while segment + 2 < points.len() && points[segment + 1].0 < time {
                segment += 1;
            }
            let (from, to) = (points[segment], points[segment + 1]);
            let share = ((time - from.0) / (to.0 - from.0)).clamp(0.0, 1.0);
            from.1 + (to.1 - from.1) * share
        };
        let mut before = value_at(start);
        let mut rates = Vec::with_capacity(columns);
        for column in 1..=columns {
            let time = start + step * column as f64;
            let value = value_at(time);
            let middle = time - step / 2.0;
            let is_known = (first.0..=last.0).contains(&middle)
                && !self.gaps.iter().any(|gap| (gap.0..gap.1).contains(&(middle as i64)));
            rates.push(if is_known { ((value - before) * 1000.0 / step).max(0.0) } else { f64::NAN });
            before = value;
        }
        rates
    }
}

/// Counters over all of a life, and over the last minutes in closer points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    /// All of it.
    pub whole: History,
    /// The last [`Curve::LATE_MS`].
    pub late: History,
}

impl Default for Curve {
    fn default() -> Self {
        Self { whole: History::default(), late: History::of_last(Self::LATE_MS) }
    }
}

impl Curve {
    /// How long close points are kept.
    pub const LATE_MS: i64 = 300_000;

    /// The curve that ends with the last of these points.
    pub fn from_points(points: &[HistoryPoint]) -> Self {
        let mut curve = Self::default();
        points.iter().for_each(|point| curve.push(*point));
        curve
    }

    /// Adds a point after the others.
    pub fn push(&mut self, point: HistoryPoint) {
        self.whole.push(point);
        self.late.push(point);
    }

    /// See [`History::push_on`].
    pub fn push_on(&mut self, point: HistoryPoint) {
        self.whole.push_on(point);
        self.late.push_on(point);
    }

    /// See [`History::push_after_gap`].
    pub fn push_after_gap(&mut self, point: HistoryPoint) {
        self.whole.push_after_gap(point);
        self.late.push_after_gap(point);
    }

    /// The newest point.
    pub fn newest(&self) -> Option<&HistoryPoint> {
        self.whole.newest()
    }

    /// All points: those of the whole life, and from where they begin the close ones.
    pub fn points(&self) -> Vec<HistoryPoint> {
        let close = self.late.oldest().map_or(i64::MAX, |oldest| oldest.time.as_millis());
        let far = self.whole.points().filter(|point| point.time.as_millis() < close);
        far.chain(self.late.points()).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_hands_on_all_of_a_life_and_its_end_in_close_points() {
        let mut curve = Curve::default();
        for second in 0..40_000 {
            curve.push(at(second * 1000, second as u64));
        }
        let points = curve.points();
        assert!(points.len() <= 2 * History::MAX_POINTS && points.is_sorted_by(|a, b| a.time < b.time));
        assert_eq!((points[0], points.last()), (at(0, 0), Some(&at(39_999_000, 39_999))));
        let late = points.iter().filter(|point| point.time.as_millis() > 39_999_000 - Curve::LATE_MS);
        assert!(late.count() > 140);
        let copy = Curve::from_points(&points);
        assert_eq!(copy.late, curve.late);
        assert_eq!(copy.whole.oldest(), curve.whole.oldest());
    }

    fn at(millis: i64, records: u64) -> HistoryPoint {
        HistoryPoint { time: Timestamp::from_millis(millis), records, bytes: records * 10, failed: 0 }
    }

    #[test]
    fn a_long_life_keeps_its_ends_and_its_bound() {
        let mut history = History::default();
        for second in 0..100_000 {
            history.push(at(second * 1000, second as u64 * 7));
            assert!(history.points().count() <= History::MAX_POINTS);
        }
        let points: Vec<_> = history.points().copied().collect();
        assert_eq!(points.first(), Some(&at(0, 0)));
        assert_eq!(points.last(), Some(&at(99_999_000, 99_999 * 7)));
        assert!(points.len() > History::MAX_POINTS / 3);
        assert!(points.is_sorted_by(|a, b| a.time < b.time));
    }

    #[test]
    fn rates_add_up_to_what_was_counted() {
        let mut history = History::default();
        let mut records = 0;
        for step in 0..5_000_i64 {
            records += (step as u64 * 31) % 997;
            history.push(at(step * 350 + step % 7, records));
        }
        let first = history.oldest().unwrap().records;
        for columns in [1, 3, 40, 200, 1000] {
            let rates = history.rates(columns, |point| point.records);
            let seconds = history.span_ms() as f64 / 1000.0 / columns as f64;
            let sum: f64 = rates.iter().map(|rate| rate * seconds).sum();
            assert!((sum - (records - first) as f64).abs() < 1.0, "{columns}: {sum}");
        }
    }

    #[test]
    fn a_pause_shows_as_zero() {
        let mut history = History::default();
        for point in [at(0, 0), at(1000, 100), at(9000, 100), at(10_000, 200)] {
            history.push(point);
        }
        let rates = history.rates(10, |point| point.records);
        assert_eq!(rates, [100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0]);
    }

    #[test]
    fn a_window_shows_its_own_time() {
        let history = History::from_points(&[at(0, 0), at(1000, 100), at(2000, 200), at(4000, 600)]);
        let rates = |from, to, columns| history.rates_between(from, to, columns, |point| point.records);
        assert_eq!(rates(2000, 4000, 2), [200.0, 200.0]);
        let early = rates(-2000, 2000, 4);
        assert!(early[0].is_nan() && early[1].is_nan(), "nothing is known before the first point");
        assert_eq!(early[2..], [100.0, 100.0]);
        assert_eq!(rates(4000, 4000, 9), []);
        assert_eq!(history.peak_since(1500, |point| point.records), 200.0);
        assert_eq!(history.peak_since(3000, |point| point.records), 0.0);
    }

    #[test]
    fn the_last_minutes_stay_close_however_long_a_job_runs() {
        let mut history = History::of_last(60_000);
        for quarter in 0..100_000_i64 {
            history.push(at(quarter * 250, quarter as u64 * 10));
            assert!(history.points().count() <= History::MAX_POINTS);
        }
        let newest = 99_999 * 250;
        let times: Vec<i64> = history.points().map(|point| point.time.as_millis()).collect();
        assert!(times[0] <= newest - 60_000 && times[1] > newest - 61_000, "{times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 500), "{times:?}");
        let rates = history.rates_between(newest - 60_000, newest, 60, |point| point.records);
        assert!(rates.iter().all(|rate| (rate - 40.0).abs() < 0.01), "{rates:?}");
        // A counter that fell begins anew, and still keeps the last minute alone.
        history.push(at(30_000_000, 1));
        for second in 1..1000 {
            history.push(at(30_000_000 + second * 1000, second as u64));
        }
        assert!(history.span_ms() <= 62_000);
    }

    #[test]
    fn an_outage_is_a_gap() {
        let mut history = History::from_points(&[at(0, 0), at(1000, 100), at(2000, 200)]);
        history.push_after_gap(at(8000, 5000));
        history.push(at(10_000, 5200));
        let rates = history.rates(10, |point| point.records);
        let is_known: Vec<_> = rates.iter().map(|rate| !rate.is_nan()).collect();
        assert_eq!(is_known, [true, true, false, false, false, false, false, false, true, true]);
        assert_eq!((rates[0], rates[9]), (100.0, 100.0));
        assert_eq!(history.peak(|point| point.records), 100.0, "what came in the gap is no peak");
    }

    #[test]
    fn a_peak_does_not_depend_on_the_width_of_a_chart() {
        let mut history = History::default();
        let mut records = 0;
        for quarter in 0..400 {
            records += if (200..208).contains(&quarter) { 250 } else { 10 };
            history.push(at(quarter * 250, records));
        }
        // Half of the points are left out, but their counts are not.
        assert_eq!(history.peak(|point| point.records), 1000.0);
        assert_eq!(History::default().peak(|point| point.records), 0.0);
        assert_eq!(History::from_points(&[at(0, 0), at(3, 900)]).peak(|point| point.records), 0.0);
    }

    #[test]
    fn what_is_parsed_again_is_no_peak() {
        let mut history = History::from_points(&[at(0, 0), at(1000, 100)]);
        for point in [at(2000, 20), at(3000, 90), at(4000, 110)] {
            history.push_on(point);
        }
        let records: Vec<_> = history.points().map(|point| point.records).collect();
        assert_eq!(records, [0, 100, 100, 100, 110]);
    }

    #[test]
    fn thinning_keeps_every_other_point_and_doubles_the_spacing() {
        let times = |history: &History| -> Vec<i64> {
            history.points().map(|point| point.time.as_millis() / 1000).collect()
        };
        let mut history = History::default();
        let most = History::PARTS;
        (0..most - 1).for_each(|second| history.push(at(second * 1000, 0)));
        assert_eq!(times(&history), Vec::from_iter(0..most - 1), "nothing is lost below the bound");
        for second in [most, most + 1, most + 2, most + 3] {
            history.push(at(second * 1000, 0));
        }
        let mut expected = Vec::from_iter((0..=most + 2).step_by(2));
        expected.push(most + 3);
        assert_eq!(times(&history), expected, "two seconds apart, and the newest");
        assert_eq!(history.span_ms(), (most + 3) * 1000);
    }

    #[test]
    fn rates_follow_the_points_on_both_sides() {
        let history = History::from_points(&[at(500, 7), at(1500, 107), at(2500, 407)]);
        assert_eq!(history.rates(4, |point| point.records), [100.0, 100.0, 300.0, 300.0]);
        assert_eq!(history.rates(0, |point| point.records), []);
        // By rounding, the last column ends after the newest point here.
        let history = History::from_points(&[at(0, 0), at(15, 15)]);
        assert!(history.span_ms() as f64 / 29.0 * 29.0 > 15.0);
        assert_eq!(history.rates(29, |point| point.records).len(), 29);
    }

    #[test]
    fn any_counter_that_fell_and_only_a_large_step_back_start_over() {
        let first = [at(0, 0), at(100_000, 100)];
        let bytes = |point: HistoryPoint, bytes| HistoryPoint { bytes, ..point };
        let begins_anew = |point| History::from_points(&[first[0], first[1], point]).oldest() == Some(&point);
        assert!(begins_anew(bytes(at(101_000, 100), 999)));
        assert!(!begins_anew(at(101_000, 100)));
        assert!(begins_anew(at(39_999, 100)));
        assert!(!begins_anew(at(40_000, 100)));
    }

    #[test]
    fn a_restart_starts_over_and_a_small_step_back_is_left_out() {
        let mut history = History::from_points(&[at(0, 0), at(1000, 100), at(900, 150)]);
        assert_eq!(history.newest(), Some(&at(1000, 100)));
        history.push(at(2000, 5));
        assert_eq!((history.oldest(), history.newest()), (Some(&at(2000, 5)), Some(&at(2000, 5))));
        assert!(history.rates(10, |point| point.records).is_empty());
    }
}
