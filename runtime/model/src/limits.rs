//! Every maximum of the product, with its unit in its name. Whoever hits one is told which.

/// A name: module, field, workflow, role, plugin, template.
pub const NAME_MAX_CHARACTERS: usize = 63;
/// A user's id, as the login gives it.
pub const USER_ID_MAX_CHARACTERS: usize = 128;
/// A label or title of a definition.
pub const LABEL_MAX_CHARACTERS: usize = 200;

/// Modules of one model.
pub const MODEL_MAX_MODULES: usize = 200;
/// Fields of one module.
pub const MODULE_MAX_FIELDS: usize = 500;
/// Workflows of one model.
pub const MODEL_MAX_WORKFLOWS: usize = 500;
/// Options of one select field.
pub const SELECT_MAX_OPTIONS: usize = 1_000;
/// Steps of one workflow. One, until runs keep their place between steps.
pub const WORKFLOW_MAX_STEPS: usize = 1;
/// A regular expression of a field's `pattern`.
pub const PATTERN_MAX_CHARACTERS: usize = 500;
/// What a field's compiled pattern may take.
pub const PATTERN_COMPILED_MAX_BYTES: usize = 1 << 20;

/// A text field, unless it says less.
pub const TEXT_MAX_CHARACTERS: u64 = 1_000;
/// A long text field, unless it says less.
pub const LONG_TEXT_MAX_CHARACTERS: u64 = 100_000;
/// An e-mail address (RFC 5321).
pub const EMAIL_MAX_CHARACTERS: u64 = 254;
/// An address on the web; what browsers surely take.
pub const URL_MAX_CHARACTERS: u64 = 2_048;
/// One part of a postal address.
pub const ADDRESS_PART_MAX_CHARACTERS: u64 = 200;
/// One part of a person's name.
pub const NAME_PART_MAX_CHARACTERS: u64 = 100;
/// The value of an option; so that it fits into a key of the typed index.
pub const OPTION_MAX_CHARACTERS: usize = 200;
/// One tag.
pub const TAG_MAX_CHARACTERS: usize = 60;
/// Tags of one field of a record.
pub const TAGS_MAX_COUNT: usize = 100;
/// Records that one field of a record points to.
pub const RELATION_MAX_RECORDS: usize = 500;
/// The value of a json field, printed without spaces.
pub const JSON_MAX_BYTES: usize = 64 << 10;
/// Lists and objects of a json field, one in the other.
pub const JSON_MAX_DEPTH: usize = 32;
/// A duration: a hundred years.
pub const DURATION_MAX_SECONDS: i64 = 3_155_760_000;
/// Decimal places of a latitude or longitude: a hundredth of a millimetre.
pub const GEO_POINT_MAX_DECIMAL_PLACES: u32 = 10;
/// The most that a rating can be.
pub const RATING_MAX_STARS: u64 = 10;
/// Digits of an auto number; as many as the counter surely has.
pub const AUTO_NUMBER_MAX_DIGITS: u32 = 18;
/// What stands before the digits of an auto number.
pub const AUTO_NUMBER_PREFIX_MAX_CHARACTERS: usize = 20;
/// Digits of a decimal, before and after the point together.
pub const DECIMAL_MAX_DIGITS: u32 = 28;
/// A value's key in the typed index; longer texts share a key where they begin alike.
pub const KEY_MAX_CHARACTERS: usize = 200;
/// A unique value as it is compared; longer ones are compared by their SHA-256.
pub const UNIQUE_KEY_MAX_BYTES: usize = 500;
/// Violations that one answer lists.
pub const VIOLATIONS_MAX_COUNT: usize = 100;
/// An activity's title.
pub const ACTIVITY_TITLE_MAX_CHARACTERS: usize = 500;
/// An activity's body.
pub const ACTIVITY_BODY_MAX_CHARACTERS: usize = 20_000;
/// How long what an activity tells of took: a week.
pub const ACTIVITY_DURATION_MAX_MINUTES: u32 = 10_080;
/// A module's own types of activities.
pub const MODULE_MAX_ACTIVITY_TYPES: usize = 50;
/// Changes of a record that its times in stages are computed from, the newest.
pub const STAGES_MAX_CHANGES: u32 = 10_000;
/// What search is asked for.
pub const SEARCH_MAX_CHARACTERS: usize = 200;
/// Words that search is asked for.
pub const SEARCH_MAX_WORDS: usize = 10;
/// Records that search ranks: the newest with a word, the first with the beginning of one.
pub const SEARCH_MAX_RECORDS: i64 = 10_000;
/// Words that search takes for what begins like the last one, each record's counted.
pub const SEARCH_MAX_BEGINNINGS: i64 = 100_000;

/// Versions that an answer to a stale write looks back over.
pub const CONFLICT_MAX_VERSIONS: u32 = 1_000;
/// Operations of one bulk request.
pub const BULK_MAX_OPERATIONS: usize = 10_000;
/// The body of a bulk request.
pub const BULK_BODY_MAX_BYTES: usize = 64 << 20;
/// Changes that are committed by one statement.
pub const COMMIT_MAX_CHANGES: usize = 1_000;
/// Records that go, or lose a reference, with one that is deleted.
pub const DELETE_MAX_FOLLOWERS: usize = 10_000;
/// Rollups upon rollups.
pub const ROLLUP_MAX_DEPTH: usize = 5;
/// An Idempotency-Key.
pub const IDEMPOTENCY_KEY_MAX_CHARACTERS: usize = 255;
/// How long the answer to an idempotent request is kept.
pub const RECEIPT_KEPT_HOURS: i64 = 24;

/// The body of a request.
pub const REQUEST_BODY_MAX_BYTES: usize = 1 << 20;
/// How long a request may take.
pub const REQUEST_MAX_SECONDS: u64 = 30;
/// Records on a page, unless the client says otherwise.
pub const PAGE_DEFAULT_RECORDS: u32 = 50;
/// Records on a page.
pub const PAGE_MAX_RECORDS: u32 = 200;
/// Up to here a total is counted exactly; above, it is a lower bound.
pub const TOTAL_EXACT_MAX_RECORDS: i64 = 100_000;

/// A published component.
pub const COMPONENT_MAX_BYTES: usize = 16 << 20;
/// Linear memory of one guest instance.
pub const GUEST_MEMORY_MAX_BYTES: usize = 64 << 20;
/// Fuel (about one unit per WebAssembly instruction) of one call.
pub const GUEST_FUEL_MAX_UNITS: u64 = 200_000_000;
/// Wall-clock time of one call.
pub const GUEST_CALL_MAX_MILLISECONDS: u64 = 1_000;
/// What one call may return, all strings together.
pub const GUEST_OUTPUT_MAX_BYTES: usize = 1 << 20;
/// What one run may write to its log; the rest is dropped.
pub const GUEST_LOG_MAX_BYTES: usize = 8 << 10;
/// Elements of a guest's tables.
pub const GUEST_TABLE_MAX_ELEMENTS: usize = 20_000;

/// Mutations of one run.
pub const RUN_MAX_MUTATIONS: usize = 100;
/// Workflow runs between what a person did and a run; one further is cut.
pub const CHAIN_MAX_DEPTH: u32 = 8;
/// Attempts at one job before it is dead.
pub const JOB_MAX_ATTEMPTS: i32 = 5;
/// Jobs that a worker leases at once.
pub const LEASE_MAX_JOBS: i32 = 50;
/// How long a worker holds a job before others may take it.
pub const LEASE_DEFAULT_SECONDS: u64 = 30;
/// Times that a write starts again because the record changed under it.
pub const WRITE_MAX_RETRIES: u32 = 5;
/// Compiled models kept in memory.
pub const MODEL_CACHE_MAX_MODELS: u64 = 10_000;
