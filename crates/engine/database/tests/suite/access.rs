//! Users, logins, tokens, and the audit log.

use std::time::Duration;

use mainstay_database::{AuditFilter, NewApiToken, Range, Role, StoreError, UserChange, UserId};

use super::World;
use super::world::{all, audit, hash};

const HOUR: Duration = Duration::from_secs(3600);

async fn user(world: &World, name: &str, role: Role) -> UserId {
    world.one.create_user(name, "$argon2id$", role, audit("user.create")).await.unwrap()
}

pub(crate) async fn the_last_administrator_stays(world: &World) {
    let one = user(world, "one", Role::Administrator).await;
    let two = user(world, "two", Role::Administrator).await;
    user(world, "three", Role::Operator).await;
    let exists = world.two.create_user("one", "", Role::Viewer, audit("x")).await;
    assert!(matches!(exists, Err(StoreError::Exists { .. })), "{exists:?}");
    // Two managers are asked at once to remove one each.
    let removals = futures_util::future::join(
        world.one.remove_user(one, audit("user.remove")),
        world.two.remove_user(two, audit("user.remove")),
    );
    let (first, second) = removals.await;
    assert_eq!(
        [&first, &second].iter().filter(|done| done.is_ok()).count(),
        1,
        "{first:?} {second:?}"
    );
    let left = if first.is_ok() { two } else { one };
    for change in [
        UserChange { role: Some(Role::Viewer), ..UserChange::default() },
        UserChange { disabled: Some(true), ..UserChange::default() },
    ] {
        let refused = world.one.change_user(left, change, audit("x")).await;
        assert!(matches!(refused, Err(StoreError::LastAdministrator)), "{refused:?}");
    }
    assert_eq!(world.one.users().await.unwrap().len(), 2);
}

pub(crate) async fn sessions_end_with_what_gave_them(world: &World) {
    let alice = user(world, "alice", Role::Operator).await;
    world.one.open_session(hash(1), alice, HOUR, audit("login")).await.unwrap();
    let session = async || world.two.session(hash(1), HOUR).await.unwrap();
    assert_eq!(session().await.unwrap().user.name, "alice");
    assert_eq!(world.one.session(hash(2), HOUR).await.unwrap(), None);
    assert_eq!(world.one.session(hash(1), Duration::ZERO).await.unwrap(), None, "idle too long");
    let change = UserChange { password: Some("new".into()), ..UserChange::default() };
    world.one.change_user(alice, change, audit("user.password")).await.unwrap();
    assert_eq!(session().await, None);
    world.one.open_session(hash(1), alice, Duration::ZERO, audit("login")).await.unwrap();
    assert_eq!(session().await, None, "it has expired");
    assert_eq!(world.one.sweep_sessions().await.unwrap(), 1);
    world.one.open_session(hash(1), alice, HOUR, audit("login")).await.unwrap();
    world.two.close_session(hash(1)).await.unwrap();
    assert_eq!(session().await, None);
    let named = world.one.user_named("alice").await.unwrap().unwrap();
    assert_eq!(named.password, "new");
    assert!(named.used_at.is_some());
}

pub(crate) async fn tokens_stand_for_users(world: &World) {
    let alice = user(world, "alice", Role::Operator).await;
    let new = NewApiToken {
        secret: hash(1),
        user: alice,
        role: Role::Viewer,
        expires_at: None,
        note: "ci".into(),
    };
    let id = world.one.create_api_token(new, audit("api-token.create")).await.unwrap();
    let (token, user) = world.two.api_token(hash(1)).await.unwrap().unwrap();
    assert_eq!((token.id, token.role, &*user.name), (id, Role::Viewer, "alice"));
    let listed = world.one.api_tokens().await.unwrap();
    assert!(listed[0].used_at.is_some());
    let disabled = UserChange { disabled: Some(true), ..UserChange::default() };
    world.one.change_user(alice, disabled, audit("user.disable")).await.unwrap();
    assert_eq!(world.two.api_token(hash(1)).await.unwrap(), None);
    world.one.revoke_api_token(id, audit("api-token.revoke")).await.unwrap();
    let again = world.one.revoke_api_token(id, audit("x")).await;
    assert!(matches!(again, Err(StoreError::Missing { .. })), "{again:?}");
}

pub(crate) async fn every_change_is_written_down(world: &World) {
    for number in 0..5 {
        let name = format!("group {number}");
        world.one.create_group(&name, "", audit("group.create")).await.unwrap();
    }
    let failed = world.two.create_group("group 1", "", audit("group.again")).await;
    failed.unwrap_err();
    world.two.audit(audit("login.failed")).await.unwrap();
    let log = world.one.audit_log(AuditFilter::default(), Range::first(4)).await.unwrap();
    assert_eq!((log.rows.len(), &*log.rows[0].audit.action), (4, "login.failed"));
    let rest = Range { after: log.next, limit: 4 };
    let rest = world.two.audit_log(AuditFilter::default(), rest).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (2, None));
    let filter = AuditFilter { action: Some("group.*".into()), ..AuditFilter::default() };
    assert_eq!(world.one.audit_log(filter, all()).await.unwrap().rows.len(), 5, "not the refused");
}
