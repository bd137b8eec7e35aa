//! Plugins in languages that bring an interpreter along: the toolchain of the language makes the
//! component, and the rest is as for all others. WASI, which those toolchains import for their
//! interpreters, is replaced by traps: a plugin has no clock, no files and no network.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::BuildError;
use crate::{Built, MANIFEST_FILE, component, read, world};

/// What the SDK for JavaScript builds with: esbuild, and QuickJS in a component.
const NODE: &str = "node";
const JAVASCRIPT_SDK: &str = "crm-plugin-sdk";
/// Makes Python a component, with CPython inside.
const COMPONENTIZE_PY: &str = "componentize-py";

/// Builds the JavaScript or TypeScript plugin of a folder with a `package.json`, by the script that
/// the SDK among its packages brings.
///
/// # Errors
/// What is missing, in a sentence; the toolchain's own messages go to standard error.
pub fn javascript_build(directory: &Path) -> Result<Built, BuildError> {
    let script = Script::open(directory)?;
    let directory = absolute(directory)?;
    let sdk = |above: &Path| {
        above
            .join("node_modules")
            .join(JAVASCRIPT_SDK)
            .join("build.mjs")
    };
    let tools = directory.ancestors().find(|above| sdk(above).is_file());
    let tools = tools.ok_or_else(|| missing(JAVASCRIPT_SDK))?;
    let mut node = Command::new(NODE);
    node.arg(sdk(tools))
        .args([&directory, &script.output()])
        .env("CRM_JS_TOOLS", tools)
        .env("CRM_WIT", &script.wit);
    script.run(node, NODE)?;
    // The manifest is in it already.
    let component = script.taken()?;
    component::check_outside(&script.package, &component, &script.manifest)?;
    Ok(script.built(component))
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
    let component = component::finish(&script.package, script.taken()?, &script.manifest)?;
    Ok(script.built(component))
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
        let target = absolute(directory)?.join("target");
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

    /// What the toolchain made. Nobody should take it for the plugin, so it goes away.
    fn taken(&self) -> Result<Vec<u8>, BuildError> {
        let path = self.output();
        let made = std::fs::read(&path).map_err(|source| BuildError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let _ = std::fs::remove_file(path);
        Ok(made)
    }

    fn built(self, component: Vec<u8>) -> Built {
        Built {
            package: self.package,
            component,
            manifest: self.manifest,
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(|source| BuildError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn missing(tool: &'static str) -> BuildError {
    let get = match tool {
        COMPONENTIZE_PY => "pip install -r requirements.txt",
        _ => "npm install",
    };
    BuildError::ToolMissing { tool, get }
}
