//! Who may ask for what.

use std::collections::BTreeSet;

use mainstay_database::{AuditFilter, Hash, NewApiToken, Range, Role};
use mainstay_trust::token::Secret;
use serde_json::{Value, json};

use super::world::{PASSWORD, REFUSED, World, audit, request, run};
use crate::api::DESCRIPTION;
use crate::api::caller::{FIELD, TOKEN_PREFIX};
use crate::api::route::{Needs, ROUTES};

/// Everything that is described: method, path with something in its places, and role.
fn described() -> Vec<(String, String, String)> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut all = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let role = operation["x-role"].as_str().unwrap().to_owned();
            all.push((method.to_uppercase(), path.clone(), role));
        }
    }
    all
}

fn needs(needs: Needs) -> &'static str {
    match needs {
        Needs::Nobody => "none",
        Needs::Anybody => "any",
        Needs::Role(Role::Viewer) => "viewer",
        Needs::Role(Role::Operator) => "operator",
        Needs::Role(Role::Administrator) => "administrator",
    }
}

#[test]
fn everything_that_is_there_is_described_with_its_role_and_the_reverse() {
    let described: BTreeSet<_> = described().into_iter().collect();
    let there: BTreeSet<_> = ROUTES
        .iter()
        .map(|(method, path, who, _)| {
            ((*method).to_owned(), (*path).to_owned(), needs(*who).to_owned())
        })
        .collect();
    assert_eq!(described, there);
}

/// The rules that every description has to follow, by a reader of OpenAPI 3.1.
#[test]
fn the_description_is_one() {
    let spec = oas3::from_json(DESCRIPTION).unwrap();
    spec.validate_version().unwrap();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in spec.operations() {
        assert!(ids.insert(operation.operation_id.clone().unwrap()), "{method} {path}");
        assert!(operation.summary.is_some(), "{method} {path} has no summary");
        let responses = operation.responses(&spec);
        assert!(responses.contains_key("default"), "{method} {path} cannot fail");
        assert_eq!(responses.len(), 2, "{method} {path}");
        let parameters = operation.parameters(&spec).unwrap();
        let in_path = parameters.iter().filter(|one| path.contains(&format!("{{{}}}", one.name)));
        assert_eq!(in_path.count(), path.matches('{').count(), "{path}");
    }
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut references = Vec::new();
    collect(&description, &mut references);
    for reference in &references {
        let pointer = reference.strip_prefix('#').expect("it refers to itself");
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses", "parameters"] {
        for name in description["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(references.contains(&reference), "{reference} is not used");
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (&**name, value) {
                    ("$ref", Value::String(reference)) => references.push(reference.clone()),
                    _ => collect(value, references),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn each_role_may_do_what_the_description_says_and_no_more() {
    run(async |world: World| {
        let roles = ["none", "any", "viewer", "operator", "administrator"];
        let rank = |role: &str| roles.iter().position(|one| *one == role).unwrap();
        for (method, path, needed) in described() {
            // What is in the places is nowhere, so nothing is changed by who may.
            let path: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "999999" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            for role in ["none", "viewer", "operator", "administrator"] {
                let cookie = match role {
                    "none" => String::new(),
                    role => world.session(role).await,
                };
                let fields = [("cookie", &*cookie), (FIELD, "1")];
                let body = (method != "GET" && method != "DELETE").then(|| json!({"no": "field"}));
                let answer = if path.ends_with("/stream") {
                    // It does not end by itself.
                    let opened = world.open(request(&method, &path, &fields, None)).await;
                    opened.status().as_u16()
                } else {
                    world.send(request(&method, &path, &fields, body.as_ref())).await.status
                };
                let may = needed == "none" || role != "none" && rank(role) >= rank(&needed);
                let asked = format!("{method} {path} by {role}: {answer}");
                assert_eq!(!REFUSED.contains(&answer), may, "{asked}");
                assert_ne!(answer, 500, "{asked}");
            }
        }
    });
}

#[test]
fn a_session_begins_with_a_password_and_ends_with_a_logout() {
    run(async |world: World| {
        for (name, password) in [("viewer", "not the password"), ("nobody", PASSWORD), ("", "")] {
            let answer = world.try_login(name, password).await;
            assert_eq!(answer.status, 401, "{name}");
            assert!(!answer.fields.contains_key("set-cookie"));
        }
        let answer = world.try_login("viewer", PASSWORD).await;
        let cookie = answer.fields["set-cookie"].to_str().unwrap().to_owned();
        for rule in ["__Host-", "; Path=/;", "; Secure;", "; HttpOnly;", "; SameSite=Strict;"] {
            assert!(cookie.contains(rule), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap();
        let who = world.ask(cookie, "GET", "/v1/session", None).await;
        assert_eq!((who.status, &who.json()["role"]), (200, &json!("viewer")));
        assert_eq!(world.ask(cookie, "DELETE", "/v1/session", None).await.status, 204);
        assert_eq!(world.ask(cookie, "GET", "/v1/session", None).await.status, 401);
        let filter = AuditFilter { action: Some("session.*".into()), ..AuditFilter::default() };
        let log = world.store.audit_log(filter, Range::default()).await.unwrap().rows;
        let actions: Vec<_> = log.iter().map(|row| &*row.audit.action).collect();
        assert_eq!(
            actions,
            ["session.open", "session.refused", "session.refused", "session.refused"]
        );
    });
}

#[test]
fn whoever_guesses_has_to_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new("[admin]\nlogin_failures = 2\n").await;
        for expected in [401, 401, 429] {
            let answer = world.try_login("viewer", "not the password").await;
            assert_eq!(answer.status, expected);
            assert_eq!(answer.fields.contains_key("retry-after"), expected == 429);
        }
        assert_eq!(world.try_login("viewer", PASSWORD).await.status, 429);
        world.peer = "192.0.2.2".parse().unwrap();
        let _cookie = world.log_in("viewer").await;
    });
}

#[test]
fn another_site_cannot_use_a_cookie() {
    run(async |world: World| {
        let cookie = world.session("administrator").await;
        let body = json!({ "name": "made" });
        let cookie = ("cookie", &*cookie);
        let ours = ("origin", "https://fleet.example");
        for (fields, expected) in [
            (vec![cookie], 403),
            (vec![cookie, (FIELD, "1"), ("origin", "https://evil.example")], 403),
            (vec![cookie, (FIELD, "1"), ("sec-fetch-site", "cross-site")], 403),
            (vec![cookie, (FIELD, "1"), ("sec-fetch-site", "same-site")], 403),
            (vec![cookie, ours], 403),
            (vec![cookie, ours, (FIELD, "1")], 201),
        ] {
            let answer = world.send(request("POST", "/v1/groups", &fields, Some(&body))).await;
            assert_eq!(answer.status, expected, "{fields:?}");
        }
        let foreign = [cookie, ("sec-fetch-site", "cross-site")];
        assert_eq!(world.send(request("GET", "/v1/groups", &foreign, None)).await.status, 403);
        let login = json!({ "name": "viewer", "password": PASSWORD });
        let foreign = [("origin", "https://evil.example")];
        let answer = world.send(request("POST", "/v1/session", &foreign, Some(&login))).await;
        assert_eq!(answer.status, 403);
        // What a form of another site can send is no JSON.
        let mut form = request("POST", "/v1/session", &[], Some(&login));
        form.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        assert_eq!(world.send(form).await.status, 415);
    });
}

#[test]
fn a_token_does_what_it_and_its_user_may() {
    run(async |world: World| {
        let user = world.store.user_named("operator").await.unwrap().unwrap();
        let mut made = Vec::new();
        for role in [Role::Viewer, Role::Operator] {
            let secret = Secret::new();
            let new = NewApiToken {
                secret: Hash(secret.hash()),
                user: user.id,
                role,
                expires_at: None,
                note: String::new(),
            };
            world.store.create_api_token(new, audit()).await.unwrap();
            made.push(format!("Bearer {TOKEN_PREFIX}{}", secret.to_text()));
        }
        for (token, name, expected) in [
            (&*made[0], "one", 403),
            (&*made[1], "two", 201),
            ("Bearer mainstay-api.AAAAAAAAAAAAAAAAAAAAAA", "three", 401),
            ("Bearer nonsense", "four", 401),
            ("Basic eDp5", "five", 401),
        ] {
            let (fields, body) = ([("authorization", token)], json!({ "name": name }));
            let answer = world.send(request("POST", "/v1/groups", &fields, Some(&body))).await;
            assert_eq!(answer.status, expected, "{token}");
        }
    });
}

#[test]
fn a_new_password_ends_the_sessions() {
    run(async |world: World| {
        let (one, other) = (world.session("viewer").await, world.session("viewer").await);
        let wrong = json!({ "old": "not the password", "new": "another good one" });
        let answer = world.ask(&one, "PUT", "/v1/session/password", Some(wrong)).await;
        assert_eq!(answer.status, 422);
        let short = json!({ "old": PASSWORD, "new": "short" });
        let answer = world.ask(&one, "PUT", "/v1/session/password", Some(short)).await;
        assert_eq!(answer.status, 422);
        let right = json!({ "old": PASSWORD, "new": "another good one" });
        let answer = world.ask(&one, "PUT", "/v1/session/password", Some(right)).await;
        assert_eq!(answer.status, 204);
        for cookie in [one, other] {
            assert_eq!(world.ask(&cookie, "GET", "/v1/session", None).await.status, 401);
        }
        assert_eq!(world.try_login("viewer", "another good one").await.status, 200);
    });
}
