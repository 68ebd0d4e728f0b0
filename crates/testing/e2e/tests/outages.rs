//! A fleet whose managers, networks, agents and database fail. `cargo xtask outages` does it for
//! longer, and with more of them.

use mainstay_e2e::outages::{Options, observe};

#[test]
fn every_event_is_kept_once_and_in_order_whatever_fails() -> anyhow::Result<()> {
    let mut news = Vec::new();
    let seen = observe(&Options::SHORT, |line| news.push(line.to_owned()))?;
    seen.verdict().map_err(|error| error.context(format!("{seen}\n{}", news.join("\n"))))
}
