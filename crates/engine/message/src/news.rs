//! What a process has to tell its supervisor, kept until that has written it down.
//!
//! A supervisor that dies may have read it or not. So what was not acknowledged is told to the
//! next one again, with its number, by which one that had heard of it knows it.

use std::collections::VecDeque;

use mainstay_os::Channel;
use mainstay_wire::control::ToSupervisor;
use mainstay_wire::event::Event;

use crate::{MessageError, send};

/// Most events that wait; then the oldest is forgotten.
const WAITING_MAX: usize = 256;

/// Events on their way to a supervisor.
#[derive(Debug, Default)]
pub struct News {
    waiting: VecDeque<Item>,
    /// Of the last one.
    number: u64,
    /// How many of those that wait were sent to this supervisor.
    sent: usize,
}

#[derive(Debug)]
struct Item {
    number: u64,
    unix_ms: u64,
    event: Event,
}

impl News {
    /// Something happened, at this time.
    pub fn note(&mut self, unix_ms: u64, event: Event) {
        if self.waiting.len() >= WAITING_MAX {
            tracing::warn!("too many events wait for a supervisor, the oldest is forgotten");
            self.waiting.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
        self.number = self.number.saturating_add(1);
        self.waiting.push_back(Item { number: self.number, unix_ms, event });
    }

    /// Tells what this supervisor was not told. What it cannot take now waits.
    pub fn tell(&mut self, channel: &Channel) -> Result<(), MessageError> {
        while let Some(Item { number, unix_ms, event }) = self.waiting.get(self.sent) {
            let (number, unix_ms, event) = (*number, *unix_ms, event.clone());
            send(channel, &ToSupervisor::Event { number, unix_ms, event }, &[])?;
            self.sent += 1;
        }
        Ok(())
    }

    /// This one and those before it are written down.
    pub fn noted(&mut self, number: u64) {
        while self.waiting.front().is_some_and(|item| item.number <= number) {
            self.waiting.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// Another supervisor is there, which was told nothing.
    pub const fn begin_again(&mut self) {
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive;

    fn numbers(channel: &Channel) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some((message, _)) = receive::<ToSupervisor>(channel).unwrap() {
            let ToSupervisor::Event { number, .. } = message else { panic!("{message:?}") };
            numbers.push(number);
        }
        numbers
    }

    #[test]
    fn what_was_not_acknowledged_is_told_to_the_next_supervisor() {
        let mut news = News::default();
        let (near, far) = Channel::pair().unwrap();
        for _ in 0..3 {
            news.note(1, Event::SwapRefused);
        }
        news.tell(&near).unwrap();
        news.tell(&near).unwrap();
        assert_eq!(numbers(&far), [1, 2, 3]);
        news.noted(1);
        news.note(2, Event::NoWorkerReady);
        news.tell(&near).unwrap();
        assert_eq!(numbers(&far), [4]);

        news.begin_again();
        news.tell(&near).unwrap();
        assert_eq!(numbers(&far), [2, 3, 4]);
        news.noted(4);
        news.begin_again();
        news.tell(&near).unwrap();
        assert!(numbers(&far).is_empty());
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let mut news = News::default();
        for _ in 0..=WAITING_MAX {
            news.note(1, Event::SwapRefused);
        }
        let (near, far) = Channel::pair().unwrap();
        // As many as the channel takes.
        drop(news.tell(&near));
        assert_eq!(numbers(&far).first(), Some(&2));
    }
}
