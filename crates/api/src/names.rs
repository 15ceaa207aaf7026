//! Names in requests: in a body they must be claimable, in a path only valid.
use deed_claims::Scope;
use deed_claims::name::{ClaimableName, DomainName, NameError, longest_claimable};

use crate::state::AppState;

impl AppState {
    /// Parses a name to be claimed.
    pub(crate) fn claimable(&self, text: &str, scope: Scope) -> Result<ClaimableName, NameError> {
        ClaimableName::parse(text, scope, &self.names, self.templates.longest_prefix())
    }

    /// Parses the name of an existing claim, which stays reachable when the policy for new claims changes.
    pub(crate) fn name(&self, text: &str) -> Result<DomainName, NameError> {
        DomainName::parse(text).map_err(|e| e.within(self.longest_name()))
    }

    /// The error for a name that is too long to be claimed; none for shorter ones.
    pub(crate) fn too_long(&self, name: &DomainName) -> Option<NameError> {
        let limit = self.longest_name();
        (name.as_str().len() > limit).then_some(NameError::TooLong { limit })
    }

    fn longest_name(&self) -> usize {
        longest_claimable(self.templates.longest_prefix())
    }
}

/// The registrable domain whose stream holds the claims on a name in a path. Existing claims stay reachable when the
/// policy for new claims changes.
pub fn apex_of(name: &DomainName) -> DomainName {
    // A public suffix that could be claimed as a whole is its own apex.
    name.registrable_domain().unwrap_or_else(|| name.clone())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use serde_json::{Value, json};

    use crate::apps::testing::{Tenant, app, host};
    use crate::testing::{Harness, TestResponse, with_key};

    /// A name of so many octets that ends in `.com`.
    fn name_of(octets: usize) -> String {
        let mut below = "a".repeat(octets - ".com".len()).into_bytes();
        for dot in (60..below.len() - 1).step_by(60) {
            below[dot] = b'.';
        }
        String::from_utf8(below).unwrap() + ".com"
    }

    /// The responses of every operation that takes a name.
    async fn everywhere(harness: &Harness, tenant: &Tenant, name: &str) -> Vec<TestResponse> {
        let (body, in_path) = (json!({ "domain": name }), name.replace(' ', "%20"));
        let mut requests = vec![];
        for path in ["/v1/domains", "/v1/domains/claims", &tenant.domains()] {
            requests.push(TestRequest::post().uri(path).set_json(&body));
        }
        for path in [
            format!("/v1/domains/{in_path}"),
            format!("/v1/domains/claims/{in_path}"),
            tenant.domain(&in_path),
        ] {
            requests.push(TestRequest::get().uri(&path));
            requests.push(TestRequest::delete().uri(&path));
            requests.push(TestRequest::post().uri(&format!("{path}/verify")));
        }
        for path in
            [format!("/v1/domains/claims/{in_path}/history"), format!("{}/history", tenant.domain(&in_path))]
        {
            requests.push(TestRequest::get().uri(&path));
        }
        requests.push(TestRequest::post().uri(&format!("{}/activate", tenant.domain(&in_path))));
        let mut answers = vec![];
        for request in requests {
            answers.push(harness.request(with_key(request, &tenant.key)).await);
        }
        answers
    }

    /// Code and message of an error, in either format.
    fn refusal(body: &Value) -> (String, String) {
        let (code, message) = match &body["error"] {
            Value::String(message) => (&body["code"], message.as_str()),
            error => (&error["code"], error["message"].as_str().unwrap()),
        };
        (code.as_str().unwrap().to_ascii_lowercase(), message.to_owned())
    }

    #[actix_web::test]
    async fn every_operation_limits_name_length() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let sentence = "the domain name is too long: it may have 240 characters, counted in its ASCII form, because the name of \
                        the validation record has up to 13 more and 253 is the most that the DNS allows (RFC 1035, section \
                        2.3.4)";
        for octets in [241, 250, 253, 254, 300, 4000, 5000] {
            for answer in everywhere(&harness, &tenant, &name_of(octets)).await {
                let status = if answer.body["error"].is_string() { 400 } else { 422 };
                assert_eq!(answer.status.as_u16(), status, "{octets}: {}", answer.text);
                let expected = ("name_too_long".to_owned(), sentence.to_owned());
                assert_eq!(refusal(&answer.body), expected, "{octets}");
            }
            let body = json!({ "domains": [name_of(octets)] });
            let bulk = harness.post("/v1/domains/claims/verify", &tenant.key, body).await;
            let item = &bulk.body["data"]["results"][0];
            assert_eq!((&item["status"], &item["code"]), (&json!(400), &json!("NAME_TOO_LONG")));
            assert_eq!(item["error"], sentence);
        }
        for answer in everywhere(&harness, &tenant, &name_of(240)).await {
            assert!(!answer.text.to_ascii_lowercase().contains("name_too_long"), "{}", answer.text);
        }
    }

    #[actix_web::test]
    async fn every_operation_trims_whitespace_around_names() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let pasted = "\u{a0}\u{feff}search.acme.com\u{3000}";
        for path in ["/v1/domains", "/v1/domains/claims", &tenant.domains()] {
            let answer = harness.post(path, &tenant.key, json!({ "domain": pasted })).await;
            let domain = answer.body.pointer("/data/domain").unwrap_or(&answer.body["domain"]);
            assert_eq!(domain, "search.acme.com", "{}", answer.text);
        }
        let in_path = "%C2%A0search.acme.com%E2%80%8B";
        for path in [format!("/v1/domains/{in_path}"), tenant.domain(in_path)] {
            assert_eq!(harness.get(&path, &tenant.key).await.status, 200, "{path}");
        }
        let inside = json!({ "domain": "acme\u{200b}.com" });
        let sentence =
            "`acme\\u{200b}.com` cannot be used in a domain name: character 5 is a zero width space (U+200B)";
        for path in ["/v1/domains", "/v1/domains/claims", &tenant.domains()] {
            let answer = harness.post(path, &tenant.key, inside.clone()).await;
            assert_eq!(refusal(&answer.body), ("bad_label".to_owned(), sentence.to_owned()));
        }
    }

    #[actix_web::test]
    async fn private_suffix_as_hostname_covers_only_itself() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        a.add(&harness, "is-a.dev").await;
        a.prove(&harness, "is-a.dev").await;
        assert_eq!(a.listed(&harness, "is-a.dev").await["status"], "active");
        // A name below it can be claimed without proof of the suffix, under either contract.
        let below = harness.post("/v1/domains", &b.key, json!({ "domain": "www.me.is-a.dev" })).await;
        assert_eq!((below.status.as_u16(), &below.body["data"]["rootDomain"]), (200, &json!("me.is-a.dev")));
        harness.verify("/v1/domains/me.is-a.dev/verify", &b.key).await;
        harness.record_check("apex:me.is-a.dev", "ws_b", Outcome::Proven).await;
        assert_eq!(harness.get("/v1/domains/me.is-a.dev", &b.key).await.body["data"]["isVerified"], true);
        b.add(&harness, "me.is-a.dev").await;
        b.prove(&harness, "me.is-a.dev").await;
        assert_eq!(b.listed(&harness, "me.is-a.dev").await["status"], "active");
        // The hostname is no domain of the holder's workspace.
        assert_eq!(harness.get("/v1/domains/is-a.dev", &a.key).await.status, 404);
        assert_eq!(harness.get("/v1/domains/me.is-a.dev", &a.key).await.status, 404);
        let apex = harness.post("/v1/domains", &a.key, json!({ "domain": "is-a.dev" })).await;
        assert_eq!(refusal(&apex.body).0, "public_suffix");
        // Another app can contest it like any hostname.
        let other = app(&harness, &b.key, json!({ "name": "Other" })).await;
        let added = harness.post(&format!("{other}/domains"), &b.key, json!({ "domain": "is-a.dev" })).await;
        assert_eq!((added.status.as_u16(), &added.body["status"]), (200, &json!("pending")));
        assert_eq!(harness.ownership(&host("is-a.dev")).await.claims.len(), 2);
        let registry = a.post(&harness, &a.domains(), json!({ "domain": "co.uk" })).await;
        assert_eq!((registry.status.as_u16(), refusal(&registry.body).0.as_str()), (422, "public_suffix"));
    }

    #[actix_web::test]
    async fn invalid_ids_and_names_find_nothing() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let long = "x".repeat(6000);
        for text in [
            "%00",
            "app_%00aaaaaaaaaaaaaaa",
            "%FF%FE",
            "-1",
            "99999999999999999999",
            "%F0%9F%98%80",
            &long,
            "..%2f..",
        ] {
            for path in [format!("/v1/apps/{text}"), format!("/v1/apps/{text}/domains")] {
                let answer = harness.get(&path, &key).await;
                assert_eq!(answer.status, 404, "{path}: {}", answer.text);
            }
            for path in [format!("/v1/domains/{text}"), format!("/v1/domains/claims/{text}/history")] {
                let answer = harness.get(&path, &key).await;
                assert_eq!(answer.status, 400, "{path}: {}", answer.text);
            }
        }
    }
}
