//! The certificate of all managers is exchanged, and nobody but a manager hears an agent.

use mainstay_e2e::pins::{self, Options, Shown, Strangers};

#[test]
fn a_rotation_leaves_no_agent_behind_that_was_away() -> anyhow::Result<()> {
    let seen = pins::observe(&Options { agents: 40, away: 10, processes: 3 })?;
    seen.verdict()?;
    assert_eq!((seen.away, seen.orphans), (4, 0), "{seen}");
    Ok(())
}

#[test]
fn a_manager_without_the_certificate_or_without_its_key_hears_not_one_byte() -> anyhow::Result<()> {
    let strangers = pins::strangers()?;
    strangers.verdict()?;
    let Strangers(rows) = &strangers;
    let heard = |shown| rows.iter().filter(|row| row.shown == shown).map(|row| row.bytes).sum();
    let (another, wrong_key): (u64, u64) = (heard(Shown::Another), heard(Shown::WrongKey));
    assert_eq!((another, wrong_key), (0, 0), "{strangers}");
    Ok(())
}
