//! A manager's API on a database of its own, and clients that talk to it over HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, SET_COOKIE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mainstay_config::manager;
use mainstay_database::{
    AgentUid, Applied, AppliedState, Audit, ChainRow, Credential, Enrolled, Enrolment, Exchange,
    Exchanged, GroupId, Hash, Limits, Location, ManagerBeat, ManagerId, NewEnrolmentToken,
    Presence, Role, Standing, StatusReport, Store, open,
};
use mainstay_trust::password;
use mainstay_trust::token::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::conform;
use crate::api::caller::{COOKIE_NAME, FIELD};
use crate::api::{Api, DESCRIPTION};

/// The password of everybody.
pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) const MANAGER: ManagerId = ManagerId([1; 16]);

/// A manager's API.
pub(super) struct World {
    pub(super) api: Arc<Api>,
    pub(super) store: Arc<dyn Store>,
    pub(super) peer: IpAddr,
    description: Value,
    _directory: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: hyper::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Runs one test.
pub(super) fn run(test: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new("").await;
        test(world).await;
    });
}

/// What the audit log says of what a test prepares.
pub(super) fn audit() -> Audit {
    Audit {
        actor: "test".to_owned(),
        address: String::new(),
        action: "test".to_owned(),
        subject: String::new(),
        detail: b"{}".to_vec(),
    }
}

impl World {
    pub(super) async fn new(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::File(directory.path().join("fleet.db"));
        let store = open(&location, &Limits::default()).await.unwrap();
        let text = format!("[database]\nlocation = \"x\"\n[agents]\ntls = \"off\"\n{settings}");
        let settings = manager::parse(&text).unwrap();
        let api = Api::new(Arc::clone(&store), settings);
        let kept = password::hash(PASSWORD).unwrap();
        for (name, role) in [
            ("viewer", Role::Viewer),
            ("operator", Role::Operator),
            ("administrator", Role::Administrator),
        ] {
            store.create_user(name, &kept, role, audit()).await.unwrap();
        }
        let description = serde_json::from_str(DESCRIPTION).unwrap();
        let peer = "192.0.2.1".parse().unwrap();
        Self { api, store, peer, description, _directory: directory }
    }

    /// One request on a connection of its own; the answer's head, and its body as it comes.
    pub(super) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<hyper::body::Incoming> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (api, peer) = (Arc::clone(&self.api), self.peer);
        drop(tokio::spawn(async move {
            let service = service_fn(|request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, std::convert::Infallible>(api.answer(peer, request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(theirs), service);
            // A client that goes away early is no failure of a test.
            drop(served.await);
        }));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
        drop(tokio::spawn(connection));
        sender.send_request(request).await.unwrap()
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: parts.status.as_u16(), fields: parts.headers, body };
        self.compare(&method, &path, &answer);
        answer
    }

    /// Every answer is one that the description has.
    fn compare(&self, method: &Method, path: &str, answer: &Answer) {
        let schema = if answer.status >= 400 {
            json!({ "$ref": "#/components/schemas/Problem" })
        } else {
            let operation = self.described(method, path);
            let response = &operation["responses"][answer.status.to_string()];
            assert!(response.is_object(), "{method} {path} answers {}", answer.status);
            response["content"]["application/json"]["schema"].clone()
        };
        if !schema.is_null() {
            let checked = conform::check(&self.description, &schema, &answer.json());
            assert_eq!(checked, Ok(()), "{method} {path}: {}", answer.json());
        }
    }

    fn described(&self, method: &Method, path: &str) -> &Value {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &str| {
            let pattern: Vec<&str> = pattern.split('/').collect();
            pattern.len() == parts.len()
                && pattern.iter().zip(&parts).all(|(a, b)| a.starts_with('{') || a == b)
        };
        let method = if method == Method::HEAD { "get" } else { &method.as_str().to_lowercase() };
        let paths = self.description["paths"].as_object().unwrap();
        let mut found = paths.iter().filter(|(pattern, _)| fits(pattern));
        let found = found.find_map(|(_, operations)| operations.get(method));
        found.unwrap_or_else(|| panic!("{method} {path} is not described"))
    }

    /// Logs in, and returns the cookie.
    pub(super) async fn log_in(&self, name: &str) -> String {
        let answer = self.try_login(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let cookie = answer.fields[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(super) async fn try_login(&self, name: &str, password: &str) -> Answer {
        let body = json!({ "name": name, "password": password });
        self.send(request("POST", "/v1/session", &[], Some(&body))).await
    }

    /// Opens a session without a password, which takes long, and returns the cookie.
    pub(super) async fn session(&self, name: &str) -> String {
        let user = self.store.user_named(name).await.unwrap().unwrap();
        let (secret, ttl) = (Secret::new(), std::time::Duration::from_secs(3_600));
        self.store.open_session(Hash(secret.hash()), user.id, ttl, audit()).await.unwrap();
        format!("{COOKIE_NAME}={}", secret.to_text())
    }

    /// Asks as somebody who is logged in, as a page of this host would.
    pub(super) async fn ask(
        &self,
        cookie: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let fields = [("cookie", cookie), (FIELD, "1"), ("sec-fetch-site", "same-origin")];
        self.send(request(method, path, &fields, body.as_ref())).await
    }

    /// Makes a group and `count` agents in it.
    pub(super) async fn agents(&self, count: u8) -> GroupId {
        let group = self.store.create_group("gateways", "", audit()).await.unwrap();
        let token = NewEnrolmentToken {
            secret: Hash([77; 32]),
            group,
            expires_at: None,
            uses: None,
            standing: Standing::Active,
            note: String::new(),
        };
        self.store.create_enrolment_token(token, audit()).await.unwrap();
        for number in 1..=count {
            let enrolled = self.store.enroll(enrolment(number)).await.unwrap();
            assert_eq!(enrolled, Enrolled::New { group, standing: Standing::Active });
        }
        group
    }

    /// An exchange of an agent that says what came of a configuration.
    pub(super) async fn say(&self, number: u8, state: AppliedState, hash: Hash) {
        let effective = (state == AppliedState::Applied).then_some(hash);
        let applied = Some(Applied { state, hash, message: "as said".to_owned() });
        let status =
            StatusReport { effective, applied, healthy: Some(true), ..StatusReport::default() };
        self.exchange(number, Some(status), Presence::Online).await;
    }

    /// The last exchange of an agent that ends.
    pub(super) async fn leave(&self, number: u8) {
        self.exchange(number, None, Presence::Offline).await;
    }

    async fn exchange(&self, number: u8, status: Option<StatusReport>, presence: Presence) {
        let loaded = self.store.load(AgentUid([number; 16]), None).await.unwrap().unwrap();
        let sequence = loaded.chain.sequence + 1;
        let next = ChainRow {
            sequence,
            current: Hash([u8::try_from(sequence).unwrap(); 32]),
            previous: loaded.chain.current,
        };
        let done = self.store.exchange(Exchange {
            agent: AgentUid([number; 16]),
            expected: (loaded.chain.sequence, loaded.chain.current),
            next,
            presence,
            reply: Vec::new(),
            manager: MANAGER,
            address: "192.0.2.9".to_owned(),
            status,
            events: None,
            remarks: Vec::new(),
        });
        assert!(matches!(done.await.unwrap(), Exchanged::Committed { .. }));
    }

    pub(super) async fn beat(&self) {
        let beat = ManagerBeat {
            manager: MANAGER,
            name: "m1".to_owned(),
            version: "1".to_owned(),
            address: "192.0.2.5:4320".to_owned(),
            started_at: self.store.now().await.unwrap(),
            exchange_rate: 7,
            connections: 3,
            commit_latency: std::time::Duration::from_millis(4),
            detail: b"{}".to_vec(),
        };
        self.store.beat(beat).await.unwrap();
    }
}

fn enrolment(number: u8) -> Enrolment {
    Enrolment {
        secret: Hash([77; 32]),
        agent: AgentUid([number; 16]),
        credential: Credential::Key([number; 32]),
        fingerprint: vec![number],
        name: format!("gateway-{number}"),
        version: "1.0".to_owned(),
        chain: ChainRow { sequence: 0, current: Hash([99; 32]), previous: Hash::NONE },
        reply: Vec::new(),
        manager: MANAGER,
        address: "192.0.2.9".to_owned(),
    }
}

/// A request with JSON.
pub(super) fn request(
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: Option<&Value>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "fleet.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    request.body(Full::new(body)).unwrap()
}

/// The statuses that say that somebody may not.
pub(super) const REFUSED: [u16; 2] =
    [StatusCode::UNAUTHORIZED.as_u16(), StatusCode::FORBIDDEN.as_u16()];
