//! Lists, counts, and what operators do with agents.

use std::time::Duration;

use mainstay_database::{
    AgentFilter, AlertFilter, Credential, Fork, NewVersion, Presence, Range, Standing,
    StatusReport, StoreError, Sync,
};

use super::World;
use super::world::{MANAGER, all, audit, hash, uid};

async fn found(world: &World, filter: AgentFilter) -> Vec<String> {
    let page = world.two.agents(filter, all()).await.unwrap();
    page.rows.into_iter().map(|row| row.name).collect()
}

pub(crate) async fn agents_are_listed_by_name_and_found(world: &World) {
    let group = world.agents(12).await;
    let mut range = Range::first(5);
    let mut names = Vec::new();
    loop {
        let page = world.one.agents(AgentFilter::default(), range.clone()).await.unwrap();
        names.extend(page.rows.into_iter().map(|row| row.name));
        let Some(next) = page.next else { break };
        range.after = Some(next);
    }
    assert_eq!(names.len(), 12);
    assert!(names.is_sorted());
    let search = |text: &str| AgentFilter { search: Some(text.into()), ..AgentFilter::default() };
    assert_eq!(
        found(world, search("WAY-1")).await,
        ["gateway-1", "gateway-10", "gateway-11", "gateway-12"]
    );
    assert_eq!(found(world, search("0a0a")).await, ["gateway-10"]);
    assert_eq!(found(world, search("192.0.2.7:")).await, ["gateway-7"]);
    assert_eq!(found(world, search("%")).await, [""; 0]);
    let never = AgentFilter { presence: Some(Presence::Never), ..AgentFilter::default() };
    assert_eq!(found(world, never).await.len(), 12);
    let in_group = AgentFilter { group: Some(group), ..AgentFilter::default() };
    assert_eq!(found(world, in_group).await.len(), 12);
}

pub(crate) async fn the_fleet_is_counted(world: &World) {
    let group = world.agents(4).await;
    let configuration =
        world.one.create_configuration("shop", "", audit("configuration.create")).await.unwrap();
    let new = NewVersion {
        configuration,
        after: 0,
        hash: hash(7),
        text: b"text".to_vec(),
        note: String::new(),
    };
    let version = world.one.add_version(new, audit("version.add")).await.unwrap();
    world.one.set_group_version(group, Some(version.id), audit("group.set")).await.unwrap();
    let reports = [(1, hash(7)), (2, hash(8))];
    for (number, effective) in reports {
        let mut exchange = world.next(uid(number)).await;
        exchange.status =
            Some(StatusReport { effective: Some(effective), ..StatusReport::default() });
        world.commit(exchange).await;
    }
    let mut exchange = world.next(uid(3)).await;
    let applied = mainstay_database::Applied {
        state: mainstay_database::AppliedState::Failed,
        hash: hash(7),
        message: "no".into(),
    };
    exchange.status = Some(StatusReport { applied: Some(applied), ..StatusReport::default() });
    world.commit(exchange).await;
    let now = world.one.now().await.unwrap();
    let counts = world.two.fleet_counts(now.minus(Duration::from_secs(60))).await.unwrap();
    assert_eq!((counts.agents, counts.never, counts.online, counts.late), (4, 1, 3, 0));
    assert_eq!((counts.in_sync, counts.drifting, counts.failed), (1, 2, 1));
    assert_eq!(counts.versions, [("1.0".to_owned(), 4)]);
    assert_eq!(counts.managers, [(MANAGER, 3)]);
    for (sync, names) in [
        (Sync::InSync, vec!["gateway-1"]),
        (Sync::Drifting, vec!["gateway-2", "gateway-4"]),
        (Sync::Failed, vec!["gateway-3"]),
    ] {
        let filter = AgentFilter { sync: Some(sync), ..AgentFilter::default() };
        assert_eq!(found(world, filter).await, names);
    }
}

pub(crate) async fn agents_are_moved_blocked_and_given_keys(world: &World) {
    world.agents(2).await;
    let other = world.one.create_group("others", "", audit("group.create")).await.unwrap();
    let both = vec![uid(1), uid(2), uid(9)];
    assert_eq!(world.one.move_agents(both.clone(), other, audit("agent.move")).await.unwrap(), 2);
    let blocked = world.one.set_standing(both, Standing::Blocked, audit("agent.block")).await;
    assert_eq!(blocked.unwrap(), 2);
    let loaded = world.load(uid(1)).await;
    assert_eq!((loaded.group, loaded.standing), (other, Standing::Blocked));
    let (old, new) = (Credential::Key([1; 32]), Credential::Key([71; 32]));
    let set = async |from: &Credential, to: &Credential| {
        world.two.set_credential(uid(1), from.clone(), to.clone(), None).await
    };
    assert!(set(&old, &new).await.unwrap());
    assert!(!set(&old, &new).await.unwrap());
    let taken = set(&new, &Credential::Key([2; 32])).await;
    assert!(matches!(taken, Err(StoreError::Exists { .. })), "{taken:?}");
    assert_eq!(world.load(uid(1)).await.credential, new);
}

pub(crate) async fn a_key_is_retired_until_it_is_replaced(world: &World) {
    world.agents(2).await;
    let retire = async |agents| world.one.retire_keys(agents, audit("agent.new-key")).await;
    assert_eq!(retire(vec![uid(1), uid(9)]).await.unwrap(), 1);
    assert_eq!(retire(vec![uid(1)]).await.unwrap(), 0, "it was asked to already");
    assert!(world.load(uid(1)).await.key_retired);
    assert!(!world.load(uid(2)).await.key_retired);
    assert!(world.two.agent(uid(1)).await.unwrap().unwrap().key_retired);
    let (old, new) = (Credential::Key([1; 32]), Credential::Key([71; 32]));
    assert!(world.two.set_credential(uid(1), old, new, None).await.unwrap());
    assert!(!world.load(uid(1)).await.key_retired, "it has another one");
    assert!(!world.two.agent(uid(1)).await.unwrap().unwrap().key_retired);
    assert_eq!(retire(vec![uid(1)]).await.unwrap(), 1, "and may have to replace that one, too");
}

pub(crate) async fn a_second_holder_is_counted_and_raises_an_alert(world: &World) {
    world.agents(1).await;
    for store in [&world.one, &world.two] {
        let fork = Fork {
            agent: uid(1),
            sequence: 7,
            fingerprint: vec![9],
            address: "192.0.2.99:1".into(),
            detail: b"{}".to_vec(),
        };
        store.record_fork(fork).await.unwrap();
    }
    let row = world.one.agent(uid(1)).await.unwrap().unwrap();
    assert_eq!(row.forks, 2);
    let alerts = world.one.alerts(AlertFilter::default(), all()).await.unwrap().rows;
    assert_eq!((alerts.len(), alerts[0].count), (1, 2));
    assert_eq!(alerts[0].alert.agent, Some(uid(1)));
}
