//! A manager serves agents: the real binary, real TLS, real signatures, a real database.

use mainstay_e2e::fleet::{Agent, Event, Fleet};
use mainstay_opamp::refusal::Refusal;

fn event(kind: &str) -> Event {
    Event { unix_us: 1, severity: 0, kind: kind.to_owned(), body: "{}".to_owned() }
}

#[test]
fn an_agent_joins_and_exchanges() {
    let fleet = Fleet::init(&[]).unwrap();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&[]).unwrap();
    let mut agent = Agent::enroll_at(&token, manager.agents).unwrap();
    for _ in 0..3 {
        let told = agent.exchange(&manager).unwrap();
        assert_eq!(told.ack.durable_through, 0);
    }
    // The token was good for one host.
    let (other, secret) = Agent::new(&token).unwrap();
    let refused = other.join(manager.agents, &secret.secret).unwrap();
    assert_eq!(refused.refusal(), Some(Refusal::TokenRefused), "{refused:?}");
    // Another manager on the same database goes on where this one ended.
    manager.stop().unwrap();
    let manager = fleet.serve().unwrap();
    let message = agent.batch(vec![event("one"), event("two")]);
    let told = agent.carry_out(manager.agents, &message).unwrap();
    assert_eq!(told.ack.durable_through, 2);
    manager.stop().unwrap();
}
