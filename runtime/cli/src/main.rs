//! The binary: everything is in the library, where the tests can reach it.

fn main() -> std::process::ExitCode {
    crm_cli::run()
}
