//! The macros that make a crate a component. A guest's crate types are `["cdylib", "rlib"]`: the
//! first is the component, the second is what native tests link.

/// Exports a function as a workflow step.
///
/// The function is `fn run(event: Event<Record>, config: Config) -> Outcome`, where `Record` and
/// `Config` implement `serde::Deserialize`. What cannot be decoded fails the run with a message
/// that says what it was. Natively the macro only checks the function's type.
///
/// ```
/// use crm_plugin_sdk::{Event, Failure, Outcome};
///
/// fn run(event: Event<serde_json::Value>, _config: serde_json::Value) -> Outcome {
///     Err(Failure::skip(format!("nothing to do for {}", event.module)))
/// }
///
/// crm_plugin_sdk::export_action!(run);
/// ```
#[macro_export]
macro_rules! export_action {
    ($run:path) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::private::check($run);

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated: the component's exported symbols")]
        const _: () = {
            use $crate::bindings::action as contract;

            struct Component;

            impl contract::Guest for Component {
                fn run(
                    event: contract::Event,
                ) -> ::core::result::Result<contract::Outcome, contract::Failure> {
                    $crate::private::run($run, event)
                }
            }

            contract::export! { Component with_types_in contract }
        };
    };
}

/// Exports a template: a model made of JSON files, each read at compile time relative to the file
/// that calls the macro.
///
/// `modules` and `workflows` list files with one JSON object each, in the order in which people
/// should see them; `roles` and `installs` are files with a JSON array. The macro defines
/// `pub fn model() -> String`, which gives `{"modules": […], "workflows": […], "roles": […],
/// "installs": […]}`, and, in a guest, exports it.
///
/// After them may follow the template's hooks, in this order, each a function:
/// `before_save: fn(Change) -> Verdict`, `after_event: fn(Event<T>) -> Outcome`,
/// `migrate: fn(module: String, from_version: String, data: String) -> Result<Option<String>,
/// String>`. `plugin.json` says for which modules the host calls them.
///
/// ```text
/// crm_plugin_sdk::export_template! {
///     modules: ["../modules/patients.json", "../modules/doctors.json"],
///     workflows: ["../workflows/welcome.json"],
///     roles: "../roles.json",
///     installs: "../installs.json",
/// }
/// ```
#[macro_export]
macro_rules! export_template {
    (
        modules: [$first_module:literal $(, $module:literal)* $(,)?],
        workflows: [$($first_workflow:literal $(, $workflow:literal)* $(,)?)?],
        roles: $roles:literal,
        installs: $installs:literal
        $(, before_save: $before_save:path)?
        $(, after_event: $after_event:path)?
        $(, migrate: $migrate:path)?
        $(,)?
    ) => {
        /// The template's whole model, as JSON.
        pub fn model() -> ::std::string::String {
            ::core::concat!(
                "{\"modules\":[",
                ::core::include_str!($first_module),
                $(",", ::core::include_str!($module),)*
                "],\"workflows\":[",
                $(
                    ::core::include_str!($first_workflow),
                    $(",", ::core::include_str!($workflow),)*
                )?
                "],\"roles\":",
                ::core::include_str!($roles),
                ",\"installs\":",
                ::core::include_str!($installs),
                "}"
            )
            .to_owned()
        }

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated: the component's exported symbols")]
        const _: () = {
            use $crate::bindings::template as contract;

            struct Component;

            impl contract::Guest for Component {
                fn model() -> String {
                    model()
                }

                fn before_save(
                    change: contract::Change,
                ) -> ::core::result::Result<
                    ::core::option::Option<String>,
                    ::std::vec::Vec<contract::Objection>,
                > {
                    let hook = $crate::hook_or!($crate::private::no_before_save $(, $before_save)?);
                    $crate::private::before_save(hook, change)
                }

                fn after_event(
                    event: contract::Event,
                ) -> ::core::result::Result<contract::Outcome, contract::Failure> {
                    let hook = $crate::hook_or!($crate::private::no_after_event $(, $after_event)?);
                    $crate::private::after_event(hook, event)
                }

                fn migrate(
                    module: String,
                    from_version: String,
                    data: String,
                ) -> ::core::result::Result<::core::option::Option<String>, String> {
                    let hook = $crate::hook_or!($crate::private::no_migrate $(, $migrate)?);
                    hook(module, from_version, data)
                }
            }

            contract::export! { Component with_types_in contract }
        };
    };
}

/// The first function, unless there is a second.
#[doc(hidden)]
#[macro_export]
macro_rules! hook_or {
    ($default:path) => {
        $default
    };
    ($default:path, $hook:path) => {
        $hook
    };
}
