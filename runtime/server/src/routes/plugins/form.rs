//! The parts of an install: the component, or the name of one that is known; grants and
//! configuration as JSON.

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use crm_engine::plugins::{PluginInstall, PluginSource, Upload};
use crm_engine::receipt::RequestKey;
use crm_model::Violations;
use crm_model::limits::INTERPRETER_MAX_BYTES;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::once::{hexadecimal, key_name, key_of};
use crate::parts::{self, part_bytes, part_text};
use crate::problem::{Kind, Problem};

/// A part other than the component.
const PART_MAX_BYTES: usize = 64 << 10;

/// The parts of an install.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the documentation; the parts are read one by one"
)]
pub(crate) struct PluginForm {
    /// The component, as `crm plugin build` makes it.
    #[schema(value_type = Option<String>, format = Binary)]
    component: Option<Vec<u8>>,
    /// Instead of a component: the name of a plugin that is known here.
    name: Option<String>,
    /// Its version; the newest unless given.
    version: Option<String>,
    /// JSON: what it is granted, in the form of `capabilities` in plugin.json; all that it asks
    /// for unless given.
    grants: Option<String>,
    /// JSON object: its configuration.
    config: Option<String>,
    /// `true` where it takes the place of a version that is installed; what of grants and
    /// configuration is not given stays then.
    replace: Option<String>,
}

#[derive(Default)]
pub(super) struct Form {
    component: Option<Vec<u8>>,
    /// The turn at sending it.
    upload: Option<Upload>,
    name: Option<String>,
    version: Option<String>,
    grants: Option<String>,
    config: Option<String>,
    replace: Option<String>,
}

impl Form {
    /// Reads the parts. A component is read in its turn only: so many are in memory at once.
    pub(super) async fn read(
        request: Request,
        app: &App,
        caller: &Caller,
    ) -> Result<(Parts, Self), Problem> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head.clone(), body);
        let parts = Multipart::from_request(request, app).await;
        let mut parts = parts.map_err(|_| {
            Problem::detailed(
                Kind::UnsupportedMediaType,
                "send multipart/form-data with the parts `component`, `grants` and `config`",
            )
        })?;
        let mut form = Self::default();
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            let place = match name.as_str() {
                "component" if form.component.is_none() => {
                    form.upload = Some(app.engine.upload_begin(caller.tenant)?);
                    let bytes = part_bytes(part, INTERPRETER_MAX_BYTES, too_large).await?;
                    form.component = Some(bytes);
                    continue;
                }
                "name" => &mut form.name,
                "version" => &mut form.version,
                "grants" => &mut form.grants,
                "config" => &mut form.config,
                "replace" => &mut form.replace,
                _ => return Err(unknown(&name)),
            };
            if place.is_some() {
                return Err(unknown(&name));
            }
            *place = Some(part_text(part, PART_MAX_BYTES, too_large).await?);
        }
        Ok((head, form))
    }

    /// The request's key. What tells it from others are its parts.
    pub(super) fn key(&self, head: &Parts) -> Result<Option<RequestKey>, Problem> {
        let component = self.component.as_deref().map(Sha256::digest);
        let component = component.map(|digest| hexadecimal(&digest));
        let parts = json!([
            component,
            self.name,
            self.version,
            self.grants,
            self.config,
            self.replace
        ]);
        let name = key_name(&head.headers)?;
        Ok(name.map(|name| key_of(name, head, parts.to_string().as_bytes())))
    }

    pub(super) fn install(self) -> Result<PluginInstall, Problem> {
        let source = match (self.component, self.name) {
            (Some(component), None) if self.version.is_none() => PluginSource::Component(component),
            (None, Some(name)) => {
                let version = self.version.as_deref().map(|text| word("version", text));
                PluginSource::Known(word("name", &name)?, version.transpose()?)
            }
            (None, None) => {
                let message = "send the part `component`, or the `name` of a known plugin";
                return Err(wrong("/component", "required", message));
            }
            (Some(_), _) => {
                let message = "a component says its name and version itself: leave them out";
                return Err(wrong("/name", "conflict", message));
            }
        };
        let replace = self.replace.as_deref();
        let replace = replace.map(|text| {
            text.parse()
                .map_err(|_| wrong("/replace", "format", "is `true` or `false`"))
        });
        Ok(PluginInstall {
            source,
            replace: replace.transpose()?.unwrap_or_default(),
            upload: self.upload,
            grants: self
                .grants
                .as_deref()
                .map(|text| parsed("grants", text))
                .transpose()?,
            config: self
                .config
                .as_deref()
                .map(|text| parsed("config", text))
                .transpose()?,
        })
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(
    part: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|error| wrong(&format!("/{part}"), "format", &format!("{error}")))
}

fn parsed<T: DeserializeOwned>(part: &str, text: &str) -> Result<T, Problem> {
    serde_json::from_str(text)
        .map_err(|error| wrong(&format!("/{part}"), "shape", &error.to_string()))
}

fn wrong(pointer: &str, code: &str, message: &str) -> Problem {
    Problem::invalid(Violations::one(pointer, code, message))
}

fn unknown(name: &str) -> Problem {
    let message = "is no part of an install, or stands there twice: send `component`, `grants`, \
                   `config`, `replace`; or `name` and `version` instead of a component";
    wrong(&format!("/{name}"), "unknown_part", message)
}

fn too_large() -> Problem {
    let detail = format!(
        "a component has at most {INTERPRETER_MAX_BYTES} bytes, other parts {PART_MAX_BYTES}"
    );
    Problem::detailed(Kind::TooLarge, detail)
}

fn broken(error: MultipartError) -> Problem {
    parts::broken(&error, too_large)
}
