//! Joining, and exchanges.

use mainstay_database::{
    Applied, AppliedState, Credential, Enrolled, EnrolmentRefusal, Exchanged, Hash, NewEvent,
    Presence, Severity, Standing, StatusReport,
};

use super::World;
use super::world::{SECRET, STREAM, audit, enrolment, hash, next, uid};

pub(crate) async fn an_agent_joins_once(world: &World) {
    let group = world.group().await;
    let new = Enrolled::New { group, standing: Standing::Active };
    let again = Enrolled::Again { group, standing: Standing::Active };
    assert_eq!(world.one.enroll(enrolment(1)).await.unwrap(), new);
    assert_eq!(world.two.enroll(enrolment(1)).await.unwrap(), again);
    let refused = Enrolled::Refused(EnrolmentRefusal::UidTaken);
    let mut other_key = enrolment(1);
    other_key.credential = Credential::Key([9; 32]);
    assert_eq!(world.one.enroll(other_key).await.unwrap(), refused);
    let refused = Enrolled::Refused(EnrolmentRefusal::KeyTaken);
    let mut other_uid = enrolment(1);
    other_uid.agent = uid(9);
    assert_eq!(world.one.enroll(other_uid).await.unwrap(), refused);
    let tokens = world.one.enrolment_tokens().await.unwrap();
    assert_eq!((tokens.len(), tokens[0].used), (1, 1));
    let loaded = world.load(uid(1)).await;
    assert_eq!(loaded.credential, Credential::Key([1; 32]));
    assert_eq!((loaded.presence, loaded.reported), (Presence::Never, false));
    assert_eq!(loaded.fingerprint, [1]);
}

pub(crate) async fn a_token_says_who_may_join(world: &World) {
    let group = world.group().await;
    let once = hash(78);
    world.token(group, once, Some(1)).await;
    let with = |number, secret| {
        let mut enrolment = enrolment(number);
        enrolment.secret = secret;
        enrolment
    };
    // Two managers are asked at once for the only place.
    let (one, two) = (world.one.enroll(with(1, once)), world.two.enroll(with(2, once)));
    let (one, two) = futures_util::future::join(one, two).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    let used_up = Enrolled::Refused(EnrolmentRefusal::UsedUp);
    assert_eq!([one, two].iter().filter(|&&done| done == used_up).count(), 1, "{one:?} {two:?}");
    let unknown = world.one.enroll(with(3, hash(99))).await.unwrap();
    assert_eq!(unknown, Enrolled::Refused(EnrolmentRefusal::UnknownToken));
    let tokens = world.one.enrolment_tokens().await.unwrap();
    world.one.revoke_enrolment_token(tokens[0].id, audit("token.revoke")).await.unwrap();
    let revoked = world.two.enroll(with(4, SECRET)).await.unwrap();
    assert_eq!(revoked, Enrolled::Refused(EnrolmentRefusal::Revoked));
}

pub(crate) async fn of_two_managers_one_commits(world: &World) {
    world.agents(1).await;
    let loaded = world.load(uid(1)).await;
    let (mut one, mut two) = (next(&loaded), next(&loaded));
    one.next.current = hash(71);
    two.next.current = hash(72);
    let (one, two) = (world.one.exchange(one), world.two.exchange(two));
    let (one, two) = futures_util::future::join(one, two).await;
    let (won, lost) = match (one.unwrap(), two.unwrap()) {
        (Exchanged::Committed { .. }, Exchanged::Moved(row)) => (hash(71), row),
        (Exchanged::Moved(row), Exchanged::Committed { .. }) => (hash(72), row),
        both => panic!("{both:?}"),
    };
    assert_eq!((lost.chain.sequence, lost.chain.current), (1, won));
    assert_eq!(lost.chain.previous, loaded.chain.current);
    assert_eq!(world.load(uid(1)).await.chain, lost.chain);
}

pub(crate) async fn the_last_reply_is_kept_and_only_the_last(world: &World) {
    world.agents(1).await;
    let reply = async |sequence| world.two.last_reply(uid(1), sequence).await.unwrap();
    assert_eq!(reply(0).await.as_deref(), Some(&b"welcome"[..]));
    for _ in 0..2 {
        world.commit(world.next(uid(1)).await).await;
    }
    assert_eq!(reply(2).await.as_deref(), Some(&b"reply 2"[..]));
    assert_eq!(reply(1).await, None);
}

pub(crate) async fn an_exchange_that_is_asked_for_again_is_recognised(world: &World) {
    world.agents(1).await;
    let mut exchange = world.next(uid(1)).await;
    exchange.events = Some(super::world::batch(1, 3));
    world.commit(exchange.clone()).await;
    world.commit(exchange).await;
    let events = world.one.events(Default::default(), super::world::all()).await.unwrap();
    assert_eq!(events.rows.len(), 3);
}

pub(crate) async fn what_an_agent_says_of_itself_stays_until_it_says_otherwise(world: &World) {
    world.agents(1).await;
    let mut exchange = world.next(uid(1)).await;
    let applied =
        Applied { state: AppliedState::Failed, hash: hash(3), message: "no such route".into() };
    exchange.status = Some(StatusReport {
        name: Some("web-1".into()),
        description: Some(b"a host".to_vec()),
        healthy: Some(false),
        effective: Some(hash(2)),
        effective_text: Some(b"listener".to_vec()),
        applied: Some(applied.clone()),
        capabilities: Some(u64::MAX),
        ..StatusReport::default()
    });
    world.commit(exchange).await;
    let mut exchange = world.next(uid(1)).await;
    exchange.status =
        Some(StatusReport { health: Some(b"tree".to_vec()), ..StatusReport::default() });
    world.commit(exchange).await;
    let row = world.two.agent(uid(1)).await.unwrap().unwrap();
    assert_eq!((&*row.name, &*row.version), ("web-1", "1.0"));
    assert_eq!((&*row.description, &*row.health), (&b"a host"[..], &b"tree"[..]));
    assert_eq!((row.healthy, row.effective), (Some(false), Some(hash(2))));
    assert_eq!((row.applied, row.capabilities), (Some(applied), u64::MAX));
    assert_eq!(row.presence, Presence::Online);
    let text = world.one.effective_text(uid(1)).await.unwrap();
    assert_eq!(text.as_deref(), Some(&b"listener"[..]));
    let loaded = world.load(uid(1)).await;
    assert!(loaded.reported);
    assert!(loaded.seen_at.unwrap() <= loaded.now);
}

pub(crate) async fn an_agent_that_was_removed_is_unknown(world: &World) {
    world.agents(2).await;
    let exchange = world.next(uid(1)).await;
    world.two.remove_agent(uid(1), audit("agent.remove")).await.unwrap();
    assert_eq!(world.one.exchange(exchange).await.unwrap(), Exchanged::Unknown);
    assert_eq!(world.one.load(uid(1), None).await.unwrap(), None);
    world.load(uid(2)).await;
}

pub(crate) async fn many_exchanges_at_once_are_all_answered(world: &World) {
    world.agents(100).await;
    for _round in 0..3 {
        let mut all = Vec::new();
        for number in 1..=100 {
            let mut exchange = world.next(uid(number)).await;
            exchange.remarks = vec![NewEvent {
                agent: Some(uid(number)),
                kind: "agent.online".into(),
                severity: Severity::Information,
                body: vec![],
            }];
            let store = if number % 2 == 0 { &world.one } else { &world.two };
            all.push(store.exchange(exchange));
        }
        for done in futures_util::future::join_all(all).await {
            assert!(matches!(done.unwrap(), Exchanged::Committed { events: None, .. }));
        }
    }
    let days = world.one.event_days().await.unwrap();
    assert_eq!(days.iter().map(|day| day.events).sum::<u64>(), 300);
    assert_eq!(world.load(uid(7)).await.cursor.stream, STREAM);
    assert_ne!(world.load(uid(7)).await.chain.current, Hash::NONE);
}
