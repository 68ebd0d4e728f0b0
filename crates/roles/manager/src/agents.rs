//! The agent port: OpAMP over HTTP, one exchange after the other.
//!
//! | file | content |
//! | --- | --- |
//! | `listen.rs` | accepting, shedding load, handshakes |
//! | `http.rs` | from an HTTP request to an HTTP response |
//! | `proof.rs` | who sent it: a signature, or a secret |
//! | `exchange.rs` | a signed exchange: chain, commit, answer |
//! | `enrol.rs` | how a host becomes an agent, or registers anew |
//! | `clone.rs` | what a second holder of an identity is told |
//! | `bearer.rs` | OpAMP clients that cannot sign |
//! | `events.rs` | which events of a batch are new |
//! | `report.rs` | what an agent says about itself, as the database keeps it |
//! | `answer.rs` | what an agent is told |
//! | `token.rs` | the tokens of the chain |

mod answer;
mod bearer;
mod clone;
mod enrol;
mod events;
mod exchange;
mod http;
mod listen;
mod proof;
mod refused;
mod report;
mod token;

pub(crate) use listen::serve;
