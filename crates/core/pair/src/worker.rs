//! What a master knows about the process in one slot.
//!
//! ```text
//!                    Arrived           Ready         Leaving             told to go
//!  Starting | Silent ────────▶ Building ──────▶ Ready ──────▶ Leaving ─────────────▶ Parting
//!     ▲                                                                                │
//!     │ Started                                                                        │
//!  Absent                                                                              │
//!     ▲                                                                                │
//!     └──────────────── Died ◀──── Condemned ◀──── Kill, from anywhere ◀───────────────┘
//! ```

use mainstay_model::Timestamp;
use mainstay_wire::pair::Serving;

use crate::{Event, Health};

/// The process in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    /// There is none, or none that spoke.
    Absent,
    /// It was there before this master and has not spoken: it may hold the lease.
    Silent { until: Timestamp },
    /// It was started and has not spoken: it holds no lease.
    Starting { until: Timestamp },
    /// It connected and has not announced itself.
    Building,
    /// It announced itself.
    Ready,
    /// It asked to be replaced; it serves on for as long as it must.
    Leaving { health: Health },
    /// It was told to go, and will end by itself.
    Parting,
    /// It was killed. Nothing that it says counts any more, its death alone does.
    Condemned,
}

impl Worker {
    /// Whether it may be given the lease.
    pub(crate) const fn health(self) -> Health {
        match self {
            Self::Ready => Health::Ready,
            Self::Leaving { health } => health,
            Self::Absent
            | Self::Starting { .. }
            | Self::Silent { .. }
            | Self::Building
            | Self::Parting
            | Self::Condemned => Health::Down,
        }
    }

    /// What is known of it after `event`, which is about this slot. One that starts has to
    /// speak by `speak_by`.
    pub(crate) const fn after(self, event: Event, speak_by: Timestamp) -> Self {
        match (self, event) {
            (_, Event::Died(_)) => Self::Absent,
            (Self::Condemned, _) => Self::Condemned,
            (Self::Absent, Event::Started(_)) => Self::Starting { until: speak_by },

            // Who serves had announced itself, to an earlier master.
            (_, Event::Arrived { serving: Serving::Active, .. }) => Self::Ready,
            (_, Event::Arrived { serving: Serving::Standby, .. }) => Self::Building,

            (Self::Building, Event::Ready(_)) => Self::Ready,
            (Self::Leaving { .. }, Event::Ready(_)) => Self::Leaving { health: Health::Ready },

            (Self::Building, Event::Leaving(_)) => Self::Leaving { health: Health::Down },
            (Self::Ready, Event::Leaving(_)) => Self::Leaving { health: Health::Ready },

            // A word from a process that was buried, or that never arrived, or said twice.
            (
                Self::Absent
                | Self::Starting { .. }
                | Self::Silent { .. }
                | Self::Ready
                | Self::Parting,
                Event::Ready(_),
            )
            | (
                Self::Absent
                | Self::Starting { .. }
                | Self::Silent { .. }
                | Self::Leaving { .. }
                | Self::Parting,
                Event::Leaving(_),
            ) => self,
            // It was faster than the news of its start.
            (
                Self::Starting { .. }
                | Self::Silent { .. }
                | Self::Building
                | Self::Ready
                | Self::Leaving { .. }
                | Self::Parting,
                Event::Started(_),
            ) => self,

            // These say nothing about a process by themselves: the lease decides.
            (
                _,
                Event::Revoked(_)
                | Event::Hung(_)
                | Event::HandoffFailed(_)
                | Event::SwapRequested
                | Event::Stopping
                | Event::Tick,
            ) => self,
        }
    }
}
