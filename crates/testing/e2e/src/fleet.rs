//! Managers from outside: made by the real binary, started, asked, and ended.
//!
//! ```no_run
//! use mainstay_e2e::fleet::{Agent, Fleet};
//!
//! let fleet = Fleet::init(&[]).unwrap();
//! let manager = fleet.serve().unwrap();
//! let mut agent = Agent::enroll(&fleet.token(&[]).unwrap()).unwrap();
//! agent.exchange(&manager).unwrap();
//! ```

mod agent;
mod manager;
mod pair;
mod process;
mod records;

pub use agent::{Agent, Answer, Event, Told};
pub use manager::{Fleet, Launched, Manager};
pub use pair::Pair;
pub use process::AgentProcess;
pub use records::Records;
