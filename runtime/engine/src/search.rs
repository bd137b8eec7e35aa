//! Search across modules: records that have all the words, the last one as far as it is typed.
//! Only modules that the caller may read are looked in.

use crm_model::limits::{SEARCH_MAX_CHARACTERS, SEARCH_MAX_WORDS};
use crm_model::sight::Sight;
use crm_model::{Actor, Model, Module, ModuleSlug, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::records::Record;
use crm_store::search::{Hit, Wanted};
use std::collections::HashMap;

use crate::reach::Reading;
use crate::read::{Page, PageRequest, readable};
use crate::{Engine, EngineError};

/// Hits that are looked at again at once.
const RECHECK_RECORDS: u32 = 500;

/// A record that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What names it to people.
    pub title: Option<String>,
    pub record: Record,
    /// How well it fits: more is better.
    pub score: i64,
}

/// A page of what was found.
#[derive(Clone, Debug)]
pub struct SearchPage {
    pub page: Page<Found>,
    /// For the next page.
    pub last: Option<SearchPlace>,
    /// Otherwise the words are so common that there may be more.
    pub complete: bool,
}

/// A place in what was found: after this hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPlace(Hit);

/// A text that is no [`SearchPlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no place in what was found")]
pub struct SearchPlaceError;

impl std::fmt::Display for SearchPlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0.score, self.0.record)
    }
}

impl std::str::FromStr for SearchPlace {
    type Err = SearchPlaceError;

    fn from_str(text: &str) -> Result<Self, SearchPlaceError> {
        let parsed = text.split_once('.').and_then(|(score, record)| {
            Some(Hit {
                score: score.parse().ok()?,
                record: record.parse().ok()?,
            })
        });
        parsed.map(Self).ok_or(SearchPlaceError)
    }
}

impl Engine {
    /// Finds records by their words: those of which more words fit first, then the newest.
    /// `modules` are names, none for all that the caller may read.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the text is empty, too long or without a word, or there is
    /// no such module for the caller.
    pub async fn search(
        &self,
        tenant: TenantId,
        actor: &Actor,
        text: &str,
        modules: Option<&[&str]>,
        page: PageRequest<SearchPlace>,
    ) -> Result<SearchPage, EngineError> {
        let (mut tx, model) = self.begin_across(tenant).await?;
        let mut violations = Violations::default();
        check_text(&mut violations, text);
        let modules = chosen(&mut violations, readable(&model, actor), modules);
        violations.into_result().map_err(EngineError::invalid)?;

        let (words, last) = split(text);
        let settings = model.settings();
        let mut wanted = crm_store::search::words_reduce(&mut tx, settings, words, last).await?;
        if last.contains('@') {
            // Half an e-mail address is none yet for the text search, and would fall to pieces.
            wanted.beginnings = vec![last.to_lowercase()];
        }
        if wanted.words.is_empty() && wanted.beginnings.is_empty() {
            let message = "holds no word to look for: use letters or digits";
            return Err(EngineError::invalid(Violations::one(
                "/q", "words", message,
            )));
        }
        let after = page.before.map(|place| place.0);
        let look = Look {
            model: &model,
            reader: actor,
            modules: &modules,
            wanted: &wanted,
            reading: Reading::new(&model, actor),
        };
        let (hits, complete) = look.hits(&mut tx, after, page.limit).await?;
        let rows = Page::cut(hits, page.limit);
        let ids: Vec<_> = rows.rows.iter().map(|hit| hit.record).collect();
        let records = crm_store::records::records_read(&mut tx, &ids).await?;
        Ok(SearchPage {
            last: rows.rows.last().copied().map(SearchPlace),
            complete,
            page: Page {
                rows: found(&model, actor, &rows.rows, records),
                more: rows.more,
                total: None,
            },
        })
    }
}

/// What is looked for, where, and for whom.
struct Look<'a> {
    model: &'a Model,
    reader: &'a Actor,
    modules: &'a [ModuleSlug],
    wanted: &'a Wanted,
    reading: Reading,
}

impl Look<'_> {
    /// The hits of a page and one more; and whether all records were looked at. The index of
    /// words does not know which field a word stands in, so where the reader does not see all
    /// searchable fields or not all records, hits are looked at again, until the page is full: that
    /// it is not says nothing of what they may not see.
    async fn hits(
        &self,
        tx: &mut TenantTx,
        mut after: Option<Hit>,
        limit: u32,
    ) -> Result<(Vec<Hit>, bool), EngineError> {
        let limits = |slug| {
            let module = self.model.module(slug);
            module.is_some_and(|module| self.sight(module).limits_search())
        };
        let (modules, wanted) = (self.modules, self.wanted);
        if !modules.iter().any(limits) && !self.reading.limits(modules) {
            let hits = crm_store::search::records_rank(tx, modules, wanted, after, limit + 1);
            let hits = hits.await?;
            return Ok((hits.rows, hits.complete));
        }
        let mut seen = Vec::new();
        let mut complete = true;
        while seen.len() <= usize::try_from(limit).unwrap_or(usize::MAX) {
            let at_once = RECHECK_RECORDS;
            let hits = crm_store::search::records_rank(tx, modules, wanted, after, at_once).await?;
            complete &= hits.complete;
            let Some(last) = hits.rows.last() else {
                break;
            };
            after = Some(*last);
            seen.extend(self.recheck(tx, hits.rows).await?);
        }
        Ok((seen, complete))
    }

    async fn recheck(&self, tx: &mut TenantTx, hits: Vec<Hit>) -> Result<Vec<Hit>, EngineError> {
        let ids: Vec<_> = hits.iter().map(|hit| hit.record).collect();
        let records = crm_store::records::records_read(tx, &ids).await?;
        let there = records.iter();
        let there = there.map(|record| (record.module.clone(), record.id));
        let there = self.reading.passing(tx, there).await?;
        let texts: Vec<_> = records
            .iter()
            .filter(|record| there.contains(&record.id))
            .filter_map(|record| {
                let module = self.model.module(&record.module)?;
                Some((record.id, self.sight(module).search_text(&record.data)))
            })
            .collect();
        let settings = self.model.settings();
        let matching = crm_store::search::texts_match(tx, settings, self.wanted, &texts).await?;
        let matches = |hit: &Hit| matching.contains(&hit.record);
        Ok(hits.into_iter().filter(matches).collect())
    }

    fn sight<'m>(&'m self, module: &'m Module) -> Sight<'m> {
        self.model.sight(module, Some(self.reader))
    }
}

fn found(model: &Model, reader: &Actor, hits: &[Hit], records: Vec<Record>) -> Vec<Found> {
    let records = records.into_iter().map(|record| (record.id, record));
    let mut records: HashMap<_, _> = records.collect();
    let found = |hit: &Hit| {
        let mut record = records.remove(&hit.record)?;
        let module = model.module(&record.module)?;
        let sight = model.sight(module, Some(reader));
        record.data = sight.show(&record.data).into_owned();
        Some(Found {
            title: sight.record_title(&record.data),
            record,
            score: hit.score,
        })
    };
    hits.iter().filter_map(found).collect()
}

fn check_text(violations: &mut Violations, text: &str) {
    let pointer = || "/q".to_owned();
    if text.trim().is_empty() {
        violations.add(pointer(), "required", "say what to look for");
    }
    if text.chars().count() > SEARCH_MAX_CHARACTERS {
        let message = format!("is longer than {SEARCH_MAX_CHARACTERS} characters");
        violations.add(pointer(), "max_length", message);
    }
    if text.split_whitespace().count() > SEARCH_MAX_WORDS {
        let message = format!("has more than {SEARCH_MAX_WORDS} words");
        violations.add(pointer(), "max_words", message);
    }
    if text.contains('\0') {
        violations.add(pointer(), "characters", "holds a NUL character");
    }
}

fn chosen(
    violations: &mut Violations,
    readable: Vec<ModuleSlug>,
    names: Option<&[&str]>,
) -> Vec<ModuleSlug> {
    let Some(names) = names else { return readable };
    let unknown = |name: &&&str| !readable.iter().any(|module| module.as_str() == **name);
    for name in names.iter().filter(unknown) {
        let message = format!("there is no module “{name}”");
        violations.add("/modules".to_owned(), "module", message);
    }
    let named = |module: &ModuleSlug| names.contains(&module.as_str());
    readable.into_iter().filter(named).collect()
}

/// All words but the last, and the last.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.rsplit_once(char::is_whitespace).unwrap_or(("", text))
}
