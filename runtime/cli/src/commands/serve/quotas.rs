//! What of `crm serve` says how much tenants may use up.

use clap::Args;
use crm_engine::QuotaSettings;
use crm_model::quota::QuotaDefaults;

#[derive(Debug, Args)]
pub(super) struct QuotaArguments {
    /// Records that a tenant may have, deleted ones not counted; or off
    #[arg(
        long,
        env = "CRM_QUOTA_RECORDS",
        default_value = "off",
        value_name = "NUMBER|off"
    )]
    quota_records: NumberOrOff,
    /// Requests that a tenant may send in a window, which is a day in UTC; or off
    #[arg(
        long,
        env = "CRM_QUOTA_API_CALLS",
        default_value = "off",
        value_name = "NUMBER|off"
    )]
    quota_api_calls: NumberOrOff,
    /// Units of fuel that a tenant's plugins may burn in a window, which is an hour in UTC; or off
    #[arg(
        long,
        env = "CRM_QUOTA_FUEL",
        default_value = "off",
        value_name = "NUMBER|off"
    )]
    quota_fuel: NumberOrOff,
    /// Runs of workflows that may wait for a tenant at one time; or off
    #[arg(
        long,
        env = "CRM_QUOTA_JOBS",
        default_value = "off",
        value_name = "NUMBER|off"
    )]
    quota_jobs: NumberOrOff,
    /// Runs of workflows that may be under way for a tenant at one time, on all instances together;
    /// the same for all processes on one database; or off
    #[arg(
        long,
        env = "CRM_QUOTA_RUNNING",
        default_value = "off",
        value_name = "NUMBER|off"
    )]
    quota_running: NumberOrOff,
    /// Bytes of components that a tenant may bring along, all versions together; or off
    #[arg(
        long,
        env = "CRM_QUOTA_COMPONENT_BYTES",
        default_value_t = NumberOrOff(QuotaDefaults::default().component_bytes),
        value_name = "NUMBER|off"
    )]
    quota_component_bytes: NumberOrOff,
    /// Bytes of those of them that are of the class `interpreter`; 0 where nobody may bring one;
    /// or off
    #[arg(
        long,
        env = "CRM_QUOTA_INTERPRETER_BYTES",
        default_value_t = NumberOrOff(QuotaDefaults::default().interpreter_bytes),
        value_name = "NUMBER|off"
    )]
    quota_interpreter_bytes: NumberOrOff,
    /// How long the window of requests lasts; the same for all processes on one database
    #[arg(long, env = "CRM_QUOTA_API_WINDOW_SECONDS", value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=31 * 24 * 3600),
        default_value_t = QuotaDefaults::default().api_window_seconds)]
    quota_api_window_seconds: u32,
    /// The same for the window of fuel
    #[arg(long, env = "CRM_QUOTA_FUEL_WINDOW_SECONDS", value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=31 * 24 * 3600),
        default_value_t = QuotaDefaults::default().fuel_window_seconds)]
    quota_fuel_window_seconds: u32,
}

#[derive(Clone, Copy, Debug)]
struct NumberOrOff(Option<u64>);

impl std::fmt::Display for NumberOrOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(number) => write!(formatter, "{number}"),
            None => formatter.write_str("off"),
        }
    }
}

impl std::str::FromStr for NumberOrOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            number => match number.parse() {
                Ok(number) => Ok(Self(Some(number))),
                Err(_) => Err(format!("“{text}” is no whole number, and not off")),
            },
        }
    }
}

impl QuotaArguments {
    /// What they come to.
    pub(super) fn settings(&self) -> QuotaSettings {
        QuotaSettings {
            defaults: QuotaDefaults {
                records: self.quota_records.0,
                api_calls: self.quota_api_calls.0,
                fuel: self.quota_fuel.0,
                jobs: self.quota_jobs.0,
                running: self.quota_running.0,
                component_bytes: self.quota_component_bytes.0,
                interpreter_bytes: self.quota_interpreter_bytes.0,
                api_window_seconds: self.quota_api_window_seconds,
                fuel_window_seconds: self.quota_fuel_window_seconds,
            },
            ..QuotaSettings::default()
        }
    }
}
