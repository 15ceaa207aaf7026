//! The workspace contract: domains and claims of workspaces, one file per operation or pair of operations.
mod add;
mod bulk;
mod claim_ref;
mod delete;
pub mod error;
mod history;
mod initiate;
mod list;
mod read;
mod verify;
mod view;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use deed_http::{Contract, ContractError as _, Operation};
use deed_store::KeyScope::{DomainRead, DomainWrite};
use utoipa::OpenApi;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use self::error::DomainsError;
use crate::state::AppState;

/// The contract of domains and claims of workspaces; also of everything outside both contracts.
pub static CONTRACT: Contract = Contract {
    root: "/v1/domains",
    tag: "Domains",
    response_prefix: "",
    error_schema: "ApiError",
    invalid: StatusCode::BAD_REQUEST,
    response: |error, request| DomainsError::from(error).response(request),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        add::add_domain,
        list::list_domains,
        read::get_domain,
        delete::delete_domain,
        verify::verify_domain,
        initiate::initiate_claim,
        list::list_claims,
        read::get_claim,
        delete::cancel_claim,
        verify::verify_claim,
        history::claim_history,
        bulk::verify_claims,
    ),
    components(schemas(error::ApiError))
)]
struct Documented;

/// The schemas of this contract, by name.
pub fn schemas() -> BTreeMap<String, RefOr<Schema>> {
    Documented::openapi().components.map(|components| components.schemas).unwrap_or_default()
}

/// All operations of the workspace contract.
pub fn operations() -> Vec<Operation<AppState>> {
    vec![
        Operation::new(&CONTRACT, add::__path_add_domain, DomainWrite, add::add_domain),
        Operation::new(&CONTRACT, list::__path_list_domains, DomainRead, list::list_domains)
            .without_position(),
        Operation::new(&CONTRACT, read::__path_get_domain, DomainRead, read::get_domain),
        Operation::new(&CONTRACT, delete::__path_delete_domain, DomainWrite, delete::delete_domain),
        Operation::new(&CONTRACT, verify::__path_verify_domain, DomainWrite, verify::verify_domain)
            .without_replay(),
        Operation::new(&CONTRACT, initiate::__path_initiate_claim, DomainWrite, initiate::initiate_claim),
        Operation::new(&CONTRACT, list::__path_list_claims, DomainRead, list::list_claims).without_position(),
        Operation::new(&CONTRACT, read::__path_get_claim, DomainRead, read::get_claim),
        Operation::new(&CONTRACT, delete::__path_cancel_claim, DomainWrite, delete::cancel_claim),
        Operation::new(&CONTRACT, verify::__path_verify_claim, DomainWrite, verify::verify_claim)
            .without_replay(),
        Operation::new(&CONTRACT, history::__path_claim_history, DomainRead, history::claim_history),
        Operation::new(&CONTRACT, bulk::__path_verify_claims, DomainWrite, bulk::verify_claims)
            .without_replay(),
    ]
}
