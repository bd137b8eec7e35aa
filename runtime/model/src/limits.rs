//! Every maximum of the product, with its unit in its name. Whoever hits one is told which.

use std::time::Duration;

/// A name: module, field, workflow, role, plugin, template.
pub const NAME_MAX_CHARACTERS: usize = 63;
/// A user's id, as the login gives it.
pub const USER_ID_MAX_CHARACTERS: usize = 128;
/// A label or title of a definition.
pub const LABEL_MAX_CHARACTERS: usize = 200;
/// What a module says of itself.
pub const DESCRIPTION_MAX_CHARACTERS: usize = 2_000;

/// Modules of one model.
pub const MODEL_MAX_MODULES: usize = 200;
/// Fields of one module.
pub const MODULE_MAX_FIELDS: usize = 500;
/// Workflows of one model.
pub const MODEL_MAX_WORKFLOWS: usize = 500;
/// Options of one select field.
pub const SELECT_MAX_OPTIONS: usize = 1_000;
/// Steps of one workflow, those inside of others too.
pub const WORKFLOW_MAX_STEPS: usize = 200;
/// Steps of a workflow inside of others.
pub const FLOW_MAX_DEPTH: usize = 8;
/// Ways of one `parallel`, and cases of one `switch`.
pub const FLOW_MAX_WAYS: usize = 20;
/// Instructions that a run goes through without anything to do, before it counts as stuck.
pub const FLOW_MAX_INSTRUCTIONS: usize = 10_000;
/// Actions that one run calls, all rounds of its loops together.
pub const RUN_MAX_STEPS: u32 = 100_000;
/// What a run keeps between its steps, as JSON text.
pub const RUN_PLACE_MAX_BYTES: usize = 256 << 10;
/// How often a run of a paused workflow looks whether it may go on; it is told when it may.
pub const PAUSED_LOOK_SECONDS: i64 = 3_600;
/// How often a run looks whether an earlier one of its record has ended; it is told when it has.
pub const LINE_LOOK_SECONDS: i64 = 3_600;
/// A run that was due so long ago, and that nobody has taken since, is stuck.
pub const STUCK_AFTER_SECONDS: u32 = 600;
/// Stuck runs that a server counts for its metrics; there may be more.
pub const STUCK_MAX_COUNTED: i64 = 10_000;
/// How often a server looks for them.
pub const STUCK_LOOK_SECONDS: u64 = 30;
/// Runs that one request retries, skips on or cancels by filter.
pub const RUNS_WORD_MAX: u32 = 500;
/// How long runs and their logs are kept, unless the operator or the tenant says otherwise.
pub const RUN_LOG_DEFAULT_DAYS: u32 = 400;
/// The least that an operator may say.
pub const RUN_LOG_MIN_DAYS: u32 = 7;
/// The most: what is older is of no month any more.
pub const RUN_LOG_MAX_DAYS: u32 = 3_650;
/// Months of the run log that are made ahead.
pub const RUN_LOG_MONTHS_AHEAD: i32 = 3;
/// Runs, and entries of their log, that are taken away in one transaction.
pub const RUN_TRIM_ROWS: i32 = 1_000;
/// How often a server takes away what is older than it is kept.
pub const RUN_TRIM_LOOK_SECONDS: u64 = 3_600;
/// Records that one request starts a workflow on.
pub const START_MAX_RECORDS: usize = 200;
/// Records that a run looks up at once for its loop.
pub const LOOP_PAGE_MAX_RECORDS: u32 = 100;
/// The first pause between two attempts at a step, where its workflow says one.
pub const STEP_PAUSE_MAX_SECONDS: u32 = 86_400;
/// Spans of business hours of one day.
pub const BUSINESS_DAY_MAX_SPANS: usize = 10;
pub const BUSINESS_MAX_HOLIDAYS: usize = 1_000;
/// Days that a run waits for what comes from outside, where its step names no deadline.
pub const AWAIT_DEFAULT_DAYS: u64 = 30;
/// Events that a run that waits for one is told of at once; those beyond are not looked at.
pub const AWAIT_MAX_EVENTS: usize = 100;
pub const APPROVAL_TITLE_MAX_CHARACTERS: usize = 200;
pub const APPROVAL_TEXT_MAX_CHARACTERS: usize = 2_000;
/// Of the word that goes with a decision.
pub const APPROVAL_COMMENT_MAX_CHARACTERS: usize = 2_000;
/// The place of a workflow that says none, so that others can go before it and after it.
pub const WORKFLOW_DEFAULT_ORDER: u32 = 100;
/// The last place of a workflow among those that one event starts.
pub const WORKFLOW_MAX_ORDER: u32 = 10_000;
/// The largest limit of how many runs of a workflow, or at a plugin, may be under way at once.
pub const CONCURRENCY_MAX: u32 = 10_000;
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
/// Rules of one module across its fields.
pub const MODULE_MAX_RULES: usize = 50;
/// Expressions of one module: conditions of fields, defaults, formulas and rules.
pub const MODULE_MAX_EXPRESSIONS: usize = 200;
/// What people read where such a rule is broken.
pub const RULE_MESSAGE_MAX_CHARACTERS: usize = 500;
/// Sets of fields of one module whose values no two records share.
pub const MODULE_MAX_UNIQUE: usize = 20;
/// Fields of one such set.
pub const UNIQUE_MAX_FIELDS: usize = 5;
/// Digits after the point of a decimal formula that does not say how many.
pub const FORMULA_DEFAULT_SCALE_DIGITS: u32 = 10;
/// A record's data, all names and texts together.
pub const RECORD_DATA_MAX_BYTES: usize = 1 << 20;
/// Lists and objects inside of each other in a field's value.
pub const RECORD_DATA_MAX_LEVELS: usize = 32;
/// Violations that one answer lists.
pub const VIOLATIONS_MAX_COUNT: usize = 100;
/// An activity's title.
pub const ACTIVITY_TITLE_MAX_CHARACTERS: usize = 500;
/// An activity's body.
pub const ACTIVITY_BODY_MAX_CHARACTERS: usize = 20_000;
/// A saved view's filter, as JSON.
pub const VIEW_FILTER_MAX_BYTES: usize = 32 << 10;
/// Columns of a saved view.
pub const VIEW_MAX_COLUMNS: usize = 200;
/// Fields that a saved view sorts by.
pub const VIEW_MAX_SORT_FIELDS: usize = 10;
/// Views that one person may keep.
pub const USER_MAX_VIEWS: i64 = 500;
/// How long what an activity tells of took: a week.
pub const ACTIVITY_DURATION_MAX_MINUTES: u32 = 10_080;
/// A module's own types of activities.
pub const MODULE_MAX_ACTIVITY_TYPES: usize = 50;
/// Changes of a record that its times in stages are computed from, the newest.
pub const STAGES_MAX_CHANGES: u32 = 10_000;
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
/// Up to here a total is counted exactly; above, it is an estimate.
pub const TOTAL_EXACT_MAX_RECORDS: i64 = 10_000;

/// Levels of and, or, not and where in one filter.
pub const FILTER_MAX_DEPTH: usize = 10;
/// Conditions of one filter.
pub const FILTER_MAX_CONDITIONS: usize = 100;
/// Values of one `in`, `not_in`, `any` or `none`.
pub const FILTER_LIST_MAX_VALUES: usize = 500;
/// A text that a condition compares with.
pub const FILTER_TEXT_MAX_CHARACTERS: usize = 1_000;
/// Relations between a module and a field that a filter names.
pub const FILTER_MAX_HOPS: usize = 2;
/// What `last_…` and `next_…` may count.
pub const FILTER_RELATIVE_MAX_COUNT: u32 = 10_000;
/// Fields that a list is sorted by.
pub const SORT_MAX_FIELDS: usize = 5;
/// The words that `q` looks for, as text.
pub const SEARCH_MAX_CHARACTERS: usize = 500;
/// Relations that one answer expands.
pub const EXPAND_MAX_RELATIONS: usize = 10;
/// Relations in a row that an answer expands.
pub const EXPAND_MAX_DEPTH: usize = 2;
/// Records shown for each expanded relation to many.
pub const EXPAND_MANY_MAX_RECORDS: usize = 50;
/// The same for all records of a page together; each gets its share.
pub const EXPAND_MANY_TOTAL_MAX_RECORDS: usize = 5_000;
/// Fields that an aggregate groups by.
pub const AGGREGATE_MAX_GROUP_FIELDS: usize = 3;
/// Metrics of one aggregate.
pub const AGGREGATE_MAX_METRICS: usize = 20;
/// Groups of one answer; the rest is cut off, and the answer says so.
pub const AGGREGATE_MAX_GROUPS: u32 = 1_000;
/// Digits after the point of an average.
pub const AVERAGE_MAX_DIGITS: i32 = 10;
/// How long one query for records may keep the database busy.
pub const QUERY_MAX_MILLISECONDS: u32 = 5_000;
/// How long one aggregate may, which may have to look at all records of a module.
pub const AGGREGATE_MAX_MILLISECONDS: u32 = 20_000;

/// A published component.
pub const COMPONENT_MAX_BYTES: usize = 2 << 20;
/// Functions of a component, all its modules together.
pub const COMPONENT_MAX_FUNCTIONS: usize = 20_000;
/// Types of a component, all its modules together.
pub const COMPONENT_MAX_TYPES: usize = 20_000;
/// Imports of a component and of the modules in it, all together.
pub const COMPONENT_MAX_IMPORTS: usize = 2_000;
/// Components and modules that a component has within it, one in the other or beside it.
pub const COMPONENT_MAX_MODULES: usize = 64;
/// Modules of a component that are instantiated. A wrapped Rust guest has three; Python's has 38.
pub const COMPONENT_MAX_INSTANCES: u32 = 64;
/// Linear memories of one component.
pub const COMPONENT_MAX_MEMORIES: u32 = 4;
/// How long a component may take to be compiled.
pub const COMPILE_MAX_MILLISECONDS: u64 = 10_000;
/// The memory that compiling a component may take.
pub const COMPILE_MEMORY_MAX_BYTES: u64 = 512 << 20;
/// Linear memory of one guest instance.
pub const GUEST_MEMORY_MAX_BYTES: usize = 32 << 20;
/// Elements of a guest's tables.
pub const GUEST_TABLE_MAX_ELEMENTS: usize = 20_000;
/// Native stack of a guest's code, about.
pub const GUEST_STACK_MAX_BYTES: usize = 512 << 10;
/// Fuel (about one unit per WebAssembly instruction) of one call.
pub const GUEST_FUEL_MAX_UNITS: u64 = 200_000_000;
/// Wall-clock time of one call of an action.
pub const GUEST_CALL_MAX_MILLISECONDS: u64 = 5_000;
/// Wall-clock time of one call of a before-save hook, for which a request waits.
pub const BEFORE_SAVE_MAX_MILLISECONDS: u64 = 50;
/// Calls of before-save hooks that hold an instance at once; further ones wait their turn.
pub const BEFORE_SAVE_MAX_CONCURRENT: u32 = 16;
/// Instances that were made for the next calls of before-save hooks and that nobody has called yet.
pub const BEFORE_SAVE_MAX_READY: u32 = 8;
/// Records of one request that a before-save hook may take too long over; it is not asked about
/// the rest.
pub const BEFORE_SAVE_MAX_TIMEOUTS: usize = 8;
/// Times that one request may change the same record where a before-save hook judges each change.
pub const BEFORE_SAVE_MAX_ROUNDS: usize = 8;
/// What one call is told at once: an event, or an answer of the host.
pub const GUEST_INPUT_MAX_BYTES: usize = 256 << 10;
/// What one call may return, all strings together.
pub const GUEST_OUTPUT_MAX_BYTES: usize = 256 << 10;
/// What a template may say of its model.
pub const TEMPLATE_MODEL_MAX_BYTES: usize = 1 << 20;
/// What one run may write to its log; the rest is dropped.
pub const GUEST_LOG_MAX_BYTES: usize = 8 << 10;

/// A published component that brings the interpreter of its language.
pub const INTERPRETER_MAX_BYTES: usize = 24 << 20;
/// Functions of such a component.
pub const INTERPRETER_MAX_FUNCTIONS: usize = 200_000;
/// Types of such a component.
pub const INTERPRETER_MAX_TYPES: usize = 200_000;
/// Imports of such a component and of the modules in it.
pub const INTERPRETER_MAX_IMPORTS: usize = 50_000;
/// How long such a component may take to be compiled.
pub const INTERPRETER_COMPILE_MAX_MILLISECONDS: u64 = 60_000;
/// The memory that compiling such a component may take.
pub const INTERPRETER_COMPILE_MEMORY_MAX_BYTES: u64 = 2 << 30;
/// Linear memory of one of its instances.
pub const INTERPRETER_MEMORY_MAX_BYTES: usize = 128 << 20;
/// Elements of its tables.
pub const INTERPRETER_TABLE_MAX_ELEMENTS: usize = 50_000;

/// Components that a tenant brought along, all versions together, unless its quota says otherwise.
pub const TENANT_COMPONENTS_MAX_BYTES: u64 = 64 << 20;
/// Those of them that bring the interpreter of their language, unless its quota says otherwise.
pub const TENANT_INTERPRETERS_MAX_BYTES: u64 = 48 << 20;
/// Components that are taken in at once; each is in memory until it is kept or refused.
pub const COMPONENT_UPLOADS_MAX_CONCURRENT: usize = 4;

/// Linear memory of one instance, whatever a plan says.
pub const PLAN_MEMORY_MAX_BYTES: usize = 256 << 20;
/// Table elements of one instance, whatever a plan says.
pub const PLAN_TABLE_MAX_ELEMENTS: usize = 50_000;
/// Fuel of one call, whatever a plan says.
pub const PLAN_FUEL_MAX_UNITS: u64 = 20_000_000_000;
/// Wall-clock time of one call of an action, whatever a plan says.
pub const PLAN_CALL_MAX_MILLISECONDS: u64 = 30_000;
/// Wall-clock time of one call of a before-save hook, whatever a plan says.
pub const PLAN_BEFORE_SAVE_MAX_MILLISECONDS: u64 = 1_000;
/// What one call may be given or return, whatever a plan says.
pub const PLAN_INPUT_OUTPUT_MAX_BYTES: usize = 1 << 20;
/// What one run may write to its log, whatever a plan says.
pub const PLAN_LOG_MAX_BYTES: usize = 64 << 10;
/// Questions that one call may ask the host, whatever a plan says.
pub const PLAN_MAX_HOST_CALLS: u32 = 1_000;
/// Effects of one run, whatever a plan says.
pub const PLAN_MAX_EFFECTS: usize = 100;
/// Mutations of one run, whatever a plan says.
pub const PLAN_MAX_MUTATIONS: usize = 200;
/// Pairs of plugin and tenant with metrics of their own, unless configured: none, because who may
/// read `/metrics` would learn which tenants there are.
pub const PLUGIN_SERIES_DEFAULT_PAIRS: usize = 0;
/// Plugins with metrics of their own.
pub const PLUGIN_SERIES_MAX_PLUGINS: usize = 200;
/// What the operator calls a plan.
pub const PLAN_NAME_MAX_CHARACTERS: usize = 60;

/// Compiled code kept in memory; what was used longest ago goes.
pub const CODE_MEMORY_MAX_BYTES: u64 = 1 << 30;
/// Compiled code kept on disk, looked at when a host starts; what was written longest ago goes.
pub const CODE_DISK_MAX_BYTES: u64 = 4 << 30;

/// Effects of one run.
pub const RUN_MAX_EFFECTS: usize = 20;
/// The name of a request, a schedule, an endpoint or a topic.
pub const EFFECT_KEY_MAX_CHARACTERS: usize = 200;
/// People whom one mail or notification goes to.
pub const EMAIL_MAX_RECIPIENTS: usize = 50;
/// Files that go with one mail.
pub const EMAIL_MAX_ATTACHMENTS: usize = 10;
/// An attachment's name.
pub const ATTACHMENT_NAME_MAX_CHARACTERS: usize = 200;
/// Attempts at one request before it is dead; webhooks and mails have those of
/// [`DELIVERY_PAUSES`].
pub const EFFECT_MAX_ATTEMPTS: i32 = 8;
/// The longest pause between two of them, unless the other side asks for more.
pub const EFFECT_PAUSE_MAX_SECONDS: u64 = 3600;
/// Effects of one tenant that are on their way at the same time.
pub const TENANT_MAX_EFFECTS_OUT: i32 = 8;
/// How long another system may take to answer a request.
pub const HTTP_MAX_SECONDS: u64 = 10;
/// The body of a request to another system.
pub const HTTP_BODY_MAX_BYTES: usize = 256 << 10;
/// Its headers, names and values, before secrets are filled in.
pub const HTTP_HEADERS_MAX_BYTES: usize = 16 << 10;
/// The same with the secrets.
pub const HTTP_FILLED_HEADERS_MAX_BYTES: usize = 64 << 10;
/// The body of an answer; half of what a run is told at once, to leave room for the record.
pub const HTTP_ANSWER_MAX_BYTES: usize = GUEST_INPUT_MAX_BYTES / 2;
/// The headers of an answer that a run is told, names and values.
pub const HTTP_ANSWER_HEADERS_MAX_BYTES: usize = 8 << 10;
/// A time that is this far away begins a new chain of runs.
pub const SCHEDULE_NEW_CHAIN_SECONDS: i64 = 60;
/// People whom one notification reaches through roles.
pub const NOTIFICATION_MAX_PEOPLE: usize = 1_000;
/// Secrets of one tenant.
pub const TENANT_MAX_SECRETS: usize = 100;
/// A secret's value: what is shorter is none, and stands in answers by chance.
pub const SECRET_MIN_BYTES: usize = 8;
/// A secret's value.
pub const SECRET_MAX_BYTES: usize = 8 << 10;
/// Hosts that one secret may be sent to.
pub const SECRET_MAX_HOSTS: usize = 20;
/// Addresses that one tenant has webhooks sent to.
pub const TENANT_MAX_WEBHOOKS: usize = 50;
/// Modules that one webhook is told of by itself.
pub const WEBHOOK_MAX_WATCHES: usize = 100;
/// How long an endpoint may take nothing before it is paused: a day.
pub const WEBHOOK_FAILING_MAX_SECONDS: i64 = 24 * 3600;
/// How long a replaced secret of a webhook signs beside the new one, unless somebody says: a day.
pub const WEBHOOK_OVERLAP_DEFAULT_SECONDS: i64 = 24 * 3600;
/// The same at most: 30 days.
pub const WEBHOOK_OVERLAP_MAX_SECONDS: i64 = 30 * 24 * 3600;
/// Messages that one request sends once more.
pub const WEBHOOK_MAX_REDELIVERED: usize = 1_000;
/// The pauses between attempts at a webhook or a mail: a day in all, as Standard Webhooks has it.
pub const DELIVERY_PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(4 * 3600),
];
/// The name that a tenant's mails are from.
pub const SENDER_NAME_MAX_CHARACTERS: usize = 100;
/// How long the code is good that confirms a sender's address: a day.
pub const SENDER_CODE_MAX_SECONDS: i64 = 24 * 3600;
/// How long somebody waits before another code is sent.
pub const SENDER_CODE_PAUSE_SECONDS: i64 = 60;
/// Events of one message about mails that came back.
pub const MAIL_FEEDBACK_MAX_EVENTS: usize = 1_000;
/// What is said of an address that no mail goes to, or of a mail that came back.
pub const MAIL_NOTE_MAX_CHARACTERS: usize = 500;
/// What is kept of the news about one mail, so many of them.
pub const MAIL_FEEDBACK_MAX_KEPT: i32 = 20;
/// Questions of one run to the host.
pub const RUN_MAX_HOST_CALLS: u32 = 100;
/// Mutations that one event leads to, through all runs.
pub const ROOT_EVENT_MAX_MUTATIONS: u32 = 200;
/// Times that a workflow may come back to the same record in one chain of runs.
pub const CHAIN_MAX_RETURNS: usize = 2;
/// Runs in a row that a plugin may spoil before it is left alone for a while.
pub const BREAKER_MAX_FAILURES: u32 = 10;
/// How long it is left alone first; each further time doubles it.
pub const BREAKER_PAUSE_SECONDS: i64 = 30;
/// How long at most.
pub const BREAKER_MAX_PAUSE_SECONDS: i64 = 600;
/// Failures of before-save hooks that each process writes down one by one, a minute and tenant; the
/// others are counted.
pub const HOOK_FAILURES_MAX_PER_MINUTE: usize = 20;
/// Failures of before-save hooks that are kept of a tenant, the newest.
pub const HOOK_FAILURES_MAX_KEPT: i64 = 1_000;
/// How often each process looks for versions of plugins that were stopped everywhere.
pub const KILL_LOOK_SECONDS: i64 = 5;
/// Events that one preview of a plugin looks at.
pub const PREVIEW_MAX_EVENTS: u32 = 50;
/// Values that a plugin keeps for a tenant.
pub const PLUGIN_STATE_MAX_KEYS: i64 = 1_000;
/// The key of such a value.
pub const PLUGIN_STATE_KEY_MAX_CHARACTERS: usize = 200;
/// Such a value, as JSON text.
pub const PLUGIN_STATE_VALUE_MAX_BYTES: usize = 64 << 10;
/// How often records are looked for whose time has come.
pub const SCHEDULE_LOOK_SECONDS: i64 = 30;
/// Days before or after a date that a workflow starts.
pub const SCHEDULE_MAX_DAYS: u32 = 3_660;
/// Minutes before or after a time that a workflow starts.
pub const SCHEDULE_MAX_MINUTES: u32 = 527_040;
/// Schedules of all tenants that are looked at in one go.
pub const SCHEDULE_MAX_DUE: i32 = 100;
/// Records of one page, of those whose time has come.
pub const SCHEDULE_PAGE_RECORDS: u32 = 200;
/// How long a schedule waits that could not be kept.
pub const SCHEDULE_PAUSE_SECONDS: i64 = 60;
/// Actions that are called when a workflow is tried.
pub const TRIAL_MAX_ACTIONS: usize = 50;
/// Records that a loop goes through when a workflow is tried.
pub const TRIAL_LOOP_MAX_RECORDS: u32 = 5;
/// Runs that go over to another version of their workflow in one statement.
pub const MOVE_PAGE_RUNS: u32 = 500;
/// What is said of a version of a workflow.
pub const WORKFLOW_NOTE_MAX_CHARACTERS: usize = 500;
/// Mutations of one run.
pub const RUN_MAX_MUTATIONS: usize = 50;
/// Workflow runs between what a person did and a run; one further is cut.
pub const CHAIN_MAX_DEPTH: u32 = 8;
/// Attempts at one step of a run that may fail, before the run is dead.
pub const JOB_MAX_ATTEMPTS: i32 = 5;
/// Attempts at one step of a run whose worker was gone before they ended, before the run counts as
/// what stops them. Workers hold jobs in hand that they have not begun, so a run may lose some
/// without any fault.
pub const JOB_MAX_LOST_ATTEMPTS: i32 = 25;
/// Jobs that a worker leases at once.
pub const LEASE_MAX_JOBS: i32 = 50;
/// How long a worker holds a job before others may take it.
pub const LEASE_DEFAULT_SECONDS: u64 = 30;
/// Times that a write starts again because the record changed under it.
pub const WRITE_MAX_RETRIES: u32 = 5;
/// Times that a write starts again because the tenant's model changed under it. Each field that is
/// added changes it twice, and a write that waits for others may meet many of them.
pub const WRITE_MAX_MODEL_CHANGES: u32 = 100;
/// Older versions of workflows that runs began on, kept compiled in memory.
pub const OLDER_WORKFLOW_CACHE_MAX: u64 = 1_000;
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
/// Roles of a tenant, the template's and its own.
pub const MODEL_MAX_ROLES: usize = 100;
/// People who have roles in a tenant beside those of the login.
pub const MODEL_MAX_MEMBERS: usize = 10_000;
/// Roles of one member.
pub const MEMBER_MAX_ROLES: usize = 20;
/// Attributes of one member.
pub const MEMBER_MAX_ATTRIBUTES: usize = 50;
/// A member's attributes as JSON.
pub const MEMBER_ATTRIBUTES_MAX_BYTES: usize = 16 << 10;
/// Teams of a tenant.
pub const MODEL_MAX_TEAMS: usize = 1_000;
/// People in one team.
pub const TEAM_MAX_MEMBERS: usize = 1_000;
/// Rules of one role for what is done to records of one module.
pub const RECORD_RULES_MAX_COUNT: usize = 10;
/// People and teams that one record is shared with.
pub const RECORD_MAX_SHARES: i64 = 100;

/// What a tenant calls an API key.
pub const API_KEY_NAME_MAX_CHARACTERS: usize = 100;
/// Modules that the scope of one API key names.
pub const API_KEY_MAX_SCOPE_MODULES: usize = 100;
/// Keys of one tenant that may be used.
pub const TENANT_MAX_API_KEYS: i64 = 200;
/// How long a replaced secret of an API key may go on: 30 days.
pub const API_KEY_OVERLAP_MAX_SECONDS: i64 = 30 * 24 * 3600;

/// How long somebody stays logged in who does nothing: two hours.
pub const SESSION_IDLE_MAX_SECONDS: i64 = 2 * 3600;
/// How long anybody stays logged in: a working day.
pub const SESSION_MAX_SECONDS: i64 = 12 * 3600;
/// Sessions of one person, in several browsers; the oldest goes.
pub const USER_MAX_SESSIONS: i32 = 20;
/// How long a login may take, from the page of the CRM to the issuer's and back.
pub const LOGIN_MAX_SECONDS: i64 = 600;
/// Where a login leads to, as a path.
pub const RETURN_TO_MAX_CHARACTERS: usize = 2_000;

/// People of one tenant who log in here.
pub const TENANT_MAX_USERS: i64 = 10_000;
/// Roles that one of them has from the login.
pub const USER_MAX_ROLES: usize = 20;
/// A person's name.
pub const USER_NAME_MAX_CHARACTERS: usize = 200;
/// How long an invitation is good for: three days.
pub const INVITATION_MAX_SECONDS: i64 = 3 * 24 * 3600;
/// As NIST SP 800-63B wants it, which asks for length and for nothing else.
pub const PASSWORD_MIN_CHARACTERS: usize = 12;
/// So that nobody has this server hash a book.
pub const PASSWORD_MAX_BYTES: usize = 512;
/// Passwords that one process hashes at the same time, in 19 MiB each.
pub const PASSWORD_MAX_CONCURRENT: usize = 4;
/// How long somebody waits for their turn at that.
pub const PASSWORD_WAIT_MAX_SECONDS: u64 = 5;
/// Attempts to log in before an account is locked.
pub const LOGIN_FREE_ATTEMPTS: i32 = 5;
/// For how long it is locked first; each further attempt doubles it.
pub const LOGIN_PAUSE_SECONDS: i32 = 30;
/// For how long at most: whoever is locked out by others gets in again.
pub const LOGIN_PAUSE_MAX_SECONDS: i32 = 900;
