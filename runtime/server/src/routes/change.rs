//! Changes of the model that a POST asks for, once under its key.

use axum::response::Response;
use crm_engine::receipt::RequestKey;
use crm_model::Model;
use crm_model::overlay::ModelChange;

use crate::app::App;
use crate::auth::Caller;
use crate::once::{Answer, once, receipt_of};
use crate::problem::Problem;

/// Changes the model; `answer` tells of the model after it.
pub(crate) async fn change_once(
    app: &App,
    caller: &Caller,
    key: Option<RequestKey>,
    change: ModelChange,
    answer: impl Fn(&Model) -> Answer + Clone + Send + Sync + 'static,
) -> Result<Response, Problem> {
    once(app, caller, key, async |key| {
        let receipt = receipt_of(key, answer.clone());
        let actor = caller.actor.clone();
        let model = app
            .engine
            .model_change(caller.tenant, actor, change, receipt);
        Ok(answer(&*model.await?))
    })
    .await
}
