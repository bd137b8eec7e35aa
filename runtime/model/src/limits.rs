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

/// A file to import.
pub const IMPORT_FILE_MAX_BYTES: u64 = 100 << 20;
/// Columns of a file to import.
pub const IMPORT_MAX_COLUMNS: usize = 500;
/// One row of a file to import.
pub const IMPORT_ROW_MAX_BYTES: usize = 1 << 20;
/// The name of a file to import.
pub const IMPORT_FILE_NAME_MAX_CHARACTERS: usize = 255;
/// The name of a column.
pub const IMPORT_COLUMN_MAX_CHARACTERS: usize = 200;
/// What the store keeps of a file in one row.
pub const IMPORT_CHUNK_BYTES: usize = 1 << 20;
/// Rows that one step of an import writes.
pub const IMPORT_STEP_MAX_ROWS: usize = 1_000;
/// Bytes of the file that one step of an import writes, unless one row has more.
pub const IMPORT_STEP_MAX_BYTES: usize = 4 << 20;
/// Errors that an import keeps; all of them are counted.
pub const IMPORT_MAX_ERRORS: usize = 1_000;
/// The message of such an error.
pub const IMPORT_ERROR_MAX_CHARACTERS: usize = 500;
/// Rows that are looked at to tell what a column holds.
pub const IMPORT_INFERENCE_MAX_ROWS: usize = 200;
/// Values of a column that are shown after an upload.
pub const IMPORT_SAMPLE_MAX_VALUES: usize = 5;
/// Characters of such a value.
pub const IMPORT_SAMPLE_MAX_CHARACTERS: usize = 100;
/// How long a file that was uploaded can be run.
pub const IMPORT_FILE_MAX_DAYS: i64 = 7;
/// How long an upload may take.
pub const UPLOAD_MAX_SECONDS: u64 = 900;
/// Records that an export reads at a time.
pub const EXPORT_PAGE_RECORDS: u32 = 1_000;

/// Records that one step of a reindex or removal takes in hand.
pub const TASK_STEP_MAX_RECORDS: u32 = 1_000;
/// Times that a task is taken without coming a step further before it has failed.
pub const TASK_MAX_ATTEMPTS: i32 = 5;
/// Tasks that one process works on side by side.
pub const TASK_MAX_CONCURRENT: usize = 2;
/// Records that share a value, as a failed task names them.
pub const TASK_MAX_DUPLICATES: u32 = 10;
