//! What a lane counts. Single writer, many readers: a plain load and store is enough.

/// A number that a lane keeps in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Open client connections (a gauge).
    Connections,
    /// Idle upstream connections (a gauge).
    Pooled,
    /// Connections that were accepted or handed over new.
    Accepted,
    /// Connections taken over from another process.
    Adopted,
    /// Adopted connections that could not be reconciled.
    AdoptedClosed,
    /// Exchanges that ended, by the class of their status.
    Responses1xx,
    Responses2xx,
    Responses3xx,
    Responses4xx,
    Responses5xx,
    /// Exchanges that ended without a whole response.
    Aborted,
    /// Bytes to and from clients.
    BytesIn,
    BytesOut,
    /// Connections opened to upstream servers.
    UpstreamConnects,
    /// Those that failed.
    UpstreamFailures,
    /// Exchanges that were given to a second server.
    Retries,
    /// Waits that ended by their limit.
    Timeouts,
    /// Requests refused because of their form.
    Refused,
    /// Tunnels that ended: plain TCP and upgraded connections.
    Tunnels,
    /// Lines of the access log that could not be written.
    LogLost,
    /// Requests answered with 401 for want of a session.
    AccessRefused,
    /// Pages sent to the login for want of a session.
    AccessRedirected,
    /// Exchanges and tunnels that ended because their session did.
    SessionEnded,
}

impl Counter {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 23] = [
        Self::Connections,
        Self::Pooled,
        Self::Accepted,
        Self::Adopted,
        Self::AdoptedClosed,
        Self::Responses1xx,
        Self::Responses2xx,
        Self::Responses3xx,
        Self::Responses4xx,
        Self::Responses5xx,
        Self::Aborted,
        Self::BytesIn,
        Self::BytesOut,
        Self::UpstreamConnects,
        Self::UpstreamFailures,
        Self::Retries,
        Self::Timeouts,
        Self::Refused,
        Self::Tunnels,
        Self::LogLost,
        Self::AccessRefused,
        Self::AccessRedirected,
        Self::SessionEnded,
    ];

    /// Its place among a lane's counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The counter for the class of a status.
    pub const fn of_status(status: u16) -> Self {
        match status / 100 {
            1 => Self::Responses1xx,
            2 => Self::Responses2xx,
            3 => Self::Responses3xx,
            4 => Self::Responses4xx,
            _ => Self::Responses5xx,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_word() {
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter.index(), index, "{counter:?}");
        }
    }
}
