//! What the resources do, each as somebody who may.

use http_body_util::BodyExt as _;
use mainstay_database::{AgentUid, AppliedState, AuditFilter, Hash, NewEvent, Range, Severity};
use mainstay_fleet::online::Silence;
use mainstay_trust::certificate::Identity;
use mainstay_trust::digest::sha256;
use serde_json::{Value, json};

use super::world::{Answer, MANAGER, World, request, run};
use crate::rollouts;

const TEXT: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\n[[upstream]]\nname = \"shop\"\nservers = [\"10.0.0.11:8080\"]\n\n[[service]]\nname = \"shop\"\nlisteners = [\"web\"]\nhosts = [\"shop.example.com\"]\n\n[[service.route]]\npath = \"/\"\nupstream = \"shop\"\n";

fn uid(number: u8) -> String {
    AgentUid([number; 16]).to_string()
}

fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["items"].as_array().unwrap().clone()
}

/// A configuration and one version of it.
async fn version(world: &World, cookie: &str) -> i64 {
    let made = world.ask(cookie, "POST", "/v1/configurations", Some(json!({ "name": "shop" })));
    let made = made.await;
    assert_eq!(made.status, 201);
    let path = format!("/v1/configurations/{}/versions", made.json()["id"]);
    let draft = json!({ "after": 0, "text": TEXT, "note": "first" });
    let made = world.ask(cookie, "POST", &path, Some(draft)).await;
    assert_eq!(made.status, 201, "{}", made.json());
    made.json()["id"].as_i64().unwrap()
}

fn silence() -> Silence {
    let minute = std::time::Duration::from_mins(1);
    Silence { poll: minute, offline_after: minute * 9 }
}

#[test]
fn agents_are_listed_found_moved_approved_and_removed() {
    run(async |world: World| {
        let group = world.agents(3).await;
        world.say(1, AppliedState::Applied, Hash([5; 32])).await;
        let cookie = world.session("administrator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let first = ask("GET", "/v1/agents?limit=2", None).await;
        assert_eq!(items(&first).len(), 2);
        let next = first.json()["next"].as_str().unwrap().to_owned();
        let last = ask("GET", &format!("/v1/agents?limit=2&after={next}"), None).await;
        assert_eq!((items(&last).len(), &last.json()["next"]), (1, &Value::Null));
        for (query, expected) in [
            ("presence=online", 1),
            ("presence=never", 2),
            ("search=gateway-2", 1),
            ("healthy=true", 1),
            ("standing=pending", 0),
            ("sync=in-sync", 3),
        ] {
            let found = ask("GET", &format!("/v1/agents?{query}"), None).await;
            assert_eq!(items(&found).len(), expected, "{query}");
        }
        for wrong in ["limit=0", "limit=x", "sync=x", "nothing=1", "group=x"] {
            let refused = ask("GET", &format!("/v1/agents?{wrong}"), None).await;
            assert_eq!(refused.status, 400, "{wrong}");
        }
        let one = ask("GET", &format!("/v1/agents/{}", uid(1)), None).await.json();
        assert_eq!((&one["sequence"], &one["presence"]), (&json!(1), &json!("online")));
        let streams = ask("GET", &format!("/v1/agents/{}/streams", uid(1)), None).await;
        assert_eq!(items(&streams).len(), 0);
        let other = ask("POST", "/v1/groups", Some(json!({ "name": "others" }))).await.json();
        let body = json!({ "agents": [uid(1), uid(2)], "group": other["id"] });
        let moved = ask("POST", "/v1/agents/move", Some(body)).await;
        assert_eq!(moved.json(), json!({ "changed": 2 }));
        let left = ask("GET", &format!("/v1/agents?group={group}"), None).await;
        assert_eq!(items(&left).len(), 1);
        let body = json!({ "agents": [uid(3)], "standing": "blocked" });
        assert_eq!(ask("POST", "/v1/agents/standing", Some(body)).await.status, 200);
        let blocked = ask("GET", "/v1/agents?standing=blocked", None).await;
        assert_eq!(items(&blocked)[0]["agent"], json!(uid(3)));
        let body = json!({ "agents": [uid(1)] });
        for changed in [1, 0] {
            let renewed = ask("POST", "/v1/agents/new-key", Some(body.clone())).await;
            assert_eq!(renewed.json(), json!({ "changed": changed }));
        }
        for (agent, retired) in [(1, true), (2, false)] {
            let one = ask("GET", &format!("/v1/agents/{}", uid(agent)), None).await.json();
            assert_eq!(one["key_retired"], json!(retired));
        }
        let fleet = ask("GET", "/v1/fleet", None).await.json();
        assert_eq!((&fleet["agents"], &fleet["standing"]["blocked"]), (&json!(3), &json!(1)));
        let path = format!("/v1/agents/{}", uid(3));
        assert_eq!(ask("DELETE", &path, None).await.status, 204);
        assert_eq!(ask("DELETE", &path, None).await.status, 404);
        assert_eq!(ask("GET", &format!("{path}/effective"), None).await.status, 404);
    });
}

#[test]
fn a_version_is_kept_only_if_a_gateway_would_take_it() {
    run(async |world: World| {
        let cookie = world.session("operator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let valid = ask("POST", "/v1/validate", Some(json!({ "text": TEXT }))).await;
        assert_eq!(valid.status, 200, "{}", valid.json());
        let wrong = json!({ "text": "[[listener]]\nnam = 1\n" });
        let refused = ask("POST", "/v1/validate", Some(wrong)).await;
        assert_eq!(refused.status, 422);
        assert_eq!(refused.json()["problems"][0]["file"], json!("gateway.toml"));
        let id = version(&world, &cookie).await;
        let kept = ask("GET", &format!("/v1/versions/{id}/text"), None).await;
        assert_eq!(kept.body, TEXT.as_bytes());
        let hash = ask("GET", &format!("/v1/versions/{id}"), None).await.json()["hash"].clone();
        assert_eq!(hash, json!(Hash(sha256(TEXT.as_bytes())).to_string()));
        // Another has been faster.
        let path = "/v1/configurations/1/versions";
        let late = json!({ "after": 0, "text": TEXT });
        assert_eq!(ask("POST", path, Some(late)).await.status, 409);
        let broken = json!({ "after": 1, "text": "x" });
        assert_eq!(ask("POST", path, Some(broken)).await.status, 422);
        assert_eq!(items(&ask("GET", path, None).await).len(), 1);
        let group = world.agents(1).await;
        let path = format!("/v1/groups/{group}/version");
        assert_eq!(ask("PUT", &path, Some(json!({ "version": id }))).await.status, 204);
        assert_eq!(ask("DELETE", "/v1/configurations/1", None).await.status, 409);
        assert_eq!(ask("PUT", &path, Some(json!({ "version": null }))).await.status, 204);
        assert_eq!(ask("DELETE", "/v1/configurations/1", None).await.status, 204);
    });
}

#[test]
fn a_bad_rollout_halts_within_its_first_wave_and_goes_back() {
    run(async |world: World| {
        let group = world.agents(10).await;
        let cookie = world.session("operator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let id = version(&world, &cookie).await;
        let plan = json!({ "waves": ["2", "50%"], "watch_seconds": 0 });
        let wanted = json!({
            "group": group.0, "version": id, "plan": plan, "first": [uid(7)], "start": true,
        });
        let made = ask("POST", "/v1/rollouts", Some(wanted.clone())).await;
        assert_eq!(made.status, 201, "{}", made.json());
        assert_eq!((&made.json()["state"], &made.json()["wave"]), (&json!("running"), &json!(1)));
        assert_eq!(ask("POST", "/v1/rollouts", Some(wanted)).await.status, 409, "one at a time");
        let rollout = format!("/v1/rollouts/{}", made.json()["id"]);
        let members = items(&ask("GET", &format!("{rollout}/members"), None).await);
        let first: Vec<_> = members.iter().filter(|member| member["wave"] == 1).collect();
        assert!(first.iter().any(|member| member["agent"] == json!(uid(7))));
        assert_eq!(first.len(), 2);
        let hash = Hash(sha256(TEXT.as_bytes()));
        for number in 1..=10 {
            world.say(number, AppliedState::Failed, hash).await;
        }
        rollouts::turn(&*world.store, &silence()).await.unwrap();
        let halted = ask("GET", &rollout, None).await.json();
        assert_eq!(halted["state"], json!("halted"));
        assert_eq!(halted["reason"], json!("wave 1: 2 failed, 0 are allowed"));
        let members = items(&ask("GET", &format!("{rollout}/members"), None).await);
        let reached = members.iter().filter(|member| member["state"] != "waiting");
        assert_eq!(reached.clone().count(), 2);
        assert!(reached.clone().all(|member| member["message"] == "as said"));
        let orders = format!("{rollout}/orders");
        let start = ask("POST", &orders, Some(json!({ "order": "start" }))).await;
        assert_eq!(start.status, 409);
        assert!(start.json()["detail"].as_str().unwrap().contains("halted"));
        let back = ask("POST", &orders, Some(json!({ "order": "roll-back" }))).await;
        assert_eq!(back.json()["state"], json!("rolled-back"), "the group had no version");
        let kinds = items(&ask("GET", "/v1/events?kind=rollout.*", None).await);
        let kinds: Vec<_> = kinds.iter().map(|event| event["kind"].clone()).collect();
        assert_eq!(kinds, ["rollout.rolled_back", "rollout.halted", "rollout.wave"]);
    });
}

#[test]
fn a_good_rollout_reaches_the_group_and_becomes_its_version() {
    run(async |world: World| {
        let group = world.agents(4).await;
        let cookie = world.session("operator").await;
        let id = version(&world, &cookie).await;
        let plan = json!({ "waves": ["1"], "watch_seconds": 0 });
        let wanted = json!({ "group": group.0, "version": id, "plan": plan });
        let made = world.ask(&cookie, "POST", "/v1/rollouts", Some(wanted)).await;
        assert_eq!(made.json()["state"], json!("draft"));
        let rollout = format!("/v1/rollouts/{}", made.json()["id"]);
        let order = json!({ "order": "start" });
        world.ask(&cookie, "POST", &format!("{rollout}/orders"), Some(order)).await;
        let hash = Hash(sha256(TEXT.as_bytes()));
        for number in 1..=4 {
            world.say(number, AppliedState::Applied, hash).await;
        }
        // Once to find that it is applied, once to go on.
        for _ in 0..4 {
            rollouts::turn(&*world.store, &silence()).await.unwrap();
        }
        let done = world.ask(&cookie, "GET", &rollout, None).await.json();
        assert_eq!(done["state"], json!("done"), "{done}");
        let groups = items(&world.ask(&cookie, "GET", "/v1/groups", None).await);
        assert_eq!(groups[0]["version"], json!(id));
        let path = format!("/v1/agents/{}", uid(1));
        let agent = world.ask(&cookie, "GET", &path, None).await.json();
        assert_eq!((&agent["sync"], &agent["own_version"]), (&json!("in-sync"), &Value::Null));
    });
}

/// One that took its leave serves nobody, and will ask for what it should serve when it returns.
#[test]
fn going_back_does_not_wait_for_an_agent_that_took_its_leave() {
    run(async |world: World| {
        let group = world.agents(2).await;
        let cookie = world.session("operator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let former = version(&world, &cookie).await;
        let path = format!("/v1/groups/{group}/version");
        assert_eq!(ask("PUT", &path, Some(json!({ "version": former }))).await.status, 204);
        let text = format!("{TEXT}\n# another\n");
        let draft = json!({ "after": former, "text": text, "note": "second" });
        let made = ask("POST", "/v1/configurations/1/versions", Some(draft)).await;
        let plan = json!({ "waves": ["100%"], "watch_seconds": 0 });
        let wanted = json!({
            "group": group.0, "version": made.json()["id"], "plan": plan, "start": true,
        });
        let made = ask("POST", "/v1/rollouts", Some(wanted)).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let rollout = format!("/v1/rollouts/{}", made.json()["id"]);
        for number in 1..=2 {
            world.say(number, AppliedState::Applied, Hash(sha256(text.as_bytes()))).await;
        }
        rollouts::turn(&*world.store, &silence()).await.unwrap();
        let back = json!({ "order": "roll-back" });
        ask("POST", &format!("{rollout}/orders"), Some(back)).await;
        let state = async || {
            rollouts::turn(&*world.store, &silence()).await.unwrap();
            ask("GET", &rollout, None).await.json()["state"].clone()
        };
        assert_eq!(state().await, json!("rolling-back"));
        world.say(1, AppliedState::Applied, Hash(sha256(TEXT.as_bytes()))).await;
        assert_eq!(state().await, json!("rolling-back"));
        world.leave(2).await;
        assert_eq!(state().await, json!("rolled-back"));
    });
}

#[test]
fn events_come_in_parts_and_as_a_stream() {
    run(async |world: World| {
        let event = |kind: &str| NewEvent {
            agent: None,
            kind: kind.to_owned(),
            severity: Severity::Warning,
            body: b"{\"a\":1}".to_vec(),
        };
        world.store.tell(Some(MANAGER), vec![event("one"), event("two")]).await.unwrap();
        let cookie = world.session("viewer").await;
        let all = items(&world.ask(&cookie, "GET", "/v1/events", None).await);
        assert_eq!((&all[0]["kind"], &all[1]["kind"]), (&json!("two"), &json!("one")));
        let path = "/v1/events?severity=error";
        assert_eq!(items(&world.ask(&cookie, "GET", path, None).await).len(), 0);
        let path = "/v1/events?before=1999-01-01T00:00:00Z";
        assert_eq!(items(&world.ask(&cookie, "GET", path, None).await).len(), 0);
        assert_eq!(items(&world.ask(&cookie, "GET", "/v1/events/days", None).await).len(), 1);
        // From the first on: the second comes at once, and a third when it happens.
        let first = all[1]["position"].as_str().unwrap();
        let fields = [("cookie", &*cookie), ("last-event-id", first)];
        let mut opened = world.open(request("GET", "/v1/events/stream", &fields, None)).await;
        assert_eq!(opened.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        world.store.tell(Some(MANAGER), vec![event("three")]).await.unwrap();
        while !text.contains("\"three\"") {
            let limit = std::time::Duration::from_secs(10);
            let frame = tokio::time::timeout(limit, opened.body_mut().frame()).await;
            let piece = frame.expect("an event within ten seconds").unwrap().unwrap();
            text.push_str(std::str::from_utf8(piece.data_ref().unwrap()).unwrap());
        }
        assert!(text.contains("\"two\"") && !text.contains("\"one\""), "{text}");
        let second = all[0]["position"].as_str().unwrap();
        assert!(text.contains(&format!("id: {second}\n")), "{text}");
    });
}

#[test]
fn enrolment_tokens_are_shown_once_and_revoked() {
    run(async |world: World| {
        let group = world.agents(1).await;
        let cookie = world.session("operator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let wanted = json!({ "group": group.0, "valid_seconds": 60, "uses": 2, "approval": true });
        let made = ask("POST", "/v1/enrolment-tokens", Some(wanted)).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let token = made.json()["token"].as_str().unwrap().to_owned();
        let text = token.strip_prefix(mainstay_opamp::token::PREFIX).unwrap();
        let bytes = mainstay_trust::token::from_long_text(text, 4_096).unwrap();
        let read = mainstay_opamp::token::EnrolmentToken::decode(&bytes).unwrap();
        assert_eq!(read.group, "gateways");
        let listed = ask("GET", "/v1/enrolment-tokens", None).await;
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        assert!(!String::from_utf8(listed.body.clone()).unwrap().contains(&secret));
        assert_eq!(items(&listed)[1]["standing"], json!("pending"));
        let path = format!("/v1/enrolment-tokens/{}", made.json()["id"]);
        assert_eq!(ask("DELETE", &path, None).await.status, 204);
        assert_eq!(items(&ask("GET", "/v1/enrolment-tokens", None).await)[1]["revoked"], true);
        for wrong in [
            json!({ "group": group.0, "valid_seconds": 0 }),
            json!({
                "group": group.0, "valid_seconds": 60, "uses": 0,
            }),
        ] {
            assert_eq!(ask("POST", "/v1/enrolment-tokens", Some(wrong)).await.status, 422);
        }
        let nowhere = json!({ "group": 999, "valid_seconds": 60 });
        assert_eq!(ask("POST", "/v1/enrolment-tokens", Some(nowhere)).await.status, 404);
    });
}

#[test]
fn managers_drain_and_are_not_removed_while_they_are_there() {
    run(async |world: World| {
        world.beat().await;
        let cookie = world.session("administrator").await;
        let listed = items(&world.ask(&cookie, "GET", "/v1/managers", None).await);
        assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("m1"), &json!("there")));
        let path = format!("/v1/managers/{MANAGER}");
        let drain = format!("{path}/drain");
        let body = json!({ "drain": true });
        assert_eq!(world.ask(&cookie, "PUT", &drain, Some(body)).await.status, 204);
        let listed = items(&world.ask(&cookie, "GET", "/v1/managers", None).await);
        assert_eq!(listed[0]["drain"], json!(true));
        assert_eq!(world.ask(&cookie, "DELETE", &path, None).await.status, 409);
    });
}

#[test]
fn pins_are_added_before_others_are_removed() {
    run(async |world: World| {
        let cookie = world.session("administrator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let made = |name: &str| Identity::generate(name, &[], 1_800_000_000).unwrap();
        let (one, two) = (made("one").certificate_pem(), made("two").certificate_pem());
        let add =
            async |pem: &str| ask("POST", "/v1/pins", Some(json!({ "certificate": pem }))).await;
        let first = add(&one).await;
        assert_eq!(first.status, 201, "{}", first.json());
        assert_eq!(add(&one).await.status, 409, "it is there");
        assert_eq!(add("nonsense").await.status, 422);
        let path = format!("/v1/pins/{}", first.json()["sha256"].as_str().unwrap());
        assert_eq!(ask("DELETE", &path, None).await.status, 409, "it is the only one");
        assert_eq!(add(&two).await.status, 201);
        let pins = items(&ask("GET", "/v1/pins", None).await);
        assert_eq!((pins.len(), &pins[0]["certificate"]), (2, &json!(one)));
        assert_eq!(ask("DELETE", &path, None).await.status, 204);
        assert_eq!(ask("DELETE", &path, None).await.status, 404);
    });
}

#[test]
fn users_and_tokens_are_made_changed_and_removed_and_all_is_written_down() {
    run(async |world: World| {
        let cookie = world.session("administrator").await;
        let ask = async |method, path: &str, body| world.ask(&cookie, method, path, body).await;
        let new = json!({ "name": "new", "password": "a long enough one", "role": "operator" });
        let made = ask("POST", "/v1/users", Some(new.clone())).await;
        assert_eq!(made.status, 201, "{}", made.json());
        assert_eq!(ask("POST", "/v1/users", Some(new)).await.status, 409);
        let user = made.json()["id"].clone();
        let token = json!({ "user": user, "role": "administrator" });
        assert_eq!(ask("POST", "/v1/api-tokens", Some(token)).await.status, 422);
        let token = json!({ "user": user, "role": "viewer", "valid_seconds": 60, "note": "ci" });
        let token = ask("POST", "/v1/api-tokens", Some(token)).await;
        let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
        let as_token = async |path| {
            world.send(request("GET", path, &[("authorization", &bearer)], None)).await.status
        };
        assert_eq!(as_token("/v1/fleet").await, 200);
        assert_eq!(as_token("/v1/users").await, 403);
        let path = format!("/v1/users/{user}");
        assert_eq!(ask("PATCH", &path, Some(json!({ "disabled": true }))).await.status, 204);
        assert_eq!(as_token("/v1/fleet").await, 401, "its user is disabled");
        let path = format!("/v1/api-tokens/{}", token.json()["id"]);
        assert_eq!(ask("DELETE", &path, None).await.status, 204);
        assert_eq!(ask("DELETE", &format!("/v1/users/{user}"), None).await.status, 204);
        let all = items(&ask("GET", "/v1/users", None).await);
        let me = all.iter().find(|user| user["name"] == "administrator").unwrap();
        let me = format!("/v1/users/{}", me["id"]);
        let lower = json!({ "role": "viewer" });
        assert_eq!(ask("PATCH", &me, Some(lower)).await.status, 409, "the last one");
        let lines = items(&ask("GET", "/v1/audit?actor=administrator", None).await);
        let lines: Vec<_> = lines.iter().map(|line| line["action"].clone()).collect();
        let expected =
            ["user.remove", "api_token.revoke", "user.change", "api_token.create", "user.create"];
        assert_eq!(lines, expected);
        let filter = AuditFilter { actor: Some("administrator".into()), ..AuditFilter::default() };
        let log = world.store.audit_log(filter, Range::default()).await.unwrap();
        let text = format!("{log:?}");
        assert!(!text.contains("a long enough one"), "no password is written down");
    });
}

#[test]
fn alerts_are_acknowledged() {
    run(async |world: World| {
        let alert = mainstay_database::NewAlert {
            key: "clone:x".to_owned(),
            kind: "clone".to_owned(),
            severity: Severity::Error,
            agent: None,
            text: "two hosts".to_owned(),
            detail: b"{}".to_vec(),
        };
        let id = world.store.raise(alert).await.unwrap();
        let cookie = world.session("operator").await;
        let open = items(&world.ask(&cookie, "GET", "/v1/alerts?state=open", None).await);
        assert_eq!(open[0]["id"], json!(id.0));
        let path = format!("/v1/alerts/{id}");
        let body = json!({ "state": "acknowledged" });
        assert_eq!(world.ask(&cookie, "PUT", &path, Some(body)).await.status, 204);
        let open = items(&world.ask(&cookie, "GET", "/v1/alerts?state=open", None).await);
        assert_eq!(open.len(), 0);
        let body = json!({ "state": "forgotten" });
        assert_eq!(world.ask(&cookie, "PUT", &path, Some(body)).await.status, 400);
    });
}

#[test]
fn a_body_has_a_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new("[admin]\nbody_bytes = \"64KiB\"\n").await;
        let cookie = world.session("operator").await;
        let body = json!({ "text": "#".repeat(70_000) });
        assert_eq!(world.ask(&cookie, "POST", "/v1/validate", Some(body)).await.status, 413);
        let body = json!({ "text": "", "more": 1 });
        assert_eq!(world.ask(&cookie, "POST", "/v1/validate", Some(body)).await.status, 400);
    });
}
