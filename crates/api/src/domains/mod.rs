//! The workspace contract: domains and claims of workspaces, one file per operation.
mod add;
mod bulk;
mod cancel_claim;
mod claim_page;
mod claim_ref;
mod delete_domain;
pub mod error;
mod get_claim;
mod get_domain;
mod history;
mod initiate;
mod list_claims;
mod list_domains;
mod new_claim;
mod verification;
mod verify_claim;
mod verify_domain;
mod view;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use deed_http::{Contract, Operation};
use deed_store::KeyScope::{DomainRead, DomainWrite};
use utoipa::OpenApi;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use self::error::ErrorAnswer;
use crate::state::AppState;

/// The contract of domains and claims of workspaces; also of everything outside both contracts.
pub static CONTRACT: Contract = Contract {
    root: "/v1/domains",
    tag: "Domains",
    response_prefix: "",
    error_schema: "ApiError",
    invalid: StatusCode::BAD_REQUEST,
    response: |error, request| ErrorAnswer::of_request(&error, request).response(&error),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        add::add_domain,
        list_domains::list_domains,
        get_domain::get_domain,
        delete_domain::delete_domain,
        verify_domain::verify_domain,
        initiate::initiate_claim,
        list_claims::list_claims,
        get_claim::get_claim,
        cancel_claim::cancel_claim,
        verify_claim::verify_claim,
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
        Operation::new(&CONTRACT, list_domains::__path_list_domains, DomainRead, list_domains::list_domains)
            .without_position(),
        Operation::new(&CONTRACT, get_domain::__path_get_domain, DomainRead, get_domain::get_domain),
        Operation::new(
            &CONTRACT,
            delete_domain::__path_delete_domain,
            DomainWrite,
            delete_domain::delete_domain,
        ),
        Operation::new(
            &CONTRACT,
            verify_domain::__path_verify_domain,
            DomainWrite,
            verify_domain::verify_domain,
        )
        .without_replay(),
        Operation::new(&CONTRACT, initiate::__path_initiate_claim, DomainWrite, initiate::initiate_claim),
        Operation::new(&CONTRACT, list_claims::__path_list_claims, DomainRead, list_claims::list_claims)
            .without_position(),
        Operation::new(&CONTRACT, get_claim::__path_get_claim, DomainRead, get_claim::get_claim),
        Operation::new(&CONTRACT, cancel_claim::__path_cancel_claim, DomainWrite, cancel_claim::cancel_claim),
        Operation::new(&CONTRACT, verify_claim::__path_verify_claim, DomainWrite, verify_claim::verify_claim)
            .without_replay(),
        Operation::new(&CONTRACT, history::__path_claim_history, DomainRead, history::claim_history),
        Operation::new(&CONTRACT, bulk::__path_verify_claims, DomainWrite, bulk::verify_claims)
            .without_replay(),
    ]
}
