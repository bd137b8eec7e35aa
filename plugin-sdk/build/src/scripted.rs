//! Plugins in languages that bring an interpreter along: the toolchain of the language makes the
//! component, and the rest is as for all others. WASI, which those toolchains import for their
//! interpreters, is replaced by traps: a plugin has no clock, no files and no network.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::BuildError;
use crate::{Built, MANIFEST_FILE, component, read, world};

/// Makes JavaScript a component, with QuickJS inside.
const QUICKJS: &str = "componentize-qjs";
/// Makes TypeScript JavaScript.
const ESBUILD: &str = "esbuild";
/// Makes Python a component, with CPython inside.
const COMPONENTIZE_PY: &str = "componentize-py";

/// Builds the JavaScript or TypeScript plugin of a folder with a `package.json`, whose `main` is
/// the module that exports `run`.
///
/// # Errors
/// What is missing, in a sentence; the toolchain's own messages go to standard error.
pub fn javascript_build(directory: &Path) -> Result<Built, BuildError> {
    let script = Script::open(directory)?;
    let package = read(&directory.join("package.json"))?;
    let package: Value = serde_json::from_str(&package).map_err(|error| script.bad(&error))?;
    let main = package.get("main").and_then(Value::as_str);
    let mut entry = directory.join(main.unwrap_or("index.js"));
    if entry.extension().is_some_and(|extension| extension == "ts") {
        let bundle = script.target.join("bundle.js");
        let mut esbuild = node_tool(directory, ESBUILD)?;
        esbuild
            .arg(&entry)
            .args(["--bundle", "--format=esm", "--external:crm:*"])
            .args(["--platform=neutral", "--main-fields=module,main"])
            .arg(format!("--outfile={}", bundle.display()));
        script.run(esbuild, ESBUILD)?;
        entry = bundle;
    }
    let mut quickjs = node_tool(directory, QUICKJS)?;
    quickjs
        .arg("--wit")
        .arg(&script.wit)
        .args(["--world", &script.world, "--sync", "--stub-wasi", "--js"])
        .arg(&entry)
        .arg("--module-root")
        .arg(directory)
        .arg("--output")
        .arg(script.output());
    script.run(quickjs, QUICKJS)?;
    script.finish()
}

/// Builds the Python plugin of a folder with an `app.py`, which has the class `WitWorld`.
///
/// # Errors
/// As for [`javascript_build`].
pub fn python_build(directory: &Path) -> Result<Built, BuildError> {
    let script = Script::open(directory)?;
    let environment = absolute(directory)?.join(".venv");
    let beside = environment.join("bin").join(COMPONENTIZE_PY);
    let mut python = match beside.is_file() {
        true => Command::new(beside),
        false => Command::new(COMPONENTIZE_PY),
    };
    if environment.is_dir() {
        // Where it looks for the packages that the plugin needs.
        python.env("VIRTUAL_ENV", environment);
    }
    python
        .arg("--wit-path")
        .arg(&script.wit)
        .args(["--world", &script.world, "componentize", "app"])
        .arg("--python-path")
        .arg(directory)
        .args(["--stub-wasi", "--output"])
        .arg(script.output());
    script.run(python, COMPONENTIZE_PY)?;
    script.finish()
}

/// A plugin's folder on its way to a component.
struct Script {
    package: String,
    manifest: String,
    world: String,
    target: PathBuf,
    /// The contract, with what the manifest asks for.
    wit: PathBuf,
}

impl Script {
    fn open(directory: &Path) -> Result<Self, BuildError> {
        let manifest = read(&directory.join(MANIFEST_FILE))?;
        let package = directory.display().to_string();
        let world = component::manifest_world(&package, &manifest)?;
        let value = serde_json::from_str(&manifest).unwrap_or(Value::Null);
        let target = directory.join("target");
        Ok(Self {
            wit: world::world_write(&target, &value)?,
            package,
            manifest,
            world,
            target,
        })
    }

    fn output(&self) -> PathBuf {
        self.target.join("unmarked.wasm")
    }

    fn bad(&self, error: &serde_json::Error) -> BuildError {
        BuildError::NotAComponent {
            package: self.package.clone(),
            reason: format!("package.json cannot be read: {error}"),
        }
    }

    fn run(&self, mut command: Command, tool: &'static str) -> Result<(), BuildError> {
        let output =
            command
                .stdin(Stdio::null())
                .output()
                .map_err(|source| match source.kind() {
                    std::io::ErrorKind::NotFound => missing(tool),
                    _ => BuildError::NotRun {
                        program: command.get_program().into(),
                        source,
                    },
                })?;
        if output.status.success() {
            return Ok(());
        }
        for said in [output.stdout, output.stderr] {
            eprint!("{}", String::from_utf8_lossy(&said));
        }
        Err(BuildError::ToolFailed { tool })
    }

    fn finish(self) -> Result<Built, BuildError> {
        let path = self.output();
        let made = std::fs::read(&path).map_err(|source| BuildError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let component = component::finish(&self.package, made, &self.manifest)?;
        // Nobody should take it for the plugin.
        let _ = std::fs::remove_file(path);
        Ok(Built {
            package: self.package,
            component,
            manifest: self.manifest,
        })
    }
}

/// A program that npm put beside the plugin, or above it in a workspace.
fn node_tool(directory: &Path, tool: &'static str) -> Result<Command, BuildError> {
    let directory = absolute(directory)?;
    directory
        .ancestors()
        .map(|above| above.join("node_modules/.bin").join(tool))
        .find(|path| path.exists())
        .map(Command::new)
        .ok_or_else(|| missing(tool))
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(|source| BuildError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn missing(tool: &'static str) -> BuildError {
    let get = match tool {
        COMPONENTIZE_PY => "pip install componentize-py==0.25.1",
        ESBUILD => "npm install --save-dev esbuild",
        _ => "npm install",
    };
    BuildError::ToolMissing { tool, get }
}
