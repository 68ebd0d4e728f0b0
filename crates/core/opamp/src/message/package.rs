//! Packages. Our managers offer none; other agents report what they have.

use std::collections::BTreeMap;

use super::Headers;

/// Packages to install.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PackagesAvailable {
    /// By name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub packages: BTreeMap<String, PackageAvailable>,
    /// Of all of them.
    #[prost(bytes = "vec", tag = "2")]
    pub all_packages_hash: Vec<u8>,
}

/// A package to install.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PackageAvailable {
    /// The agent itself, or a part of it.
    #[prost(enumeration = "PackageType", tag = "1")]
    pub r#type: i32,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Where it is.
    #[prost(message, optional, tag = "3")]
    pub file: Option<DownloadableFile>,
    /// Of everything above and of the file's content.
    #[prost(bytes = "vec", tag = "4")]
    pub hash: Vec<u8>,
}

/// The agent itself, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PackageType {
    /// The agent itself.
    TopLevel = 0,
    /// A part of it.
    Addon = 1,
}

/// Where a file is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DownloadableFile {
    /// For a GET.
    #[prost(string, tag = "1")]
    pub download_url: String,
    /// SHA-256.
    #[prost(bytes = "vec", tag = "2")]
    pub content_hash: Vec<u8>,
    /// In the agent's own form.
    #[prost(bytes = "vec", tag = "3")]
    pub signature: Vec<u8>,
    /// To send with the GET.
    #[prost(message, optional, tag = "4")]
    pub headers: Option<Headers>,
}

/// What became of the packages.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PackageStatuses {
    /// By name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub packages: BTreeMap<String, PackageStatus>,
    /// The offer's `all_packages_hash`.
    #[prost(bytes = "vec", tag = "2")]
    pub server_provided_all_packages_hash: Vec<u8>,
    /// What went wrong with all of them.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// What became of a package.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PackageStatus {
    /// The key that it stands under.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What is installed; empty if nothing is.
    #[prost(string, tag = "2")]
    pub agent_has_version: String,
    /// What is installed; empty if nothing is.
    #[prost(bytes = "vec", tag = "3")]
    pub agent_has_hash: Vec<u8>,
    /// What was offered; empty if nothing was.
    #[prost(string, tag = "4")]
    pub server_offered_version: String,
    /// What was offered; empty if nothing was.
    #[prost(bytes = "vec", tag = "5")]
    pub server_offered_hash: Vec<u8>,
    /// How far it is.
    #[prost(enumeration = "PackageState", tag = "6")]
    pub status: i32,
    /// What went wrong with it.
    #[prost(string, tag = "7")]
    pub error_message: String,
    /// While it is being fetched.
    #[prost(message, optional, tag = "8")]
    pub download_details: Option<PackageDownloadDetails>,
}

/// How far a package is (OpAMP's `PackageStatusEnum`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PackageState {
    /// It is installed.
    Installed = 0,
    /// It will be installed.
    InstallPending = 1,
    /// It is being installed.
    Installing = 2,
    /// It could not be installed.
    InstallFailed = 3,
    /// It is being fetched.
    Downloading = 4,
}

/// How a fetch goes on.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PackageDownloadDetails {
    /// How much is there, of 100.
    #[prost(double, tag = "1")]
    pub download_percent: f64,
    /// How fast it comes.
    #[prost(double, tag = "2")]
    pub download_bytes_per_second: f64,
}
