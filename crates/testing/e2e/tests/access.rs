//! Who is let through, what a server hears of them, and what ends with a session.

use std::time::Duration;

use anyhow::Context as _;
use mainstay_e2e::administration::Operator;
use mainstay_e2e::announcer::{Announcer, id, login, logout};
use mainstay_e2e::client::{Client, Response, request};
use mainstay_e2e::gateway::{Accept, DEADLINE};
use mainstay_e2e::websocket::{WebSocket, opcode};
use mainstay_e2e::{Broken, Gateway, Origin, Setup};
use mainstay_e2e::{sessions, wait};
use mainstay_model::Process;
use mainstay_wire::session::Request;
use rustix::process::Signal;
use rustix::thread::{CpuSet, sched_setaffinity};

/// An origin, a gateway in front of it that knows sessions, and whoever logs users in.
struct Scene {
    origin: Origin,
    gateway: Gateway,
    announcer: Announcer,
    /// Who were logged in so far.
    users: u64,
}

/// Somebody who is logged in.
struct User {
    number: u64,
    cookie: String,
}

impl User {
    fn fields(&self) -> [(&str, &str); 1] {
        [("Cookie", &self.cookie)]
    }
}

impl Scene {
    fn start() -> anyhow::Result<Self> {
        Self::with(|setup| setup)
    }

    fn with(change: impl Fn(Setup) -> Setup) -> anyhow::Result<Self> {
        Self::of(Accept::Active, change)
    }

    fn of(accept: Accept, change: impl Fn(Setup) -> Setup) -> anyhow::Result<Self> {
        let origin = Origin::start()?;
        let setup = change(Setup::pair(&origin, accept).with_sessions());
        let gateway = Gateway::start(&setup)?;
        let announcer = Announcer::new(&gateway);
        Ok(Self { origin, gateway, announcer, users: 0 })
    }

    fn login(&mut self, subject: &str) -> anyhow::Result<User> {
        self.login_for(subject, Duration::from_hours(1))
    }

    /// Logs in for as long as the session is not unused for so long.
    fn login_for(&mut self, subject: &str, idle: Duration) -> anyhow::Result<User> {
        self.users += 1;
        let mut login = login(self.users, subject);
        if let Request::Set(login) = &mut login {
            login.idle_limit_ms = Some(u64::try_from(idle.as_millis())?);
        }
        self.announcer.insist(&login)?;
        Ok(User { number: self.users, cookie: format!("sid={}", id(self.users).reveal()) })
    }

    fn logout(&mut self, user: &User) -> anyhow::Result<()> {
        self.announcer.insist(&logout(user.number)).map(drop)
    }

    fn connect(&self) -> Result<Client, Broken> {
        Client::connect(self.gateway.address("web"))
    }

    fn status_of(&self, user: &User) -> Result<u16, Broken> {
        Ok(self.connect()?.get_with("/small", &user.fields())?.head.status)
    }

    fn web_socket(&self, user: &User) -> Result<WebSocket, Broken> {
        WebSocket::connect_with(self.gateway.address("web"), "/ws", &user.fields())
    }

    /// A response that has begun and does not end by itself.
    fn download(&self, target: &str, user: &User) -> anyhow::Result<Download> {
        let mut client = self.connect()?;
        client.send(&request("GET", target, &user.fields()))?;
        let head = client.final_head()?;
        anyhow::ensure!(head.status == 200, "{head:?}");
        Ok(Download { client, head })
    }
}

struct Download {
    client: Client,
    head: mainstay_e2e::http::ResponseHead,
}

impl Download {
    /// Reads on to what must not look like an end.
    fn ends_early(mut self) -> bool {
        self.client.body(&self.head, &mut |_| Ok(())).is_err()
    }
}

/// Endless, for as long as nobody reads them: in all three framings.
const DOWNLOADS: [&str; 3] = [
    "/bytes?n=1000000000&seed=1",
    "/chunked?n=1000000000&seed=1&piece=1000",
    "/until-close?n=1000000000&seed=1",
];

fn field<'r>(response: &'r Response, name: &str) -> &'r str {
    response.head.fields.first(name).unwrap_or_default()
}

#[test]
fn a_session_lets_its_requests_through_and_says_whose_they_are() -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let alice = scene.login("alice")?;
    scene.origin.record_bytes();
    let mut client = scene.connect()?;
    let cookies = format!("theme=dark; {}; lang=en", alice.cookie);
    let fields =
        [("Cookie", &*cookies), ("X-Forwarded-User", "root"), ("X_Forwarded_User", "root")];
    let text = client.get_with("/request", &fields)?.text();
    assert!(text.contains("X-Forwarded-User: alice\r\n"), "{text}");
    assert!(text.contains("Cookie: theme=dark; lang=en\r\n"), "{text}");
    assert!(!text.contains("root") && !text.contains("sid="), "{text}");
    // On a path that is open to all nobody is named, and nobody can name themselves.
    assert_eq!(scene.connect()?.get_with("/status?code=200", &fields)?.head.status, 200);
    let received: Vec<u8> = scene.origin.received().concat();
    let received = String::from_utf8_lossy(&received);
    let (_, received) = received.split_once("GET /status?code=200").unwrap();
    assert!(!received.contains("User") && !received.contains("sid="), "{received}");
    Ok(())
}

#[test]
fn whoever_has_no_session_is_sent_to_the_login_or_refused() -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let alice = scene.login("alice")?;
    let other = format!("sid={}", id(99).reveal());
    let (whole, _) = alice.cookie.split_at(alice.cookie.len() - 1);
    let mut client = scene.connect()?;
    for cookie in ["a=b", "sid=", "sid=alice", &other, whole, &format!("x{}", alice.cookie)] {
        let response = client.get_with("/small?x=1&y=2", &[("Cookie", cookie)])?;
        assert_eq!(response.head.status, 401, "{cookie}");
        let challenge = "Cookie realm=\"mainstay\", cookie-name=\"sid\"";
        assert_eq!(field(&response, "www-authenticate"), challenge);
        assert_eq!(field(&response, "cache-control"), "no-store");

        let page = [("Cookie", cookie), ("Sec-Fetch-Mode", "navigate")];
        let response = client.get_with("/small?x=1&y=2", &page)?;
        assert_eq!(response.head.status, 302, "{cookie}");
        let location = "/status?return=/small%3Fx%3D1%26y%3D2";
        assert_eq!(field(&response, "location"), location);
        assert_eq!(field(&response, "cache-control"), "no-store");
    }
    // The same connection goes on with whoever has one, and what needs none needs none.
    assert_eq!(client.get_with("/small", &alice.fields())?.head.status, 200);
    assert_eq!(client.get("/status?code=204")?.head.status, 204);
    // The origin has heard of nobody else.
    assert_eq!(scene.origin.requests(), 2);
    Ok(())
}

#[test]
fn what_is_open_of_a_session_ends_with_it() -> anyhow::Result<()> {
    Accept::ALL.into_iter().try_for_each(a_logout_ends_what_is_open)
}

fn a_logout_ends_what_is_open(accept: Accept) -> anyhow::Result<()> {
    let mut scene = Scene::of(accept, |setup| setup)?;
    let (alice, bob) = (scene.login("alice")?, scene.login("bob")?);
    let mut sockets = (scene.web_socket(&alice)?, scene.web_socket(&bob)?);
    let cut: Vec<Download> =
        DOWNLOADS.iter().map(|target| scene.download(target, &alice)).collect::<Result<_, _>>()?;
    let mut kept = scene.connect()?;
    assert_eq!(kept.get_with("/small", &alice.fields())?.head.status, 200);

    scene.logout(&alice)?;
    assert_eq!(kept.get_with("/small", &alice.fields())?.head.status, 401);
    assert!(sockets.0.receive().is_err(), "a WebSocket outlived its session");
    for (download, target) in cut.into_iter().zip(DOWNLOADS) {
        assert!(download.ends_early(), "{target} looks whole");
    }
    // Nobody else notices.
    sockets.1.send(opcode::BINARY, b"still here".to_vec())?;
    assert_eq!(sockets.1.receive()?.payload, b"still here");
    assert_eq!(scene.status_of(&bob)?, 200);
    Ok(())
}

#[test]
fn the_request_that_logs_out_hears_its_answer() -> anyhow::Result<()> {
    let mut scene = Scene::with(|setup| setup.with_gateway("session", "finish_timeout", "1s"))?;
    let alice = scene.login("alice")?;
    let mut answered = scene.connect()?;
    answered.send(&request("GET", "/hold?key=answered", &alice.fields()))?;
    let mut forgotten = scene.connect()?;
    forgotten.send(&request("GET", "/hold?key=forgotten", &alice.fields()))?;
    for key in ["answered", "forgotten"] {
        scene.origin.wait_held(key, 1)?;
    }
    scene.logout(&alice)?;
    scene.origin.release("answered");
    assert_eq!(answered.response("GET")?.head.status, 200);
    // It has its while, and not more.
    assert_eq!(forgotten.response("GET")?.head.status, 401);
    scene.origin.release("forgotten");
    Ok(())
}

#[test]
fn an_heir_carries_on_what_is_logged_in_and_nothing_else() -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let (alice, bob) = (scene.login("alice")?, scene.login("bob")?);
    let mut sockets = (scene.web_socket(&alice)?, scene.web_socket(&bob)?);
    let download = scene.download(DOWNLOADS[1], &alice)?;
    for round in 0..3_u8 {
        let killed = scene.gateway.kill(Process::Worker(scene.gateway.active()?), Signal::KILL)?;
        if round == 1 {
            // While nobody carries them.
            scene.logout(&alice)?;
        }
        let alice_may = if round == 0 { 200 } else { 401 };
        assert_eq!(scene.status_of(&alice)?, alice_may, "round {round}");
        assert_eq!(scene.status_of(&bob)?, 200, "round {round}");
        sockets.1.send(opcode::BINARY, vec![round; 1000])?;
        assert_eq!(sockets.1.receive()?.payload, vec![round; 1000]);
        if round == 0 {
            sockets.0.send(opcode::BINARY, vec![round])?;
            assert_eq!(sockets.0.receive()?.payload, vec![round]);
        }
        scene.gateway.wait_ready_without(&[killed.pid()])?;
    }
    assert!(sockets.0.receive().is_err(), "a WebSocket outlived its session");
    assert!(download.ends_early());
    Ok(())
}

#[test]
fn a_session_that_is_not_used_runs_out_everywhere() -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let short = Duration::from_secs(3);
    let (used, unused) = (scene.login_for("used", short)?, scene.login_for("unused", short)?);
    let mut socket = scene.web_socket(&unused)?;
    let ended = wait::until("the unused session to run out", DEADLINE, || {
        // Use counts wherever it happens.
        let status = scene.status_of(&used).unwrap_or_default();
        let log = std::fs::read_to_string(scene.gateway.path().join("state/access.log"));
        let ended = log.unwrap_or_default().contains("session_ended");
        (status != 200 || ended).then_some(status)
    })?;
    assert_eq!(ended, 200, "a session that is used has run out");
    assert!(socket.receive().is_err());
    assert_eq!(scene.status_of(&unused)?, 401);
    Ok(())
}

#[test]
fn sessions_are_known_while_broadcast_is_dead() -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let alice = scene.login("alice")?;
    let stopped = scene.gateway.kill(Process::Broadcast, Signal::KILL)?;
    assert_eq!(scene.status_of(&alice)?, 200);
    // Whoever comes back knows them, too.
    scene.gateway.wait_ready_without(&[stopped.pid()])?;
    let worker = scene.gateway.kill(Process::Worker(scene.gateway.active()?), Signal::KILL)?;
    assert_eq!(scene.status_of(&alice)?, 200);
    scene.gateway.wait_ready_without(&[worker.pid()])?;
    scene.logout(&alice)?;
    assert_eq!(scene.status_of(&alice)?, 401);
    Ok(())
}

#[test]
fn an_apply_changes_who_is_let_through_on_connections_that_are_open() -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let alice = scene.login("alice")?;
    let mut client = scene.connect()?;
    assert_eq!(client.get("/small")?.head.status, 401);
    assert_eq!(client.get("/status?code=200")?.head.status, 200);
    let operator = Operator::of(&scene.gateway)?;
    operator.write(|text| {
        let (session, open) = ("access = \"session\"", "access = \"open\"");
        let opened = text.replace(session, open).replace("login = \"/status\"\n", "");
        let path = "path = \"/status\"\n";
        opened.replace(path, &format!("{path}{session}\n"))
    })?;
    operator.apply(&[])?;
    operator.wait_of_one_mind()?;
    assert_eq!(client.get("/small")?.head.status, 200);
    assert_eq!(client.get("/status?code=200")?.head.status, 401);
    assert_eq!(client.get_with("/status?code=200", &alice.fields())?.head.status, 200);
    Ok(())
}

/// Everything of this test on one processor, so that a client that hears its last byte is there
/// before the worker that sent it goes on.
fn share_a_processor() -> anyhow::Result<()> {
    let mut one = CpuSet::new();
    one.set(0);
    Ok(sched_setaffinity(None, &one)?)
}

#[test]
fn a_response_that_was_heard_to_its_end_is_over_though_its_worker_could_not_note_that()
-> anyhow::Result<()> {
    share_a_processor()?;
    let mut scene = Scene::start()?;
    let mut client = scene.connect()?;
    for round in 0..40 {
        let user = scene.login("alice")?;
        let victim = scene.gateway.process(Process::Worker(scene.gateway.active()?))?;
        let served = client.get_with("/small", &user.fields())?;
        victim.signal(Signal::KILL)?;
        assert_eq!(served.head.status, 200, "in round {round}");
        client.send(&request("GET", "/small", &[]))?;
        scene.logout(&user)?;
        let denied = client.response("GET").with_context(|| format!("in round {round}"))?;
        assert_eq!(denied.head.status, 401, "in round {round}");
        scene.gateway.wait_ready_without(&[victim.pid()])?;
    }
    Ok(())
}

#[test]
fn a_promise_about_a_session_outlives_every_process() -> anyhow::Result<()> {
    let seen = sessions::observe(&sessions::Options::SHORT)?;
    seen.verdict().map_err(|error| error.context(seen.to_string()))
}
