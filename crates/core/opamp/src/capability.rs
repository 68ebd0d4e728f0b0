//! What each side says it can do, and flags: bits of OpAMP's masks.
//!
//! Constants, not an enum: a mask may have bits that this build does not know.

/// What an agent may say it can do.
pub mod agent {
    /// It reports its status; every agent does.
    pub const REPORTS_STATUS: u64 = 0x1;
    /// It applies configurations that are offered.
    pub const ACCEPTS_REMOTE_CONFIG: u64 = 0x2;
    /// It reports the configuration that it works with.
    pub const REPORTS_EFFECTIVE_CONFIG: u64 = 0x4;
    /// It installs packages that are offered.
    pub const ACCEPTS_PACKAGES: u64 = 0x8;
    /// It reports what became of packages.
    pub const REPORTS_PACKAGE_STATUSES: u64 = 0x10;
    /// It sends its traces where it is told.
    pub const REPORTS_OWN_TRACES: u64 = 0x20;
    /// It sends its metrics where it is told.
    pub const REPORTS_OWN_METRICS: u64 = 0x40;
    /// It sends its logs where it is told.
    pub const REPORTS_OWN_LOGS: u64 = 0x80;
    /// It takes settings for its connection to managers.
    pub const ACCEPTS_OPAMP_CONNECTION_SETTINGS: u64 = 0x100;
    /// It takes settings for other connections.
    pub const ACCEPTS_OTHER_CONNECTION_SETTINGS: u64 = 0x200;
    /// It starts again when it is told to.
    pub const ACCEPTS_RESTART_COMMAND: u64 = 0x400;
    /// It reports how it is.
    pub const REPORTS_HEALTH: u64 = 0x800;
    /// It reports what became of a configuration that was offered.
    pub const REPORTS_REMOTE_CONFIG: u64 = 0x1000;
    /// It reports at an interval.
    pub const REPORTS_HEARTBEAT: u64 = 0x2000;
    /// It reports what could be configured.
    pub const REPORTS_AVAILABLE_COMPONENTS: u64 = 0x4000;
    /// It reports what became of connection settings.
    pub const REPORTS_CONNECTION_SETTINGS_STATUS: u64 = 0x8000;

    /// What an agent of ours can do.
    pub const OURS: u64 = REPORTS_STATUS
        | ACCEPTS_REMOTE_CONFIG
        | REPORTS_EFFECTIVE_CONFIG
        | ACCEPTS_OPAMP_CONNECTION_SETTINGS
        | ACCEPTS_OTHER_CONNECTION_SETTINGS
        | REPORTS_HEALTH
        | REPORTS_REMOTE_CONFIG
        | REPORTS_HEARTBEAT
        | REPORTS_CONNECTION_SETTINGS_STATUS;
}

/// What a manager may say it can do.
pub mod server {
    /// It takes status; every manager does.
    pub const ACCEPTS_STATUS: u64 = 0x1;
    /// It offers configurations.
    pub const OFFERS_REMOTE_CONFIG: u64 = 0x2;
    /// It takes the configuration that an agent works with.
    pub const ACCEPTS_EFFECTIVE_CONFIG: u64 = 0x4;
    /// It offers packages.
    pub const OFFERS_PACKAGES: u64 = 0x8;
    /// It takes what became of packages.
    pub const ACCEPTS_PACKAGES_STATUS: u64 = 0x10;
    /// It offers connection settings.
    pub const OFFERS_CONNECTION_SETTINGS: u64 = 0x20;
    /// It answers requests for connection settings.
    pub const ACCEPTS_CONNECTION_SETTINGS_REQUEST: u64 = 0x40;

    /// What a manager of ours can do.
    pub const OURS: u64 = ACCEPTS_STATUS
        | OFFERS_REMOTE_CONFIG
        | ACCEPTS_EFFECTIVE_CONFIG
        | OFFERS_CONNECTION_SETTINGS;
}

/// Flags of a request.
pub mod agent_flag {
    /// The agent wants a name from the manager.
    pub const REQUEST_INSTANCE_UID: u64 = 0x1;
}

/// Flags of an answer.
pub mod server_flag {
    /// The next request is to leave nothing out.
    pub const REPORT_FULL_STATE: u64 = 0x1;
    /// The next request is to say what could be configured.
    pub const REPORT_AVAILABLE_COMPONENTS: u64 = 0x2;
}
