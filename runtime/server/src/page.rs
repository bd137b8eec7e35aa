//! Lists: one shape, paged by cursor.

use crm_engine::read::{Page, PageRequest, Total};
use crm_model::Violations;
use crm_model::limits::{PAGE_DEFAULT_RECORDS, PAGE_MAX_RECORDS};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// Rows on a page: 1 to 200, 50 unless given.
    pub(crate) limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
    /// `total`: also count the whole list.
    pub(crate) include: Option<String>,
}

impl PageParameters {
    pub(crate) fn request<T: FromStr>(&self) -> Result<PageRequest<T>, Problem> {
        let mut violations = Violations::default();
        let limit = self.limit.unwrap_or(PAGE_DEFAULT_RECORDS);
        if limit == 0 || limit > PAGE_MAX_RECORDS {
            let message = format!("limit is 1 to {PAGE_MAX_RECORDS}");
            violations.add("/limit".to_owned(), "limit", message);
        }
        let before = self.cursor.as_deref().map(str::parse).transpose();
        if before.is_err() {
            let message = "take next_cursor of the page before, unchanged";
            violations.add("/cursor".to_owned(), "cursor", message);
        }
        if self
            .include
            .as_deref()
            .is_some_and(|include| include != "total")
        {
            violations.add("/include".to_owned(), "include", "the only value is total");
        }
        violations.into_result().map_err(Problem::invalid)?;
        let total = self.include.is_some();
        Ok(PageRequest {
            before: before.ok().flatten(),
            limit,
            total,
        })
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// For the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<TotalBody>,
}

/// How long the whole list is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Total)]
pub(crate) struct TotalBody {
    value: i64,
    /// Otherwise `value` is an estimate.
    exact: bool,
}

impl From<Total> for TotalBody {
    fn from(total: Total) -> Self {
        Self {
            value: total.value,
            exact: total.exact,
        }
    }
}

impl<T> List<T> {
    /// All there is.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        Self {
            data,
            next_cursor: None,
            total: None,
        }
    }

    /// A page of the engine's; the cursor is the last row's own.
    pub(crate) fn page<R>(
        page: Page<R>,
        cursor: impl Fn(&R) -> String,
        body: impl FnMut(R) -> T,
    ) -> Self {
        let next_cursor = page.rows.last().filter(|_| page.more).map(cursor);
        let total = page.total.map(TotalBody::from);
        Self {
            data: page.rows.into_iter().map(body).collect(),
            next_cursor,
            total,
        }
    }
}
