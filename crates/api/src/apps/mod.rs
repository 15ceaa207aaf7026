//! The app contract: apps and their domains, one file per operation.
mod activate_domain;
mod add_domain;
mod app_domain;
mod create;
mod delete;
mod domain_history;
pub mod error;
mod get_domain;
mod list;
mod list_domains;
mod page;
mod read;
mod remove_domain;
#[cfg(test)]
pub(crate) mod testing;
mod verify_domain;
mod view;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use deed_http::{Contract, ContractError as _, Operation};
use deed_store::KeyScope::{DomainRead, DomainWrite};
use utoipa::OpenApi;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use self::error::AppsError;
use crate::state::AppState;

/// The contract of apps and their domains.
pub static CONTRACT: Contract = Contract {
    root: "/v1/apps",
    tag: "Apps",
    response_prefix: "App",
    error_schema: "ErrorResponse",
    invalid: StatusCode::UNPROCESSABLE_ENTITY,
    response: |error, request| AppsError::from(error).response(request),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        create::create_app,
        list::list_apps,
        read::get_app,
        delete::delete_app,
        add_domain::add_domain,
        list_domains::list_domains,
        verify_domain::verify_domain,
        get_domain::get_domain,
        domain_history::domain_history,
        activate_domain::activate_domain,
        remove_domain::remove_domain,
    ),
    components(schemas(
        error::ErrorResponse,
        error::ErrorDetail,
        error::ValidationError,
        error::LocationStep
    ))
)]
struct Documented;

/// The schemas of this contract, by name.
pub fn schemas() -> BTreeMap<String, RefOr<Schema>> {
    Documented::openapi().components.map(|components| components.schemas).unwrap_or_default()
}

/// All operations of the app contract.
pub fn operations() -> Vec<Operation<AppState>> {
    vec![
        Operation::new(&CONTRACT, create::__path_create_app, DomainWrite, create::create_app),
        Operation::new(&CONTRACT, list::__path_list_apps, DomainRead, list::list_apps),
        Operation::new(&CONTRACT, read::__path_get_app, DomainRead, read::get_app).without_position(),
        Operation::new(&CONTRACT, delete::__path_delete_app, DomainWrite, delete::delete_app),
        Operation::new(&CONTRACT, add_domain::__path_add_domain, DomainWrite, add_domain::add_domain),
        Operation::new(&CONTRACT, list_domains::__path_list_domains, DomainRead, list_domains::list_domains),
        Operation::new(
            &CONTRACT,
            verify_domain::__path_verify_domain,
            DomainWrite,
            verify_domain::verify_domain,
        )
        .without_replay(),
        Operation::new(&CONTRACT, get_domain::__path_get_domain, DomainRead, get_domain::get_domain),
        Operation::new(
            &CONTRACT,
            domain_history::__path_domain_history,
            DomainRead,
            domain_history::domain_history,
        ),
        Operation::new(
            &CONTRACT,
            activate_domain::__path_activate_domain,
            DomainWrite,
            activate_domain::activate_domain,
        ),
        Operation::new(
            &CONTRACT,
            remove_domain::__path_remove_domain,
            DomainWrite,
            remove_domain::remove_domain,
        ),
    ]
}
