//! The operations of both contracts, and their OpenAPI description.
use deed_http::{Contract, Contracts, Description, HttpMetrics, Operation};
use prometheus::Registry;

use crate::state::AppState;
use crate::{apps, domains};

/// The contracts with a root of their own.
static ROOTED: [&Contract; 1] = [&apps::CONTRACT];

/// Every operation of both contracts.
pub fn operations() -> Vec<Operation<AppState>> {
    let mut all = domains::operations();
    all.extend(apps::operations());
    all
}

/// What the OpenAPI description says besides the operations.
pub fn description() -> Description {
    let mut schemas = domains::schemas();
    schemas.extend(apps::schemas());
    Description {
        title: "Deed",
        summary: "Proves who controls a domain name, and moves a name between tenants when the DNS says so.",
        contracts: Contracts { rooted: &ROOTED, other: &domains::CONTRACT },
        schemas,
    }
}

/// The OpenAPI description, as indented JSON with a final newline.
pub fn openapi() -> String {
    description().json(&operations())
}

/// Registers the metrics of the HTTP interface.
///
/// # Errors
/// When they are registered already.
pub fn http_metrics(registry: &Registry) -> Result<HttpMetrics, prometheus::Error> {
    HttpMetrics::register(registry, operations().into_iter().map(|operation| operation.id))
}
