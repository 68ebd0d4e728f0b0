//! Groups, versions, rollouts, settings.

use mainstay_database::{
    Desire, MemberState, NewRollout, NewVersion, RolloutId, RolloutState, RolloutStep, StoreError,
    VersionId,
};

use super::World;
use super::world::{all, audit, hash, uid};

/// A configuration with two versions.
async fn versions(world: &World) -> [VersionId; 2] {
    let configuration =
        world.one.create_configuration("shop", "", audit("configuration.create")).await.unwrap();
    let mut ids = [VersionId(0); 2];
    for (after, id) in (0..).zip(&mut ids) {
        let text = format!("text {after}").into_bytes();
        let hash = hash(u64::from(after) + 1);
        let new = NewVersion { configuration, after, hash, text, note: String::new() };
        *id = world.one.add_version(new.clone(), audit("version.add")).await.unwrap().id;
        let stale = world.two.add_version(new, audit("version.add")).await;
        assert!(matches!(stale, Err(StoreError::Changed { .. })), "{stale:?}");
    }
    let page = world.two.versions(configuration, all()).await.unwrap();
    assert_eq!(page.rows.iter().map(|v| v.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(world.one.version_text(ids[1]).await.unwrap().as_deref(), Some(&b"text 1"[..]));
    ids
}

pub(crate) async fn groups_and_versions_hold_each_other(world: &World) {
    let group = world.agents(1).await;
    let [first, _second] = versions(world).await;
    world.one.set_group_version(group, Some(first), audit("group.set")).await.unwrap();
    assert_eq!(world.load(uid(1)).await.desired.map(|d| d.hash), Some(hash(1)));
    let configuration = world.one.configurations().await.unwrap()[0].id;
    let in_use = world.one.remove_configuration(configuration, audit("x")).await;
    assert!(matches!(in_use, Err(StoreError::InUse { .. })), "{in_use:?}");
    let in_use = world.one.remove_group(group, audit("x")).await;
    assert!(matches!(in_use, Err(StoreError::InUse { .. })), "{in_use:?}");
    let exists = world.two.create_group("gateways", "", audit("x")).await;
    assert!(matches!(exists, Err(StoreError::Exists { .. })), "{exists:?}");
    let missing = world.one.set_group_version(group, Some(VersionId(999)), audit("x")).await;
    assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    world.one.set_group_version(group, None, audit("group.set")).await.unwrap();
    world.one.remove_configuration(configuration, audit("configuration.remove")).await.unwrap();
    let empty = world.one.create_group("empty", "", audit("x")).await.unwrap();
    world.two.rename_group(empty, "still empty", "note", audit("x")).await.unwrap();
    let names: Vec<String> =
        world.one.groups().await.unwrap().into_iter().map(|g| g.name).collect();
    assert_eq!(names, ["gateways", "still empty"]);
    world.one.remove_group(empty, audit("group.remove")).await.unwrap();
}

async fn begin(world: &World) -> (RolloutId, [VersionId; 2]) {
    let group = world.agents(3).await;
    let ids = versions(world).await;
    world.one.set_group_version(group, Some(ids[0]), audit("group.set")).await.unwrap();
    let new = NewRollout {
        group,
        version: ids[1],
        state: RolloutState::Running,
        plan: b"plan".to_vec(),
        members: vec![(uid(1), 0), (uid(2), 1), (uid(3), 1)],
        note: String::new(),
    };
    let rollout = world.one.create_rollout(new.clone(), audit("rollout.create")).await.unwrap();
    let second = world.two.create_rollout(new, audit("x")).await;
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
    (rollout, ids)
}

fn step(rollout: RolloutId, revision: u64, offer: Option<u32>) -> RolloutStep {
    RolloutStep {
        rollout,
        revision,
        state: RolloutState::Running,
        reason: String::new(),
        offer,
        members: vec![],
        desire: Desire::Keep,
    }
}

async fn desired(world: &World) -> [Option<VersionId>; 3] {
    let mut desired = [None; 3];
    for (number, desired) in (1..).zip(&mut desired) {
        *desired = world.load(uid(number)).await.desired.map(|d| d.version);
    }
    desired
}

pub(crate) async fn a_rollout_goes_in_waves_and_is_adopted(world: &World) {
    let (rollout, [old, new]) = begin(world).await;
    assert!(world.one.step_rollout(step(rollout, 1, Some(0)), None).await.unwrap());
    let stale = world.two.step_rollout(step(rollout, 1, Some(1)), None).await.unwrap();
    assert!(!stale, "somebody else has stepped");
    assert_eq!(desired(world).await, [Some(new), Some(old), Some(old)]);
    let mut second = step(rollout, 2, Some(1));
    second.members = vec![(uid(1), MemberState::Applied, "fine".into())];
    assert!(world.two.step_rollout(second, None).await.unwrap());
    let members = world.one.members(rollout, all()).await.unwrap().rows;
    let states: Vec<_> = members.iter().map(|m| (m.agent, m.wave, m.state)).collect();
    assert_eq!(
        states,
        [
            (uid(1), 0, MemberState::Applied),
            (uid(2), 1, MemberState::Offered),
            (uid(3), 1, MemberState::Offered)
        ]
    );
    assert_eq!(world.one.live_rollouts().await.unwrap().len(), 1);
    let mut last = step(rollout, 3, None);
    (last.state, last.desire) = (RolloutState::Done, Desire::Adopt);
    assert!(world.one.step_rollout(last, Some(audit("rollout.done"))).await.unwrap());
    assert_eq!(desired(world).await, [Some(new); 3]);
    let row = world.two.agent(uid(1)).await.unwrap().unwrap();
    assert_eq!(row.own_version, None);
    let row = world.two.rollout(rollout).await.unwrap().unwrap();
    assert_eq!((row.state, row.wave, row.former), (RolloutState::Done, Some(1), Some(old)));
    assert_eq!(world.one.live_rollouts().await.unwrap(), []);
}

pub(crate) async fn a_rollout_is_reverted(world: &World) {
    let (rollout, [old, new]) = begin(world).await;
    assert!(world.one.step_rollout(step(rollout, 1, Some(0)), None).await.unwrap());
    assert_eq!(desired(world).await, [Some(new), Some(old), Some(old)]);
    let mut back = step(rollout, 2, None);
    (back.state, back.desire) = (RolloutState::RolledBack, Desire::Revert);
    back.reason = "the first wave failed".into();
    assert!(world.two.step_rollout(back, None).await.unwrap());
    assert_eq!(desired(world).await, [Some(old); 3]);
    let members = world.one.members(rollout, all()).await.unwrap().rows;
    let states: Vec<_> = members.iter().map(|m| m.state).collect();
    let waiting = MemberState::Waiting;
    assert_eq!(states, [MemberState::RolledBack, waiting, waiting]);
}

pub(crate) async fn settings_are_compared_and_set(world: &World) {
    assert_eq!(world.one.database_id().await.unwrap(), world.two.database_id().await.unwrap());
    let set = async |expected: Option<&[u8]>, value: Option<&[u8]>| {
        world.two.set_setting("pin", expected, value, None).await.unwrap()
    };
    assert!(set(None, Some(b"one")).await);
    assert!(!set(None, Some(b"two")).await);
    assert!(set(Some(b"one"), Some(b"two")).await);
    assert_eq!(world.one.setting("pin").await.unwrap().as_deref(), Some(&b"two"[..]));
    assert!(set(Some(b"two"), None).await);
    assert_eq!(world.one.setting("pin").await.unwrap(), None);
}
