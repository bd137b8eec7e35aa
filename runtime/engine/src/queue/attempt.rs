//! One attempt at a job, from what there is to do to the commit that ends it.

use chrono::{DateTime, Utc};
use crm_model::Lane;
use crm_store::StoreError;
use crm_store::commit::AttemptStatus;

use super::{End, Lease, Verdict};
use crate::breaker::Wait;

/// What an attempt has to do.
pub(crate) enum Ahead<A> {
    /// Nothing: it is given back untouched.
    Wait(Wait),
    /// Nothing: it is given back untouched, and has its turn where this limits it.
    LineUp(Lane),
    /// Nothing to call: it ends so.
    Rest(End),
    /// Call this.
    Act(A),
}

/// A job's run, as far as one attempt goes.
pub(crate) trait Run: Send {
    /// What it calls.
    type Act: Send + Sync;

    fn lease(&self) -> &Lease;

    fn now(&self) -> DateTime<Utc>;

    /// Whether it stands behind an earlier run of its record that has not ended. Then the job was
    /// given back untouched, until that one ends.
    ///
    /// # Errors
    /// Those of the store.
    fn is_behind(&mut self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Goes to what is to be called; a sentence, where that cannot be told.
    fn next(&mut self) -> impl Future<Output = Result<Ahead<Self::Act>, String>> + Send;

    /// Calls it, and keeps what it answered.
    fn call(&mut self, act: &Self::Act) -> impl Future<Output = Verdict> + Send;

    /// How the attempt ends where the call came out so.
    fn end(&mut self, act: &Self::Act, verdict: Verdict) -> End;

    /// Whether what was called answered with mutations.
    fn has_mutations(&self) -> bool;

    /// Takes the mutations to the door together with the end, in one commit. None: committed.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or one after which it is not known whether it was committed.
    fn apply(
        &mut self,
        act: &Self::Act,
        end: &End,
    ) -> impl Future<Output = Result<Option<Verdict>, StoreError>> + Send;

    /// Commits an end that changes no record; a word for what it means.
    ///
    /// # Errors
    /// As [`Run::apply`].
    fn record(
        &mut self,
        end: &End,
    ) -> impl Future<Output = Result<&'static str, StoreError>> + Send;

    /// Gives the job back as if nobody had taken it.
    ///
    /// # Errors
    /// Those of the store.
    fn postpone(&mut self, wait: Wait) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives the job back as if nobody had taken it, to have its turn in this lane.
    ///
    /// # Errors
    /// Those of the store.
    fn line_up(&mut self, lane: Lane) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Says in this process that a job is due.
    fn tell(&self);
}

/// Makes one attempt and writes down how it ended; a word for what that means. What the database
/// does not take now is taken up again when the lease ends.
///
/// # Errors
/// [`StoreError::LeaseLost`] where somebody else has the job by now, and others of the store.
pub(crate) async fn attempt<R: Run>(run: &mut R) -> Result<&'static str, StoreError> {
    if run.is_behind().await? {
        return Ok("behind");
    }
    let act = match run.next().await {
        Ok(Ahead::Act(act)) => act,
        Ok(Ahead::Rest(end)) => return record(run, end).await,
        Ok(Ahead::Wait(wait)) => {
            run.postpone(wait).await?;
            return Ok("postponed");
        }
        Ok(Ahead::LineUp(lane)) => {
            run.line_up(lane).await?;
            run.tell();
            return Ok("lined_up");
        }
        Err(reason) => {
            let end = End::again(run.lease(), reason, run.now());
            return record(run, end).await;
        }
    };
    let verdict = match run.lease().is_lost() {
        Some(reason) => Verdict::Never(reason),
        None => run.call(&act).await,
    };
    let mut end = run.end(&act, verdict);
    if end.status == Some(AttemptStatus::Done) && run.has_mutations() {
        match run.apply(&act, &end).await? {
            None => {
                if end.is_due_now() {
                    run.tell();
                }
                return Ok("done");
            }
            Some(refused) => end = run.end(&act, refused),
        }
    }
    record(run, end).await
}

async fn record<R: Run>(run: &mut R, end: End) -> Result<&'static str, StoreError> {
    let status = run.record(&end).await?;
    if end.is_due_now() {
        run.tell();
    }
    Ok(status)
}
