//! The routes of all operations, and the responses to unknown paths and methods.
use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpRequest, web};

use crate::contract::Contracts;
use crate::docs;
use crate::openapi::Description;
use crate::operation::Operation;
use crate::pipeline;
use crate::state::SurfaceState;

/// Operations by path, and their OpenAPI description.
pub struct Routes<S> {
    contracts: Contracts,
    // Sorted so that a literal path segment is tried before `{name}` at the same place.
    by_path: Arc<BTreeMap<String, Vec<Arc<Operation<S>>>>>,
    description: web::Bytes,
}

impl<S> Clone for Routes<S> {
    fn clone(&self) -> Self {
        Self {
            contracts: self.contracts,
            by_path: self.by_path.clone(),
            description: self.description.clone(),
        }
    }
}

impl<S: SurfaceState> Routes<S> {
    /// The routes of these operations.
    pub fn new(description: &Description, operations: Vec<Operation<S>>) -> Self {
        let text = description.json(&operations).into();
        let mut by_path = BTreeMap::<String, Vec<Arc<Operation<S>>>>::new();
        for operation in operations {
            by_path.entry(operation.path.clone()).or_default().push(Arc::new(operation));
        }
        Self { contracts: description.contracts, by_path: Arc::new(by_path), description: text }
    }

    /// Registers all routes.
    pub fn configure(&self, config: &mut web::ServiceConfig, state: &Arc<S>) {
        docs::configure(config, self.contracts, state, &self.description);
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
            let allow = methods.join(", ");
            config.service(resource.default_service(pipeline::not_allowed(self.contracts, state, &allow)));
        }
        let (contracts, state) = (self.contracts, state.clone());
        config.default_service(web::to(move |req: HttpRequest| {
            let response = pipeline::unknown_route(contracts, (*state).as_ref(), &req);
            async move { response }
        }));
    }
}
