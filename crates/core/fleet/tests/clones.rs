//! A fleet on a bad network, with clones and recordings: who is told apart, and who is never
//! taken for somebody else.
//!
//! The row is what a database holds; messages are lost, doubled and late by a seed. The clock of
//! every agent is ten years off, which nothing here could notice: no argument is a time.

use mainstay_fleet::chain::{Claim, Hash, Link, Verdict, judge};

/// Draws from a seed.
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

/// A token of exchange `after`; `drawn` stands for its random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    agent: u64,
    after: u64,
    drawn: u64,
}

impl Token {
    fn hash(self) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.agent.to_be_bytes());
        hash[8..16].copy_from_slice(&self.after.to_be_bytes());
        hash[16..24].copy_from_slice(&self.drawn.to_be_bytes());
        hash
    }
}

/// What a host has on its disk.
#[derive(Clone)]
struct Host {
    agent: u64,
    fingerprint: [u8; 8],
    sequence: u64,
    token: Token,
}

/// A request as it can be recorded.
#[derive(Clone)]
struct Request {
    agent: u64,
    fingerprint: [u8; 8],
    sequence: u64,
    token: Token,
}

impl Host {
    fn new(agent: u64, luck: &mut Luck) -> Self {
        let token = Token { agent, after: 1, drawn: luck.next() };
        Self { agent, fingerprint: agent.to_be_bytes(), sequence: 2, token }
    }

    fn ask(&self) -> Request {
        let Self { agent, fingerprint, sequence, token } = self.clone();
        Request { agent, fingerprint, sequence, token }
    }

    fn hear(&mut self, token: Token) {
        self.sequence += 1;
        self.token = token;
    }
}

/// What the database has of an agent.
#[derive(Clone)]
struct Row {
    sequence: u64,
    current: Token,
    previous: Token,
    fingerprint: [u8; 8],
    carried_out: u64,
}

impl Row {
    fn of(host: &Host) -> Self {
        let Host { token, fingerprint, .. } = *host;
        Self { sequence: 1, current: token, previous: token, fingerprint, carried_out: 0 }
    }

    /// The verdict, and the answer's token if there is an answer.
    fn serve(&mut self, request: &Request, luck: &mut Luck) -> (Verdict, Option<Token>) {
        let link = Link {
            sequence: self.sequence,
            current: self.current.hash(),
            previous: self.previous.hash(),
            fingerprint: &self.fingerprint,
        };
        let claim = Claim {
            sequence: request.sequence,
            token: Some(request.token.hash()),
            made_after: (request.token.agent == request.agent).then_some(request.token.after),
            fingerprint: &request.fingerprint,
        };
        let verdict = judge(&link, &claim);
        match verdict {
            Verdict::Next | Verdict::Ahead => {
                let drawn = luck.next();
                self.previous = request.token;
                self.current = Token { agent: request.agent, after: request.sequence, drawn };
                self.sequence = request.sequence;
                self.carried_out += 1;
                (verdict, Some(self.current))
            }
            Verdict::Repeat => (verdict, Some(self.current)),
            Verdict::OtherHost | Verdict::Stale => (verdict, None),
        }
    }
}

#[test]
fn a_hundred_thousand_lost_replies_raise_no_alarm() {
    let mut luck = Luck(7);
    let mut hosts: Vec<Host> = (0..100).map(|agent| Host::new(agent, &mut luck)).collect();
    let mut rows: Vec<Row> = hosts.iter().map(Row::of).collect();
    let (mut lost, mut done) = (0_u64, 0_u64);
    let mut recorded: Vec<Request> = Vec::new();
    while lost < 100_000 {
        for (host, row) in hosts.iter_mut().zip(&mut rows) {
            let request = host.ask();
            let (verdict, answer) = row.serve(&request, &mut luck);
            assert!(matches!(verdict, Verdict::Next | Verdict::Repeat), "{verdict:?}");
            if luck.one_in(2) {
                // The request was doubled on the way.
                assert_eq!(row.serve(&request, &mut luck).0, Verdict::Repeat);
            }
            if luck.one_in(3) {
                lost += 1;
            } else {
                host.hear(answer.expect("it was answered"));
                done += 1;
                if luck.one_in(500) {
                    recorded.push(request);
                }
            }
        }
    }
    let carried_out: u64 = rows.iter().map(|row| row.carried_out).sum();
    let unheard = hosts.iter().zip(&rows).filter(|(host, row)| host.sequence == row.sequence);
    assert_eq!(carried_out, done + unheard.count() as u64);
    // What was recorded on the way is worth nothing.
    assert!(recorded.len() > 100);
    for (host, row) in hosts.iter_mut().zip(&mut rows) {
        // Move on, so that no recording is the very last request.
        let (_, answer) = row.serve(&host.ask(), &mut luck);
        host.hear(answer.expect("it was answered"));
        let (_, answer) = row.serve(&host.ask(), &mut luck);
        host.hear(answer.expect("it was answered"));
    }
    for request in &recorded {
        let row = rows.get_mut(usize::try_from(request.agent).unwrap()).unwrap();
        let before = row.carried_out;
        assert_eq!(row.serve(request, &mut luck), (Verdict::Stale, None));
        assert_eq!(row.carried_out, before);
    }
}

#[test]
fn a_thousand_clones_are_told_apart_at_their_first_exchange() {
    let mut luck = Luck(11);
    for agent in 0..1_000 {
        let mut original = Host::new(agent, &mut luck);
        let mut row = Row::of(&original);
        for _ in 0..luck.next() % 20 {
            let (_, answer) = row.serve(&original.ask(), &mut luck);
            if !luck.one_in(4) {
                original.hear(answer.expect("it was answered"));
            }
        }
        // The disk is copied at any moment; the copy starts on another machine, and asks before
        // the original or after some exchanges of it.
        let mut copy = original.clone();
        copy.fingerprint = (agent + 1_000_000).to_be_bytes();
        for _ in 0..luck.next() % 3 {
            let (_, answer) = row.serve(&original.ask(), &mut luck);
            original.hear(answer.expect("it was answered"));
        }
        assert_eq!(row.serve(&copy.ask(), &mut luck), (Verdict::OtherHost, None));
        // The original has not noticed.
        let (verdict, answer) = row.serve(&original.ask(), &mut luck);
        assert!(matches!(verdict, Verdict::Next | Verdict::Repeat), "{verdict:?}");
        original.hear(answer.expect("it was answered"));
    }
}

/// Machines that look alike down to the fingerprint: the chain tells them apart once both have
/// asked.
#[test]
fn two_holders_of_one_state_do_not_both_go_on() {
    let mut luck = Luck(13);
    for agent in 0..1_000 {
        let mut original = Host::new(agent, &mut luck);
        let mut row = Row::of(&original);
        let mut copy = original.clone();
        let (_, answer) = row.serve(&original.ask(), &mut luck);
        original.hear(answer.expect("it was answered"));
        let (verdict, answer) = row.serve(&copy.ask(), &mut luck);
        assert_eq!(verdict, Verdict::Repeat, "it gets the same answer, and nothing is done");
        copy.hear(answer.expect("it was answered"));
        let (first, second) = if luck.one_in(2) { (&original, &copy) } else { (&copy, &original) };
        let (verdict, heard) = row.serve(&first.ask(), &mut luck);
        assert_eq!(verdict, Verdict::Next);
        let mut first = first.clone();
        first.hear(heard.expect("it was answered"));
        assert_eq!(row.serve(&first.ask(), &mut luck).0, Verdict::Next);
        assert_eq!(row.serve(&second.ask(), &mut luck), (Verdict::Stale, None));
    }
}

#[test]
fn a_database_that_lost_commits_locks_nobody_out() {
    let mut luck = Luck(17);
    for agent in 0..1_000 {
        let mut host = Host::new(agent, &mut luck);
        let mut row = Row::of(&host);
        let mut standby = row.clone();
        for _ in 0..luck.next() % 10 {
            if luck.one_in(2) {
                standby = row.clone();
            }
            let (_, answer) = row.serve(&host.ask(), &mut luck);
            if !luck.one_in(3) {
                host.hear(answer.expect("it was answered"));
            }
        }
        let (verdict, answer) = standby.serve(&host.ask(), &mut luck);
        assert!(matches!(verdict, Verdict::Next | Verdict::Ahead | Verdict::Repeat), "{verdict:?}");
        host.hear(answer.expect("it was answered"));
        assert_eq!(standby.serve(&host.ask(), &mut luck).0, Verdict::Next);
    }
}
