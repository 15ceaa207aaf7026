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

use deed_store::KeyScope::{DomainRead, DomainWrite};

use crate::operation::Operation;

/// All operations of the workspace contract.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(add::__path_add_domain, DomainWrite, add::add_domain),
        Operation::new(list::__path_list_domains, DomainRead, list::list_domains),
        Operation::new(read::__path_get_domain, DomainRead, read::get_domain),
        Operation::new(delete::__path_delete_domain, DomainWrite, delete::delete_domain),
        Operation::new(verify::__path_verify_domain, DomainWrite, verify::verify_domain).without_replay(),
        Operation::new(initiate::__path_initiate_claim, DomainWrite, initiate::initiate_claim),
        Operation::new(list::__path_list_claims, DomainRead, list::list_claims),
        Operation::new(read::__path_get_claim, DomainRead, read::get_claim),
        Operation::new(delete::__path_cancel_claim, DomainWrite, delete::cancel_claim),
        Operation::new(verify::__path_verify_claim, DomainWrite, verify::verify_claim).without_replay(),
        Operation::new(history::__path_claim_history, DomainRead, history::claim_history),
        Operation::new(bulk::__path_verify_claims, DomainWrite, bulk::verify_claims).without_replay(),
    ]
}
