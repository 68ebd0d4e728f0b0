//! A bad configuration reaches one wave, and the gateway in it goes back by itself.

use mainstay_e2e::rollout::{Options, observe};

#[test]
fn what_hurts_the_clients_of_one_real_gateway_stays_in_its_wave() -> anyhow::Result<()> {
    let seen = observe(&Options { agents: 100, wave: 10, poll: 1 })?;
    seen.verdict().map_err(|error| error.context(seen.to_string()))
}
