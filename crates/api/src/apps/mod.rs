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

use deed_store::KeyScope::{DomainRead, DomainWrite};

use crate::operation::Operation;

/// All operations of the app contract.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(create::__path_create_app, DomainWrite, create::create_app),
        Operation::new(list::__path_list_apps, DomainRead, list::list_apps),
        Operation::new(read::__path_get_app, DomainRead, read::get_app),
        Operation::new(delete::__path_delete_app, DomainWrite, delete::delete_app),
        Operation::new(add_domain::__path_add_domain, DomainWrite, add_domain::add_domain),
        Operation::new(list_domains::__path_list_domains, DomainRead, list_domains::list_domains),
        Operation::new(verify_domain::__path_verify_domain, DomainWrite, verify_domain::verify_domain)
            .without_replay(),
        Operation::new(get_domain::__path_get_domain, DomainRead, get_domain::get_domain),
        Operation::new(domain_history::__path_domain_history, DomainRead, domain_history::domain_history),
        Operation::new(
            activate_domain::__path_activate_domain,
            DomainWrite,
            activate_domain::activate_domain,
        ),
        Operation::new(remove_domain::__path_remove_domain, DomainWrite, remove_domain::remove_domain),
    ]
}
