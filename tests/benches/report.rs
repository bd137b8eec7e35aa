//! What a measure found, as a line of the table and as JSON.

use serde_json::{Value, json};
use std::time::Duration;

/// What the ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// One measure: a figure of ours, the same of the reference, in the same unit.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// What the figures count, as the end of a JSON name: `creates_per_second`.
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) reference: f64,
    pub(crate) aim: Aim,
    /// Everything else that was seen, by name.
    pub(crate) details: Value,
    /// From begin to end, all preparations included.
    pub(crate) took: Duration,
}

impl Measure {
    fn ratio(&self) -> f64 {
        self.ours / self.reference
    }

    fn reached(&self) -> bool {
        match self.aim {
            Aim::AtLeast(least) => self.ratio() >= least,
            Aim::AtMost(most) => self.ratio() <= most,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let aim = match self.aim {
            Aim::AtLeast(least) => json!({ "ratio_at_least": least }),
            Aim::AtMost(most) => json!({ "ratio_at_most": most }),
        };
        json!({
            format!("ours_{}", self.unit): self.ours,
            format!("reference_{}", self.unit): self.reference,
            "ratio": self.ratio(),
            "aim": aim,
            "reached": self.reached(),
            "duration_seconds": self.took.as_secs_f64(),
            "details": self.details,
        })
    }
}

/// The measures as a table, one a line.
pub(crate) fn table(measures: &[Measure]) -> String {
    let mut lines = vec![format!(
        "{:<16} {:>12} {:>12} {:>8}  {:<18} unit",
        "measure", "ours", "reference", "ratio", "aim"
    )];
    lines.extend(measures.iter().map(|measure| {
        let aim = match measure.aim {
            Aim::AtLeast(least) => format!(">= {least}"),
            Aim::AtMost(most) => format!("<= {most}"),
        };
        let reached = if measure.reached() {
            "reached"
        } else {
            "MISSED"
        };
        format!(
            "{:<16} {:>12.1} {:>12.1} {:>8.2}  {:<18} {}",
            measure.name,
            measure.ours,
            measure.reference,
            measure.ratio(),
            format!("{aim}, {reached}"),
            measure.unit.replace('_', " ")
        )
    }));
    lines.join("\n")
}

/// What the figures were measured on.
pub(crate) fn machine() -> Value {
    json!({
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "processor": processor(),
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
    })
}

/// What of this process is in memory, where the system tells it in a file: the server's, and the
/// load generators' that run beside it.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The processor's name, where the system tells it in a file.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The middle one, or the lower of the two in the middle.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or(f64::NAN)
}
