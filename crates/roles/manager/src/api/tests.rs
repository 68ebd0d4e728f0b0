//! The API as clients see it: over HTTP, on a database in a file. Every answer is compared with
//! its description.

mod access;
mod conform;
mod resources;
mod world;
