//! The steps of every request: request id, key, rate limit, scope, headers, body, idempotency, operation, response.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use deed_claims::name::Excerpt;
use deed_messages::TraceContext;
use deed_store::{RequestKey, StoredResponse};
use percent_encoding::percent_decode_str;
use tracing::{Instrument, Span};

use crate::auth;
use crate::body;
use crate::call::Call;
use crate::contract::{Contract, Contracts};
use crate::idempotency::{self, Admission};
use crate::metrics::{InFlight, NO_METHOD, NO_ROUTE};
use crate::operation::Operation;
use crate::query::Query;
use crate::rate_limit::RateDecision;
use crate::request_error::RequestError;
use crate::request_id::{RequestId, TRACEPARENT, X_REQUEST_ID, trace_context};
use crate::response::JsonResponse;
use crate::state::{HttpState, SurfaceState};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// One exchange of request and response, from the head of the request on.
struct Exchange<'a> {
    state: &'a HttpState,
    request: RequestId,
    span: Span,
    trace: Option<TraceContext>,
    started: Instant,
    rate: Option<RateDecision>,
    _in_flight: InFlight,
}

impl<'a> Exchange<'a> {
    /// Begins the span of a request, as a child of the caller's span if there is one.
    fn begin(state: &'a HttpState, req: &HttpRequest, operation: &str) -> Self {
        let headers = req.headers();
        let request = RequestId::of(headers, &*state.entropy);
        let in_flight = state.metrics.begin();
        // Of the highest level: a filter that passes a log line must also pass the span with its request id.
        let span = tracing::error_span!(
            "request.serve",
            otel.kind = "server",
            request_id = request.as_str(),
            operation,
            claim = tracing::field::Empty
        );
        let caller = trace_context(headers);
        if let Some(caller) = &caller {
            deed_trace::set_parent(&span, caller);
        }
        let trace = deed_trace::context_of(&span).or(caller);
        let started = Instant::now();
        Self { state, request, span, trace, started, rate: None, _in_flight: in_flight }
    }

    /// Sets the HTTP attributes of the semantic conventions, without the path: it contains customers' domains.
    fn set_http_attributes(&self, method: &'static str, route: Option<&str>) {
        if !deed_trace::is_recording(&self.span) {
            return;
        }
        deed_trace::set_attribute(&self.span, "http.request.method", method);
        deed_trace::set_attribute(&self.span, "url.scheme", "http");
        if let Some(route) = route {
            deed_trace::set_attribute(&self.span, "http.route", route.to_owned());
        }
    }

    /// Finishes the span and builds the HTTP response.
    fn respond(&self, operation: &str, response: JsonResponse) -> HttpResponse {
        self.state.metrics.record(operation, response.status, self.started.elapsed());
        let status = response.status.as_u16();
        deed_trace::set_attribute(&self.span, "http.response.status_code", i64::from(status));
        if response.status.is_server_error() {
            deed_trace::set_error(&self.span, status.to_string());
        }
        let mut http = HttpResponse::build(response.status);
        http.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        http.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        http.insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        http.insert_header((X_REQUEST_ID, self.request.as_str()));
        if let Some(trace) = &self.trace {
            http.insert_header((TRACEPARENT, trace.traceparent()));
        }
        if let Some(rate) = self.rate {
            http.insert_header((RATE_LIMIT_POLICY, self.state.limiter.policy()));
            http.insert_header((RATE_LIMIT, format!("\"key\";r={};t={}", rate.remaining, rate.reset_after)));
        }
        for (name, value) in response.headers {
            http.insert_header((name, value));
        }
        http.body(response.body)
    }

    /// The response to a request that failed before its operation.
    fn reject(&self, contract: &Contract, error: RequestError) -> JsonResponse {
        log(&error);
        (contract.response)(error, &self.request)
    }

    /// All checks that do not depend on the operation's input, in their order.
    async fn admit<S>(
        &mut self,
        state: &Arc<S>,
        operation: &Operation<S>,
        req: &HttpRequest,
        payload: &mut Payload,
    ) -> Result<Call<S>, RequestError> {
        let headers = req.headers();
        let key = auth::authenticate(self.state, headers).await?;
        let rate = self.state.limiter.acquire(&key.id, self.state.clock.now());
        self.rate = Some(rate);
        if !rate.allowed {
            return Err(RequestError::RateLimited { retry_after: rate.retry_after });
        }
        let caller = auth::authorize(key, headers, operation.scope)?;
        let idempotency = if operation.changes() { idempotency::key(headers, &caller.key.id)? } else { None };
        let params = req.match_info().iter();
        // The router leaves `/`, `+` and `%` encoded.
        let decode = |value: &str| percent_decode_str(value).decode_utf8_lossy().into_owned();
        Ok(Call {
            state: state.clone(),
            caller,
            request: self.request.clone(),
            trace: self.trace.clone(),
            params: params.map(|(name, value)| (name.to_owned(), decode(value))).collect(),
            query: Query::parse(req.query_string()),
            wait: preferred_wait(headers),
            body: body::read(payload).await?,
            other_media: body::is_other_media(headers),
            idempotency,
            replay: operation.replay,
            receipt_written: AtomicBool::new(false),
        })
    }
}

/// The method as the semantic conventions write it; unknown methods are `_OTHER`.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// Serves one request.
pub async fn serve<S: SurfaceState>(
    state: Arc<S>,
    operation: Arc<Operation<S>>,
    req: HttpRequest,
    mut payload: Payload,
) -> HttpResponse {
    let mut exchange = Exchange::begin((*state).as_ref(), &req, &operation.id);
    exchange.set_http_attributes(method(&operation.method), Some(&operation.path));
    let span = exchange.span.clone();
    let answered = async {
        match exchange.admit(&state, &operation, &req, &mut payload).await {
            Ok(call) => {
                let target = req.uri().path_and_query().map_or("/", |target| target.as_str());
                execute(operation.clone(), Arc::new(call), target).await
            }
            Err(error) => exchange.reject(operation.contract, error),
        }
    };
    let response = answered.instrument(span).await;
    exchange.respond(&operation.id, response)
}

/// Executes an admitted request; a repetition with the same idempotency key has no second effect.
async fn execute<S: SurfaceState>(
    operation: Arc<Operation<S>>,
    call: Arc<Call<S>>,
    target: &str,
) -> JsonResponse {
    let Some(request) = call.idempotency.clone() else { return run_operation(&operation, call).await };
    let body =
        if call.other_media { call.body.as_ref().into() } else { idempotency::canonical_body(&call.body) };
    let print = idempotency::fingerprint(operation.method.as_str(), target, &call.caller.workspace, &body);
    match call.http().begin_idempotent(&request, print, operation.replay).await {
        Err(error) => {
            log(&error);
            (operation.contract.response)(error, &call.request)
        }
        Ok(Admission::Replay(stored)) => replay(&call, stored).await,
        Ok(Admission::Run) => run_idempotent(operation, call, request).await,
    }
}

/// Replays a stored response. The position of its effect is not stored. The end of the log is at or after it, so a list
/// that is at least that new shows the effect.
async fn replay<S: SurfaceState>(call: &Call<S>, stored: StoredResponse) -> JsonResponse {
    let response = JsonResponse::replayed(stored);
    // The response is sent even when the position is unavailable.
    response.at(call.http().store.last_position().await.ok())
}

/// Runs an idempotent request to its end, even when the client disconnects: a repetition may be waiting for it.
async fn run_idempotent<S: SurfaceState>(
    operation: Arc<Operation<S>>,
    call: Arc<Call<S>>,
    request: RequestKey,
) -> JsonResponse {
    let (contract, request_id) = (operation.contract, call.request.clone());
    let run = async move {
        let response = run_operation(&operation, call.clone()).await;
        if !call.receipt_written.load(Ordering::Relaxed) {
            call.http().finish_idempotent(&request, &response, operation.replay).await;
        }
        response
    };
    tokio::spawn(run.in_current_span()).await.unwrap_or_else(|e| {
        let error = RequestError::internal("running an idempotent request", e);
        log(&error);
        (contract.response)(error, &request_id)
    })
}

async fn run_operation<S>(operation: &Operation<S>, call: Arc<Call<S>>) -> JsonResponse {
    (operation.run)(call).await.unwrap_or_else(|failure| {
        if failure.response.status.is_server_error() {
            log(&*failure.error);
        }
        failure.response
    })
}

/// The response to an unknown path.
pub fn unknown_route(contracts: Contracts, state: &HttpState, req: &HttpRequest) -> HttpResponse {
    let exchange = Exchange::begin(state, req, "unknown_route");
    exchange.set_http_attributes(method(req.method()), None);
    let error = RequestError::UnknownRoute(Excerpt::of(req.path()));
    // The path as the router decodes it.
    let response = exchange.reject(contracts.of(req.match_info().as_str()), error);
    exchange.respond(NO_ROUTE, response)
}

/// The route for methods that a path does not have.
pub fn not_allowed<S: SurfaceState>(contracts: Contracts, state: &Arc<S>, allow: &str) -> actix_web::Route {
    let (state, allow) = (state.clone(), allow.to_owned());
    web::to(move |req: HttpRequest| {
        let response = method_not_allowed(contracts, (*state).as_ref(), &req, allow.clone());
        async move { response }
    })
}

fn method_not_allowed(
    contracts: Contracts,
    state: &HttpState,
    req: &HttpRequest,
    allow: String,
) -> HttpResponse {
    let exchange = Exchange::begin(state, req, "method_not_allowed");
    exchange.set_http_attributes(method(req.method()), req.match_pattern().as_deref());
    let error = RequestError::MethodNotAllowed { method: Excerpt::of(req.method().as_str()), allow };
    let response = exchange.reject(contracts.of(req.match_info().as_str()), error);
    exchange.respond(NO_METHOD, response)
}

/// Logs a server error with its causes; client errors are not logged.
fn log(error: &(dyn std::error::Error + 'static)) {
    if let Some(error) = error.downcast_ref::<RequestError>()
        && !error.status().is_server_error()
    {
        return;
    }
    let mut causes = vec![];
    let mut cause = error.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    tracing::error!(error = %error, causes = causes.join(": "), "a request failed");
}

/// `Prefer: wait=N` (RFC 7240 §4.3); unknown preferences are ignored, as RFC 7240 §2 requires.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).filter_map(|value| value.to_str().ok());
    let mut waits = values.flat_map(|value| value.split([',', ';'])).filter_map(|preference| {
        let (name, seconds) = preference.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds))
    });
    waits.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_wait_among_other_preferences() {
        let wait = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(value));
            preferred_wait(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("wait=10"), Some(10));
        assert_eq!(wait("respond-async, Wait = \"7\""), Some(7));
        assert_eq!(wait("wait=-1"), None);
        assert_eq!(wait("return=minimal"), None);
    }
}
