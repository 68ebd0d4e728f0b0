//! Listeners that come, move and go by an apply, while others serve.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use mainstay_e2e::administration::Operator;
use mainstay_e2e::cli::Answer;
use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::{Accept, DEADLINE, Gateway, Setup};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::{Origin, wait};

/// Addresses on which nobody listens.
fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    // All are bound before the first is let go, so no two are the same.
    let bound: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<_>>()?;
    let addresses = bound.iter().map(TcpListener::local_addr);
    Ok(addresses.collect::<std::io::Result<Vec<_>>>()?.try_into().unwrap())
}

/// The text with other listeners of the service `web`, each as its table says.
fn with(text: &str, extra: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (name, table) in extra {
        text = text.replacen("listeners = [", &format!("listeners = [{name:?}, "), 1);
        text.push_str(&format!("\n[[listener]]\nname = {name:?}\n{table}\n"));
    }
    text
}

fn at(address: impl std::fmt::Display) -> String {
    format!("address = \"{address}\"")
}

fn apply(operator: &Operator<'_>, extra: &[(&str, &str)]) -> anyhow::Result<Answer> {
    operator.write(|text| with(text, extra))?;
    operator.apply(&[])
}

fn apply_well(operator: &Operator<'_>, extra: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let answer = apply(operator, extra)?;
    anyhow::ensure!(answer.code == Some(0), "{answer:?}\n{}", operator.gateway.log_tail());
    Ok(answer)
}

/// Which of the ports of this machine are listened on, and the number of the socket that does.
fn listening() -> anyhow::Result<BTreeMap<u16, u64>> {
    const LISTEN: &str = "0A";
    let mut found = BTreeMap::new();
    for line in fs::read_to_string("/proc/net/tcp")?.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, local, _, state, _, _, _, _, _, inode, ..] = &words[..] else { continue };
        if state == LISTEN {
            let (_, port) = local.split_once(':').unwrap();
            found.insert(u16::from_str_radix(port, 16)?, inode.parse()?);
        }
    }
    Ok(found)
}

/// Waits until nobody listens there.
fn wait_closed(address: SocketAddr) -> anyhow::Result<()> {
    let closed = || (!listening().ok()?.contains_key(&address.port())).then_some(());
    Ok(wait::until(&format!("{address} to be closed"), DEADLINE, closed)?)
}

fn answers(address: SocketAddr) -> anyhow::Result<()> {
    let status = Client::connect(address)?.get("/small")?.head.status;
    anyhow::ensure!(status == 200, "{address} answers {status}");
    Ok(())
}

#[test]
fn listeners_come_move_and_go_under_load_and_nobody_notices() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let operator = Operator::of(&gateway)?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    for accept in Accept::ALL {
        let [first, second] = free_addresses()?;
        let table = |address| format!("{}\naccept = \"{}\"", at(address), accept.name());
        assert!(TcpStream::connect(first).is_err());

        let answer = apply_well(&operator, &[("extra", &table(first))])?;
        assert!(answer.out.contains("its new listeners are opened"), "{answer:?}");
        let mut early = Client::connect(first)?;
        assert_eq!(early.get("/small")?.head.status, 200);
        traffic.wait_answered(50)?;

        apply_well(&operator, &[("extra", &table(second))])?;
        wait_closed(first)?;
        answers(second)?;
        assert_eq!(early.get("/small")?.head.status, 200, "it came to where that was");
        let mut late = Client::connect(second)?;
        traffic.wait_answered(50)?;

        apply_well(&operator, &[])?;
        wait_closed(second)?;
        assert_eq!(late.get("/small")?.head.status, 200, "what is open goes on");
        traffic.wait_answered(50)?;
    }
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

/// The address decides which socket it is: another name, or another way of accepting, keeps it.
#[test]
fn a_listener_at_the_same_address_keeps_its_socket() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let [address] = free_addresses()?;
    apply_well(&operator, &[("extra", &at(address))])?;
    let socket = listening()?[&address.port()];
    for (name, more) in [
        ("extra", "accept = \"master\""),
        ("extra", "backlog = 7"),
        ("renamed", "accept = \"active\""),
        ("extra", "accept = \"master\""),
    ] {
        let answer = apply_well(&operator, &[(name, &format!("{}\n{more}", at(address)))])?;
        assert!(!answer.out.contains("listeners are opened"), "{answer:?}");
        assert_eq!(listening()?[&address.port()], socket, "{name} {more}");
        answers(address)?;
    }
    Ok(())
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_the_apply_and_nothing_has_changed() -> anyhow::Result<()>
{
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let path = gateway.path().join("file");
    fs::write(&path, "not a socket")?;
    let [free] = free_addresses()?;
    let own = gateway.address("web").port();
    let (before, serves) = (listening()?, operator.wait_of_one_mind()?);
    let taken_at = taken.local_addr()?;
    for (address, reason) in [
        (
            taken_at.to_string(),
            format!("listener \"bad\" cannot be opened: cannot listen on {taken_at}: "),
        ),
        ("192.0.2.1:80".to_owned(), "cannot listen on 192.0.2.1:80: ".to_owned()),
        (format!("unix:{}", path.display()), format!("cannot listen on unix:{}", path.display())),
        (
            format!("0.0.0.0:{own}"),
            format!("cannot be opened at 0.0.0.0:{own} while listener \"web\" is open"),
        ),
    ] {
        // The file itself is good: the listener that is in the way is not in it any more.
        operator.write(|text| {
            let web = gateway.address("web").to_string();
            let [_, elsewhere] = free_addresses::<2>().unwrap();
            let text = match address.ends_with(&format!(":{own}")) {
                true => text.replacen(&web, &elsewhere.to_string(), 1),
                false => text.to_owned(),
            };
            with(&text, &[("good", &at(free)), ("bad", &at(&address))])
        })?;
        let answer = operator.apply(&[])?;
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains(&reason), "{reason}: {answer:?}");
        assert_eq!(operator.wait_of_one_mind()?, serves);
        wait_closed(free)?;
        assert_eq!(listening()?.get(&own), before.get(&own), "{address}");
    }
    assert_eq!(fs::read_to_string(&path)?, "not a socket");
    answers(gateway.address("web"))
}
