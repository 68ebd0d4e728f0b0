//! A fleet comes back after an outage at a rate that its manager bears.

use mainstay_e2e::crowd::{Options, observe};

#[test]
fn all_are_back_within_two_polls_and_at_twice_the_usual_rate() -> anyhow::Result<()> {
    let options = Options { agents: 200, poll: 4, outage: 12, rate_min: 1, connections: 16 };
    let seen = observe(&options)?;
    seen.verdict().map_err(|error| error.context(seen.to_string()))
}
