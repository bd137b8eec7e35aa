//! What the demo prints at its end: what is there, how fast it came, what to try.

use anyhow::Result;
use crm_model::TenantId;
use crm_store::jobs::JobCounts;
use crm_store::models::Usage;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

use crate::demo::import::Imported;

pub(crate) struct Summary {
    pub(crate) url: String,
    pub(crate) tenant: TenantId,
    pub(crate) token: String,
    /// What the data is called, and how many rows it has.
    pub(crate) source: String,
    pub(crate) rows: usize,
    pub(crate) imported: Imported,
    /// From the first request of the import to the end of the last run.
    pub(crate) total: Duration,
    pub(crate) usage: Usage,
    pub(crate) jobs: JobCounts,
    pub(crate) log: PathBuf,
    pub(crate) postgres_log: Option<PathBuf>,
}

fn rate(count: usize, took: Duration) -> f64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

impl Summary {
    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json())?);
        } else {
            print!("{}", self.text());
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "url": self.url,
            "tenant": self.tenant,
            "token": self.token,
            "source": self.source,
            "source_rows": self.rows,
            "imported": self.imported.records,
            "import_seconds": self.imported.took.as_secs_f64(),
            "total_seconds": self.total.as_secs_f64(),
            "records": self.usage.records,
            "events": self.usage.events,
            "activities": self.usage.activities,
            "runs": { "done": self.jobs.done, "dead": self.jobs.dead, "open": self.jobs.open },
            "mutations": self.usage.mutations,
            "log": self.log,
            "postgres_log": self.postgres_log,
        })
    }

    fn text(&self) -> String {
        let Self {
            url,
            tenant,
            token,
            source,
            imported,
            usage,
            jobs,
            ..
        } = self;
        let came = match imported.records {
            0 => format!(
                "nothing to import: all {} rows of {source} were there",
                self.rows
            ),
            records => format!(
                "{records} records from {source} over HTTP in {:.1} s ({:.0}/s); with all their \
                 runs {:.1} s ({:.0}/s)",
                imported.took.as_secs_f64(),
                rate(records, imported.took),
                self.total.as_secs_f64(),
                rate(records, self.total),
            ),
        };
        let logs = match &self.postgres_log {
            Some(postgres) => format!("{} and {}", self.log.display(), postgres.display()),
            None => self.log.display().to_string(),
        };
        format!(
            "
Demo Jewellers (tenant {tenant}), template jewellery: modules items, customers, orders

  imported    {came}
  records     {}
  events      {}
  runs        {} done, {} dead, {} open
  mutations   {} committed by workflow runs ({} of them timeline entries)
  logs        {logs}

Try it:

  curl -s -H 'Authorization: Bearer {token}' '{url}/api/crm/records/items?limit=2'

  curl -s -X POST -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{}' {url}/api/crm/records/items

  curl -s -H 'Authorization: Bearer {token}' '{url}/api/crm/runs?limit=2'
",
            usage.records,
            usage.events,
            jobs.done,
            jobs.dead,
            jobs.open,
            usage.mutations,
            usage.activities,
            r#"{"data":{"sku":"RING-1","carat":"0.5","cut":"Ideal","price":{"amount":"1500","currency":"USD"}}}"#,
        )
    }
}
