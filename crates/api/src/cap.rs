//! The cap on open claims of a workspace: counted in the read models, so a burst may pass it by a little.
use crate::call::Call;
use crate::fault::Fault;

/// Whether the caller's workspace may open one more claim; otherwise the cap that it has reached.
pub async fn reached(call: &Call) -> Result<Option<u64>, Fault> {
    let cap = call.state.caps.open_claims_per_workspace;
    let open = call.state.read_models.open_claims(&call.caller.workspace).await?;
    Ok((open >= cap).then_some(cap))
}
