//! The parts of an upload: the file goes to its taker piece by piece as it comes in; the others
//! are small and kept. Never holds the file.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::http::request::Parts;
use crm_engine::import::Upload;
use crm_engine::receipt::RequestKey;
use crm_model::limits::IMPORT_FILE_MAX_BYTES;
use crm_model::{ModuleSlug, Violations};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::segment;
use crate::once::{hexadecimal, key_of};
use crate::parts::{self, part_text};
use crate::problem::{Kind, Problem};

/// A part of an upload other than the file.
const PART_MAX_BYTES: usize = 4_096;

/// Hands a file to the engine; the upload begins with it.
pub(crate) struct Taker<'a> {
    app: &'a App,
    caller: &'a Caller,
    pub(crate) upload: Option<Upload>,
}

impl<'a> Taker<'a> {
    pub(crate) fn new(app: &'a App, caller: &'a Caller) -> Self {
        Self {
            app,
            caller,
            upload: None,
        }
    }

    async fn begin(&mut self, name: &str, options: &UploadOptions) -> Result<&mut Upload, Problem> {
        let (tenant, actor) = (self.caller.tenant, self.caller.actor.clone());
        let engine = &self.app.engine;
        let begun = engine.import_upload(tenant, actor, name, options.delimiter()?);
        Ok(self.upload.insert(begun.await?))
    }
}

/// What an upload says, the file's bytes apart.
#[derive(Default)]
pub(crate) struct Form {
    module: Option<String>,
    options: Option<String>,
    file_name: Option<String>,
    /// Of the file's bytes, where the request has a key.
    digest: Option<Sha256>,
}

impl Form {
    /// A form that can be told from others.
    pub(crate) fn keyed() -> Self {
        Self {
            digest: Some(Sha256::new()),
            ..Self::default()
        }
    }

    /// Reads all parts; the module may stand before or after the file. Without a taker, the file
    /// is thrown away.
    pub(crate) async fn take(
        &mut self,
        parts: &mut Multipart,
        mut taker: Option<&mut Taker<'_>>,
    ) -> Result<(), Problem> {
        let mut options = UploadOptions::default();
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            match part.name() {
                Some("file") if self.file_name.is_none() => {
                    self.take_file(part, &options, taker.take()).await?;
                }
                Some("module") if self.module.is_none() => {
                    self.module = Some(short_text(part).await?);
                }
                Some("options") if self.options.is_none() && self.file_name.is_none() => {
                    let text = short_text(part).await?;
                    options = UploadOptions::parse(&text)?;
                    self.options = Some(text);
                }
                other => return Err(unknown_part(other.unwrap_or_default())),
            }
        }
        Ok(())
    }

    async fn take_file(
        &mut self,
        mut part: Field<'_>,
        options: &UploadOptions,
        taker: Option<&mut Taker<'_>>,
    ) -> Result<(), Problem> {
        let name = part.file_name().unwrap_or("import.csv").to_owned();
        let mut upload = match taker {
            None => None,
            Some(taker) => Some(taker.begin(&name, options).await?),
        };
        self.file_name = Some(name);
        let mut bytes = 0;
        while let Some(piece) = part.chunk().await.map_err(broken)? {
            bytes += piece.len() as u64;
            if bytes > IMPORT_FILE_MAX_BYTES {
                return Err(too_large());
            }
            if let Some(digest) = &mut self.digest {
                digest.update(&piece);
            }
            if let Some(upload) = &mut upload {
                upload.push(&piece).await?;
            }
        }
        Ok(())
    }

    /// The module that the file is for.
    pub(crate) fn module(&self) -> Result<ModuleSlug, Problem> {
        let module = self.module.as_deref();
        segment(module.ok_or_else(|| missing("module"))?)
    }

    /// The request's key. What tells it from others are its parts, because what stands between
    /// them is another at each attempt.
    pub(crate) fn key(&self, name: &str, head: &Parts) -> RequestKey {
        let file = self.digest.clone().map(|digest| digest.finalize());
        let file = file.map(|digest| hexadecimal(&digest));
        let parts = json!([self.module, self.options, self.file_name, file]);
        key_of(name.to_owned(), head, parts.to_string().as_bytes())
    }
}

/// How to read the file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadOptions {
    /// What stands between the cells: a comma, a semicolon, a tab or a bar; found unless given.
    delimiter: Option<String>,
}

impl UploadOptions {
    fn parse(text: &str) -> Result<Self, Problem> {
        serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            Problem::invalid(Violations::one("/options", "shape", message))
        })
    }

    fn delimiter(&self) -> Result<Option<u8>, Problem> {
        match self.delimiter.as_deref().map(str::as_bytes) {
            None => Ok(None),
            Some([delimiter]) => Ok(Some(*delimiter)),
            Some(_) => {
                let message = "the delimiter is one character";
                let violation = Violations::one("/options/delimiter", "enum", message);
                Err(Problem::invalid(violation))
            }
        }
    }
}

fn unknown_part(name: &str) -> Problem {
    let message = "is no part of an upload or stands in the wrong place: send `module`, \
                   `options`, then `file`";
    let pointer = format!("/{name}");
    Problem::invalid(Violations::one(&pointer, "unknown_part", message))
}

async fn short_text(part: Field<'_>) -> Result<String, Problem> {
    part_text(part, PART_MAX_BYTES, too_large).await
}

pub(crate) fn missing(part: &str) -> Problem {
    let message = format!("send the part `{part}`");
    Problem::invalid(Violations::one(&format!("/{part}"), "required", message))
}

fn too_large() -> Problem {
    let detail = format!(
        "a file has at most {IMPORT_FILE_MAX_BYTES} bytes, other parts {PART_MAX_BYTES}; split it"
    );
    Problem::detailed(Kind::TooLarge, detail)
}

fn broken(error: MultipartError) -> Problem {
    parts::broken(&error, too_large)
}
