//! The plugins as krew packages. A tool of the house: no plugin links it.
//!
//! | module | what it is |
//! |---|---|
//! | [`manifest`] | a plugin manifest as krew reads it |
//! | [`platform`] | systems and processors, and which of them a selector chooses |
//! | [`rules`] | what a manifest must keep: krew's rules, those of its index, our own |
//! | [`archive`] | archives that are the same bytes whenever and wherever they are made |
//! | [`binary`] | what a program file must be to run on a stranger's machine |
//! | [`licenses`] | the licences of everything that a plugin contains |
//! | [`pack`] | all of that put together: the archive of one plugin for one platform |
//! | [`sums`] | the sums of built archives, written into copies of the manifests |
//! | [`install`] | what krew does with a manifest and an archive, step by step |
//!
//! Krew's rules are those of krew v0.5.0 (`internal/index/validation`, `cmd/validate-krew-manifest`,
//! `internal/installation`); v0.4.5, which krew-index runs, has the same.

pub mod archive;
pub mod binary;
pub mod install;
pub mod licenses;
pub mod manifest;
pub mod pack;
pub mod platform;
pub mod rules;
pub mod sums;
