//! The routes of all operations, and the responses to unknown paths and methods.
use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpRequest, web};

use crate::operation::{Contract, Operation};
use crate::state::AppState;
use crate::{apps, docs, domains, openapi, pipeline};

/// Every operation of both contracts.
pub fn operations() -> Vec<Operation> {
    let mut all = domains::operations();
    all.extend(apps::operations());
    all
}

/// Operations by path, and their OpenAPI description.
#[derive(Clone)]
pub struct Routes {
    // Sorted so that a literal path segment is tried before `{name}` at the same place.
    by_path: Arc<BTreeMap<String, Vec<Arc<Operation>>>>,
    description: web::Bytes,
}

impl Routes {
    /// The routes of every operation.
    pub fn new() -> Self {
        let operations = operations();
        let description = openapi::describe(&operations).into();
        let mut by_path = BTreeMap::<String, Vec<Arc<Operation>>>::new();
        for operation in operations {
            by_path.entry(operation.path.clone()).or_default().push(Arc::new(operation));
        }
        Self { by_path: Arc::new(by_path), description }
    }

    /// Registers all routes.
    pub fn configure(&self, config: &mut web::ServiceConfig, state: &Arc<AppState>) {
        docs::configure(config, state, &self.description);
        for (path, operations) in &*self.by_path {
            let mut resource = web::resource(path);
            for operation in operations {
                let (state, operation) = (state.clone(), operation.clone());
                let route = web::method(operation.method.clone());
                resource = resource.route(route.to(move |req: HttpRequest, payload: web::Payload| {
                    pipeline::serve(state.clone(), operation.clone(), req, payload)
                }));
            }
            let mut methods: Vec<_> = operations.iter().map(|operation| operation.method.as_str()).collect();
            methods.sort_unstable();
            config.service(resource.default_service(not_allowed(
                state,
                Contract::of(path),
                &methods.join(", "),
            )));
        }
        let state = state.clone();
        config.default_service(web::to(move |req: HttpRequest| {
            let answer = pipeline::unknown_route(state.clone(), &req);
            async move { answer }
        }));
    }
}

/// The route for methods that a path does not have.
pub fn not_allowed(state: &Arc<AppState>, contract: Contract, allow: &str) -> actix_web::Route {
    let (state, allow) = (state.clone(), allow.to_owned());
    web::to(move |req: HttpRequest| {
        let answer = pipeline::method_not_allowed(state.clone(), contract, &req, allow.clone());
        async move { answer }
    })
}
