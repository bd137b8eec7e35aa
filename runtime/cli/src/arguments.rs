//! The command line, and how commands end: 0 done, 1 failed, 2 wrong use.

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{code, commands, demo, say};

/// The CRM that every industry can make its own: one binary, your own PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "crm", version, propagate_version = true)]
struct Command {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The PostgreSQL to use; without it, a private one in the data directory
    #[arg(
        long,
        env = "DATABASE_URL",
        global = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,
    /// Where the private PostgreSQL, logs and caches are
    #[arg(
        long,
        env = "CRM_DATA_DIR",
        global = true,
        default_value = ".crm",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// The Redis that keeps the sessions of browsers; without it, the database does
    #[arg(
        long,
        env = "REDIS_URL",
        global = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) redis_url: Option<String>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Let the development issuer's tokens count (never on a public server)
    #[arg(
        long = "dev-issuer", env = "CRM_DEV_ISSUER", global = true, hide = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) dev_issuer: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Everything from nothing to a served demo tenant with data
    Demo(demo::DemoArguments),
    /// The host: API and workers
    Serve(Box<commands::serve::ServeArguments>),
    /// Bring the database's schema to this version, and publish the bundled components
    Migrate,
    /// Look at everything that CRM Pro needs, and say how to get what is missing
    Doctor {
        /// Where `crm serve` would listen
        #[arg(long, env = "CRM_LISTEN", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Tenants of an installation without a host OS
    #[command(subcommand)]
    Tenant(commands::tenant::TenantCommand),
    /// People who log in with a password, where `crm serve` has --local-issuer
    #[command(subcommand)]
    User(commands::user::UserCommand),
    /// A development token, alone on standard output
    Token(commands::token::TokenArguments),
    /// A CSV file to records of a module
    Import(commands::import::ImportArguments),
    /// Records of a module to a file
    Export(commands::export::ExportArguments),
    /// Components
    #[command(subcommand)]
    Plugin(commands::plugin::PluginCommand),
    /// What a sandbox starts to compile a component
    #[command(name = code::COMPILE_COMMAND, hide = true)]
    Compile(code::CompileArguments),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let command = Command::parse();
    if let Verb::Compile(arguments) = &command.verb {
        return ended(code::compile(arguments));
    }
    crm_server::tls::install();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say::error(&anyhow::Error::new(error).context("no threads to work with"));
            return ExitCode::FAILURE;
        }
    };
    let common = command.common;
    let done = runtime.block_on(async {
        match command.verb {
            Verb::Demo(arguments) => demo::demo(common, arguments).await,
            Verb::Serve(arguments) => commands::serve::serve(&common, *arguments).await,
            Verb::Migrate => commands::migrate::migrate(&common).await,
            Verb::Doctor { listen } => commands::doctor::doctor(&common, listen).await,
            Verb::Tenant(tenant) => commands::tenant::tenant(&common, tenant).await,
            Verb::User(user) => commands::user::user(&common, user).await,
            Verb::Token(arguments) => commands::token::token(&common, arguments).await,
            Verb::Import(arguments) => commands::import::import(&common, arguments).await,
            Verb::Export(arguments) => commands::export::export(&common, arguments).await,
            Verb::Plugin(plugin) => commands::plugin::plugin(&common, plugin).await,
            Verb::Compile(arguments) => code::compile(&arguments),
        }
    });
    ended(done)
}

fn ended(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
