//! What a tenant may use up, of what there is a limit for each, and the windows of time in which
//! it is counted. Never counts: that is the engine's.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::limits::{TENANT_COMPONENTS_MAX_BYTES, TENANT_INTERPRETERS_MAX_BYTES};

/// A thing that a tenant uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaName {
    /// Records that are not deleted.
    Records,
    /// Requests to the API in a window.
    ApiCalls,
    /// Units of fuel that plugins burn in a window; about one for each instruction.
    Fuel,
    /// Runs of workflows that wait or are under way at one time.
    Jobs,
    /// Runs of workflows that are under way at one time, on all instances together; others wait.
    Running,
    /// Bytes of the components that the tenant brought along, all versions that are kept.
    ComponentBytes,
    /// Bytes of those among them that are of the class `interpreter`; with none, nobody of the
    /// tenant may bring such a component.
    InterpreterBytes,
}

impl QuotaName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Records,
        Self::ApiCalls,
        Self::Fuel,
        Self::Jobs,
        Self::Running,
        Self::ComponentBytes,
        Self::InterpreterBytes,
    ];

    /// The name in JSON and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::ApiCalls => "api_calls",
            Self::Fuel => "fuel",
            Self::Jobs => "jobs",
            Self::Running => "running",
            Self::ComponentBytes => "component_bytes",
            Self::InterpreterBytes => "interpreter_bytes",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::ApiCalls => "requests",
            Self::Fuel => "units of fuel for plugins",
            Self::Jobs => "waiting workflow runs",
            Self::Running => "workflow runs under way",
            Self::ComponentBytes => "bytes of components of its own",
            Self::InterpreterBytes => "bytes of components of the class `interpreter`",
        }
    }
}

impl std::str::FromStr for QuotaName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|quota| quota.name() == text);
        found.ok_or_else(|| format!("“{text}” is no quota"))
    }
}

/// What tenants may use up unless something else was set for one. Where there is none, there is
/// no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaDefaults {
    pub records: Option<u64>,
    pub api_calls: Option<u64>,
    pub fuel: Option<u64>,
    pub jobs: Option<u64>,
    pub running: Option<u64>,
    pub component_bytes: Option<u64>,
    pub interpreter_bytes: Option<u64>,
    pub api_window_seconds: u32,
    pub fuel_window_seconds: u32,
}

impl Default for QuotaDefaults {
    fn default() -> Self {
        Self {
            records: None,
            api_calls: None,
            fuel: None,
            jobs: None,
            running: None,
            component_bytes: Some(TENANT_COMPONENTS_MAX_BYTES),
            interpreter_bytes: Some(TENANT_INTERPRETERS_MAX_BYTES),
            api_window_seconds: 24 * 3600,
            fuel_window_seconds: 3600,
        }
    }
}

impl QuotaDefaults {
    /// The limit of one.
    pub const fn amount(&self, quota: QuotaName) -> Option<u64> {
        match quota {
            QuotaName::Records => self.records,
            QuotaName::ApiCalls => self.api_calls,
            QuotaName::Fuel => self.fuel,
            QuotaName::Jobs => self.jobs,
            QuotaName::Running => self.running,
            QuotaName::ComponentBytes => self.component_bytes,
            QuotaName::InterpreterBytes => self.interpreter_bytes,
        }
    }

    /// How long a window lasts; none for what is counted as it stands.
    pub const fn window_seconds(&self, quota: QuotaName) -> Option<u32> {
        match quota {
            QuotaName::ApiCalls => Some(self.api_window_seconds),
            QuotaName::Fuel => Some(self.fuel_window_seconds),
            QuotaName::Records
            | QuotaName::Jobs
            | QuotaName::Running
            | QuotaName::ComponentBytes
            | QuotaName::InterpreterBytes => None,
        }
    }
}

/// When the window of a moment began: windows follow each other from 1970 on, in UTC, so a day is
/// a day and an hour an hour.
pub fn window_start(at: DateTime<Utc>, seconds: u32) -> DateTime<Utc> {
    let seconds = i64::from(seconds.max(1));
    let start = at.timestamp().div_euclid(seconds) * seconds;
    DateTime::from_timestamp(start, 0).unwrap_or(at)
}

/// When it ends, and the next one begins.
pub fn window_end(at: DateTime<Utc>, seconds: u32) -> DateTime<Utc> {
    window_start(at, seconds) + chrono::TimeDelta::seconds(i64::from(seconds.max(1)))
}

/// A quota that has nothing left, as whoever meets it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaSpent {
    pub quota: QuotaName,
    pub limit: u64,
    pub used: u64,
    /// Of what is counted in windows: how long one lasts, and when this one ends.
    pub window_seconds: Option<u32>,
    pub resets_at: Option<DateTime<Utc>>,
    /// When it may be worth another try.
    pub retry_after_seconds: u64,
}

impl std::fmt::Display for QuotaSpent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, used, .. } = self;
        if matches!(
            self.quota,
            QuotaName::ComponentBytes | QuotaName::InterpreterBytes
        ) {
            return write!(
                formatter,
                "the tenant may keep {limit} {}, and with this one it would be {used}: remove \
                 versions that nobody needs (`DELETE /plugins/{{name}}?versions=delete`), or ask \
                 whoever runs the installation for more",
                self.quota.what()
            );
        }
        write!(
            formatter,
            "the tenant's quota of {limit} {} is spent: {used} ",
            self.quota.what()
        )?;
        match self.resets_at {
            Some(at) => write!(formatter, "since its window began, which ends at {at:?}"),
            None => write!(formatter, "are there"),
        }
    }
}

/// What a tenant has used of one quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    pub quota: QuotaName,
    /// None: no limit.
    pub limit: Option<u64>,
    /// Whether the limit was set for this tenant, and is no default.
    pub overridden: bool,
    pub used: u64,
    pub window_seconds: Option<u32>,
    pub resets_at: Option<DateTime<Utc>>,
}

/// What somebody sets for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaChoice {
    /// At most so much.
    AtMost(u64),
    Unlimited,
    /// What the configuration says.
    Default,
}

impl QuotaChoice {
    /// The largest number that is kept.
    pub const MAX: u64 = i64::MAX as u64;
}

impl std::str::FromStr for QuotaChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            "default" => Ok(Self::Default),
            number => number
                .parse()
                .ok()
                .filter(|number| *number <= Self::MAX)
                .map(Self::AtMost)
                .ok_or_else(|| format!("“{text}” is no whole number, `unlimited` or `default`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn windows_are_those_of_the_clock_in_utc() {
        let moment = at("2026-03-29T13:37:11.5Z");
        assert_eq!(window_start(moment, 86_400), at("2026-03-29T00:00:00Z"));
        assert_eq!(window_end(moment, 86_400), at("2026-03-30T00:00:00Z"));
        assert_eq!(window_start(moment, 3600), at("2026-03-29T13:00:00Z"));
        let edge = at("2026-03-29T14:00:00Z");
        assert_eq!(window_end(moment, 3600), edge);
        assert_eq!(
            window_start(edge, 3600),
            edge,
            "the end belongs to the next"
        );
        assert_eq!(
            window_start(at("1969-12-31T23:59:59Z"), 3600),
            at("1969-12-31T23:00:00Z")
        );
    }

    #[test]
    fn a_choice_is_a_number_or_a_word() {
        assert_eq!("0".parse(), Ok(QuotaChoice::AtMost(0)));
        assert_eq!("unlimited".parse(), Ok(QuotaChoice::Unlimited));
        assert_eq!("default".parse(), Ok(QuotaChoice::Default));
        let most = QuotaChoice::MAX;
        assert_eq!(most.to_string().parse(), Ok(QuotaChoice::AtMost(most)));
        for bad in ["", "-1", "1.5", "none", &(most + 1).to_string()] {
            assert!(bad.parse::<QuotaChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for quota in QuotaName::ALL {
            assert_eq!(quota.name().parse(), Ok(quota));
            assert_eq!(serde_json::json!(quota), quota.name());
        }
    }
}
