//! Round numbers along a line.

/// From values to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    first: f64,
    last: f64,
}

impl Axis {
    /// `from` is at pixel `first`, and `to`, which is made larger if it is not, at `last`.
    pub(super) fn new(from: f64, to: f64, first: f64, last: f64) -> Self {
        Self { from, to: if to > from { to } else { from + 1.0 }, first, last }
    }

    /// The same with `to` at the next round number.
    pub(super) fn round(from: f64, to: f64, first: f64, last: f64) -> Self {
        let axis = Self::new(from, to, first, last);
        let step = axis.step();
        Self { to: from + ((axis.to - from) / step).ceil() * step, ..axis }
    }

    /// Where a value is; what is outside is at the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = (value.clamp(self.from, self.to) - self.from) / (self.to - self.from);
        self.first + part * (self.last - self.first)
    }

    /// The largest value.
    pub(super) fn end(&self) -> f64 {
        self.to
    }

    /// Round numbers on it, at most eleven.
    pub(super) fn marks(&self) -> Vec<f64> {
        let step = self.step();
        let begin = (self.from / step).ceil();
        (0..=10)
            .map(|number| (begin + f64::from(number)) * step)
            .take_while(|mark| *mark <= self.to)
            .collect()
    }

    /// 1, 2 or 5 times a power of ten, so that at most ten fit.
    fn step(&self) -> f64 {
        let span = self.to - self.from;
        let power = 10_f64.powf((span / 10.0).log10().floor());
        let fits = |step: &f64| span / step <= 10.0;
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(fits).unwrap_or(span)
    }
}

/// A number without needless digits.
pub(super) fn label(value: f64) -> String {
    // Steps such as 0.1 do not add up exactly.
    let rounded = (value * 1000.0).round() / 1000.0;
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let marks = |to: f64| Axis::new(0.0, to, 0.0, 100.0).marks();
        assert_eq!(marks(39.6), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0]);
        assert_eq!(marks(1.0).len(), 11);
        assert_eq!(label(marks(1.0)[3]), "0.3");
        for to in [0.003, 7.0, 123.4, 9e9, 1e300] {
            assert!((2..=11).contains(&marks(to).len()), "{to}");
        }
    }

    #[test]
    fn values_outside_stay_on_the_paper() {
        let axis = Axis::round(0.0, 37.0, 10.0, 110.0);
        assert_eq!(axis.end(), 40.0);
        assert_eq!((axis.at(-5.0), axis.at(20.0), axis.at(99.0)), (10.0, 60.0, 110.0));
        assert_eq!(Axis::new(3.0, 3.0, 0.0, 1.0).end(), 4.0, "no empty axis");
    }
}
