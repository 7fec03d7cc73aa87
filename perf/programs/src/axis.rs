//! Axes of plots: values to places, and round numbers for ticks.
//!
//! Promises: whatever numbers come, a place is finite or there is none. Refuses: to draw.

/// A scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By powers; what is not above zero is left out.
    Log,
}

/// The largest and, on a logarithmic axis, one over the smallest number that has a place: far beyond any measurement,
/// and far within what a sum or a ratio of two can hold.
const VALUE_MAX: f64 = 1e15;

/// Whether a value has a place on such an axis.
pub fn is_usable(scale: Scale, value: f64) -> bool {
    match scale {
        Scale::Linear => value.abs() <= VALUE_MAX,
        Scale::Log => (1.0 / VALUE_MAX..=VALUE_MAX).contains(&value),
    }
}

/// The values of one axis mapped to its length.
#[derive(Debug, Clone)]
pub struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis for these values, between two places.
    pub fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let usable = values.filter(|value| is_usable(scale, *value));
        let (low, high) = usable
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match scale {
            _ if low > high => (1.0, 10.0),
            Scale::Linear => {
                (low.min(0.0), if high > low.min(0.0) { high * 1.05 } else { low.min(0.0) + 1.0 })
            }
            Scale::Log if high > low => (low / 1.2, high * 1.2),
            Scale::Log => (low / 2.0, high * 2.0),
        };
        Axis { scale, low, high, from, to }
    }

    /// An axis of a known range, which must not be empty.
    pub fn over(scale: Scale, (low, high): (f64, f64), from: f64, to: f64) -> Axis {
        Axis { scale, low, high, from, to }
    }

    /// Where a value lies; nowhere, where it is none.
    pub fn place(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            _ if !is_usable(self.scale, value) => return None,
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        Some(self.from + share * (self.to - self.from))
    }

    /// Round numbers on the axis, at most a dozen.
    pub fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        match self.scale {
            Scale::Linear => {
                let rough = (self.high - self.low) / 6.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step =
                    [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
                let step = step.unwrap_or(rough);
                let mut at = (self.low / step).ceil() * step;
                while at <= self.high && ticks.len() < 12 {
                    ticks.push(at);
                    at += step;
                }
            }
            Scale::Log => {
                // Over many decades their powers alone, and not each of them over more than a dozen.
                let decades = (self.high / self.low).log10();
                let between: &[f64] = if decades <= 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let each = 10_f64.powf((decades / 12.0).ceil().max(1.0));
                let mut power = 10_f64.powf(self.low.log10().floor());
                while power <= self.high && ticks.len() < 36 {
                    ticks.extend(between.iter().map(|times| times * power));
                    power *= each;
                }
                ticks.retain(|tick| (self.low..=self.high).contains(tick));
            }
        }
        ticks
    }
}

/// A tick's number in five letters or six: `0.005`, `20k`, `2M`, `5e-4`.
pub fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size < 1e-9 => return "0".to_owned(),
        size if !(1e-3 * 0.999..1e9).contains(&size) => return power(value),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn power(value: f64) -> String {
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        for (value, said) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.005, "0.005"),
            (0.000_5, "5e-4"),
            (0.1 + 0.2, "0.3"),
            (10.0, "10"),
            (2_500.0, "2500"),
            (20_000.0, "20k"),
            (2e6, "2M"),
            (1.5e14, "1.5e14"),
        ] {
            assert_eq!(short(value), said);
        }
    }
}
