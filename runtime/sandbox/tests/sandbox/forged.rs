//! Every forged guest is contained in the way that stands beside it, and the sandbox goes on.

use crm_forged_guests::{Contained, Forged, Guest, all, flipped};
use crm_sandbox::{NoHost, RunFailure, Sandbox, SandboxError};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::{call, sandbox, usual};

static ALL: LazyLock<Vec<Forged>> = LazyLock::new(all);

/// So long that only what hangs takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a guest ended: refused, failed, or not at all, by code.
async fn end_of(sandbox: &Sandbox, bytes: &[u8]) -> Result<Option<RunFailure>, SandboxError> {
    let plugin = sandbox.load(bytes)?;
    let report = tokio::time::timeout(
        PATIENCE,
        sandbox.run_action(&plugin, call(), Box::new(NoHost)),
    );
    Ok(report.await.expect("it hangs").outcome.err())
}

#[tokio::test]
async fn every_forged_guest_is_contained() {
    let sandbox = sandbox(usual());
    let good = sandbox.load(&Guest::default().component()).unwrap();
    let mut wrong = Vec::new();
    for guest in ALL.iter() {
        let end = end_of(&sandbox, &guest.bytes).await;
        let as_told = match (guest.contained, &end) {
            (Contained::Refused(codes), Err(error)) => codes.contains(&error.code()),
            (Contained::Failed(codes), Ok(Some(failure))) => codes.contains(&failure.code()),
            (Contained::Harmless, Ok(None)) => true,
            (Contained::Harmless, Err(error)) => error.code() == "over_limit",
            _ => false,
        };
        if !as_told {
            wrong.push(format!("{}: {:?}: {end:?}", guest.name, guest.contained));
        }
        let after = sandbox
            .run_action(&good, call(), Box::new(NoHost))
            .await
            .outcome;
        assert!(after.is_ok(), "after {}: {after:?}", guest.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn forged_guests_are_told_apart_by_their_names() {
    let names: BTreeSet<_> = ALL.iter().map(|guest| guest.name).collect();
    assert_eq!(names.len(), ALL.len());
    assert!(names.len() >= 45, "{}", names.len());
}

/// A component that is cut anywhere is refused.
#[test]
fn no_beginning_of_a_component_is_one() {
    let bytes = Guest::default().component();
    for end in (0..bytes.len()).step_by(5) {
        let error = crm_sandbox::component_inspect(&bytes[..end]);
        assert!(error.is_err(), "the first {end} bytes");
    }
}

/// A changed byte may leave a valid component; it is then another one, and runs within its limits.
#[tokio::test]
async fn changed_bytes_are_refused_or_run_within_their_limits() {
    let sandbox = Arc::new(sandbox(usual()));
    let bytes = Guest::default().component();
    let digest = crm_sandbox::Digest::of(&bytes);
    for (index, variant) in flipped(&bytes, 7, 400).enumerate() {
        if variant == bytes {
            continue;
        }
        if let Ok(plugin) = sandbox.load(&variant) {
            assert_ne!(plugin.digest(), digest, "variant {index}");
            let report = tokio::time::timeout(
                PATIENCE,
                sandbox.run_action(&plugin, call(), Box::new(NoHost)),
            );
            report.await.expect("it hangs");
        }
    }
    let plugin = sandbox.load(&bytes).unwrap();
    assert!(
        sandbox
            .run_action(&plugin, call(), Box::new(NoHost))
            .await
            .outcome
            .is_ok()
    );
}
