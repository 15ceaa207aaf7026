//! Deletes an app: first frees its hostnames, then its slug.
use std::sync::Arc;

use deed_claims::app::{App, AppRejection, SlugFreed, SlugOwner};
use deed_claims::name::{DomainName, Excerpt};
use deed_claims::{AppId, Event, Ownership, Scope, StreamId};
use deed_http::{Decision, JsonResponse, RequestError, Writes};
use deed_store::Loaded;

use super::app_domain::{app_holder, app_id, visible_app, withdraw_or_release};
use super::error::{AppsError, ErrorResponse};
use super::view::DeletedResponse;
use crate::call::Call;

/// Hostnames freed in one append.
const NAMES_PER_APPEND: usize = 16;
/// Appends before the deletion of an app that keeps getting new hostnames fails.
const MAX_APPENDS: usize = 1_000;
/// Conflicts with other writers before the caller is told to try again.
const MAX_CONFLICTS: usize = 32;

/// Delete an app
///
/// Every domain of the app is given up: its pending verification is cancelled, or the domain is released.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app_id}",
    operation_id = "DeleteApp",
    tag = "Apps",
    params(("app_id" = String, Path, description = "The app's id")),
    responses(
        (status = 200, description = "The app is gone", body = DeletedResponse),
        (status = 404, description = "No such app", body = ErrorResponse),
    ),
)]
pub async fn delete_app(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let app_id = app_id(&call)?;
    let mut left = MAX_CONFLICTS;
    for _ in 0..MAX_APPENDS {
        match delete_step(&call, &app_id).await {
            Ok(DeleteStep::NamesFreed) => {}
            Ok(DeleteStep::Deleted(response)) => return Ok(response),
            // Hostnames were added or settled meanwhile. Earlier appends stay valid: continue from there.
            Err(AppsError::Request(RequestError::Contended)) if left > 0 => left -= 1,
            Err(other) => return Err(other),
        }
    }
    Err(RequestError::Contended.into())
}

/// The result of one append of the deletion.
enum DeleteStep {
    /// Some hostnames are free.
    NamesFreed,
    /// The app is gone.
    Deleted(JsonResponse),
}

/// One append: frees some hostnames, or deletes the app when none is left.
async fn delete_step(call: &Call, app_id: &AppId) -> Result<DeleteStep, AppsError> {
    let loaded = call.load(&StreamId::app(app_id)).await?;
    let app = visible_app(&loaded, &call.caller.workspace)?;
    let some: Vec<DomainName> = app.domains.keys().take(NAMES_PER_APPEND).cloned().collect();
    if some.is_empty() {
        return delete_empty_app(call, app_id, &StreamId::slug(&app.slug)).await.map(DeleteStep::Deleted);
    }
    free_names(call, app_id, &some).await?;
    Ok(DeleteStep::NamesFreed)
}

/// Ends the app's claims on some hostnames and removes these from the app, in one append.
async fn free_names(call: &Call, app_id: &AppId, names: &[DomainName]) -> Result<(), AppsError> {
    let hosts = names.iter().map(|name| StreamId::ownership(Scope::Host, name)).collect();
    let free = |(app, hosts): &(Loaded<App>, Vec<Loaded<Ownership>>), at| {
        let (stream, app) = (app.stream.clone(), visible_app(app, &call.caller.workspace)?);
        let holder = app_holder(app);
        let (mut writes, mut removed): (Writes, Vec<Event>) = (vec![], vec![]);
        for (name, host) in names.iter().zip(hosts) {
            let given_up = withdraw_or_release(&host.state, &holder, &call.state.policy, at)
                .map_err(|why| AppsError::of_rejection(why, name))?;
            writes.push((host.stream.clone(), given_up.into_iter().map(Event::from).collect()));
            removed.extend(app.remove_domain(name, at).into_iter().map(Event::from));
        }
        writes.push((stream, removed));
        Ok::<_, AppsError>((writes, ()))
    };
    call.append((StreamId::app(app_id), hosts), free).await?;
    Ok(())
}

/// Deletes the app and frees its slug.
async fn delete_empty_app(
    call: &Call,
    app_id: &AppId,
    slug_stream: &StreamId,
) -> Result<JsonResponse, AppsError> {
    let stream = StreamId::app(app_id);
    let streams = (stream.clone(), slug_stream.clone());
    call.respond(streams, |(app, _): &(Loaded<App>, Loaded<SlugOwner>), at| {
        let app = visible_app(app, &call.caller.workspace)?;
        let deleted = app.delete(at).map_err(|why| match why {
            AppRejection::StillHasDomains => RequestError::Contended.into(),
            AppRejection::NotFound => AppsError::NoSuchApp(Excerpt::of(app_id.as_str())),
            AppRejection::SlugInUse => RequestError::internal("deleting an app", why).into(),
        })?;
        let freed = SlugFreed { app_id: app_id.clone(), slug: app.slug.clone(), at };
        let writes = vec![(stream.clone(), vec![deleted.into()]), (slug_stream.clone(), vec![freed.into()])];
        Ok(Decision { writes, response: JsonResponse::ok(&DeletedResponse::DONE)? })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_web::test::TestRequest;
    use async_trait::async_trait;
    use deed_claims::Status;
    use deed_claims::app::AppDomainAdded;
    use deed_store::{
        Append, AppendError, Appended, EventStore, Position, RecordedEvent, StreamWrite, Unavailable, Version,
    };
    use futures::future::join;
    use serde_json::json;
    use tokio::sync::watch;

    use super::*;
    use crate::apps::testing::{HOST, Tenant, app, host, idempotent};
    use crate::testing::Harness;

    async fn status(harness: &Harness, name: &str, tenant: &Tenant) -> Status {
        let claim_id = harness.claim_id(&host(name), tenant.workspace).await;
        harness.ownership(&host(name)).await.claims[&claim_id].status()
    }

    #[actix_web::test]
    async fn deleted_app_frees_hostnames_and_slug() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        // More than fit in one append.
        for i in 0..=NAMES_PER_APPEND {
            tenant.add(&harness, &format!("h{i}.acme.com")).await;
        }
        tenant.add(&harness, HOST).await;
        tenant.prove(&harness, HOST).await;
        let gone = harness.delete(&tenant.app, &tenant.key).await;
        insta::assert_json_snapshot!("deleted", gone.snapshot());
        let position = harness.last_position().await.to_string();
        assert_eq!(gone.header("deed-position"), Some(position.as_str()));
        assert_eq!(status(&harness, HOST, &tenant).await, Status::Released);
        for i in 0..=NAMES_PER_APPEND {
            assert_eq!(status(&harness, &format!("h{i}.acme.com"), &tenant).await, Status::Cancelled);
        }
        let left = harness.load_app(&tenant.app_stream()).await.state.unwrap();
        assert!(left.deleted && left.domains.is_empty());
        assert_eq!(harness.get(&tenant.app, &tenant.key).await.status, 404);
        assert_eq!(harness.delete(&tenant.app, &tenant.key).await.status, 404);
        app(&harness, &tenant.key, json!({ "name": "Another", "slug": left.slug })).await;
    }

    #[actix_web::test]
    async fn no_claim_outlives_its_app() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        // Hostnames are added before, while and after the app goes.
        let adds = async {
            let mut added = vec![];
            for i in 0..40 {
                let name = format!("h{i}.acme.com");
                let body = json!({ "domain": name });
                let answer = tenant.post(&harness, &tenant.domains(), body).await;
                match answer.status.as_u16() {
                    200 => added.push(name),
                    // The addition may lose the race, too.
                    status => assert!(matches!(status, 404 | 503), "{}", answer.text),
                }
            }
            added
        };
        let (added, deleted) = join(adds, harness.delete(&tenant.app, &tenant.key)).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text);
        for name in added {
            assert!(status(&harness, &name, &tenant).await.is_over(), "{name}");
        }
        let left = harness.load_app(&tenant.app_stream()).await.state.unwrap();
        assert!(left.deleted && left.domains.is_empty());
    }

    /// A store that adds a hostname to the app before each change of the app, a number of times.
    struct ConcurrentWriter {
        store: Arc<dyn EventStore>,
        app: AppId,
        left: AtomicUsize,
    }

    #[async_trait]
    impl EventStore for ConcurrentWriter {
        async fn append(&self, append: Append) -> Result<Appended, AppendError> {
            let stream = StreamId::app(&self.app);
            let met = append.writes.iter().find(|write| write.stream == stream);
            let take = |left: usize| left.checked_sub(1);
            if let Some(met) = met
                && let Ok(left) = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            {
                let domain: DomainName = format!("late{left}.acme.com").parse().unwrap();
                let added =
                    AppDomainAdded { app_id: self.app.clone(), domain, primary: false, at: append.at };
                let write = StreamWrite { stream, expected: met.expected, events: vec![added.into()] };
                let meddling = Append { writes: vec![write], receipt: None, ..append.clone() };
                self.store.append(meddling).await?;
            }
            self.store.append(append).await
        }
        async fn read_stream(
            &self,
            stream: &StreamId,
            after: Version,
            limit: usize,
        ) -> Result<Vec<RecordedEvent>, Unavailable> {
            self.store.read_stream(stream, after, limit).await
        }
        async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
            self.store.read_log(after, limit).await
        }
        async fn last_position(&self) -> Result<Position, Unavailable> {
            self.store.last_position().await
        }
        fn head(&self) -> watch::Receiver<Position> {
            self.store.head()
        }
    }

    #[actix_web::test]
    async fn deletes_app_under_concurrent_changes() {
        let mut harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let app = harness.load_app(&tenant.app_stream()).await.state.unwrap().app_id;
        let state = Arc::get_mut(&mut harness.state).unwrap();
        // More conflicts than one decision retries, so the whole step is repeated twice.
        let writer = ConcurrentWriter { store: state.http.store.clone(), app, left: AtomicUsize::new(20) };
        state.http.store = Arc::new(writer);
        let deleted = harness.delete(&tenant.app, &tenant.key).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text);
        let left = harness.load_app(&tenant.app_stream()).await.state.unwrap();
        assert!(left.deleted && left.domains.is_empty());
    }

    #[actix_web::test]
    async fn replays_response_to_repeated_request() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let delete =
            || harness.request(idempotent(TestRequest::delete().uri(&tenant.app), &tenant.key, "bye"));
        let (first, second) = (delete().await, delete().await);
        assert_eq!((first.status.as_u16(), &first.text), (200, &second.text));
        assert_eq!(second.header("idempotency-replayed"), Some("true"));
    }
}
