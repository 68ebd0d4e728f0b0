//! The kinds of work that are compared.

use std::fmt;

use clap::ValueEnum;

/// Every scenario, as the default of the command line.
pub(super) const ALL: &str = "ka1k,ka64k,upload64k,close1k,latency";

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Scenario {
    /// 1 KiB answers on connections that stay
    #[value(name = "ka1k")]
    Keepalive1k,
    /// 64 KiB answers on connections that stay
    #[value(name = "ka64k")]
    Keepalive64k,
    /// 64 KiB request bodies on connections that stay
    #[value(name = "upload64k")]
    Upload64k,
    /// 1 KiB answers, a new connection for each
    #[value(name = "close1k")]
    Close1k,
    /// 1 KiB answers at half the peak rate: how long they take
    #[value(name = "latency")]
    Latency,
}

impl Scenario {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Keepalive1k => "ka1k",
            Self::Keepalive64k => "ka64k",
            Self::Upload64k => "upload64k",
            Self::Close1k => "close1k",
            Self::Latency => "latency",
        }
    }

    /// What is asked of the backend.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Keepalive1k | Self::Close1k | Self::Latency => "/1k",
            Self::Keepalive64k => "/64k",
            Self::Upload64k => "/upload",
        }
    }

    /// How wrk's requests differ from plain ones, in its script language.
    pub(super) const fn script(self) -> &'static str {
        match self {
            Self::Keepalive1k | Self::Keepalive64k | Self::Latency => "",
            Self::Upload64k => "wrk.method = 'POST'\nwrk.body = string.rep('x', 65536)\n",
            Self::Close1k => "wrk.headers['Connection'] = 'close'\n",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
